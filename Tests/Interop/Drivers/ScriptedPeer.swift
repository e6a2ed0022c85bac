import Foundation

/// A seed that does what a test wants and counts what it does: `scripted_peer.py`.
struct ScriptedPeer: Sendable {
  enum Manner: Sendable {
    case honest
    /// A wrong byte in every block, in the first of each connection, or in about one block of so many.
    case liesAlways, liesFirst
    case liesOnceIn(Int)
    /// Stays connected and unchoked, but answers no more after so many blocks.
    case stallsAfter(Int)
    /// Never unchokes.
    case chokes

    var arguments: [String] {
      switch self {
      case .honest: []
      case .liesAlways: ["--lie", "every"]
      case .liesFirst: ["--lie", "first"]
      case .liesOnceIn(let count): ["--lie", String(count)]
      case .stallsAfter(let blocks): ["--stall-after", String(blocks)]
      case .chokes: ["--choke"]
      }
    }
  }

  let child: Child

  static func start(
    _ manner: Manner, _ torrent: Libtorrent.Shown, of tree: Tree, in folder: URL, at address: Address,
    fast: Bool = false, in sandbox: Sandbox
  ) async throws -> ScriptedPeer {
    let content = sandbox.scratch.appending(path: "joined-\(torrent.infohash)")
    try tree.joined(in: folder, order: torrent.files.map(\.path)).write(to: content)
    let child = try sandbox.start(
      "scripted-peer",
      [
        "/usr/bin/python3", Files.drivers.appending(path: "scripted_peer.py").path, "--infohash",
        torrent.infohash,
        "--pieces", String(torrent.pieces), "--piece-length", String(torrent.piece_length), "--content",
        content.path,
        "--listen", address.description,
      ] + manner.arguments + (fast ? ["--fast"] : []))
    try await eventually("the scripted peer listens") { child.output.contains("listening") }
    return ScriptedPeer(child: child)
  }

  /// Ends it, and says what it did in all.
  func sums() async throws -> Sums {
    await child.stop()
    let last = child.output.split(separator: "\n").last { $0.contains(#""event": "sum""#) }
    return try JSONDecoder().decode(Sums.self, from: Data((last ?? "").utf8))
  }

  struct Sums: Decodable, Sendable {
    let connections: Int
    let served: Int
    let lied: Int
    let bytes: Int
    let again: Int
  }
}
