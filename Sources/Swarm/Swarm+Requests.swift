import TorrentModel

// What is asked of whom, and what comes of it.
extension Swarm {
  // MARK: Asking

  /// Fills the peer's pipeline.
  func pump(_ key: PeerKey, now: Moment) {
    guard pumpRequests(&peers[key.offset], key, now: now) else { return }
    let i = key.offset
    if picker?.isEndGame == true { askAgain(key, stalledSince: nil, now: now) }
    if !peers[i].has(.hungry) {
      peers[i].flags.insert(.hungry)
      hungry.append(key)
    }
  }

  /// Returns whether the peer would bear more than there is to ask for.
  private func pumpRequests(_ peer: inout Peer, _ key: PeerKey, now: Moment) -> Bool {
    guard activity == .running, peer.phase == .connected, peer.has(.interesting), picker != nil,
      now >= peer.requests.holdUntil
    else { return false }
    let window = min(peer.requests.window, requestCap(limit: peer.requestLimit))
    guard peer.requests.live < window else { return false }
    if peer.requests.entries.count >= peer.requestLimit, !makeRoom(&peer) { return false }
    if peer.has(.chokesUs) {
      pumpAllowed(&peer, key, window: window, now: now)
      return false
    }

    while let first = peer.suggested.first, picker?.isOpenable(first) != true || !peer.have[first] {
      peer.suggested.removeFirst()
    }
    let style: PickStyle = peer.has(.onParole) ? .alone : peer.has(.whole) ? .whole : .shared
    while peer.requests.live < window {
      let pick = picker?.pick(
        key, have: peer.have, state: &peer.pick, style: style, suggested: peer.suggested.first,
        random: &random,
        now: now)
      guard let pick else { break }
      ask(&peer, key, pick, now: now)
    }
    return peer.requests.live < window
  }

  /// The end game (BEP 3): every block that is missing is asked of somebody. A peer that has nothing to do is asked, too,
  /// for one that is not going to come soon; the other request is cancelled when it comes. One block at a time, since
  /// such a block may well come twice.
  private func askAgain(_ key: PeerKey, stalledSince: Moment?, now: Moment) {
    let i = key.offset
    guard peers[i].requests.live == 0, !peers[i].has(.onParole) else { return }
    let own = peers[i].requests.responseTime
    let pick = picker?.pickAgain(key, have: peers[i].have, stalledSince: stalledSince, random: &random) {
      requester in
      isLate(requester, comparedTo: own, now: now)
    }
    if let pick { ask(&peers[i], key, pick, now: now) }
  }

  /// Whether what is asked of this peer will take much longer than a peer that answers in `other` would need.
  private func isLate(_ key: PeerKey, comparedTo other: Moment.Interval, now: Moment) -> Bool {
    let peer = peers[key.offset]
    if peer.has(.snubbed) || now - peer.requests.waitingSince > .seconds(1) + other * 2 { return true }
    let rate = peer.download.rate(now: now)
    guard rate > 0 else { return false }
    let rest = Double(peer.requests.live * blockLength) / Double(rate)
    return rest > 0.25 + 2 * other.seconds
  }

  /// The peer chokes us but gives us these pieces (BEP 6).
  private func pumpAllowed(_ peer: inout Peer, _ key: PeerKey, window: Int, now: Moment) {
    guard !peer.allowedFromPeer.isEmpty else { return }
    let style: PickStyle = peer.has(.onParole) ? .alone : .shared
    while peer.requests.live < window {
      let pick = picker?.pick(
        key, allowed: peer.allowedFromPeer, have: peer.have, state: &peer.pick, style: style, now: now)
      guard let pick else { return }
      ask(&peer, key, pick, now: now)
    }
  }

  private func ask(_ peer: inout Peer, _ key: PeerKey, _ pick: Pick, now: Moment) {
    guard let piece = picker?.open[pick.slot].piece else { return }
    peer.requests.append(piece, UInt32(truncatingIfNeeded: pick.block), slot: pick.slot, now: now)
    peer.sentAt = now
    effects.append(.sendRequest(key, geometry.request(block: pick.block, of: piece)))
  }

  /// Blocks to ask of this peer at once, at most: what it takes, what we like, and its share of the budget. Shares add
  /// up to twice the budget, for not everybody can use his.
  ///
  /// - Parameter limit: what it takes. (Not the peer itself, which is too much to hand over for each block.)
  func requestCap(limit: Int) -> Int { max(1, min(requestShare, limit)) }

  func countSuppliers() {
    areSuppliersStale = false
    supplierCount = peers.count { $0.phase == .connected && $0.has(.interesting) && !$0.has(.chokesUs) }
    shareBudget()
  }

  /// The share of each follows from the budget and from how many there are. Kept, since it is asked for with each block.
  func shareBudget() {
    let share = max(configuration.minimumRequestsPerPeer, openBlockBudget * 2 / max(1, supplierCount))
    requestShare = min(configuration.maximumRequestsPerPeer, share)
  }

  /// The peer's queue is full of requests that were given up. The oldest is forgotten; false if there is none.
  private func makeRoom(_ peer: inout Peer) -> Bool {
    guard let index = peer.requests.entries.firstIndex(where: { $0.isReleased }) else { return false }
    peer.requests.remove(at: index, now: peer.requests.waitingSince)
    peer.requests.expectLateBlocks(1)
    return true
  }

  /// Those who found nothing to ask for get a chance, in the order in which they came, if something changed.
  func feedHungry(now: Moment) {
    guard let changes = picker?.changes else {
      for key in hungry where key.offset < peers.count { peers[key.offset].flags.remove(.hungry) }
      hungry.removeAll(keepingCapacity: true)
      return
    }
    guard changes != seenChanges else { return }
    for _ in 0..<hungry.count {
      guard picker?.hasSomething == true, let key = hungry.popFirst() else { break }
      guard key.offset < peers.count else { continue }
      peers[key.offset].flags.remove(.hungry)
      pump(key, now: now)
    }
    seenChanges = changes
  }

  // MARK: Blocks

  /// A block is complete in memory.
  public func blockArrived(_ peer: PeerKey, _ block: BlockRequest, now: Moment) -> BlockVerdict {
    guard isConnected(peer) else { return .redundant }
    guard geometry.isBlock(block),
      let arrival = peers[peer.offset].blockArrived(block, share: requestShare, now: now)
    else { return lateBlockArrived(peer, block, now: now) }
    if arrival.wasSnubbed { unsnub(peer) }
    if arrival.isFirst { touched.append(peer) }
    return accept(peer, block, slot: Int(arrival.slot), sender: arrival.sender, now: now)
  }

  /// The block answers no request that stands. It may be late: the request was cancelled, or a choke dropped it.
  private func lateBlockArrived(_ peer: PeerKey, _ block: BlockRequest, now: Moment) -> BlockVerdict {
    peers[peer.offset].receivedAt = now
    guard geometry.isBlock(block), peers[peer.offset].requests.takeLateBlock() else {
      redundantBytes += Int64(block.length)
      strike(peer, .unrequestedBlocks, now: now)
      return .unrequested
    }
    if peers[peer.offset].has(.snubbed) { unsnub(peer) }
    guard let slot = picker?.slot(of: block.piece) else {
      redundantBytes += Int64(block.length)
      return .redundant
    }
    return accept(peer, block, slot: slot, sender: peers[peer.offset].sender, now: now)
  }

  private func accept(
    _ peer: PeerKey, _ block: BlockRequest, slot: Int, sender: UInt32, now: Moment
  ) -> BlockVerdict {
    // There are others at the end of the torrent only.
    var others: [PeerKey] = []
    guard picker?.accept(block, in: slot, from: peer, sender: sender, others: &others, now: now) == true
    else {
      redundantBytes += Int64(block.length)
      return .redundant
    }
    senders.retain(sender)
    for other in others { cancel(other, block, now: now) }
    return .wanted
  }

  private func cancel(_ key: PeerKey, _ block: BlockRequest, now: Moment) {
    let i = key.offset
    let number = UInt32(truncatingIfNeeded: block.blockOffset)
    guard let index = peers[i].requests.liveIndex(of: block.piece, number) else { return }
    peers[i].requests.remove(at: index, now: now)
    peers[i].requests.expectLateBlocks(1)
    send(.sendCancel(key, block), to: key, now: now)
    touch(key)
  }

  /// Payload bytes were read. To be called once a read.
  public func payloadReceived(_ peer: PeerKey, _ bytes: Int, now: Moment) {
    download.add(bytes, now: now)
    guard isConnected(peer) else { return }
    peers[peer.offset].download.add(bytes, now: now)
    peers[peer.offset].receivedAt = now
    peers[peer.offset].requests.bytesArrived(now: now)
  }

  // MARK: Giving up

  /// The peer will not answer what is open (BEP 6).
  func requestRejected(_ peer: PeerKey, _ block: BlockRequest, now: Moment) {
    giveUp(peer, block, isRejected: true, now: now)
  }

  /// The block came when there was no memory for it, and was dropped: somebody is asked for it again.
  public func blockDropped(_ peer: PeerKey, _ block: BlockRequest, now: Moment) {
    guard isConnected(peer) else { return }
    giveUp(peer, block, isRejected: false, now: now)
  }

  private func giveUp(_ peer: PeerKey, _ block: BlockRequest, isRejected: Bool, now: Moment) {
    let i = peer.offset
    guard geometry.isBlock(block),
      let index = peers[i].requests.index(of: block.piece, UInt32(truncatingIfNeeded: block.blockOffset))
    else {
      // An answer to a cancel, or to a request that was forgotten; otherwise a breach of the protocol.
      if !peers[i].requests.takeLateBlock(), isRejected { strike(peer, .badSequence, now: now) }
      return
    }
    let entry = peers[i].requests.remove(at: index, now: now)
    if !entry.isReleased { picker?.release(Int(entry.slot), Int(entry.block), by: peer) }
    if !isRejected {
      touch(peer)
      return
    }
    if peers[i].has(.chokesUs) {
      peers[i].allowedFromPeer.removeAll { $0 == block.piece }
    } else {
      peers[i].requests.hold(now: now)
      picker?.disown(peer, state: &peers[i].pick)
    }
    touch(peer)
  }

  /// All that is asked of the peer is given back; it may still answer.
  func releaseRequests(_ peer: inout Peer, _ key: PeerKey, keepingAllowed: Bool = false) {
    for index in peer.requests.entries.indices {
      let entry = peer.requests.entries[index]
      guard !entry.isReleased, !(keepingAllowed && peer.allowedFromPeer.contains(entry.piece)) else {
        continue
      }
      picker?.release(Int(entry.slot), Int(entry.block), by: key)
      peer.requests.release(at: index)
    }
  }

  /// All that is asked of the peer is given back and forgotten.
  func dropRequests(_ peer: inout Peer, _ key: PeerKey) {
    releaseRequests(&peer, key)
    peer.requests.removeAll()
  }

  /// The peer no longer has this piece.
  func releaseRequests(of key: PeerKey, for piece: PieceIndex, now: Moment) {
    let i = key.offset
    for index in peers[i].requests.entries.indices {
      let entry = peers[i].requests.entries[index]
      guard entry.piece == piece, !entry.isReleased else { continue }
      picker?.release(Int(entry.slot), Int(entry.block), by: key)
      peers[i].requests.release(at: index)
    }
    touch(key)
  }

  /// The piece is no longer wanted: what is asked for is cancelled everywhere.
  func cancelRequests(for piece: PieceIndex, now: Moment) {
    for i in peers.indices where peers[i].phase == .connected {
      var index = 0
      while index < peers[i].requests.entries.count {
        let entry = peers[i].requests.entries[index]
        guard entry.piece == piece, !entry.isReleased else {
          index += 1
          continue
        }
        picker?.release(Int(entry.slot), Int(entry.block), by: PeerKey(i))
        peers[i].requests.remove(at: index, now: now)
        peers[i].requests.expectLateBlocks(1)
        let request = geometry.request(block: Int(entry.block), of: piece)
        send(.sendCancel(PeerKey(i), request), to: PeerKey(i), now: now)
        touch(PeerKey(i))
      }
    }
  }

  // MARK: Every second

  func adaptPipelines(now: Moment) {
    guard let requested = picker?.open.requestedBlocks else { return }
    // If our own line is the slow part, everybody is slow to answer, and asking others makes it worse.
    let total = download.rate(now: now)
    let queue =
      total > 0 ? Moment.Interval.seconds(2 * Double(requested * blockLength) / Double(total)) : .zero
    let patience = min(queue, configuration.maximumRequestTimeout * 4)
    for i in peers.indices where peers[i].phase == .connected && peers[i].has(.interesting) {
      let key = PeerKey(i)
      let rate = peers[i].download.rate(now: now)
      let wasWhole = peers[i].has(.whole)
      peers[i].setWhole(isWhole(rate: rate, total: peers[i].download.total))
      // Too slow after all for the piece it took: others go on with it.
      if wasWhole, !peers[i].has(.whole), !peers[i].has(.onParole) {
        picker?.disown(key, state: &peers[i].pick)
      }
      let least = max(configuration.minimumRequestTimeout, patience)
      let most = max(configuration.maximumRequestTimeout, patience)
      if peers[i].requests.isOverdue(minimum: least, maximum: most, now: now) {
        snub(key, now: now)
      } else if !peers[i].has(.snubbed) {
        peers[i].requests.adapt(
          rate: rate, minimum: configuration.minimumRequestsPerPeer,
          maximum: requestCap(limit: peers[i].requestLimit))
      }
      if peers[i].requests.live < peers[i].requests.window { touch(key) }
    }
  }

  /// Whether a peer of this rate takes whole pieces. One that was not measured yet does if pieces are of common size.
  func isWhole(rate: Int, total: Int64) -> Bool {
    if total < Int64(blockLength) * 4 { return geometry.pieceLength <= 16 << 20 }
    return Double(geometry.pieceLength) <= Double(rate) * configuration.wholePieceTime.seconds
  }

  /// Nothing comes from the peer: others fetch what it was asked for (BEP 3).
  private func snub(_ key: PeerKey, now: Moment) {
    let i = key.offset
    if !peers[i].has(.snubbed) {
      peers[i].flags.insert(.snubbed)
      peers[i].snubbedSince = now
    }
    releaseRequests(&peers[i], key)
    picker?.disown(key, state: &peers[i].pick)
    peers[i].requests.snub(now: now)
  }

  private func unsnub(_ key: PeerKey) {
    peers[key.offset].flags.remove(.snubbed)
    peers[key.offset].snubbedSince = nil
    peers[key.offset].requests.restart()
  }

  /// Pieces that nothing came of for a while, and whose blocks are all asked for, hold their memory and others up. Peers
  /// with nothing to do help out, one block each a second.
  func askAgainForStalled(now: Moment) {
    guard picker?.isEndGame == false, picker?.open.hasUnfinished == true else { return }
    let before = now - Self.stallTime
    for key in hungry where isConnected(key) {
      let i = key.offset
      guard !peers[i].has(.chokesUs), peers[i].has(.interesting), now >= peers[i].requests.holdUntil else {
        continue
      }
      askAgain(key, stalledSince: before, now: now)
    }
  }

  private static var stallTime: Moment.Interval { .seconds(4) }
}
