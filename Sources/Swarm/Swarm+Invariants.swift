import TorrentModel

extension Swarm {
  /// For tests: stops the program if what is stored in two places differs, or something was lost. To be called between
  /// turns.
  func checkInvariants() {
    precondition(touched.isEmpty, "a peer waits although the turn is over")
    picker?.checkInvariants(have: pieces)
    book.checkInvariants()
    checkPeers()
    checkRequests()
    var missing = 0
    for p in 0..<geometry.pieceCount where !pieces[PieceIndex(p)] {
      if priorities.map({ $0[p] != .skip }) ?? true { missing += 1 }
    }
    precondition(missing == missingCount, "missing pieces are miscounted")
    if picker != nil { precondition(picker?.missing.count == missingCount) }
    precondition(
      nextDeadline < .distantFuture || wantingCount == 0, "somebody wants something and no clock is set")
    precondition(connectedCount == 0 || nextDeadline < .distantFuture, "connections without a clock")
  }

  private func checkPeers() {
    var (connected, seeds, wanting, inFlight) = (0, 0, 0, 0)
    precondition(peers.count == witnesses.count)
    for i in peers.indices {
      let peer = peers[i]
      guard peer.phase == .connected else {
        precondition(peer.requests.entries.isEmpty && peer.uploads.count == 0 && witnesses[i] == .max)
        continue
      }
      connected += 1
      if peer.have.isFull, geometry.pieceCount > 0 { seeds += 1 }
      if peer.has(.interesting) || peer.has(.interested) { wanting += 1 }
      inFlight += peer.uploads.issuedBlocks
      precondition(peer.uploads.count <= Limits.incomingRequests)
      precondition(peer.has(.interesting) == (witnesses[i] != .max))
      if witnesses[i] != .max {
        let piece = PieceIndex(rawValue: witnesses[i])
        precondition(peer.have[piece] && picker?.missing[piece] == true, "interest in nothing")
      } else if let missing = picker?.missing {
        precondition(peer.have.first(in: missing, from: 0) == nil, "a peer of interest is overlooked")
      }
      precondition(!peer.has(.counted) || picker != nil)
      if picker != nil, !peer.have.isEmpty, !peer.have.isFull { precondition(peer.has(.counted)) }
      precondition(!peer.has(.hungry) || hungry.contains(PeerKey(i)))
      precondition(!peer.has(.waiting) || waiting.contains(PeerKey(i)))
    }
    precondition(connected == connectedCount && seeds == seedCount && wanting == wantingCount)
    precondition(inFlight == uploadsInFlight, "uploads are miscounted")
    guard picker != nil else { return }
    for p in 0..<geometry.pieceCount {
      let piece = PieceIndex(p)
      let copies = peers.count { $0.phase == .connected && $0.has(.counted) && $0.have[piece] }
      precondition(picker?.copies(of: piece) == copies, "copies are miscounted")
    }
  }

  /// Each request that stands is known to the picker, and the other way round; senders are remembered exactly as long as
  /// needed.
  private func checkRequests() {
    var standing = 0
    for i in peers.indices {
      let queue = peers[i].requests
      precondition(queue.live == queue.entries.count { !$0.isReleased })
      for entry in queue.entries where !entry.isReleased {
        standing += 1
        precondition(picker?.openPiece(Int(entry.slot), entry.piece) != nil, "a request for a closed piece")
        precondition(
          picker?.open.isRequested(Int(entry.slot), Int(entry.block), from: PeerKey(i)) == true,
          "a request that the picker does not know")
      }
    }
    var known = 0
    var references = peers.count { $0.phase != .vacant }
    for slot in 0..<(picker?.open.slotCount ?? 0) where picker?.open.isOpen(slot) == true {
      for block in 0..<Int(picker?.open[slot].blockCount ?? 0) {
        known += Int(picker?.open.record(slot, block).requests ?? 0)
        if picker?.open.record(slot, block).state == .arrived { references += 1 }
      }
    }
    precondition(standing == known, "requests are miscounted")
    precondition(senders.allReferences == references, "senders are miscounted")
  }
}
