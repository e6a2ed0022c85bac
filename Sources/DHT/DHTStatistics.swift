import TorrentModel

/// What a node has done since it began.
public struct DHTStatistics: Hashable, Sendable {
  public var bytesSent = 0
  public var bytesReceived = 0
  public var queriesSent = 0
  public var repliesReceived = 0
  /// Queries of ours that were never answered.
  public var timeouts = 0
  public var queriesReceived = 0
  public var repliesSent = 0
  public var errorsSent = 0
  /// Queries not answered because the sender, or all senders together, ask too fast.
  public var limitedQueries = 0
  /// Senders that were asked to prove themselves, and answers that waited for it.
  public var challengesSent = 0
  public var challengesPassed = 0
  /// Answers made shorter, or left out, since the sender had not proved itself.
  public var shortenedReplies = 0
  /// Replies to nothing that was asked.
  public var unsolicitedReplies = 0
  public var malformedDatagrams = 0
  /// From addresses where no node can be.
  public var droppedDatagrams = 0
  public var announcesStored = 0
  public var itemsStored = 0
  public var badTokens = 0

  public init() {}
}

/// A node as it stands.
public struct DHTStatus: Sendable {
  public struct Network: Sendable {
    public var family: DHTFamily
    public var id: NodeID
    public var externalAddress: IPAddress?
    public var nodes: Int
    public var goodNodes: Int
    public var spareNodes: Int
    public var buckets: Int
    public var isReady: Bool
  }

  public var networks: [Network]
  public var lookups: Int
  public var queuedLookups: Int
  public var pendingQueries: Int
  public var storedTorrents: Int
  public var storedPeers: Int
  public var storedItems: Int
  /// Smoothed over all nodes; `nil` before the first reply.
  public var roundTrip: Moment.Interval?
  public var statistics: DHTStatistics
}

extension DHTNode {
  /// The node as it stands. It costs a walk over the tables.
  public func status(now: Moment) -> DHTStatus {
    DHTStatus(
      networks: families.compactMap { $0 }.map { family in
        DHTStatus.Network(
          family: family.family, id: family.id, externalAddress: family.externalAddress,
          nodes: family.table.count, goodNodes: family.table.goodCount(now),
          spareNodes: family.table.spareCount, buckets: family.table.buckets.count, isReady: family.isReady)
      },
      lookups: lookups.count, queuedLookups: queue.count, pendingQueries: pending.count,
      storedTorrents: peers.torrentCount, storedPeers: peers.peerCount, storedItems: items.count,
      roundTrip: smoothedRoundTrip == 0 ? nil : Moment.Interval(nanoseconds: smoothedRoundTrip),
      statistics: statistics)
  }

  /// The nodes in the table of a network, for people to look at.
  public func contacts(in family: DHTFamily) -> [DHTContact] {
    var contacts: [DHTContact] = []
    families[family.rawValue]?.table.forEachLive {
      contacts.append(DHTContact(id: $0.id, endpoint: $0.endpoint))
    }
    return contacts
  }
}
