import Foundation

/// The programs that make torrent files here.
enum TorrentMaker: String, CaseIterable, Sendable {
  case mktorrent, transmissionCreate, libtorrent, libtorrentHybrid, spate

  var requirement: Requirement {
    switch self {
    case .mktorrent: .mktorrent
    case .transmissionCreate: .transmission
    case .libtorrent, .libtorrentHybrid: .libtorrent
    case .spate: .spate
    }
  }

  /// Makes `name.torrent` in the scratch folder from `content`. Every tracker is a tier of its own.
  func make(_ name: String, from content: URL, trackers: [String], pieceLength: Int, in sandbox: Sandbox)
    async throws -> URL
  {
    let torrent = sandbox.scratch.appending(path: "\(name).torrent")
    switch self {
    case .mktorrent:
      try await sandbox.run(
        "mktorrent",
        ["/usr/bin/mktorrent", "-l", String(pieceLength.trailingZeroBitCount), "-o", torrent.path]
          + trackers.flatMap { ["-a", $0] } + [content.path])
    case .transmissionCreate:
      try await sandbox.run(
        "transmission-create",
        ["/usr/bin/transmission-create", "-s", String(pieceLength >> 10), "-o", torrent.path]
          + trackers.flatMap { ["-t", $0] } + [content.path])
    case .libtorrent, .libtorrentHybrid:
      try await Libtorrent.create(
        content, torrent, trackers: trackers, pieceLength: pieceLength, hybrid: self == .libtorrentHybrid,
        sandbox)
    case .spate:
      try await sandbox.run(
        "spate-create",
        try Spate.command + ["create", content.path, "-o", torrent.path, "-l", String(pieceLength)]
          + trackers.flatMap { ["-a", $0] })
    }
    return torrent
  }
}
