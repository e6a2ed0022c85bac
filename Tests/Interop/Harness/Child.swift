import Foundation

/// How a process ended.
enum ExitStatus: Equatable, Sendable, CustomStringConvertible {
  case code(Int32)
  case signal(Int32)

  var description: String {
    switch self {
    case .code(let code): "exit code \(code)"
    case .signal(let number): "signal \(number)"
    }
  }
}

/// One process inside a sandbox's namespaces, with its output in two files.
///
/// Every start goes through `nsenter`, which stays as the parent and passes the exit status on. The process itself
/// first writes its id (as seen from outside) to a file, so that signals reach it and not `nsenter`.
///
/// `@unchecked Sendable`: `Process` is only touched through its thread-safe calls (`isRunning`, `terminationStatus`),
/// everything else is immutable.
final class Child: @unchecked Sendable {
  let name: String
  let command: [String]
  let standardOutput: URL
  let standardError: URL
  private let process: Process
  private let idFile: URL

  /// Writes its own outer id, read below `$3`, to `$1`, enters `$2`, and becomes the rest of its arguments.
  private static let prologue =
    #"read -r pid _ <"$3/self/stat"; echo "$pid" >"$1"; cd "$2"; shift 3; exec "$@""#

  init(
    name: String, enter: [String], outerProc: URL, command: [String], directory: URL,
    environment: [String: String],
    input: URL?,
    logs: URL
  ) throws {
    self.name = name
    self.command = command
    standardOutput = logs.appending(path: "\(name).out")
    standardError = logs.appending(path: "\(name).err")
    idFile = logs.appending(path: "\(name).pid")
    for file in [standardOutput, standardError, idFile] {
      try Data().write(to: file)
    }
    process = Process()
    process.executableURL = URL(filePath: enter[0])
    process.arguments =
      enter.dropFirst() + ["/bin/sh", "-c", Self.prologue, "sh", idFile.path, directory.path, outerProc.path]
      + command
    process.environment = environment
    let source = try input.map { try FileHandle(forReadingFrom: $0) }
    let output = try FileHandle(forWritingTo: standardOutput)
    let errors = try FileHandle(forWritingTo: standardError)
    process.standardInput = source ?? FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = errors
    // The process has its own; ours would stay open for as long as anybody remembers it.
    defer { for handle in [source, output, errors] { try? handle?.close() } }
    try process.runWithSignalsOpen()
  }

  var isRunning: Bool { process.isRunning }

  /// The end of the process, or nil while it runs.
  var status: ExitStatus? {
    if process.isRunning { return nil }
    return process.terminationReason == .uncaughtSignal
      ? .signal(process.terminationStatus) : .code(process.terminationStatus)
  }

  /// Waits for the end, for a bounded time.
  @discardableResult
  func exit(within limit: Duration = .seconds(60)) async throws -> ExitStatus {
    try await first(within: limit, every: .milliseconds(10), "\(name) has ended") { status }
  }

  /// The id of the process itself, once it has started.
  func processID() async throws -> Int32 {
    try await first(within: .seconds(10), every: .milliseconds(2), "\(name) has started") {
      let text = try String(contentsOf: idFile, encoding: .utf8)
      // The newline is written last: without it the number may still be incomplete.
      return text.hasSuffix("\n") ? Int32(text.dropLast()) : nil
    }
  }

  func send(_ signal: Int32) async throws {
    let id = try await processID()
    if isRunning { kill(id, signal) }
  }

  /// Asks the process to leave, and ends it if it does not.
  @discardableResult
  func stop(within limit: Duration = .seconds(10)) async -> ExitStatus? {
    if let status { return status }
    do {
      try await send(SIGTERM)
      if let status = try? await exit(within: limit) { return status }
      try await send(SIGKILL)
      return try await exit(within: .seconds(10))
    } catch {
      process.terminate()
      return nil
    }
  }

  /// All it wrote to standard output so far.
  var output: String { Self.text(standardOutput) }

  /// All it wrote to standard error so far.
  var errors: String { Self.text(standardError) }

  func removeFiles() {
    for file in [standardOutput, standardError, idFile] { try? FileManager.default.removeItem(at: file) }
  }

  private static func text(_ file: URL) -> String {
    String(decoding: (try? Data(contentsOf: file)) ?? Data(), as: UTF8.self)
  }
}

extension Process {
  /// Starts the process with no signal blocked. The threads that run Swift tasks block nearly all of them, and a child
  /// inherits that from the thread that starts it: it would never see SIGTERM or SIGINT.
  func runWithSignalsOpen() throws {
    var none = sigset_t()
    var before = sigset_t()
    unsafe sigemptyset(&none)
    unsafe pthread_sigmask(SIG_SETMASK, &none, &before)
    defer { unsafe pthread_sigmask(SIG_SETMASK, &before, nil) }
    try run()
  }
}
