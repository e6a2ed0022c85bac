import Foundation

/// libtorrent through its Python bindings, in `lt_client.py`.
struct Libtorrent: Client {
  var options: [String] = []
  var authority: URL?

  private var environment: [String: String] { authority.map { ["SSL_CERT_FILE": $0.path] } ?? [:] }

  private static let script = ["/usr/bin/python3", Files.drivers.appending(path: "lt_client.py").path]

  private func run(
    _ name: String, _ mode: String, _ torrent: URL, _ folder: URL, _ address: Address, _ peers: [Address],
    _ sandbox: Sandbox
  ) throws -> Child {
    let command =
      Self.script + [
        "run", "--torrent", torrent.path, "--save", folder.path, "--listen", address.description, "--mode",
        mode,
      ] + peers.flatMap { ["--peer", $0.description] } + options
    return try sandbox.start(name, command, environment: environment)
  }

  func seed(_ torrent: URL, from folder: URL, at address: Address, in sandbox: Sandbox) async throws -> Child
  {
    let child = try run("libtorrent-seed", "seed", torrent, folder, address, [], sandbox)
    try await eventually("libtorrent seeds") {
      if let status = child.status {
        throw Sandbox.CommandFailed(command: child.command, status: status, errors: child.errors)
      }
      return child.output.contains(#"{"event": "complete""#)
    }
    return child
  }

  func download(_ torrent: URL, into folder: URL, at address: Address, peers: [Address], in sandbox: Sandbox)
    async throws
  {
    let child = try run("libtorrent-get", "download", torrent, folder, address, peers, sandbox)
    let status = try await child.exit(within: .seconds(90))
    guard status == .code(0) else {
      throw Sandbox.CommandFailed(command: child.command, status: status, errors: child.errors)
    }
  }

  /// What libtorrent reads in a torrent file.
  struct Shown: Decodable, Equatable, Sendable {
    struct File: Decodable, Equatable, Sendable {
      let path: String
      let length: Int
      let padding: Bool
    }
    let name: String
    let infohash: String
    let v1: Bool
    let v2: Bool
    let piece_length: Int
    let pieces: Int
    let total: Int
    let files: [File]
    let trackers: [[String]]
    let webseeds: [String]
    let `private`: Bool
    let comment: String
    let creator: String
    let date: Int
  }

  static func show(_ torrent: URL, in sandbox: Sandbox) async throws -> Shown {
    let text = try await sandbox.run("libtorrent-show", script + ["show", "--torrent", torrent.path])
    return try JSONDecoder().decode(Shown.self, from: Data(text.utf8))
  }

  static func create(
    _ content: URL, _ torrent: URL, trackers: [String], pieceLength: Int, hybrid: Bool, _ sandbox: Sandbox
  )
    async throws
  {
    try await sandbox.run(
      "libtorrent-create",
      script + [
        "create", "--path", content.path, "--output", torrent.path, "--piece-length", String(pieceLength),
        "--format", hybrid ? "hybrid" : "v1",
      ] + trackers.flatMap { ["--tracker", $0] })
  }
}
