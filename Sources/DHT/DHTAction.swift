import TorrentModel

/// A lookup, a direct query, or whatever else was asked of the node.
public struct LookupID: Hashable, Sendable {
  public var rawValue: UInt64
  public init(_ rawValue: UInt64) { self.rawValue = rawValue }
}

/// One of the two networks (BEP 32).
public enum DHTFamily: Int, Hashable, Sendable, CaseIterable {
  case v4 = 0
  case v6 = 1

  init(_ address: IPAddress) { self = address.isV4 ? .v4 : .v6 }
}

/// A node by name and address.
public struct DHTContact: Hashable, Sendable {
  public var id: NodeID
  public var endpoint: Endpoint

  public init(id: NodeID, endpoint: Endpoint) {
    self.id = id
    self.endpoint = endpoint
  }
}

/// What the node wants done or has found out.
public enum DHTAction: Sendable {
  /// Send this datagram.
  case send([UInt8], to: Endpoint)
  /// A lookup has found peers that it has not reported before.
  case peersFound(LookupID, [Endpoint])
  /// A lookup has found its item, checked: of a mutable one, a newer version than reported before.
  case itemFound(LookupID, DHTItem)
  /// A node has sent a sample of its info-hashes (BEP 51).
  case samplesFound(LookupID, InfoHashSamples)
  /// A lookup has ended. Nothing more is reported under its id.
  case lookupFinished(LookupID, LookupResult)
  /// A direct query has ended.
  case queryFinished(LookupID, DirectResult)
  /// Enough nodes agree on how they see us. The node has the given id from now on (BEP 42).
  case externalAddressChanged(IPAddress, NodeID)
  /// The first nodes are in the table, or the last have gone: lookups make sense, or do not.
  case readinessChanged(DHTFamily, isReady: Bool)
}

/// Info-hashes for which a node has peers (BEP 51).
public struct InfoHashSamples: Hashable, Sendable {
  public var contact: DHTContact
  public var samples: [InfoHash]
  /// How many it has in all.
  public var count: Int
  /// After how long it may be asked again for others.
  public var interval: Moment.Interval
}

/// How many peers a torrent has, by the nodes around its info-hash (BEP 33).
public struct ScrapeEstimate: Hashable, Sendable {
  public var seeds: Int
  public var peers: Int
}

/// How a lookup ended.
public struct LookupResult: Sendable {
  public enum Outcome: Hashable, Sendable {
    case completed
    /// Not one node has answered: there is no way into the network.
    case noNodes
    case cancelled
    /// Too many lookups wait.
    case queueFull
  }

  public var outcome: Outcome
  /// The closest nodes that have answered, the closest first.
  public var closest: [DHTContact] = []
  /// Peers that were reported.
  public var peerCount = 0
  /// If it was asked for and anybody knew.
  public var scrape: ScrapeEstimate?
  /// The item, if there is one: the newest.
  public var item: DHTItem?
  /// How many nodes have sent that item, or said that they have it (BEP 44).
  public var copies = 0
  /// Whether it is stored so well that putting it again can be left out (BEP 44, Expiration): more than eight copies,
  /// and each of the eight closest nodes has one.
  public var isWellStored = false
  /// Nodes that have taken an announce or a put.
  public var storedCount = 0
  /// Of nodes that have refused one, the first's reason: code and text (BEP 5, 44).
  public var refusal: (code: Int, text: String)?
  /// Queries sent, answers to them, and the longest chain of nodes that led to one another.
  public var queries = 0
  public var replies = 0
  public var hops = 0

  public init(outcome: Outcome) { self.outcome = outcome }
}

/// How a query to one node ended.
public enum DirectResult: Hashable, Sendable {
  case replied(DHTContact, roundTrip: Moment.Interval)
  /// An error of the other side: code and text.
  case refused(code: Int, text: String)
  case timedOut
}
