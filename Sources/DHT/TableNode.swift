import TorrentModel

/// A node as the routing table knows it: 64 bytes.
struct TableNode: Sendable {
  var id: NodeID
  var port: UInt16
  /// Queries in a row that were not answered.
  var failures: UInt8 = 0
  var flags: Flags
  var address: IPAddress
  /// When it last answered a query of ours. Meaningful once it is verified.
  var lastReplied: Moment
  /// When it last asked us something, if it ever has.
  var lastQueried: Moment
  /// Smoothed, in milliseconds; 0 while unknown.
  var roundTrip: UInt16 = 0

  struct Flags: OptionSet, Sendable {
    var rawValue: UInt8
    /// It has answered a query of ours since we started.
    static let verified = Flags(rawValue: 1)
    /// Its id is one that its address allows (BEP 42).
    static let complying = Flags(rawValue: 2)
    /// A ping of maintenance is under way.
    static let pinged = Flags(rawValue: 4)
  }

  /// What BEP 5 calls a node.
  enum Standing: Sendable { case good, questionable, bad }

  /// After this long without a sign of life a good node is questionable (BEP 5).
  static let goodTime = Moment.Interval.seconds(15 * 60)
  /// Unanswered queries in a row that make a node bad (BEP 5: "multiple").
  static let failureLimit: UInt8 = 2
  static let never = Moment(nanoseconds: .min)

  init(id: NodeID, endpoint: Endpoint, flags: Flags = [], lastReplied: Moment = never) {
    self.id = id
    port = endpoint.port
    address = endpoint.address
    self.flags = flags
    self.lastReplied = lastReplied
    lastQueried = Self.never
    if id.complies(with: endpoint.address) { self.flags.insert(.complying) }
  }

  var endpoint: Endpoint { Endpoint(address: address, port: port) }

  @inline(__always)
  func standing(_ now: Moment) -> Standing {
    if failures >= Self.failureLimit { return .bad }
    guard flags.contains(.verified) else { return .questionable }
    let since = now - Self.goodTime
    return lastReplied > since || lastQueried > since ? .good : .questionable
  }

  /// The later of the two signs of life.
  var lastSeen: Moment { max(lastReplied, lastQueried) }

  mutating func noteRoundTrip(_ interval: Moment.Interval) {
    let milliseconds = min(max(interval.nanoseconds / 1_000_000, 1), 30_000)
    let old = Int64(roundTrip)
    roundTrip = UInt16(truncatingIfNeeded: old == 0 ? milliseconds : (old * 3 + milliseconds) / 4)
  }
}

/// Rules about addresses, for the table and for lookups.
struct AddressRules: Sendable {
  /// Loopback, private and link-local addresses are taken, and many nodes may share one: for tests and closed networks.
  var allowsLocal: Bool

  /// Whether a node can be at this address at all.
  func allows(_ endpoint: Endpoint) -> Bool {
    let address = endpoint.address
    guard endpoint.port != 0 else { return false }
    guard address.isLocalOrSpecial else { return true }
    return isLocal(address)
  }

  /// Whether the rules of one node per address and per subnet do not hold.
  func isLocal(_ address: IPAddress) -> Bool {
    allowsLocal && (address.isLoopback || address.isPrivate || address.isLinkLocal)
  }

  /// The /24 or /64 that may have one node in a bucket or a lookup.
  static func subnet(_ address: IPAddress) -> UInt64 {
    address.isV4 ? UInt64(address.v4 >> 8) : address.high
  }

  /// Nodes of one ``network(_:)`` in a bucket, among those a lookup ends with: whoever owns a whole network can, with
  /// BEP 42, still sit nearer to a target than anybody else, with more nodes than a bucket has places.
  static let networkShare = 2

  /// The /16 or /32 that may have few nodes in a bucket, or among those a lookup ends with.
  static func network(_ address: IPAddress) -> UInt64 {
    address.isV4 ? UInt64(address.v4 >> 16) : address.high >> 32
  }
}
