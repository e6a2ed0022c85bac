import TorrentModel

/// A torrent's swarm at one moment, for display.
public struct SwarmSnapshot: Hashable, Sendable {
  /// Connections past the handshake.
  public var connectedPeers = 0
  /// Of these, peers with every piece.
  public var connectedSeeds = 0
  /// Connections being made.
  public var connecting = 0
  /// Peers known of, connected or not.
  public var knownPeers = 0
  /// Where the connected peers, and those that are known, come from.
  public var connectedSources = PeerSourceCounts()
  public var knownSources = PeerSourceCounts()
  /// Peers that let us download.
  public var unchokingUs = 0
  /// Peers we let download.
  public var unchoked = 0
  public var interestedInUs = 0
  /// Payload, bytes a second.
  public var downloadRate = 0
  public var uploadRate = 0
  /// Payload since the start, bytes; redundant and corrupt blocks counted.
  public var downloaded: Int64 = 0
  public var uploaded: Int64 = 0
  /// Bytes that came twice, or late, and were dropped.
  public var redundant: Int64 = 0
  /// Bytes of pieces that did not match their hash.
  public var corrupt: Int64 = 0
  /// Blocks asked for and not yet here.
  public var requestedBlocks = 0
  /// Pieces begun and not yet verified.
  public var openPieces = 0
  public var uploadSlots = 0
  /// Copies of the torrent in the swarm, without ours: whole copies that every piece has, and the share of pieces
  /// with one more.
  public var availability = 0.0

  public init() {}
}

/// One connection at one moment, for display.
public struct PeerSnapshot: Hashable, Sendable {
  public var key: PeerKey
  public var endpoint: Endpoint
  public var peerID: PeerID
  /// `v` of the extended handshake (BEP 10).
  public var client: String?
  public var flags: Flags
  public var source: PeerSource
  /// Share of the torrent's pieces that the peer has, 0 to 1.
  public var progress: Double
  /// Payload, bytes a second.
  public var downloadRate: Int
  public var uploadRate: Int
  /// Payload on this connection, bytes.
  public var downloaded: Int64
  public var uploaded: Int64
  /// Blocks asked of the peer, and how many it is thought to bear.
  public var requestedBlocks: Int
  public var requestWindow: Int
  /// Blocks the peer asked for and does not have yet.
  public var uploadQueue: Int

  public struct Flags: OptionSet, Hashable, Sendable {
    public var rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }
    public static let incoming = Flags(rawValue: 1 << 0)
    public static let seed = Flags(rawValue: 1 << 1)
    /// We want something the peer has.
    public static let interesting = Flags(rawValue: 1 << 2)
    /// The peer wants something we have.
    public static let interested = Flags(rawValue: 1 << 3)
    /// The peer does not let us download.
    public static let chokesUs = Flags(rawValue: 1 << 4)
    /// We do not let the peer download.
    public static let choked = Flags(rawValue: 1 << 5)
    public static let optimistic = Flags(rawValue: 1 << 6)
    public static let snubbed = Flags(rawValue: 1 << 7)
    /// Under suspicion: it gets whole pieces only.
    public static let onParole = Flags(rawValue: 1 << 8)
    public static let uploadOnly = Flags(rawValue: 1 << 9)
  }
}
