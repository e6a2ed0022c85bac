import Engine

/// `--progress json`: one object a line, for programs. A torrent has a line for everything that happens to it, and one a
/// second while its counts change.
final class JSONProgress: ProgressView {
  let interval = 1.0
  private let console: Console
  private var last: [String: ProgressRow] = [:]

  init(console: Console) { self.console = console }

  /// One line. What a line's `event` does not call for is left out.
  struct Line: Encodable {
    let event: String
    let infohash: String
    let name: String
    let state: String
    let done: Int64
    let total: Int64
    let checked: Int64?
    let down: Int
    let up: Int
    let peers: Int
    let seeds: Int
    let eta: OrNull<Int>
    let sources: Sources
    /// Pieces of the metadata, while a magnet link's are fetched.
    let metadataHave: Int?
    let metadataTotal: Int?
    let url: String?
    let message: String?

    init(_ event: String, _ row: ProgressRow, url: String? = nil, message: String? = nil) {
      self.event = event
      infohash = row.infohash
      name = row.name
      state = row.state.rawValue
      done = row.done
      total = row.total
      checked = row.state == .checking ? row.checked : nil
      down = row.down
      up = row.up
      peers = row.peers
      seeds = row.seeds
      eta = OrNull(row.eta)
      sources = Sources(row.sources)
      metadataHave = row.metadata?.have
      metadataTotal = row.metadata?.total
      self.url = url
      self.message = message
    }
  }

  /// Where the connected peers were found.
  struct Sources: Encodable {
    let tracker: Int
    let dht: Int
    let pex: Int
    let lsd: Int
    let incoming: Int
    let known: Int
    let named: Int

    init(_ sources: PeerSources) {
      tracker = sources.tracker
      dht = sources.dht
      pex = sources.exchange
      lsd = sources.local
      incoming = sources.incoming
      known = sources.resume
      named = sources.user
    }
  }

  func update(_ snapshot: ProgressSnapshot) {
    for row in snapshot.rows where last[row.infohash] != row {
      last[row.infohash] = row
      console.line(JSONText.line(Line("progress", row)))
    }
  }

  func news(_ news: ProgressNews, of row: ProgressRow) {
    var row = row
    let line: Line
    switch news {
    case .stateChanged(let state):
      row.state = state
      line = Line("state", row)
    case .completed: line = Line("completed", row)
    case .failed(let reason): line = Line("failed", row, message: reason)
    case .timedOut(let reason): line = Line("timed_out", row, message: reason)
    case .trackerFailed(let url, let message): line = Line("tracker_failed", row, url: url, message: message)
    case .trackerWarned(let url, let message): line = Line("tracker_warned", row, url: url, message: message)
    case .warning(let text): line = Line("warning", row, message: text)
    case .ended:
      last[row.infohash] = nil
      line = Line("ended", row)
    }
    console.line(JSONText.line(line))
  }

  func activity(_ text: String) {}
  func finish() {}
}
