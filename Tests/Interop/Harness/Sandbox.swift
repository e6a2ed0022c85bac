import Foundation
import Synchronization
import Testing

/// One test's world: namespaces, a scratch folder, and the processes started in them. All of it is gone afterwards.
final class Sandbox: Sendable {
  let namespace: NetworkNamespace
  let scratch: URL
  private let logs: URL
  private let state = Mutex(State())

  private struct State {
    var children: [Child] = []
    var names: [String: Int] = [:]
    var failed = false
  }

  @TaskLocal static var current: Sandbox?

  fileprivate init(scratch: URL) async throws {
    self.scratch = scratch
    logs = scratch.appending(path: "logs")
    try FileManager.default.createDirectory(at: logs, withIntermediateDirectories: true)
    namespace = try await NetworkNamespace(scratch: scratch)
  }

  /// A new empty folder in the scratch folder.
  func directory(_ name: String) throws -> URL {
    let path = scratch.appending(path: name)
    try FileManager.default.createDirectory(at: path, withIntermediateDirectories: true)
    return path
  }

  /// What every process gets: nothing of the user's own settings, and a locale in which names are UTF-8.
  private func environment(_ extra: [String: String]) -> [String: String] {
    var all = [
      "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
      "HOME": scratch.path, "TMPDIR": scratch.path, "XDG_CONFIG_HOME": scratch.appending(path: "config").path,
      "PYTHONDONTWRITEBYTECODE": "1", "NO_PROXY": "*",
      // Peers find each other in the way that a test is about, and in no other.
      "SPATE_DHT": "false", "SPATE_LSD": "false",
    ]
    // The binary under test may be built with a sanitizer, or against a toolchain of its own.
    for (key, value) in ProcessInfo.processInfo.environment
    where ["LD_LIBRARY_PATH", "ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"].contains(key) {
      all[key] = value
    }
    return all.merging(extra) { _, new in new }
  }

  /// Starts a process inside. `name` is what its logs are called.
  func start(
    _ name: String, _ command: [String], directory: URL? = nil, environment extra: [String: String] = [:],
    input: URL? = nil
  ) throws -> Child {
    let number = state.withLock { state in
      state.names[name, default: 0] += 1
      return state.names[name] ?? 1
    }
    let child = try Child(
      name: number == 1 ? name : "\(name)-\(number)", enter: namespace.enter, outerProc: namespace.outerProc,
      command: command,
      directory: directory ?? scratch, environment: environment(extra), input: input, logs: logs)
    state.withLock { $0.children.append(child) }
    return child
  }

  /// Runs a process inside to its end and gives its output; throws when it fails.
  @discardableResult
  func run(
    _ name: String, _ command: [String], directory: URL? = nil, environment: [String: String] = [:],
    within limit: Duration = .seconds(60)
  ) async throws -> String {
    let child = try start(name, command, directory: directory, environment: environment)
    let status = try await child.exit(within: limit)
    guard status == .code(0) else {
      throw CommandFailed(command: command, status: status, errors: child.errors + child.output)
    }
    let output = child.output
    forget(child)
    return output
  }

  /// Whether a short command succeeds; for polling. Leaves no logs.
  func succeeds(_ name: String, _ command: [String]) async throws -> Bool {
    let child = try start(name, command)
    let status = try await child.exit(within: .seconds(20))
    forget(child)
    return status == .code(0)
  }

  /// Drops a process that ended well, with its logs: polls would pile up.
  private func forget(_ child: Child) {
    state.withLock { state in state.children.removeAll { $0 === child } }
    child.removeFiles()
  }

  struct CommandFailed: Error, CustomStringConvertible {
    let command: [String]
    let status: ExitStatus
    let errors: String
    var description: String { "\(command.joined(separator: " ")): \(status): \(errors)" }
  }

  fileprivate func markFailed() { state.withLock { $0.failed = true } }

  fileprivate func end() async {
    for child in state.withLock({ $0.children }).reversed() where child.isRunning {
      await child.stop(within: .seconds(3))
    }
    await namespace.close()
    if state.withLock({ $0.failed }) { printLogs() }
    try? FileManager.default.removeItem(at: scratch)
  }

  /// The ends of all logs, for a failed test; whole logs go to the folder `SPATE_INTEROP_LOGS` names, if it does.
  private func printLogs() {
    for child in state.withLock({ $0.children }) {
      print(
        "---- \(child.name): \(child.status.map(\.description) ?? "running"): \(child.command.joined(separator: " "))"
      )
      for (stream, text) in [("out", child.output), ("err", child.errors)] where !text.isEmpty {
        print(
          "     \(stream): "
            + text.suffix(6000).split(separator: "\n").suffix(40).joined(separator: "\n          "))
      }
    }
    if let keep = ProcessInfo.processInfo.environment["SPATE_INTEROP_LOGS"] {
      let target = URL(filePath: keep).appending(path: scratch.lastPathComponent)
      try? FileManager.default.createDirectory(
        at: target.deletingLastPathComponent(), withIntermediateDirectories: true)
      try? FileManager.default.copyItem(at: logs, to: target)
    }
  }
}

extension Trait where Self == IssueHandlingTrait {
  /// Notes in the sandbox of the test that an issue was recorded, so that its logs are shown.
  static var showingLogs: Self {
    .filterIssues { _ in
      Sandbox.current?.markFailed()
      return true
    }
  }
}

/// Gives `body` a new sandbox, and takes everything down afterwards whatever happened.
func withSandbox(_ body: (Sandbox) async throws -> Void) async throws {
  try await Slots.shared.withSlot {
    let scratch = try Scratch.make()
    let sandbox: Sandbox
    do {
      sandbox = try await Sandbox(scratch: scratch)
    } catch {
      try? FileManager.default.removeItem(at: scratch)
      throw error
    }
    var failure: (any Error)?
    await Sandbox.$current.withValue(sandbox) {
      do { try await body(sandbox) } catch {
        sandbox.markFailed()
        failure = error
      }
    }
    await sandbox.end()
    if let failure { throw failure }
  }
}

/// Scratch folders, named after the process that owns them so that a later run can clear what a killed one left.
private enum Scratch {
  private static let prefix = "spate-interop-"
  private static let root = FileManager.default.temporaryDirectory
  private static let counter = Atomic<Int>(0)
  private static let sweep: Void = {
    let left = (try? FileManager.default.contentsOfDirectory(atPath: root.path)) ?? []
    for name in left where name.hasPrefix(prefix) {
      let owner = name.dropFirst(prefix.count).prefix { $0.isNumber }
      guard let id = Int32(owner), kill(id, 0) != 0, errno == ESRCH else { continue }
      try? FileManager.default.removeItem(at: root.appending(path: name))
    }
  }()

  static func make() throws -> URL {
    _ = sweep
    let number = counter.add(1, ordering: .relaxed).newValue
    let path = root.appending(path: "\(prefix)\(getpid())-\(number)")
    try FileManager.default.createDirectory(at: path, withIntermediateDirectories: true)
    // Clients that drop their rights (opentracker becomes `nobody`) must still get in.
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path.path)
    return path
  }
}

/// How many sandboxes run at once. Tests mostly wait for other programs' timers, so a few more than cores.
private actor Slots {
  static let shared = Slots()
  private var free =
    ProcessInfo.processInfo.environment["SPATE_INTEROP_JOBS"].flatMap(Int.init)
    ?? ProcessInfo.processInfo.activeProcessorCount + 2
  private var waiting: [CheckedContinuation<Void, Never>] = []

  private func take() async {
    if free > 0 {
      free -= 1
    } else {
      await withCheckedContinuation { waiting.append($0) }
    }
  }

  private func release() {
    if waiting.isEmpty { free += 1 } else { waiting.removeFirst().resume() }
  }

  nonisolated func withSlot(_ body: () async throws -> Void) async throws {
    await take()
    do { try await body() } catch {
      await release()
      throw error
    }
    await release()
  }
}
