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
  /// Seconds.
  var eta: Int?

  /// What the bar fills up with.
  var bar: (done: Int64, total: Int64) { state == .checking ? (checked, contents) : (done, total) }
}

extension ProgressRow {
  init(_ status: TorrentStatus, contents: Int64) {
    self.init(
      infohash: status.infoHash.hex, name: status.name, state: status.state, done: status.doneBytes,
      total: status.wantedBytes, checked: status.checkedBytes, contents: contents, down: status.downloadRate,
      up: status.uploadRate, peers: status.peers, seeds: status.seeds, eta: status.eta)
  }
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
