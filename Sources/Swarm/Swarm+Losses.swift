import PeerWire
import TorrentModel

// Blocks that storage did not keep.
extension Swarm {
  /// A block that had arrived was not taken: it has to come again.
  public func blockLost(_ piece: PieceIndex, block: Int, now: Moment) {}
  /// No block of this unfinished piece is held any more.
  public func pieceDropped(_ piece: PieceIndex, now: Moment) {}
  public func extendedHandshakeReceived(_ peer: PeerKey, _ handshake: ExtendedHandshake, now: Moment) {}
}
