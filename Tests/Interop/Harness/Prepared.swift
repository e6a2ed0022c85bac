import Foundation

/// A torrent made for a test: its files, the torrent file, and what libtorrent reads in it.
struct Prepared: Sendable {
  let tree: Tree
  /// The folder that holds the complete content.
  let source: URL
  /// The content itself: a file, or a folder.
  let content: URL
  let torrent: URL
  let info: Libtorrent.Shown

  static func make(
    _ tree: Tree, by maker: TorrentMaker = .mktorrent, trackers: [String] = [], pieceLength: Int = 65_536,
    named name: String = "torrent", seed: UInt64 = 1, in sandbox: Sandbox
  ) async throws -> Prepared {
    let source = try sandbox.directory("\(name)-source")
    let content = try tree.write(in: source, seed: seed)
    let torrent = try await maker.make(
      name, from: content, trackers: trackers, pieceLength: pieceLength, in: sandbox)
    let info = try await Libtorrent.show(torrent, in: sandbox)
    return Prepared(tree: tree, source: source, content: content, torrent: torrent, info: info)
  }
}
