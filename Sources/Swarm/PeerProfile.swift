import PeerWire
import TorrentModel

/// What is known of a peer when the handshake is done (BEP 3).
public struct PeerProfile: Hashable, Sendable {
  /// The far end of the connection. Of an incoming connection the port is not the one the peer listens on.
  public var endpoint: Endpoint
  public var peerID: PeerID
  /// The peer's half of the handshake. The fast extension is in use when it is set here, for we always offer it (BEP 6).
  public var reserved: ReservedBits
  public var isIncoming: Bool

  public init(endpoint: Endpoint, peerID: PeerID, reserved: ReservedBits, isIncoming: Bool) {
    self.endpoint = endpoint
    self.peerID = peerID
    self.reserved = reserved
    self.isIncoming = isIncoming
  }
}

/// Who told us of a peer. A peer may have several sources.
@frozen
public struct PeerSource: OptionSet, Hashable, Sendable {
  public var rawValue: UInt8
  @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }

  public static let tracker = PeerSource(rawValue: 1 << 0)
  public static let dht = PeerSource(rawValue: 1 << 1)
  /// Peer exchange (BEP 11).
  public static let exchange = PeerSource(rawValue: 1 << 2)
  /// Local service discovery (BEP 14).
  public static let local = PeerSource(rawValue: 1 << 3)
  /// The peer connected to us.
  public static let incoming = PeerSource(rawValue: 1 << 4)
  /// The resume record.
  public static let resume = PeerSource(rawValue: 1 << 5)
  /// The user named it: it is tried for as long as the torrent runs.
  public static let user = PeerSource(rawValue: 1 << 6)
}
