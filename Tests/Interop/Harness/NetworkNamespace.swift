import Foundation

/// New network, mount and process namespaces with nothing but loopback: no packet leaves, no client outlives it.
///
/// `@unchecked Sendable`: all stored values are immutable, and `Process` and `FileHandle` are only used to close and
/// to ask whether it still runs.
final class NetworkNamespace: @unchecked Sendable {
  /// Put before a command, runs it inside.
  let enter: [String]
  /// The process id, seen from outside, that holds the namespaces.
  let holder: Int32
  /// Where processes inside find the outer /proc.
  let outerProc: URL
  private let process: Process
  private let input: FileHandle

  /// Names the inside knows besides `localhost`. `wrong.test` is there to be refused: no certificate names it.
  static let hosts = """
    127.0.0.1 localhost
    ::1 localhost
    10.77.0.1 tracker.test wrong.test
    fd77::1 tracker6.test

    """

  init(scratch: URL) async throws {
    let hosts = scratch.appending(path: "hosts")
    try Data(Self.hosts.utf8).write(to: hosts)
    // Not an empty file: evdns, which transmission uses, does not start without a name server.
    let resolver = scratch.appending(path: "resolv.conf")
    try Data("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n".utf8).write(to: resolver)
    outerProc = scratch.appending(path: "outer-proc")
    try FileManager.default.createDirectory(at: outerProc, withIntermediateDirectories: true)
    let output = scratch.appending(path: "namespace.log")
    try Data().write(to: output)
    // Without root, a user namespace gives the rights needed, on systems that allow it.
    let asUser = getuid() == 0 ? [] : ["--user", "--map-root-user"]
    process = Process()
    process.executableURL = URL(filePath: "/usr/bin/unshare")
    process.arguments =
      asUser + ["--net", "--mount", "--pid", "--fork", "--kill-child"]
      + [Files.harness.appending(path: "namespace.sh").path, hosts.path, resolver.path, outerProc.path]
    let pipe = Pipe()
    process.standardInput = pipe
    process.standardOutput = try FileHandle(forWritingTo: output)
    process.standardError = process.standardOutput
    try process.runWithSignalsOpen()
    input = pipe.fileHandleForWriting
    let running = process
    holder = try await first(within: .seconds(10), every: .milliseconds(2), "the namespace is ready") {
      let text = try String(contentsOf: output, encoding: .utf8)
      if !running.isRunning { throw Unusable(text: text) }
      let last = text.split(separator: "\n", omittingEmptySubsequences: false).dropLast().last
      guard let last, last.hasPrefix("ready ") else { return nil }
      return Int32(last.dropFirst("ready ".count))
    }
    let userFlags = getuid() == 0 ? [] : ["--user", "--preserve-credentials"]
    enter =
      ["/usr/bin/nsenter", "--target", String(holder)] + userFlags + ["--net", "--mount", "--pid", "--"]
  }

  /// Namespaces cannot be had here.
  struct Unusable: Error, CustomStringConvertible {
    let text: String
    var description: String { "no namespaces: \(text.trimmingCharacters(in: .whitespacesAndNewlines))" }
  }

  /// A path as seen inside, where mounts may differ, for use from outside.
  func outside(_ path: URL) -> URL {
    URL(filePath: "/proc/\(holder)/root").appending(path: path.path)
  }

  /// Ends everything inside.
  func close() async {
    try? input.close()
    _ = try? await first(within: .seconds(10), every: .milliseconds(5), "the namespace has ended") {
      process.isRunning ? nil : true
    }
    if process.isRunning { kill(process.processIdentifier, SIGKILL) }
  }
}

/// Where the scripts beside these sources are.
enum Files {
  static let harness = URL(filePath: #filePath).deletingLastPathComponent()
  static let interop = harness.deletingLastPathComponent()
  static let drivers = interop.appending(path: "Drivers")
  static let package = interop.deletingLastPathComponent().deletingLastPathComponent()
}
