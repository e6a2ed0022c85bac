import PeerWire
import TorrentModel

// What peers say.
extension Swarm {
  /// Every message but `piece` and `extended`, which have methods of their own.
  public func messageReceived(_ peer: PeerKey, _ message: PeerMessage, now: Moment) {
    guard isConnected(peer) else { return }
    peers[peer.offset].receivedAt = now
    switch message {
    case .keepAlive, .port: break
    case .choke: choked(peer, now: now)
    case .unchoke: unchoked(peer, now: now)
    case .interested: interestChanged(peer, true)
    case .notInterested: interestChanged(peer, false)
    case .have(let piece): pieceGained(peer, piece, now: now)
    case .bitfield(let set):
      guard set.capacity == geometry.pieceCount else { return disconnect(peer, .badSequence, now: now) }
      piecesTold(peer, PieceSet(set), now: now)
    case .request(let block): blockRequested(peer, block, now: now)
    case .cancel(let block): requestCancelled(peer, block, now: now)
    case .haveAll, .haveNone, .suggest, .reject, .allowedFast: fastMessage(peer, message, now: now)
    // These have methods of their own.
    case .piece, .extended: break
    }
  }

  /// Messages of the fast extension (BEP 6). They may not come from a peer that did not offer it.
  private func fastMessage(_ peer: PeerKey, _ message: PeerMessage, now: Moment) {
    guard peers[peer.offset].has(.fast) else { return disconnect(peer, .badSequence, now: now) }
    switch message {
    case .haveAll: piecesTold(peer, PieceSet(fullCapacity: geometry.pieceCount), now: now)
    case .haveNone: piecesTold(peer, PieceSet(capacity: geometry.pieceCount), now: now)
    case .suggest(let piece): pieceSuggested(peer, piece)
    case .reject(let block): requestRejected(peer, block, now: now)
    case .allowedFast(let piece): pieceAllowed(peer, piece)
    default: break
    }
  }

  /// A handshake of the extension protocol, the first or a later one (BEP 10).
  public func extendedHandshakeReceived(_ peer: PeerKey, _ handshake: ExtendedHandshake, now: Moment) {
    guard isConnected(peer) else { return }
    let i = peer.offset
    peers[i].receivedAt = now
    if let client = handshake.client { peers[i].client = client }
    if let length = handshake.requestQueueLength { peers[i].requestLimit = max(1, length) }
    if let port = handshake.listenPort, peers[i].profile.isIncoming, peers[i].listensOn == nil {
      let endpoint = peers[i].profile.endpoint.with(port: port)
      _ = book.add(endpoint, source: .incoming, ownEndpoint: externalEndpoint, random: &random, now: now)
      // Another connection to the same place may be open or in the making: the peer ids decide when it is done.
      if book.entry(endpoint)?.state == .idle {
        book.connected(endpoint)
        peers[i].listensOn = endpoint
      }
    }
    if let isUploadOnly = handshake.isUploadOnly {
      if isUploadOnly { peers[i].flags.insert(.uploadOnly) } else { peers[i].flags.remove(.uploadOnly) }
      dropIfBothComplete(peer, now: now)
    }
  }

  /// Something arrived that the swarm does not look at: a message of an extension.
  public func activityNoticed(_ peer: PeerKey, now: Moment) {
    guard isConnected(peer) else { return }
    peers[peer.offset].receivedAt = now
  }

  private func interestChanged(_ peer: PeerKey, _ isInterested: Bool) {
    setWish(.interested, isInterested, of: peer.offset)
    areSlotsStale = true
  }

  private func choked(_ peer: PeerKey, now: Moment) {
    let i = peer.offset
    guard !peers[i].has(.chokesUs) else { return }
    peers[i].flags.insert(.chokesUs)
    areSuppliersStale = true
    if peers[i].has(.fast) {
      // Each request is answered with a block or a rejection, still (BEP 6). Others may fetch the blocks meanwhile.
      releaseRequests(&peers[i], peer, keepingAllowed: true)
    } else {
      dropRequests(&peers[i], peer)
    }
    picker?.disown(peer, state: &peers[i].pick)
    touch(peer)
  }

  private func unchoked(_ peer: PeerKey, now: Moment) {
    let i = peer.offset
    guard peers[i].has(.chokesUs) else { return }
    peers[i].flags.remove(.chokesUs)
    peers[i].requests.restart()
    areSuppliersStale = true
    touch(peer)
  }

  private func pieceSuggested(_ peer: PeerKey, _ piece: PieceIndex) {
    let i = peer.offset
    guard picker?.missing[piece] == true, !peers[i].suggested.contains(piece) else { return }
    if peers[i].suggested.count >= Peer.suggestedLimit { peers[i].suggested.removeFirst() }
    peers[i].suggested.append(piece)
  }

  private func pieceAllowed(_ peer: PeerKey, _ piece: PieceIndex) {
    let i = peer.offset
    guard geometry.contains(piece), peers[i].allowedFromPeer.count < Peer.allowedLimit,
      !peers[i].allowedFromPeer.contains(piece)
    else { return }
    peers[i].allowedFromPeer.append(piece)
    if peers[i].has(.chokesUs) { touch(peer) }
  }
}
