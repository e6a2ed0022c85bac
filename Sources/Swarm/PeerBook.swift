import PeerWire
import TorrentModel

/// The peers we know of: where they are, who told us, how the last attempt went, when to try again, and who is banned.
///
/// Bounded: what is known about thousands of peers fits in a fraction of a megabyte, and nothing a tracker or a peer
/// says can make it grow beyond that.
struct PeerBook {
  enum State: UInt8 {
    case idle
    case connecting
    case connected
  }

  struct Entry {
    var endpoint: Endpoint
    var nextAttempt: Moment
    /// Among equals a greater one is tried first: canonical peer priority if our address is known (BEP 40), else random.
    var rank: UInt32
    var failures: UInt8 = 0
    var source: PeerSource
    /// Who told us first.
    var firstSource: PeerSource
    var result = PeerRecord.Result.untried
    var state = State.idle
    /// It had every piece when last seen.
    var isSeed = false
    /// It is ourselves.
    var isSelf = false
  }

  private(set) var entries: [Entry] = []
  private var places: [Endpoint: Int32] = [:]
  /// Addresses nobody may connect from. Of IPv6 the /64, since one host owns all of it.
  private var bannedAddresses: Set<IPAddress> = []
  /// On loopback an address says nothing, so the peer itself is banned there.
  private var bannedPeers: Set<SenderTable.Sender> = []
  private(set) var connecting = 0
  /// Peers known from other peers only, who may say what they like: never more than half of all.
  private(set) var hearsay = 0

  let maximumKnownPeers: Int
  /// How many may be known now.
  var limit: Int
  let maximumBans: Int
  let retryDelay: Moment.Interval
  let maximumRetryDelay: Moment.Interval
  let maximumFailures: Int

  init(_ configuration: SwarmConfiguration) {
    maximumKnownPeers = configuration.maximumKnownPeers
    limit = maximumKnownPeers
    maximumBans = configuration.maximumBans
    retryDelay = configuration.retryDelay
    maximumRetryDelay = configuration.maximumRetryDelay
    maximumFailures = configuration.maximumFailures
  }

  var count: Int { entries.count }

  private func place(of endpoint: Endpoint) -> Int? { places[endpoint].map { Int($0) } }
  func entry(_ endpoint: Endpoint) -> Entry? { place(of: endpoint).map { entries[$0] } }

  // MARK: Knowing peers

  /// Takes a peer into the book. Returns whether it was not known before.
  mutating func add(
    _ endpoint: Endpoint, source: PeerSource, ownEndpoint: Endpoint?, random: inout SeededRandom, now: Moment
  ) -> Bool {
    guard endpoint.isPlausiblePeer, !isBanned(endpoint) else { return false }
    if let place = place(of: endpoint) {
      if entries[place].source == .exchange, source != .exchange { hearsay -= 1 }
      entries[place].source.formUnion(source)
      // The user's word counts for a new attempt.
      if source.contains(.user), entries[place].state == .idle {
        entries[place].failures = 0
        entries[place].nextAttempt = min(entries[place].nextAttempt, now)
      }
      return false
    }
    if source == .exchange, hearsay >= limit / 2 { return false }
    if entries.count >= limit, !evict() { return false }
    if source == .exchange { hearsay += 1 }
    let rank = UInt32(truncatingIfNeeded: random.next())
    places[endpoint] = Int32(entries.count)
    entries.append(
      Entry(
        endpoint: endpoint, nextAttempt: now,
        rank: ownEndpoint.flatMap { PeerPriority.priority($0, endpoint) } ?? rank, source: source,
        firstSource: source))
    return true
  }

  /// Makes room: the peer that failed most often goes, of these the one that is tried last. Peers that are connected,
  /// or named by the user, stay.
  private mutating func evict() -> Bool {
    var worst: Int?
    for (place, entry) in entries.enumerated() where entry.state == .idle && !entry.source.contains(.user) {
      if let other = worst.map({ entries[$0] }) {
        let isWorse =
          (entry.failures, entry.nextAttempt, other.rank) > (other.failures, other.nextAttempt, entry.rank)
        if !isWorse { continue }
      }
      worst = place
    }
    // A book full of peers that never failed is good as it is.
    guard let worst, entries[worst].failures > 0 || entries[worst].isSeed else { return false }
    remove(at: worst)
    return true
  }

  private mutating func remove(at place: Int) {
    if entries[place].source == .exchange { hearsay -= 1 }
    places[entries[place].endpoint] = nil
    let last = entries.removeLast()
    if place < entries.count {
      entries[place] = last
      places[last.endpoint] = Int32(place)
    }
  }

  /// Our own address became known: ranks are canonical from now on (BEP 40).
  mutating func rerank(ownEndpoint: Endpoint) {
    for place in entries.indices {
      if let rank = PeerPriority.priority(ownEndpoint, entries[place].endpoint) { entries[place].rank = rank }
    }
  }

  // MARK: Connecting

  /// The peer to connect to next, marked as being connected to. Nil if none is due.
  mutating func takeCandidate(skippingSeeds: Bool, now: Moment) -> Endpoint? {
    var best: Int?
    for (place, entry) in entries.enumerated() {
      guard isCandidate(entry, skippingSeeds: skippingSeeds), entry.nextAttempt <= now else { continue }
      if let other = best.map({ entries[$0] }), !Self.isBetter(entry, than: other) { continue }
      best = place
    }
    guard let best else { return nil }
    entries[best].state = .connecting
    connecting += 1
    return entries[best].endpoint
  }

  private func isCandidate(_ entry: Entry, skippingSeeds: Bool) -> Bool {
    entry.state == .idle && !entry.isSelf && !(skippingSeeds && entry.isSeed)
  }

  private static func isBetter(_ a: Entry, than b: Entry) -> Bool {
    let (x, y) = (a.source.contains(.user), b.source.contains(.user))
    if x != y { return x }
    if a.failures != b.failures { return a.failures < b.failures }
    // Those nearby cost nothing.
    let (near, far) = (a.source.contains(.local), b.source.contains(.local))
    if near != far { return near }
    return a.rank > b.rank
  }

  /// When the next peer is due; `.distantFuture` if none will be.
  func nextAttempt(skippingSeeds: Bool) -> Moment {
    var moment = Moment.distantFuture
    for entry in entries where isCandidate(entry, skippingSeeds: skippingSeeds) {
      moment = min(moment, entry.nextAttempt)
    }
    return moment
  }

  /// Peers that could be connected to, now or later.
  func candidates(skippingSeeds: Bool) -> Int {
    entries.count { isCandidate($0, skippingSeeds: skippingSeeds) }
  }

  /// A connection to `endpoint` stands, made by us or, if that is where the peer listens, by the peer.
  mutating func connected(_ endpoint: Endpoint) {
    guard let place = place(of: endpoint) else { return }
    if entries[place].state == .connecting { connecting -= 1 }
    entries[place].state = .connected
    if entries[place].result != .useful { entries[place].result = .connected }
  }

  mutating func connectFailed(
    _ endpoint: Endpoint, reason: DisconnectReason, random: inout SeededRandom, now: Moment
  ) {
    guard let place = place(of: endpoint), entries[place].state == .connecting else { return }
    entries[place].state = .idle
    connecting -= 1
    switch reason {
    case .selfConnection: entries[place].isSelf = true
    case .paused, .shutDown: entries[place].nextAttempt = now
    case .banned: remove(at: place)
    default: failed(place, random: &random, now: now)
    }
  }

  /// A connection ended. `wasUseful` if payload went either way.
  mutating func disconnected(
    _ endpoint: Endpoint, reason: DisconnectReason, wasUseful: Bool, isSeed: Bool, random: inout SeededRandom,
    now: Moment
  ) {
    guard let place = place(of: endpoint), entries[place].state == .connected else { return }
    entries[place].state = .idle
    entries[place].isSeed = isSeed
    if wasUseful {
      entries[place].failures = 0
      entries[place].result = .useful
    }
    switch reason {
    case .selfConnection: entries[place].isSelf = true
    case .paused, .shutDown: entries[place].nextAttempt = now
    case .bothComplete:
      // Of no use before something is missing again, and then the trackers are asked.
      entries[place].nextAttempt = now
      if !entries[place].source.contains(.user) { remove(at: place) }
    case .banned: remove(at: place)
    case .duplicate, .full, .replaced, .tooManyFromAddress:
      entries[place].nextAttempt = now + jitter(maximumRetryDelay, &random)
    case .connectionLost where wasUseful, .unreadableBlock:
      // Not the peer's fault: the line broke, or our disk.
      entries[place].nextAttempt = now + jitter(min(retryDelay, .seconds(10)), &random)
    case .closedByPeer where wasUseful, .inactive where wasUseful:
      entries[place].nextAttempt = now + jitter(retryDelay, &random)
    default: failed(place, random: &random, now: now)
    }
  }

  private mutating func failed(_ place: Int, random: inout SeededRandom, now: Moment) {
    entries[place].failures = min(entries[place].failures, 62) + 1
    entries[place].result = .failed
    let failures = Int(entries[place].failures)
    if failures >= maximumFailures, !entries[place].source.contains(.user) {
      remove(at: place)
      return
    }
    let delay = min(retryDelay * (1 << min(failures - 1, 20)), maximumRetryDelay)
    entries[place].nextAttempt = now + jitter(delay, &random)
  }

  /// Up to a quarter more, so that peers that went together are not all tried together.
  private func jitter(_ delay: Moment.Interval, _ random: inout SeededRandom) -> Moment.Interval {
    delay + Moment.Interval(nanoseconds: Int64(random.below(Int(max(1, delay.nanoseconds / 4)))))
  }

  /// No connection is wanted any more: those being made are forgotten, the driver ends them.
  mutating func forgetConnecting(now: Moment) {
    for place in entries.indices where entries[place].state == .connecting {
      entries[place].state = .idle
      entries[place].nextAttempt = now
    }
    connecting = 0
  }

  // MARK: Between runs, and between phases

  /// What is known, the most promising first.
  func records(limit: Int) -> [PeerRecord] {
    func value(_ entry: Entry) -> Int {
      let standing: Int
      switch (entry.state, entry.result) {
      case (.connected, _), (_, .useful): standing = 3
      case (_, .connected): standing = 2
      case (_, .untried): standing = 1
      case (_, .failed): standing = 0
      }
      return (entry.source.contains(.user) ? 1000 : 0) + standing * 100 - Int(entry.failures)
    }
    // Whoever is known by the number of an interface is found anew: another run may number them otherwise.
    let known = entries.filter { !$0.isSelf && $0.endpoint.scope == 0 }.sorted {
      (value($0), $0.rank) > (value($1), $1.rank)
    }
    return known.prefix(max(0, limit)).map {
      PeerRecord(
        endpoint: $0.endpoint, source: $0.source, result: $0.result, failures: $0.failures, isSeed: $0.isSeed)
    }
  }

  /// Takes in what was known in an earlier run. Peers that failed then are not the first to be tried.
  mutating func restore(
    _ records: [PeerRecord], ownEndpoint: Endpoint?, random: inout SeededRandom, now: Moment
  ) {
    for record in records {
      // The user names his peers anew, if he wants them.
      let isNew = add(
        record.endpoint, source: .resume, ownEndpoint: ownEndpoint, random: &random, now: now)
      guard isNew, let place = place(of: record.endpoint) else { continue }
      entries[place].result = record.result
      entries[place].isSeed = record.isSeed
      entries[place].failures = min(record.failures, UInt8(clamping: maximumFailures - 1))
      if record.failures > 0 { entries[place].nextAttempt = now + jitter(retryDelay, &random) }
    }
  }

  /// Connections that stand are told of once more, by whoever takes the book over.
  mutating func forgetConnected() {
    for place in entries.indices where entries[place].state == .connected { entries[place].state = .idle }
  }

  var sources: PeerSourceCounts {
    var counts = PeerSourceCounts()
    for entry in entries { counts.count(entry.firstSource) }
    return counts
  }

  // MARK: Bans

  func isBanned(_ endpoint: Endpoint) -> Bool { bannedAddresses.contains(Self.banKey(endpoint.address)) }
  func isBanned(_ peer: SenderTable.Sender) -> Bool {
    isBanned(peer.endpoint)
      || (!bannedPeers.isEmpty
        && bannedPeers.contains { $0.peerID == peer.peerID || $0.endpoint == peer.endpoint })
  }

  /// Bans everybody at this address. Returns false if it was banned before, or the list is full.
  mutating func ban(_ address: IPAddress) -> Bool {
    guard !address.isLoopback, bannedAddresses.count < maximumBans else { return false }
    guard bannedAddresses.insert(Self.banKey(address)).inserted else { return false }
    for place in entries.indices.reversed()
    where entries[place].state == .idle && isBanned(entries[place].endpoint) {
      remove(at: place)
    }
    return true
  }

  mutating func ban(_ peer: SenderTable.Sender) {
    guard bannedPeers.count < maximumBans else { return }
    bannedPeers.insert(peer)
  }

  private static func banKey(_ address: IPAddress) -> IPAddress {
    address.isV4 ? address : IPAddress(high: address.high, low: 0)
  }

  func checkInvariants() throws(BrokenInvariant) {
    try require(places.count == entries.count && entries.count <= maximumKnownPeers)
    for (place, entry) in entries.enumerated() { try require(places[entry.endpoint] == Int32(place)) }
    try require(entries.count { $0.state == .connecting } == connecting)
    try require(entries.count { $0.source == .exchange } == hearsay, "hearsay is miscounted")
  }
}
