import PeerWire
import TorrentModel

// The metadata has come: the swarm that fetched it hands over.
extension Swarm {
  /// Takes over the peers that another swarm found, and its connections under their keys, when the metadata has come. To
  /// be called once, first of all events, after every connection's parser was given the geometry.
  ///
  /// Each connection is told to us as if it were made now, with what the peer has said before. A peer whose words do not
  /// fit the torrent is disconnected. The effects of `early` must have been carried out; it is not to be used any more.
  public func adopt(_ early: MetadataSwarm, now: Moment) {
    precondition(peers.isEmpty, "peers come after those of the metadata swarm")
    book = early.book
    book.forgetConnected()
    externalEndpoint = early.externalEndpoint
    isConnectDue = true
    for offset in early.peers.indices {
      guard let peer = early.peers[offset] else { continue }
      let key = PeerKey(offset)
      if peer.isClosing {
        adoptClosing(key, peer.profile, now: now)
        continue
      }
      connected(key, peer.profile, isAdopted: true, now: now)
      peers[offset].connectedAt = peer.connectedAt
      extendedHandshakeReceived(key, peer.handshake, now: now)
      do {
        for message in try peer.early.messages(for: geometry) { messageReceived(key, message, now: now) }
      } catch {
        disconnect(key, .badMetadata, now: now)
      }
    }
    early.peers = []
  }

  /// A connection that the driver is closing: its key stays in use until the driver says that it has.
  private func adoptClosing(_ key: PeerKey, _ profile: PeerProfile, now: Moment) {
    occupy(key, profile, now: now)
    peers[key.offset].phase = .closing
  }

  /// What a peer learns that was told `have none`, or nothing, when it connected: a bitfield would come too late (BEP 3).
  func sendOurPiecesLate(to peer: PeerKey, now: Moment) {
    pieces.bitfield.forEach { send(.sendHave(peer, $0), to: peer, now: now) }
  }
}
