import BlockPool
import Glibc
import Reactor
import Testing

/// A child process whose output can be read line by line.
final class ChildProcess {
  private let identifier: pid_t
  private let output: CInt
  private var hasEnded = false

  /// Runs `arguments` in `folder`, the command found along PATH, with standard output and error in a pipe.
  init(_ arguments: [String], in folder: String) throws {
    var ends: [CInt] = [0, 0]
    guard unsafe pipe(&ends) == 0 else { throw SystemError(code: errno) }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    unsafe posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
    unsafe posix_spawn_file_actions_adddup2(&actions, ends[1], 2)
    let command = ["env", "-C", folder] + arguments
    var vector = unsafe command.map { unsafe strdup($0) } + [nil]
    defer { unsafe vector.forEach { unsafe free($0) } }
    var process: pid_t = 0
    let result = unsafe posix_spawnp(&process, command[0], &actions, nil, &vector, environ)
    close(ends[1])
    guard result == 0 else {
      close(ends[0])
      throw SystemError(code: result)
    }
    identifier = process
    output = ends[0]
  }

  deinit {
    if !hasEnded {
      kill(identifier, SIGKILL)
      _ = wait()
    }
    close(output)
  }

  /// The next line of output, or nil at its end.
  func readLine() -> String? {
    var line: [UInt8] = []
    var byte: UInt8 = 0
    while unsafe read(output, &byte, 1) == 1 {
      if byte == UInt8(ascii: "\n") { return String(decoding: line, as: UTF8.self) }
      line.append(byte)
    }
    return line.isEmpty ? nil : String(decoding: line, as: UTF8.self)
  }

  /// Waits for the end; 0 is success.
  func wait() -> CInt {
    var status: CInt = 0
    unsafe waitpid(identifier, &status, 0)
    hasEnded = true
    return status
  }

  /// Runs a command to its end.
  static func run(_ arguments: [String], in folder: String) throws {
    let process = try ChildProcess(arguments, in: folder)
    var output: [String] = []
    while let line = process.readLine() { output.append(line) }
    try #require(
      process.wait() == 0, "\(arguments.joined(separator: " ")): \(output.joined(separator: "\n"))")
  }

  static let hasOpenSSL = (try? ChildProcess(["openssl", "version"], in: "/").wait()) == 0
}

/// A certificate authority in a folder of its own, and servers with certificates of every kind.
final class TestAuthority: Sendable {
  let folder: String
  var caFile: String { folder + "/ca.pem" }

  init() throws {
    var template = Array("/tmp/spate-tls-XXXXXX".utf8CString)
    guard unsafe mkdtemp(&template) != nil else { throw SystemError(code: errno) }
    folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    try ChildProcess.run(
      [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
        "2",
        "-subj", "/CN=Test CA", "-keyout", "ca.key", "-out", "ca.pem",
      ], in: folder)
  }

  deinit { _ = try? ChildProcess.run(["rm", "-r", folder], in: "/") }

  /// Makes `name`.pem and `name`.key.
  func issue(_ name: String, for names: String, days: Int = 1, selfSigned: Bool = false) throws {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "\(name).key"]
    let subject = ["-subj", "/CN=\(name)", "-addext", "subjectAltName=\(names)"]
    if selfSigned {
      try ChildProcess.run(
        ["openssl", "req", "-x509", "-days", "\(days)", "-out", "\(name).pem"] + key + subject, in: folder)
      return
    }
    try ChildProcess.run(["openssl", "req", "-new", "-out", "\(name).csr"] + key + subject, in: folder)
    try ChildProcess.run(
      [
        "openssl", "x509", "-req", "-in", "\(name).csr", "-CA", "ca.pem", "-CAkey", "ca.key",
        "-CAcreateserial",
        "-days", "\(days)", "-copy_extensions", "copy", "-out", "\(name).pem",
      ], in: folder)
  }

  /// Starts a server that sends the file `page` of the folder for `/page`, as it is; returns its port.
  func serve(_ name: String) throws -> (server: ChildProcess, port: UInt16) {
    let server = try ChildProcess(
      [
        "openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", "\(name).pem", "-key", "\(name).key",
        "-HTTP",
      ],
      in: folder)
    while let line = server.readLine() {
      guard line.hasPrefix("ACCEPT"), let port = line.split(separator: ":").last.flatMap({ UInt16($0) })
      else { continue }
      return (server, port)
    }
    throw TimedOut(waitingFor: "openssl s_server")
  }

  func write(_ text: String, to name: String) throws {
    let descriptor = unsafe open(folder + "/" + name, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    guard descriptor >= 0 else { throw SystemError(code: errno) }
    defer { close(descriptor) }
    let bytes = Array(text.utf8)
    guard unsafe Glibc.write(descriptor, bytes, bytes.count) == bytes.count else {
      throw SystemError(code: errno)
    }
  }
}
