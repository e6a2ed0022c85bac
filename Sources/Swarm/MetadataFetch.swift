import PeerWire
import TorrentModel

/// Fetches the info dictionary of a torrent from its peers (BEP 9).
///
/// Pure: events come in as method calls that carry the time, ``actions`` go out. Call ``tick(now:)`` when
/// ``nextDeadline`` has come.
///
/// All that is known at first is a hash over the whole. So peers are grouped by the length they claim. The length that
/// most of them claim is fetched, and beside it others as far as memory allows, since a claim costs a liar nothing. In
/// a group each piece is asked of whoever has the fewest requests. If the whole then has another hash, somebody lied,
/// and nobody can tell who: from then on each peer of the group must give all of it alone, some at the same time. The
/// first one whose metadata is right convicts all the others.
public struct MetadataFetch: Sendable {
  public struct Configuration: Sendable {
    /// The greatest length in bytes that is believed, and the most bytes that are held for the most claimed length;
    /// as many again for all others together.
    public var lengthLimit = Limits.metadataLength
    /// Pieces asked of one peer at once.
    public var requestsPerPeer = 4
    /// A piece is asked of somebody else too after this long.
    public var patience = Moment.Interval.seconds(1)
    /// A request counts as lost after this long.
    public var requestTimeout = Moment.Interval.seconds(10)
    /// How long a peer that refused, or did not answer, is left alone; doubles each time.
    public var retryDelay = Moment.Interval.seconds(30)
    public var maximumRetryDelay = Moment.Interval.seconds(600)

    public init() {}
  }

  public enum Action: Hashable, Sendable {
    /// Ask the peer for this piece, with ``PeerWire/Metadata/appendRequest(piece:remoteID:to:)``.
    case request(PeerKey, piece: Int)
    /// Close the connection.
    case disconnect(PeerKey, MetadataOffence)
    /// The peer, connected or not, sent wrong metadata: close, and let nobody come back from there.
    case ban(Endpoint)
    /// The metadata, whose hash is right. The last action: the fetch is over.
    case complete([UInt8])
  }

  /// What has to be done, in order. The driver empties it.
  public var actions: [Action] = []
  /// When ``tick(now:)`` wants to be called; `.distantFuture` when there is nothing to wait for.
  public internal(set) var nextDeadline = Moment.distantFuture
  /// The metadata was found.
  public private(set) var isComplete = false

  let configuration: Configuration
  let infoHash: InfoHash
  let sha1: @Sendable (Span<UInt8>) -> Bytes20
  /// Peers that claim to have the metadata, by key.
  var sources: [Source?] = []
  /// Lengths that peers claim, the one that most claim first.
  var groups: [Group] = []
  var areGroupsStale = false
  private var convicted: Set<Endpoint> = []

  /// A peer that has the metadata, as it says.
  struct Source {
    var endpoint: Endpoint
    var length: Int
    var requests: [(piece: Int, sentAt: Moment)] = []
    /// Requests that timed out; their answers may still come.
    var late: [Int] = []
    /// It is left alone until then.
    var retryAt = Moment.zero
    /// Requests in a row without an answer.
    var timeouts = 0
    /// Times in a row it was left alone.
    var retries = 0
    var strikes = 0
    /// Its try to give all of it alone, once that is asked of it.
    var alone: MetadataAttempt?
  }

  /// A length that peers claim.
  struct Group {
    var length: Int
    /// Addresses behind the claim.
    var votes = 0
    /// It is fetched now.
    var isActive = false
    /// What is put together from all peers of the group; nil before the first request, and after a failure.
    var attempt: MetadataAttempt?
    var failed: FailedMetadata?
  }

  static let timeoutLimit = 3
  static let strikeLimit = 8
  static let lateLimit = 64
  static let groupLimit = 64

  /// - Parameter sha1: the SHA-1 of some bytes. It is given all of the metadata at once.
  public init(
    infoHash: InfoHash, configuration: Configuration = Configuration(),
    sha1: @escaping @Sendable (Span<UInt8>) -> Bytes20
  ) {
    self.infoHash = infoHash
    self.configuration = configuration
    self.sha1 = sha1
  }

  /// How many pieces of how many are here, of the try that is farthest; nil while nobody is known to have any.
  public var progress: (have: Int, total: Int)? {
    var best: (have: Int, total: Int)?
    func look(_ have: Int, _ length: Int) {
      let total = Metadata.pieceCount(ofLength: length)
      if let best, best.have * total >= have * best.total { return }
      best = (have, total)
    }
    for group in groups where group.isActive { look(group.attempt?.haveCount ?? 0, group.length) }
    for case let source? in sources {
      if let alone = source.alone { look(alone.haveCount, source.length) }
    }
    return best
  }

  /// Bytes of metadata that are held.
  public var heldLength: Int {
    var pieces = 0
    for group in groups { pieces += group.attempt?.haveCount ?? 0 }
    for case let source? in sources { pieces += source.alone?.haveCount ?? 0 }
    return pieces * Metadata.pieceLength
  }

  // MARK: Events

  /// A peer takes metadata messages and says in its extended handshake how long the metadata is. To be called for every
  /// handshake that says so.
  public mutating func offered(by key: PeerKey, at endpoint: Endpoint, length: Int, now: Moment) {
    guard !isComplete, length > 0, length <= configuration.lengthLimit, !convicted.contains(endpoint) else {
      return
    }
    while sources.count <= key.offset { sources.append(nil) }
    if let known = sources[key.offset] {
      // The metadata of an info-hash never changes.
      if known.length != length { offend(key, .lengthChanged, now: now) }
      return
    }
    sources[key.offset] = Source(endpoint: endpoint, length: length)
    areGroupsStale = true
    pump(now: now)
  }

  /// The peer is gone, or takes metadata messages no longer.
  public mutating func withdrawn(by key: PeerKey, now: Moment) {
    guard source(key) != nil else { return }
    remove(key)
    pump(now: now)
  }

  /// A piece came.
  public mutating func dataArrived(
    from key: PeerKey, piece: Int, totalLength: Int?, bytes: [UInt8], now: Moment
  ) {
    guard !isComplete, let source = source(key) else { return }
    guard totalLength == nil || totalLength == source.length else {
      return offend(key, .lengthChanged, now: now)
    }
    guard endRequest(key, piece) else {
      sources[key.offset]?.strikes += 1
      if source.strikes >= Self.strikeLimit { offend(key, .unrequested, now: now) }
      return
    }
    guard Metadata.range(ofPiece: piece, length: source.length)?.count == bytes.count else {
      return offend(key, .wrongLength, now: now)
    }
    sources[key.offset]?.timeouts = 0
    sources[key.offset]?.retries = 0
    if source.alone != nil {
      sources[key.offset]?.alone?.store(piece, bytes, from: source.endpoint)
      if let alone = sources[key.offset]?.alone, alone.isComplete { judge(alone, of: key) }
    } else if let place = place(of: source.length) {
      groups[place].attempt?.store(piece, bytes, from: source.endpoint)
      if let attempt = groups[place].attempt, attempt.isComplete { judge(attempt, group: place) }
    }
    pump(now: now)
  }

  /// The peer does not give this piece: mostly it has no metadata, or has given enough for now.
  public mutating func rejected(by key: PeerKey, piece: Int, now: Moment) {
    guard !isComplete, source(key) != nil, endRequest(key, piece) else { return }
    leaveAlone(key, now: now)
    pump(now: now)
  }

  public mutating func tick(now: Moment) {
    guard !isComplete else { return }
    for offset in sources.indices {
      guard let source = sources[offset] else { continue }
      let lost = source.requests.filter { $0.sentAt + configuration.requestTimeout <= now }
      for (piece, _) in lost {
        _ = endRequest(PeerKey(offset), piece)
        noteLate([piece], of: offset)
      }
      guard !lost.isEmpty else { continue }
      sources[offset]?.timeouts += 1
      if source.timeouts + 1 >= Self.timeoutLimit { leaveAlone(PeerKey(offset), now: now) }
    }
    pump(now: now)
  }

  // MARK: Judging

  /// Metadata that several may have given.
  private mutating func judge(_ attempt: MetadataAttempt, group place: Int) {
    let whole = attempt.joined()
    if InfoHash(sha1(whole.span)) == infoHash { return finish(whole) }
    groups[place].attempt = nil
    let senders = attempt.senders
    if senders.count == 1, let liar = senders.first { return convict([liar]) }
    groups[place].failed = FailedMetadata(attempt, sha1: sha1)
    // What the attempt still waits for is of no use.
    for offset in sources.indices where sources[offset]?.length == attempt.length { forgetRequests(offset) }
  }

  /// Metadata that one peer gave alone.
  private mutating func judge(_ attempt: MetadataAttempt, of key: PeerKey) {
    let whole = attempt.joined()
    if InfoHash(sha1(whole.span)) == infoHash { return finish(whole) }
    guard let source = source(key) else { return }
    convict([source.endpoint])
  }

  private mutating func finish(_ right: [UInt8]) {
    var liars: [Endpoint] = []
    for group in groups {
      if let failed = group.failed, group.length == right.count { liars += failed.liars(right, sha1: sha1) }
      if let attempt = group.attempt { liars += attempt.liars(right) }
    }
    for case let source? in sources { liars += source.alone?.liars(right) ?? [] }
    convict(liars)
    isComplete = true
    actions.append(.complete(right))
    sources = []
    groups = []
    nextDeadline = .distantFuture
  }

  private mutating func convict(_ liars: [Endpoint]) {
    for liar in liars where convicted.insert(liar).inserted {
      actions.append(.ban(liar))
      for offset in sources.indices where sources[offset]?.endpoint == liar { remove(PeerKey(offset)) }
    }
  }

  /// The peer broke a rule, which does not prove that it sent wrong metadata.
  private mutating func offend(_ key: PeerKey, _ offence: MetadataOffence, now: Moment) {
    remove(key)
    actions.append(.disconnect(key, offence))
    pump(now: now)
  }
}

/// What a peer did wrong while metadata was fetched.
public enum MetadataOffence: Hashable, Sendable, CustomStringConvertible {
  /// It claimed another length than before.
  case lengthChanged
  /// A piece is not as long as it must be.
  case wrongLength
  /// Pieces nobody asked for, more than late answers explain.
  case unrequested

  public var description: String {
    switch self {
    case .lengthChanged: "claimed another length of the metadata than before"
    case .wrongLength: "sent a piece of the metadata that is too short or too long"
    case .unrequested: "sent pieces of the metadata that were not requested"
    }
  }
}
