import Bencode
import HeapModule
import TorrentModel

/// A complete node of the DHT (BEP 5, 32, 33, 42, 43, 44, 45, 46, 51) for both address families.
///
/// Datagrams, wishes and times go in; actions come out. The driver sends what ``DHTAction/send(_:to:)`` says from its
/// one socket per family, hands every datagram that looks like bencode to
/// ``datagramArrived(_:from:now:random:into:)``, and calls ``timerFired(now:random:into:)`` at ``nextDeadline``.
///
/// Secrets and transactions are drawn from `random`: outside of tests it has to be a generator that cannot be guessed.
/// What a stranger may get is told at ``SourceTable``.
public struct DHTNode: Sendable {
  /// What a node knows of one of the two networks.
  struct Family: Sendable {
    let family: DHTFamily
    var id: NodeID
    var table: RoutingTable
    /// Bootstrap hosts: asked when the table has nothing, and never in it.
    var routers: [Endpoint] = []
    var votes = AddressVotes()
    var externalAddress: IPAddress?
    var idSince: Moment
    var isReady = false
    var nextBootstrap: Moment
    var bootstrapFailures = 0
    /// The bucket to be filled next after a bootstrap, or `nil`.
    var fillBucket: Int?
    /// A lookup of maintenance under way.
    var maintenance: LookupID?
    var isBootstrapping = false
    /// A search for our neighbours has ended well, and the next is to be put off.
    var needsNeighborSearch = false
  }

  struct HeldQuery: Sendable {
    var sender: Endpoint
    var bytes: [UInt8]
    var arrived: Moment
  }

  struct Deadline: Comparable, Sendable {
    var moment: Moment
    var transaction: Transaction

    static func < (a: Deadline, b: Deadline) -> Bool { a.moment < b.moment }
  }

  public let configuration: DHTConfiguration
  let rules: AddressRules
  let start: Moment
  var families: [Family?] = [nil, nil]
  var parser = BencodeParser(limits: KRPCMessage.limits)
  var mint: TokenMint
  var sources: SourceTable
  var peers: PeerStore
  var items: ItemStore
  var held: [HeldQuery] = []
  var pending: [Transaction: PendingQuery] = [:]
  var deadlines = Heap<Deadline>()
  var lookups: [Lookup] = []
  var queue: [(id: LookupID, goal: LookupGoal)] = []
  var nextMaintenance: Moment
  var nextExpiry: Moment
  var lastMaintenanceID: UInt64 = 1 << 63
  /// When a reply to us last came: while none comes at all, it is our own line that is down.
  var lastReply: Moment
  /// Round trips over all nodes, in nanoseconds; 0 while unknown.
  var smoothedRoundTrip: Int64 = 0
  var roundTripVariation: Int64 = 0
  /// Queries that may still be answered in this second.
  var answerAllowance: Int
  var allowanceSecond: UInt32 = 0
  public internal(set) var statistics = DHTStatistics()

  /// - Parameter saved: what ``savedState()`` gave once. What cannot be read is left out.
  public init(
    _ configuration: DHTConfiguration, saved: [UInt8]? = nil, now: Moment,
    random: inout some RandomNumberGenerator
  ) {
    self.configuration = configuration
    rules = configuration.rules
    start = now
    lastReply = now - .seconds(3600)
    nextMaintenance = now
    nextExpiry = now + Self.expiryInterval
    mint = TokenMint(sha1: configuration.sha1, now: now, random: &random)
    sources = SourceTable(
      limit: configuration.maximumSources, rate: configuration.queriesPerSecondAndAddress,
      burst: configuration.queryBurstPerAddress, salt: random.next())
    peers = PeerStore(
      limits: .init(
        torrents: configuration.maximumTorrents, peersPerTorrent: configuration.maximumPeersPerTorrent,
        peers: configuration.maximumStoredPeers, lifetime: configuration.peerLifetime))
    items = ItemStore(limit: configuration.maximumItems, lifetime: configuration.itemLifetime)
    answerAllowance = configuration.queriesPerSecond
    let state = saved.flatMap { DHTSavedState($0) }
    for family in DHTFamily.allCases {
      guard family == .v4 ? configuration.usesV4 : configuration.usesV6 else { continue }
      let id = state?[family].id ?? NodeID(using: &random)
      var table = RoutingTable(ownID: id, rules: rules, now: now)
      for contact in state?[family].nodes ?? [] {
        table.nodeRestored(contact.id, at: contact.endpoint, now: now)
      }
      families[family.rawValue] = Family(
        family: family, id: id, table: table, idSince: now, nextBootstrap: now)
    }
  }

  /// How often stores are looked through for what is too old.
  static let expiryInterval = Moment.Interval.seconds(60)

  /// Our id in a network, or `nil` if we are not in it.
  public func id(in family: DHTFamily) -> NodeID? { families[family.rawValue]?.id }

  /// How others see us, once enough of them agree (BEP 42).
  public func externalAddress(in family: DHTFamily) -> IPAddress? {
    families[family.rawValue]?.externalAddress
  }

  /// Whether there are nodes to ask.
  public func isReady(in family: DHTFamily) -> Bool { families[family.rawValue]?.isReady ?? false }

  /// When to call ``timerFired(now:random:into:)``.
  public var nextDeadline: Moment {
    min(nextMaintenance, deadlines.min?.moment ?? .distantFuture)
  }

  /// Whole seconds since the start, from 1.
  func seconds(_ now: Moment) -> UInt32 {
    UInt32(truncatingIfNeeded: max(0, (now - start).nanoseconds) / 1_000_000_000 + 1)
  }

  /// A time given by ``nextDeadline`` has come. Being called too early does no harm.
  public mutating func timerFired(
    now: Moment, random: inout some RandomNumberGenerator, into actions: inout [DHTAction]
  ) {
    while let deadline = deadlines.min, deadline.moment <= now {
      deadlines.removeMin()
      queryIsLate(deadline.transaction, now, &random, &actions)
    }
    if now >= nextMaintenance { maintain(now, &random, &actions) }
    startQueued(now, &random, &actions)
  }

  /// Takes a datagram from anywhere.
  public mutating func datagramArrived(
    _ bytes: Span<UInt8>, from sender: Endpoint, now: Moment, random: inout some RandomNumberGenerator,
    into actions: inout [DHTAction]
  ) {
    guard rules.allows(sender), families[DHTFamily(sender.address).rawValue] != nil else {
      statistics.droppedDatagrams += 1
      return
    }
    let message: KRPCMessage
    do throws(KRPCError) {
      message = try KRPCMessage.decode(bytes, with: &parser)
    } catch {
      statistics.malformedDatagrams += 1
      return
    }
    statistics.bytesReceived += bytes.count
    if message.kind == .query {
      queryArrived(message, bytes, from: sender, now, &random, &actions)
    } else {
      replyArrived(message, bytes, from: sender, now, &random, &actions)
      startQueued(now, &random, &actions)
    }
  }

  mutating func send(_ bytes: [UInt8], _ endpoint: Endpoint, _ actions: inout [DHTAction]) {
    statistics.bytesSent += bytes.count
    actions.append(.send(bytes, to: endpoint))
  }
}
