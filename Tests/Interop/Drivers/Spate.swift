import Foundation

/// The program under test.
struct Spate: Client {
  var options: [String] = []
  var authority: URL?

  struct NotBuilt: Error {}

  static var command: [String] {
    get throws {
      guard let path = SpateBinary.path else { throw NotBuilt() }
      return [path]
    }
  }

  private var environment: [String: String] { authority.map { ["SSL_CERT_FILE": $0.path] } ?? [:] }

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

  static func startTracker(port: Int, options: [String] = [], in sandbox: Sandbox) throws -> Child {
    try sandbox.start("spate-tracker", command + ["tracker", "--port", String(port)] + options)
  }
}

/// One line of `--progress json`.
struct ProgressLine: Decodable, Sendable {
  let event: String
  let infohash: String?
  let name: String?
  let state: String?
  let done: Int?
  let total: Int?
  let down: Double?
  let up: Double?
  let peers: Int?
  let seeds: Int?
  let eta: Double?

  /// The lines of a stream that are such objects; the last may still be incomplete.
  static func all(_ text: String) -> [ProgressLine] {
    text.split(separator: "\n").compactMap {
      try? JSONDecoder().decode(ProgressLine.self, from: Data($0.utf8))
    }
  }
}

/// The final document of `--json`.
struct FinalDocument: Decodable, Sendable {
  struct File: Decodable, Sendable {
    let path: String
    let length: Int
    let done: Int
  }
  struct Torrent: Decodable, Sendable {
    let infohash: String
    let name: String
    let files: [File]
    let status: String
    let bytes_down: Int
    let bytes_up: Int
    let seconds: Double
    let error: String?
  }
  let torrents: [Torrent]

  /// The issue says "one final document: per torrent …": read as an object with `torrents`.
  init(_ text: String) throws { self = try JSONDecoder().decode(FinalDocument.self, from: Data(text.utf8)) }
}
