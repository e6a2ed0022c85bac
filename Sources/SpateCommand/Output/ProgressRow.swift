import Engine

/// What progress shows of one torrent. Sizes in bytes, rates in bytes per second.
struct ProgressRow: Hashable, Sendable {
  var infohash: String
  var name: String
  var state: TorrentState
  var done: Int64
  var total: Int64
  /// Bytes looked at so far and in all, while the disk is checked.
  var checked: Int64 = 0
  var contents: Int64 = 0
  var down = 0
  var up = 0
  var peers = 0
  var seeds = 0
  var sources = PeerSources()
  /// Pieces of the metadata, while those of a magnet link are fetched.
  var metadata: MetadataProgress?
  /// Seconds.
  var eta: Int?

  /// What the bar fills up with.
  var bar: (done: Int64, total: Int64) {
    switch state {
    case .checking: (checked, contents)
    case .fetchingMetadata: (Int64(metadata?.have ?? 0), Int64(metadata?.total ?? 1))
    default: (done, total)
    }
  }
}

extension ProgressRow {
  init(_ status: TorrentStatus, contents: Int64) {
    self.init(
      infohash: status.infoHash.hex, name: status.name, state: status.state, done: status.doneBytes,
      total: status.wantedBytes, checked: status.checkedBytes, contents: contents, down: status.downloadRate,
      up: status.uploadRate, peers: status.peers, seeds: status.seeds, sources: status.sources,
      eta: status.eta)
  }

  /// A seed of which nothing was counted.
  init(seeding info: TorrentInfo) {
    let total = info.layout.totalLength
    self.init(
      infohash: info.infoHash.hex, name: info.name, state: .seeding, done: total, total: total,
      contents: total)
  }

  init(_ status: MagnetStatus) {
    self.init(
      infohash: status.infoHash.hex, name: status.name ?? status.infoHash.hex, state: .fetchingMetadata,
      done: 0, total: 0, peers: status.peers, sources: status.sources,
      metadata: MetadataProgress(have: status.havePieces, total: status.pieces))
  }

  /// Where the peers come from, the most first: `4 DHT, 3 tracker, 1 PEX`.
  var sourcesText: String {
    let named: [(count: Int, name: String)] = [
      (sources.tracker, "tracker"), (sources.dht, "DHT"), (sources.exchange, "PEX"), (sources.local, "LSD"),
      (sources.incoming, "incoming"), (sources.resume, "known"), (sources.user, "named"),
    ]
    return named.filter { $0.count > 0 }.sorted { $0.count > $1.count }
      .map { "\($0.count) \($0.name)" }.joined(separator: ", ")
  }
}

/// How much of a torrent's metadata is here, in pieces of 16 KiB.
struct MetadataProgress: Hashable, Sendable {
  var have: Int
  /// Nil while no peer is known to have any.
  var total: Int?

  /// `fetching metadata 3/7`.
  var text: String { "fetching metadata" + (total.map { " \(have)/\($0)" } ?? "") }
}

/// All torrents of a command at one moment.
struct ProgressSnapshot: Sendable {
  /// The torrents under way.
  var rows: [ProgressRow] = []
  /// Torrents that are done, and that wait for their turn.
  var finished = 0
  var waiting = 0

  var torrents: Int { rows.count + finished + waiting }
}
