import TorrentModel

/// Something that is stored in two places differs, or was lost.
struct BrokenInvariant: Error, CustomStringConvertible {
  var description: String
}

func require(
  _ condition: Bool, _ message: String? = nil, file: StaticString = #fileID, line: Int = #line
) throws(BrokenInvariant) {
  if !condition { throw BrokenInvariant(description: message ?? "broken invariant at \(file):\(line)") }
}

extension Swarm {
  /// For tests: throws if the parts contradict each other. To be called between turns.
  func checkInvariants() throws(BrokenInvariant) {
    try require(touched.isEmpty, "a peer waits although the turn is over")
    try picker?.checkInvariants(have: pieces)
    try book.checkInvariants()
    try checkPeers()
    try checkRequests()
    var missing = 0
    for p in 0..<geometry.pieceCount where !pieces[PieceIndex(p)] {
      if priorities.map({ $0[p] != .skip }) ?? true { missing += 1 }
    }
    try require(missing == missingCount, "missing pieces are miscounted")
    if picker != nil { try require(picker?.missing.count == missingCount) }
    try require(
      nextDeadline < .distantFuture || wantingCount == 0, "somebody wants something and no clock is set")
    try require(connectedCount == 0 || nextDeadline < .distantFuture, "connections without a clock")
  }

  private func checkPeers() throws(BrokenInvariant) {
    var (connected, seeds, wanting, inFlight) = (0, 0, 0, 0)
    try require(peers.count == witnesses.count)
    for i in peers.indices {
      let peer = peers[i]
      guard peer.phase == .connected else {
        try require(peer.requests.entries.isEmpty && peer.uploads.count == 0 && witnesses[i] == .max)
        continue
      }
      connected += 1
      if peer.have.isFull, geometry.pieceCount > 0 { seeds += 1 }
      if peer.has(.interesting) || peer.has(.interested) { wanting += 1 }
      inFlight += peer.uploads.issuedBlocks
      try require(peer.uploads.count <= Limits.incomingRequests)
      try require(peer.has(.interesting) == (witnesses[i] != .max))
      if witnesses[i] != .max {
        let piece = PieceIndex(rawValue: witnesses[i])
        try require(peer.have[piece] && picker?.missing[piece] == true, "interest in nothing")
      } else if let missing = picker?.missing {
        try require(peer.have.first(in: missing, from: 0) == nil, "a peer of interest is overlooked")
      }
      try require(!peer.has(.counted) || picker != nil)
      if picker != nil, !peer.have.isEmpty, !peer.have.isFull { try require(peer.has(.counted)) }
      try require(!peer.has(.hungry) || hungry.contains(PeerKey(i)))
      try require(!peer.has(.waiting) || waiting.contains(PeerKey(i)))
    }
    try require(connected == connectedCount && seeds == seedCount && wanting == wantingCount)
    try require(inFlight == uploadsInFlight, "uploads are miscounted")
    guard picker != nil else { return }
    var copies = [Int](repeating: 0, count: geometry.pieceCount)
    for i in peers.indices where peers[i].phase == .connected && peers[i].has(.counted) {
      peers[i].have.bitfield.forEach { copies[$0.offset] += 1 }
    }
    for p in copies.indices {
      try require(picker?.copies(of: PieceIndex(p)) == copies[p], "copies are miscounted")
    }
  }

  /// Each request that stands is known to the picker, and the other way round; senders are remembered exactly as long as
  /// needed.
  private func checkRequests() throws(BrokenInvariant) {
    var standing = 0
    for i in peers.indices {
      let queue = peers[i].requests
      try require(queue.live == queue.entries.count { !$0.isReleased })
      for entry in queue.entries where !entry.isReleased {
        standing += 1
        try require(picker?.openPiece(Int(entry.slot), entry.piece) != nil, "a request for a closed piece")
        try require(
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
    try require(standing == known, "requests are miscounted")
    try require(senders.allReferences == references, "senders are miscounted")
  }
}
