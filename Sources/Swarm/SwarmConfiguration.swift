import PeerWire
import TorrentModel

/// How swarms behave, the same for all of a session: ``Shared`` keeps it once for thousands. Limits that change while the torrent runs are properties of ``Swarm``.
public struct SwarmConfiguration: Sendable {
  /// Who we are.
  public var ownPeerID: PeerID
  /// SHA-1 of some bytes, for the allowed-fast set (BEP 6). Without it the set is neither computed nor sent.
  public var sha1: (@Sendable (Span<UInt8>) -> Bytes20)?

  // Requests.
  /// Blocks asked of one peer at once, at most.
  public var maximumRequestsPerPeer = 768
  /// Blocks asked of one peer at once, at least, while it answers.
  public var minimumRequestsPerPeer = 4
  /// What a peer takes when it did not say `reqq` (BEP 10).
  public var requestsWithoutReqq = 250
  /// A request is given to somebody else after this long without any block from the peer. The time adapts to the
  /// peer between these two (BEP 3 calls the peer snubbing after a minute).
  public var minimumRequestTimeout = Moment.Interval.seconds(8)
  public var maximumRequestTimeout = Moment.Interval.seconds(60)
  /// A peer that would need longer than this for a piece shares pieces with others.
  public var wholePieceTime = Moment.Interval.seconds(20)
  /// Unfinished pieces that may be open even if the budget of blocks is smaller.
  public var minimumOpenPieces = 4
  /// Pieces are picked at random until this many are here, so that there is something to trade.
  public var randomFirstPieces = 4

  // Uploads.
  public var uploadSlots = UploadSlots.adaptive(minimum: 4, initial: 8, maximum: 400)
  public var seedChoking = SeedChoking.roundRobin
  public var chokeInterval = Moment.Interval.seconds(10)
  public var optimisticUnchokeInterval = Moment.Interval.seconds(30)
  /// Blocks of one peer that may be with the driver at once: read, or in the output buffer.
  public var maximumUploadsInFlightPerPeer = 64
  /// Pieces offered to a choked peer (BEP 6).
  public var allowedFastCount = 10

  // Connections.
  /// Connections from one address. Loopback addresses are not limited.
  public var maximumConnectionsPerAddress = 8
  public var maximumKnownPeers = 2000
  public var maximumBans = 4096
  public var keepAliveInterval = Moment.Interval.seconds(100)
  public var inactivityTimeout = Moment.Interval.seconds(180)
  /// Time to the first retry of a peer that could not be reached; doubles each time.
  public var retryDelay = Moment.Interval.seconds(60)
  public var maximumRetryDelay = Moment.Interval.seconds(3600)
  /// A peer is forgotten after this many failures in a row.
  public var maximumFailures = 4

  public init(ownPeerID: PeerID) {
    self.ownPeerID = ownPeerID
  }

  /// A configuration in a place of its own.
  public final class Shared: Sendable {
    public let configuration: SwarmConfiguration
    public init(_ configuration: SwarmConfiguration) { self.configuration = configuration }
  }

  /// How many peers are unchoked at once.
  public enum UploadSlots: Hashable, Sendable {
    case fixed(Int)
    /// One more slot for as long as those in use are all served well, one less when they are not.
    case adaptive(minimum: Int, initial: Int, maximum: Int)
  }

  /// Whom to unchoke when there is nothing to get in return.
  public enum SeedChoking: Hashable, Sendable {
    /// Everybody in turn, for a quota of bytes and at least a while.
    case roundRobin
    /// Those to whom we upload fastest.
    case fastestUpload
  }
}

/// How much a piece is wanted.
@frozen
public enum PiecePriority: UInt8, Hashable, Comparable, Sendable, CaseIterable {
  /// Not downloaded. If it is here, it is served all the same.
  case skip = 0
  case low = 1
  case normal = 2
  case high = 3

  @inlinable public static func < (a: PiecePriority, b: PiecePriority) -> Bool { a.rawValue < b.rawValue }
}
