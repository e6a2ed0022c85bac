import DequeModule
import PeerWire
import TorrentModel

/// The brain of one torrent: whom to connect to, what to ask of whom, whom to serve, whom to ban.
///
/// Pure: events come in as method calls that carry the time, ``effects`` go out, randomness comes from a seed. The
/// same calls give the same effects. It is confined to the loop that owns the torrent.
///
/// The driver calls any number of events, then ``turnEnded(now:)``, then carries the effects out in order. It calls
/// ``tick(now:)``, and then ``turnEnded(now:)``, when ``nextDeadline`` has come. Effects about a connection that ended
/// while the driver carried others out mean nothing any more.
///
/// A torrent without peers costs about a kilobyte: what is needed for downloading exists while something is downloaded.
public final class Swarm {
  public let infoHash: InfoHash
  public let geometry: PieceGeometry
  private let shared: SwarmConfiguration.Shared
  var configuration: SwarmConfiguration { _read { yield shared.configuration } }

  /// What the driver has to do, in order. The driver empties it and may keep its capacity.
  public var effects: [SwarmEffect] = []

  /// When ``tick(now:)`` wants to be called; `.distantFuture` when there is nothing to wait for.
  public var nextDeadline: Moment { timers.next }

  /// Blocks that may be open at once: asked for, or arrived in pieces that are not yet verified and written. The
  /// driver sets it from the size of the block pool.
  public var openBlockBudget = 2048 {
    didSet { budgetChanged() }
  }
  /// Blocks that may be with the driver for uploading at once, over all peers.
  public var uploadBlockBudget = 1024
  /// Connections this torrent may have, those being made counted.
  public var maximumConnections = 200 {
    didSet { isConnectDue = true }
  }
  /// Connections that may be in the making at once.
  public var halfOpenLimit = 32 {
    didSet { isConnectDue = true }
  }
  /// Our address as others see it, for canonical peer priority (BEP 40).
  public var externalEndpoint: Endpoint? {
    didSet {
      if let externalEndpoint, externalEndpoint != oldValue { book.rerank(ownEndpoint: externalEndpoint) }
    }
  }

  enum Activity {
    case running
    case paused
    case storageFailed
  }
  var activity = Activity.running

  // Pieces.
  var pieces: PieceSet
  var priorities: [PiecePriority]?
  /// Pieces that are wanted and not here.
  var missingCount: Int
  /// Exists while something is missing and somebody is connected, or pieces are open.
  var picker: PiecePicker?
  var isSequential = false
  var blame = BlameLedger()
  var senders = SenderTable()

  // Peers, by key.
  var peers: [Peer] = []
  /// A missing piece that the peer has, by key; `UInt32.max` for none. As long as it is missing, the peer is of interest,
  /// and nothing has to be counted when another piece comes in.
  var witnesses: [UInt32] = []
  var connectedCount = 0
  /// Connected peers with every piece.
  var seedCount = 0
  /// Connected peers that are interested or interesting.
  var wantingCount = 0
  /// Peers that let us download what we want; recounted when something changed.
  var supplierCount = 0
  /// Blocks that each of them is asked for at once, at most: see `shareBudget`.
  var requestShare = 0
  var book: PeerBook

  // Work for the end of the turn.
  var touched: [PeerKey] = []
  /// Peers that bear more requests than there is to ask for, the longest waiting first.
  var hungry: Deque<PeerKey> = []
  /// Peers with requests that wait for room.
  var waiting: Deque<PeerKey> = []
  var seenChanges: UInt64 = 0
  var areSuppliersStale = false
  var areSlotsStale = false
  var isConnectDue = false

  // Uploads.
  var slots: UploadSlots
  var uploadsInFlight = 0

  // Figures.
  var download = TransferRate()
  var upload = TransferRate()
  var redundantBytes: Int64 = 0
  var corruptBytes: Int64 = 0

  var timers = SwarmTimers()
  var random: SeededRandom

  // Reused between calls, so that the hot paths take no memory.
  var chokeCandidates: [Choker.Candidate] = []

  /// - Parameters:
  ///   - have: the pieces that are verified and on disk.
  ///   - seed: of the random choices.
  public init(
    infoHash: InfoHash, geometry: PieceGeometry, have: Bitfield,
    configuration shared: SwarmConfiguration.Shared,
    seed: UInt64, now: Moment
  ) {
    precondition(have.capacity == geometry.pieceCount)
    let configuration = shared.configuration
    self.infoHash = infoHash
    self.geometry = geometry
    self.shared = shared
    self.pieces = PieceSet(have)
    self.missingCount = geometry.pieceCount - have.count
    self.book = PeerBook(configuration)
    self.slots = UploadSlots(configuration.uploadSlots)
    self.random = SeededRandom(seed: seed)
    shareBudget()
  }

  // MARK: State

  /// The pieces that are verified and on disk.
  public var have: Bitfield { pieces.bitfield }
  public var haveCount: Int { pieces.count }
  public func has(_ piece: PieceIndex) -> Bool { pieces[piece] }
  /// Every piece of the torrent is here.
  public var isComplete: Bool { pieces.isFull }
  /// Every piece that is wanted is here.
  public var isFinished: Bool { missingCount == 0 }
  public var isPaused: Bool { activity == .paused }

  /// Writes the lengths of the blocks that `peer` should send from now, if it answers in order, as far as there is room:
  /// what a read plan is laid out for. Returns how many.
  public func expectedLengths(_ peer: PeerKey, into lengths: inout MutableSpan<Int32>) -> Int {
    guard peer.offset < peers.count else { return 0 }
    return expectedLengths(peers[peer.offset].requests, into: &lengths)
  }

  private func expectedLengths(_ requests: borrowing RequestQueue, into lengths: inout MutableSpan<Int32>)
    -> Int
  {
    let count = min(requests.entries.count, lengths.count)
    for i in 0..<count {
      let (piece, block) = (requests.entries[i].piece, requests.entries[i].block)
      lengths[i] = Int32(truncatingIfNeeded: geometry.length(ofBlock: Int(block), in: piece))
    }
    return count
  }

  // MARK: Helpers of all parts

  func isConnected(_ key: PeerKey) -> Bool {
    key.offset < peers.count && peers[key.offset].phase == .connected
  }

  /// Something happened to the peer: its pipelines are looked at when the turn ends.
  @inline(__always) func touch(_ key: PeerKey) {
    guard !peers[key.offset].has(.touched) else { return }
    peers[key.offset].flags.insert(.touched)
    touched.append(key)
  }

  /// Appends an effect that sends something to the peer.
  func send(_ effect: SwarmEffect, to key: PeerKey, now: Moment) {
    effects.append(effect)
    peers[key.offset].sentAt = now
  }

  /// The peer did what a race may explain, but not often. Returns whether the connection was closed for it.
  @discardableResult
  func strike(_ key: PeerKey, _ reason: DisconnectReason, now: Moment) -> Bool {
    peers[key.offset].strikes += 1
    guard peers[key.offset].strikes > Peer.strikeLimit else { return false }
    disconnect(key, reason, now: now)
    return true
  }

  private func budgetChanged() {
    picker?.budgetChanged(openBlockBudget)
    shareBudget()
    areSuppliersStale = true
  }
}
