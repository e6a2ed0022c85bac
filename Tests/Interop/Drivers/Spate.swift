import Foundation

/// The program under test.
struct Spate: Client {
  var options: [String] = []
  var authority: URL?
  /// Where it leaves its counts of the data path.
  var counters: URL?

  struct NotBuilt: Error {}

  static var command: [String] {
    get throws {
      guard let path = SpateBinary.path else { throw NotBuilt() }
      return [path]
    }
  }

  private var environment: [String: String] {
    var result: [String: String] = [:]
    result["SSL_CERT_FILE"] = authority?.path
    result["SPATE_COUNTERS"] = counters?.path
    return result
  }

  private func network(_ address: Address) -> [String] {
    ["--bind", address.host, "--listen-port", String(address.port)]
  }

  func seed(_ torrent: URL, from folder: URL, at address: Address, in sandbox: Sandbox) async throws -> Child
  {
    let child = try sandbox.start(
      "spate-seed",
      Self.command + ["seed", torrent.path, "-d", folder.path, "--progress", "json"] + network(address)
        + options,
      environment: environment)
    try await eventually("spate seeds") {
      if let status = child.status {
        throw Sandbox.CommandFailed(command: child.command, status: status, errors: child.errors)
      }
      return ProgressLine.all(child.errors).contains { $0.state == "seeding" }
    }
    return child
  }

  func start(
    _ torrents: [URL], into folder: URL, at address: Address, peers: [Address] = [], in sandbox: Sandbox
  ) throws
    -> Child
  {
    try sandbox.start(
      "spate-get",
      Self.command + ["download"] + torrents.map(\.path) + [
        "-d", folder.path, "--json", "--progress", "json",
      ]
        + network(address) + peers.flatMap { ["--peer", $0.description] } + options,
      environment: environment)
  }

  func download(_ torrent: URL, into folder: URL, at address: Address, peers: [Address], in sandbox: Sandbox)
    async throws
  {
    let child = try start([torrent], into: folder, at: address, peers: peers, in: sandbox)
    let status = try await child.exit(within: .seconds(90))
    guard status == .code(0) else {
      throw Sandbox.CommandFailed(command: child.command, status: status, errors: child.errors)
    }
  }

  /// Runs one command line to its end.
  static func run(
    _ arguments: [String], environment: [String: String] = [:], input: URL? = nil,
    within limit: Duration = .seconds(60),
    in sandbox: Sandbox
  ) async throws -> Finished {
    let child = try sandbox.start(
      "spate-\(arguments.first ?? "")", command + arguments, environment: environment, input: input)
    let status = try await child.exit(within: limit)
    return Finished(status: status, output: child.output, errors: child.errors)
  }

  struct Finished: Sendable {
    let status: ExitStatus
    let output: String
    let errors: String

    func document() throws -> FinalDocument { try FinalDocument(output) }
  }

  static func startTracker(port: Int, options: [String] = [], in sandbox: Sandbox) throws -> Child {
    try sandbox.start("spate-tracker", command + ["tracker", "--port", String(port)] + options)
  }
}
