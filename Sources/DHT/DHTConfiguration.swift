import TorrentModel

/// How a DHT node behaves.
public struct DHTConfiguration: Sendable {
  /// SHA-1 of some bytes.
  public var sha1: @Sendable (Span<UInt8>) -> Bytes20
  /// Whether an Ed25519 signature (64 bytes) of a message is that of a public key (32 bytes).
  public var verifySignature:
    @Sendable (_ signature: Span<UInt8>, _ message: Span<UInt8>, _ key: Span<UInt8>) -> Bool

  /// The networks to take part in. The driver has a socket for each.
  public var usesV4 = true
  public var usesV6 = true
  /// Answers no queries and says so (BEP 43): behind a firewall, or where traffic costs.
  public var isReadOnly = false
  /// Takes part with loopback, private and link-local addresses: tests and closed networks. For these, and only these,
  /// many nodes may share an address or subnet, and queries are not limited per address.
  public var allowsLocalAddresses = false
  /// `v` of what we send, four bytes (BEP 5, 20); `nil` leaves it out. By default Spate's, `SP` and 0, 1.
  public var version: UInt32? = 0x5350_0001

  // Lookups.
  /// Queries of a lookup that wait for an answer at once (α), not counting slow ones.
  public var concurrency = 4
  /// Lookups at once; more wait in a queue.
  public var maximumLookups = 16
  /// Lookups in the queue; beyond that they fail at once.
  public var maximumQueuedLookups = 1024
  /// Queries of one lookup and family, at most.
  public var maximumQueriesPerLookup = 256
  /// Peers that one lookup reports, at most.
  public var maximumPeersPerLookup = 4000

  // Timeouts. A node that has been measured is waited for in proportion; these bound it.
  public var initialTimeout = Moment.Interval.milliseconds(1000)
  public var minimumTimeout = Moment.Interval.milliseconds(200)
  public var maximumTimeout = Moment.Interval.milliseconds(2500)
  /// A reply that comes later than this is ignored.
  public var finalTimeout = Moment.Interval.seconds(8)

  // Serving.
  /// Queries a second that one address may ask, and at once.
  public var queriesPerSecondAndAddress = 20
  public var queryBurstPerAddress = 100
  /// Queries a second that are answered in all.
  public var queriesPerSecond = 5000
  /// Addresses whose credit and rate are remembered (see ``SourceTable``); 32 bytes each.
  /// A node that many know wants more.
  public var maximumSources = 512
  /// Queries that wait until their sender has proved itself.
  public var maximumHeldQueries = 64
  /// The longest reply in bytes. BEP 32 asks for 1024; what fits one packet everywhere is more.
  public var maximumReplyLength = 1400
  /// Peers in one reply.
  public var maximumValues = 100

  // Stores.
  public var maximumTorrents = 4000
  public var maximumPeersPerTorrent = 1000
  public var maximumStoredPeers = 60_000
  public var peerLifetime = Moment.Interval.seconds(45 * 60)
  public var maximumItems = 1000
  /// Items that are not put again are forgotten (BEP 44).
  public var itemLifetime = Moment.Interval.seconds(2 * 3600)

  public init(
    sha1: @escaping @Sendable (Span<UInt8>) -> Bytes20,
    verifySignature:
      @escaping @Sendable (
        _ signature: Span<UInt8>, _ message: Span<UInt8>, _ key: Span<UInt8>
      ) -> Bool
  ) {
    self.sha1 = sha1
    self.verifySignature = verifySignature
  }

  var rules: AddressRules { AddressRules(allowsLocal: allowsLocalAddresses) }
}
