import TorrentModel

/// What the driver has to do. Plain values: appending one allocates nothing.
@frozen
public enum SwarmEffect: Hashable, Sendable {
  // Messages (BEP 3, 6, 54).
  case sendKeepAlive(PeerKey)
  case sendChoke(PeerKey)
  case sendUnchoke(PeerKey)
  case sendInterested(PeerKey)
  case sendNotInterested(PeerKey)
  /// ``Swarm/have``, as it is when the effect is carried out.
  case sendBitfield(PeerKey)
  case sendHaveAll(PeerKey)
  case sendHaveNone(PeerKey)
  case sendHave(PeerKey, PieceIndex)
  /// Only if the peer's extended handshake names `lt_donthave`; otherwise there is nothing to send.
  case sendDontHave(PeerKey, PieceIndex)
  case sendRequest(PeerKey, BlockRequest)
  case sendCancel(PeerKey, BlockRequest)
  case sendReject(PeerKey, BlockRequest)
  case sendAllowedFast(PeerKey, PieceIndex)
  case sendSuggest(PeerKey, PieceIndex)

  // Uploads.
  /// Read this block and send it. ``Swarm/uploadFinished(_:_:now:)`` or ``Swarm/uploadDropped(_:_:now:)`` must follow.
  case sendBlock(PeerKey, BlockRequest)
  /// Leave this block out if it is not yet on its way; then call ``Swarm/uploadDropped(_:_:now:)``, otherwise let it finish.
  case dropUpload(PeerKey, BlockRequest)

  // Connections.
  /// Answer with ``Swarm/peerConnected(_:_:now:)`` after the handshake, or with ``Swarm/connectFailed(_:reason:now:)``.
  case connect(Endpoint)
  /// Close; ``Swarm/peerDisconnected(_:reason:now:)`` must follow.
  case disconnect(PeerKey, DisconnectReason)
  /// Nobody from this address may come back. The swarm itself refuses it from now on; other torrents should too.
  case ban(IPAddress, BanReason)
  /// Candidates run short: ask trackers and other sources before their time.
  case wantMorePeers

  // Storage.
  /// Drop the blocks of an unfinished piece; it is no longer being downloaded.
  case abandonPiece(PieceIndex)

  // For the user and the trackers.
  /// Every piece that is wanted is here.
  case reportFinished
  /// Every piece of the torrent is here (BEP 3: announce `completed`), after some were missing.
  case reportComplete
}

extension SwarmEffect {
  /// The connection that the effect is about; `nil` if it is about none.
  public var peer: PeerKey? {
    switch self {
    case .sendKeepAlive(let peer), .sendChoke(let peer), .sendUnchoke(let peer), .sendInterested(let peer),
      .sendNotInterested(let peer), .sendBitfield(let peer), .sendHaveAll(let peer), .sendHaveNone(let peer),
      .sendHave(let peer, _), .sendDontHave(let peer, _), .sendRequest(let peer, _), .sendCancel(let peer, _),
      .sendReject(let peer, _), .sendAllowedFast(let peer, _), .sendSuggest(let peer, _),
      .sendBlock(let peer, _),
      .dropUpload(let peer, _), .disconnect(let peer, _):
      peer
    case .connect, .ban, .wantMorePeers, .abandonPiece, .reportFinished, .reportComplete: nil
    }
  }
}

/// What to do with a block that arrived.
@frozen
public enum BlockVerdict: Hashable, Sendable {
  /// Hand it to storage.
  case wanted
  /// It is here already, or the piece is no longer wanted. Drop it.
  case redundant
  /// It was not asked for. Drop it; the swarm counts them and closes the connection when they are too many.
  case unrequested
}
