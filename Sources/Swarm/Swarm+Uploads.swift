import PeerWire
import TorrentModel

// What peers ask of us.
extension Swarm {
  func blockRequested(_ peer: PeerKey, _ block: BlockRequest, now: Moment) {
    let i = peer.offset
    guard geometry.isInside(block), block.length <= UInt32(Limits.requestLength) else {
      return disconnect(peer, .badRequests, now: now)
    }
    guard activity == .running, pieces[block.piece], !peers[i].has(.choked) || isAllowedFast(block.piece, i)
    else {
      refuse(peer, block, now: now)
      // A choke of ours may cross its requests; a piece we never announced is never right.
      if !pieces[block.piece] { strike(peer, .badRequests, now: now) }
      return
    }
    guard peers[i].uploads.count < Limits.incomingRequests else {
      refuse(peer, block, now: now)
      strike(peer, .badRequests, now: now)
      return
    }
    peers[i].uploads.append(block)
    touch(peer)
  }

  /// Without the fast extension there is no word for no: the peer is told by the choke alone.
  private func refuse(_ peer: PeerKey, _ block: BlockRequest, now: Moment) {
    if peers[peer.offset].has(.fast) { send(.sendReject(peer, block), to: peer, now: now) }
  }

  func requestCancelled(_ peer: PeerKey, _ block: BlockRequest, now: Moment) {
    switch peers[peer.offset].uploads.cancel(block) {
    case .unknown: break
    // A cancelled request is answered, too: with a rejection, or with the block if it is on its way (BEP 6).
    case .removed: refuse(peer, block, now: now)
    case .issued: effects.append(.dropUpload(peer, block))
    }
  }

  // MARK: Serving

  /// The peer's requests wait for room.
  func queueForUpload(_ key: PeerKey) {
    guard !peers[key.offset].has(.waiting) else { return }
    peers[key.offset].flags.insert(.waiting)
    waiting.append(key)
  }

  /// Hands requests to the driver: a few of each peer in turn, as long as there is room.
  func pumpUploads(now: Moment) {
    while uploadsInFlight < uploadBlockBudget, let key = waiting.popFirst() {
      guard key.offset < peers.count else { continue }
      let i = key.offset
      peers[i].flags.remove(.waiting)
      guard peers[i].phase == .connected else { continue }
      let limit = uploadLimit(peers[i], now: now)
      var turn = 0
      while turn < Self.uploadTurn, peers[i].uploads.issuedBlocks < limit,
        uploadsInFlight < uploadBlockBudget,
        let block = peers[i].uploads.issue()
      {
        turn += 1
        uploadsInFlight += UploadQueue.blocks(block)
        effects.append(.sendBlock(key, block))
      }
      // Whoever is at his own limit comes back when a block of his is done.
      if peers[i].uploads.hasWaiting, peers[i].uploads.issuedBlocks < limit { queueForUpload(key) }
    }
  }

  /// Blocks handed over for one peer before the next has its turn.
  private static var uploadTurn: Int { 8 }

  /// Blocks of one peer that may be with the driver: what it takes in half a second. More would make cancels and chokes
  /// meaningless and take memory from others.
  private func uploadLimit(_ peer: Peer, now: Moment) -> Int {
    let rate = peer.upload.rate(now: now)
    guard rate > 0 else { return 4 }
    return max(2, min(rate / 2 / blockLength, configuration.maximumUploadsInFlightPerPeer))
  }

  /// A block of a `sendBlock` is in the output buffer, or gone out: it can no longer be recalled.
  public func uploadFinished(_ peer: PeerKey, _ block: BlockRequest, now: Moment) {
    _ = closeUpload(peer, block)
  }

  /// A block of a `sendBlock` was not sent: it was recalled, or could not be read.
  public func uploadDropped(_ peer: PeerKey, _ block: BlockRequest, now: Moment) {
    if closeUpload(peer, block) { refuse(peer, block, now: now) }
  }

  private func closeUpload(_ peer: PeerKey, _ block: BlockRequest) -> Bool {
    guard isConnected(peer), peers[peer.offset].uploads.finish(block) else { return false }
    uploadsInFlight -= UploadQueue.blocks(block)
    if peers[peer.offset].uploads.hasWaiting { touch(peer) }
    return true
  }

  /// Payload bytes went out. To be called once a write.
  public func payloadSent(_ peer: PeerKey, _ bytes: Int, now: Moment) {
    upload.add(bytes, now: now)
    guard isConnected(peer) else { return }
    peers[peer.offset].upload.add(bytes, now: now)
    peers[peer.offset].sentAt = now
  }

  /// What waits is turned down: the peer was choked, or we cannot serve. What is with the driver goes out, unless the
  /// driver can still recall it.
  func dropUploads(_ key: PeerKey, keepingAllowed: Bool, now: Moment) {
    let i = key.offset
    let allowed = keepingAllowed ? peers[i].allowedToPeer : []
    while let block = peers[i].uploads.removeWaiting(unless: { allowed.contains($0.piece) }) {
      refuse(key, block, now: now)
    }
    for index in 0..<peers[i].uploads.issued {
      let block = peers[i].uploads.requests[index]
      if !allowed.contains(block.piece) { effects.append(.dropUpload(key, block)) }
    }
  }

  // MARK: Allowed fast and suggest (BEP 6)

  /// Gives a newcomer a few pieces that it may have while it is choked.
  func offerAllowedFast(_ key: PeerKey, now: Moment) {
    let i = key.offset
    let count = configuration.allowedFastCount
    guard let sha1 = configuration.sha1, peers[i].has(.fast), count > 0, !pieces.isEmpty,
      peers[i].have.count < count
    else { return }
    let set = AllowedFast.pieces(
      for: peers[i].profile.endpoint.address, infoHash: infoHash,
      pieceCount: geometry.pieceCount,
      count: count, sha1: sha1)
    for piece in set where pieces[piece] && !peers[i].have[piece] {
      peers[i].allowedToPeer.append(piece)
      send(.sendAllowedFast(key, piece), to: key, now: now)
    }
  }

  /// Who has got a few pieces has something to trade and needs no gifts.
  private func isAllowedFast(_ piece: PieceIndex, _ i: Int) -> Bool {
    peers[i].allowedToPeer.contains(piece) && peers[i].have.count < configuration.allowedFastCount
  }

  /// All blocks of this piece are in the read cache: peers that lack it get it cheapest. It is suggested to those that
  /// download from us, to each once in a few seconds.
  public func pieceCached(_ piece: PieceIndex, now: Moment) {
    guard pieces[piece] else { return }
    for i in peers.indices where peers[i].phase == .connected {
      guard peers[i].has(.fast), peers[i].has(.interested), !peers[i].has(.choked), !peers[i].have[piece],
        now - peers[i].suggestedToPeerAt >= .seconds(5)
      else { continue }
      peers[i].suggestedToPeerAt = now
      send(.sendSuggest(PeerKey(i), piece), to: PeerKey(i), now: now)
    }
  }
}
