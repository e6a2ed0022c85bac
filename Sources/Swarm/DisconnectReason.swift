/// Why a connection ends or is refused. The swarm names the first group itself, the driver reports the second;
/// both decide when, and whether, the peer is tried again.
public enum DisconnectReason: UInt8, Hashable, Sendable, CaseIterable {
  // The swarm's decision.
  /// We have all we want and the peer cannot need anything: nothing will ever be said on this connection.
  case bothComplete
  /// Another connection to this peer id or endpoint is open.
  case duplicate
  case selfConnection
  case banned
  /// More connections from one address than are taken.
  case tooManyFromAddress
  /// The torrent has all the connections it may have.
  case full
  /// Made room for a peer of better use.
  case replaced
  /// Nothing was heard for too long (BEP 3).
  case inactive
  /// Requests were not answered for minutes while others waited for a place.
  case unresponsive
  case paused
  /// Blocks nobody asked for, more than a late answer can explain.
  case unrequestedBlocks
  /// Requests out of bounds, or far more at once than we said we take (BEP 10).
  case badRequests
  /// Messages that only the fast extension has, without it, or at the wrong time (BEP 6).
  case badSequence
  /// What it said before the metadata was here does not fit the torrent, or its metadata messages made no sense (BEP 9).
  case badMetadata

  // The driver's report.
  /// The peer closed in good order.
  case closedByPeer
  /// The connection broke.
  case connectionLost
  /// A message or handshake that the protocol forbids.
  case protocolError
  /// A block that was half sent could not be read to its end.
  case unreadableBlock
  /// The connection was never made.
  case connectFailed
  /// The engine is shutting down, or the torrent was removed.
  case shutDown
}

extension DisconnectReason: CustomStringConvertible {
  public var description: String {
    switch self {
    case .bothComplete: "neither side needs anything"
    case .duplicate: "already connected to this peer"
    case .selfConnection: "connected to ourselves"
    case .banned: "the peer is banned"
    case .tooManyFromAddress: "too many connections from one address"
    case .full: "all connections are in use"
    case .replaced: "replaced by a better peer"
    case .inactive: "nothing heard for too long"
    case .unresponsive: "requests were not answered"
    case .paused: "the torrent is paused"
    case .unrequestedBlocks: "blocks that were not requested"
    case .badRequests: "requests out of bounds or too many at once"
    case .badSequence: "a message at the wrong time"
    case .badMetadata: "said what does not fit the torrent's metadata"
    case .closedByPeer: "closed by the peer"
    case .connectionLost: "connection lost"
    case .protocolError: "protocol error"
    case .unreadableBlock: "a block could not be read to its end"
    case .connectFailed: "could not connect"
    case .shutDown: "shut down"
    }
  }
}

/// Why an address is banned.
public enum BanReason: UInt8, Hashable, Sendable, CaseIterable {
  /// A piece that came from this peer alone did not match its hash.
  case corruptPiece
  /// A block from this peer differed from the one in the good piece.
  case corruptBlock
  /// Metadata from this peer did not match the info-hash (BEP 9).
  case corruptMetadata
}

extension BanReason: CustomStringConvertible {
  public var description: String {
    switch self {
    case .corruptPiece: "sent a piece that does not match its hash"
    case .corruptBlock: "sent a block that differs from the verified one"
    case .corruptMetadata: "sent metadata that does not match the info-hash"
    }
  }
}
