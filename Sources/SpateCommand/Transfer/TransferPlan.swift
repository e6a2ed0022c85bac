import Engine

/// All that `spate download` and `spate seed` were told.
struct TransferPlan: Sendable {
  var goal: TransferGoal
  var sources: [TorrentSource]
  var session: SessionConfiguration
  /// For every torrent; its files are chosen by `selection`.
  var torrent: TorrentOptions
  var selection: SelectionRules
  /// Peers of every torrent.
  var peers: [PeerAddress]
  /// Torrents under way at once.
  var concurrent: Int
  /// What to do with each torrent once it is known what is in it.
  var ending = Ending.transfer
  /// Where to write counts of the data path at the end.
  var countersFile: String?

  /// The session that the command needs: to look into files, nobody has to be talked to.
  var sessionNeeded: SessionConfiguration {
    let asksPeers = sources.contains { if case .magnet = $0 { true } else { false } }
    guard ending != .transfer, !asksPeers else { return session }
    var quiet = session
    quiet.dht = nil
    quiet.usesLocalDiscovery = false
    quiet.listenPort = nil
    return quiet
  }

  enum Ending: Hashable, Sendable {
    /// Download it, or seed it.
    case transfer
    /// List its files, and no more.
    case showFiles(isJSON: Bool)
    /// Write it to a file, `-` for standard output; nil for a file of its name in the folder.
    case saveMetadata(String?, replaces: Bool)
  }
}

/// One torrent of a command, from its source to its result.
struct TransferJob {
  enum Phase {
    case waiting
    case loading
    /// The metadata of a magnet link is being fetched.
    case fetching(MagnetDownload, TransferWatch)
    case active(Torrent, TransferWatch)
    indirect case ended(TransferResult)
    /// The same torrent was named before.
    case leftOut
  }

  let source: TorrentSource
  private(set) var phase = Phase.waiting
  /// The newest counts.
  var row: ProgressRow? {
    get { latest?.row }
    set { latest = newValue.map(Latest.init) }
  }
  private var latest: Latest?

  /// In a place of its own: seeds by the thousand, whom nobody watches, have none.
  private final class Latest: Sendable {
    let row: ProgressRow
    init(_ row: ProgressRow) { self.row = row }
  }

  /// What the disk last complained about; nil while it works.
  fileprivate(set) var failure: TorrentFailure?
  /// The failure that was told last, until the disk works again.
  var toldFailure: TorrentFailure?
  var wasToldComplete = false
  /// Trackers' complaints that were passed on already.
  var complaints: Set<String> = []

  init(source: TorrentSource) { self.source = source }

  var torrent: Torrent? {
    if case .active(let torrent, _) = phase { torrent } else { nil }
  }

  var magnet: MagnetDownload? {
    if case .fetching(let magnet, _) = phase { magnet } else { nil }
  }

  mutating func enter(_ phase: Phase) { self.phase = phase }
}

/// The jobs of a command, and how many are where: lists of many thousand torrents are not walked for every event.
struct TransferJobs {
  private var all: [TransferJob]
  private(set) var loading = 0
  private(set) var ended = 0
  /// Numbers of the jobs that are with the session, as torrents or as magnet links.
  private(set) var active: Set<Int> = []
  /// Those among them whose disk failed.
  private var failing = 0
  /// The first job that waits; those behind it wait too.
  private(set) var nextWaiting = 0

  init(_ sources: [TorrentSource]) { all = sources.map { TransferJob(source: $0) } }

  var indices: Range<Int> { all.indices }
  var waiting: Int { all.count - nextWaiting }
  var isOver: Bool { ended == all.count }

  subscript(number: Int) -> TransferJob {
    get { all[number] }
    _modify { yield &all[number] }
  }

  /// The only way into another phase.
  mutating func enter(_ phase: TransferJob.Phase, _ number: Int) {
    count(all[number].phase, number, -1)
    count(phase, number, 1)
    all[number].enter(phase)
  }

  private mutating func count(_ phase: TransferJob.Phase, _ number: Int, _ step: Int) {
    switch phase {
    case .waiting: break
    case .loading: loading += step
    case .active, .fetching:
      if step > 0 { active.insert(number) } else { active.remove(number) }
      if all[number].failure != nil { failing += step }
    case .ended, .leftOut: ended += step
    }
  }

  /// The disk of a torrent complained, or works again.
  mutating func setFailure(_ failure: TorrentFailure?, _ number: Int) {
    if active.contains(number) {
      failing += (failure == nil ? 0 : 1) - (all[number].failure == nil ? 0 : 1)
    }
    all[number].failure = failure
  }

  /// Where the next that waits its turn comes from.
  var nextSource: TorrentSource? { nextWaiting < all.count ? all[nextWaiting].source : nil }

  /// The next that waits its turn enters loading.
  mutating func loadNext() -> Int? {
    guard nextWaiting < all.count else { return nil }
    let number = nextWaiting
    nextWaiting += 1
    enter(.loading, number)
    return number
  }

  /// Those with the session whose disk works.
  var working: Int { active.count - failing }

  /// Nothing is left to wait for: all have ended but those whose disk failed.
  var isSettled: Bool { ended + active.count == all.count && working == 0 }

  var results: [TransferResult] {
    all.compactMap { if case .ended(let result) = $0.phase { result } else { nil } }
  }

  func snapshot() -> ProgressSnapshot {
    ProgressSnapshot(rows: active.sorted().compactMap { all[$0].row }, finished: ended, waiting: waiting)
  }
}
