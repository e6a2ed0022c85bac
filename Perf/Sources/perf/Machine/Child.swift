import CPerf
import Foundation

/// How to start a process.
struct Command {
  var arguments: [String]
  var environment: [String: String] = [:]
  /// Working folder; nil: the runner's own.
  var folder: String?
  /// Where standard error goes.
  var log: String = "/dev/null"
}

/// A line of a child's standard output and the moment it was read, on the monotonic clock.
struct OutputLine {
  let text: String
  let at: Double

  /// The line as a JSON object, if it is one.
  var json: [String: Any]? {
    guard text.hasPrefix("{") else { return nil }
    return (try? JSONSerialization.jsonObject(with: Data(text.utf8))) as? [String: Any]
  }

  var event: String? { json?["event"] as? String }

  func number(_ key: String) -> Double? { (json?[key] as? NSNumber)?.doubleValue }
}

/// A process started by the runner. It dies with the runner, and no wait on it is without a deadline.
final class Child {
  struct Exit {
    let usage: Usage
    /// The exit code, or 128 + the signal.
    let code: Int
    let at: Double
  }

  let name: String
  let pid: Int32
  private(set) var lines: [OutputLine] = []
  private(set) var exit: Exit?
  /// Highest resident memory seen, in bytes. Sampled, but of a mark that only rises.
  private(set) var peakResident = 0

  private var input: Int32
  private var output: Int32
  private var partial: [UInt8] = []
  private var seen = 0
  private let log: String

  init(_ command: Command, name: String) throws(Failure) {
    self.name = name
    self.log = command.log
    var (childInput, ourOutput, ourInput, childOutput) = (Int32(-1), Int32(-1), Int32(-1), Int32(-1))
    guard unsafe perf_pipe(&childInput, &ourOutput) == 0, unsafe perf_pipe(&ourInput, &childOutput) == 0
    else {
      throw Failure("no pipe for \(name)")
    }
    let errors = unsafe open(command.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o666)
    defer {
      close(childInput)
      close(childOutput)
      if errors >= 0 { close(errors) }
    }
    var variables = ProcessInfo.processInfo.environment
    variables.merge(command.environment) { $1 }
    let environment = variables.map { "\($0.key)=\($0.value)" }
    pid = unsafe withCStrings(command.arguments) { arguments in
      unsafe withCStrings(environment) { environment in
        unsafe perf_spawn(arguments, environment, command.folder, childInput, childOutput, errors)
      }
    }
    input = ourOutput
    output = ourInput
    guard pid > 0 else { throw Failure("cannot start \(name): error \(-pid)") }
    _ = fcntl(output, F_SETFL, O_NONBLOCK)
  }

  deinit {
    if exit == nil {
      kill(pid, SIGKILL)
      var ended = perf_exit()
      _ = unsafe perf_wait(pid, true, &ended)
    }
    closeInput()
    close(output)
  }

  var status: ProcessStatus { ProcessStatus(pid: pid) }

  // MARK: Talking

  func say(_ text: String) {
    let bytes = Array((text + "\n").utf8)
    _ = unsafe bytes.withUnsafeBytes { unsafe write(input, $0.baseAddress, $0.count) }
  }

  func closeInput() {
    guard input >= 0 else { return }
    close(input)
    input = -1
  }

  func signal(_ number: Int32) {
    if exit == nil { kill(pid, number) }
  }

  // MARK: Listening

  /// Reads what the child has written, waiting up to `milliseconds` for it, and looks after its memory and its end.
  private func pump(_ milliseconds: Int32) {
    let readable = output >= 0 && perf_poll(output, milliseconds) > 0
    if output < 0 { usleep(UInt32(milliseconds) * 1000) }
    if readable {
      var buffer = [UInt8](repeating: 0, count: 16384)
      let count = unsafe buffer.withUnsafeMutableBytes { unsafe read(output, $0.baseAddress, $0.count) }
      let now = perf_monotonic()
      if count > 0 {
        take(buffer[..<count], at: now)
      } else if count == 0 {
        if !partial.isEmpty { take([10], at: now) }
        close(output)
        output = -1
      }
    }
    if exit == nil {
      peakResident = max(peakResident, status.peakResident ?? 0)
      reap(block: false)
    }
  }

  private func take(_ bytes: ArraySlice<UInt8>, at now: Double) {
    // A carriage return ends a line too: progress displays overwrite theirs.
    for byte in bytes {
      if byte == 10 || byte == 13 {
        if !partial.isEmpty {
          lines.append(OutputLine(text: String(decoding: partial, as: UTF8.self), at: now))
        }
        partial.removeAll(keepingCapacity: true)
      } else if partial.count < 65536 {
        partial.append(byte)
      }
    }
  }

  private func reap(block: Bool) {
    var ended = perf_exit()
    guard exit == nil, unsafe perf_wait(pid, block, &ended) == 1 else { return }
    let signal = Int(ended.status & 0x7f)
    exit = Exit(
      usage: Usage(
        user: ended.user, system: ended.system, voluntarySwitches: Int(ended.voluntary_switches),
        involuntarySwitches: Int(ended.involuntary_switches)),
      code: signal == 0 ? Int(ended.status >> 8 & 0xff) : 128 + signal, at: perf_monotonic())
  }

  /// The first line not yet looked at that `matches`. Fails when the child ends first or `seconds` pass.
  @discardableResult
  func wait(seconds: Double, for what: String, _ matches: (OutputLine) -> Bool) throws(Failure) -> OutputLine
  {
    let deadline = perf_monotonic() + seconds
    while true {
      while seen < lines.count {
        seen += 1
        if matches(lines[seen - 1]) { return lines[seen - 1] }
      }
      if exit != nil && output < 0 { throw Failure("\(name) ended before \(what)\(tail)") }
      if perf_monotonic() > deadline { throw Failure("\(name): no \(what) within \(Int(seconds)) s\(tail)") }
      pump(20)
    }
  }

  @discardableResult
  func waitForEvent(_ event: String, seconds: Double) throws(Failure) -> OutputLine {
    try wait(seconds: seconds, for: "\"\(event)\"") { $0.event == event }
  }

  @discardableResult
  func waitForExit(seconds: Double) throws(Failure) -> Exit {
    let deadline = perf_monotonic() + seconds
    while exit == nil || output >= 0 {
      // A grandchild may hold the output open; the exit is what counts.
      if let exit, perf_monotonic() > exit.at + 1 { break }
      if perf_monotonic() > deadline { throw Failure("\(name) did not end within \(Int(seconds)) s\(tail)") }
      pump(10)
    }
    guard let exit else { throw Failure("\(name) is lost") }
    return exit
  }

  /// Lets `seconds` pass while the child's output is read.
  func idle(seconds: Double) {
    let until = perf_monotonic() + seconds
    while perf_monotonic() < until, exit == nil { pump(20) }
  }

  /// Ends it as it likes to be ended, then firmly.
  func end(_ how: Ending) throws(Failure) -> Exit {
    switch how {
    case .input: closeInput()
    case .signal(let number): signal(number)
    }
    let deadline = perf_monotonic() + 20
    while exit == nil && perf_monotonic() < deadline { pump(10) }
    if exit == nil {
      signal(SIGKILL)
      reap(block: true)
    }
    return try waitForExit(seconds: 5)
  }

  enum Ending {
    case input
    case signal(Int32)
  }

  /// The last lines of what it said, for a failure's text.
  private var tail: String {
    let errors = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
    let said = errors.split(separator: "\n").suffix(4).map(String.init) + lines.suffix(4).map(\.text)
    return said.isEmpty ? "" : "\n    " + said.joined(separator: "\n    ")
  }
}

/// Calls `body` with a NULL-terminated array of C strings.
private func withCStrings<R>(_ strings: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> R) -> R {
  var pointers = unsafe strings.map { unsafe UnsafePointer<CChar>(strdup($0)) }
  unsafe pointers.append(nil)
  defer { unsafe pointers.forEach { unsafe free(UnsafeMutablePointer(mutating: $0)) } }
  return unsafe pointers.withUnsafeBufferPointer { buffer in
    guard let base = buffer.baseAddress else {
      preconditionFailure("an array with a NULL in it is not empty")
    }
    return unsafe body(base)
  }
}

extension Child {
  /// Runs a helper to its end and gives back its output. Fails unless it exits with 0.
  @discardableResult
  static func run(
    _ arguments: [String], name: String, seconds: Double, folder: String? = nil, log: String = "/dev/null"
  )
    throws(Failure) -> [OutputLine]
  {
    let child = try Child(Command(arguments: arguments, folder: folder, log: log), name: name)
    child.closeInput()
    let exit = try child.waitForExit(seconds: seconds)
    guard exit.code == 0 else { throw Failure("\(name) exited with \(exit.code)\(child.tail)") }
    return child.lines
  }
}
