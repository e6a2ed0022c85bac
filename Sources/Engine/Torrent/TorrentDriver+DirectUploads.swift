import BlockPool
import PeerWire
import Storage
import Swarm
import TorrentModel

/// Blocks that go from the page cache to the socket without passing through memory of ours.
///
/// Only what the kernel takes at once goes this way: nothing keeps referring to the file. The block that the socket had
/// room for a part of is finished through the pool.
extension TorrentDriver {
  enum DirectUpload {
    /// The next block has to be read.
    case impossible
    /// All that was tried left; so many bytes of payload.
    case sent(Int)
    /// The socket has no more room, and what was begun is queued; so many bytes of payload.
    case full(Int)
  }

  /// Requests of the queue that are sent together: blocks that follow each other in a piece.
  struct UploadRun {
    /// Number of the first block in its piece.
    var first = 0
    var count = 0
    /// Bytes.
    var length = 0
  }

  /// The requests at the head of the peer's queue that can be answered with one read. Empty when the first is an odd one,
  /// or its block is in the cache.
  func uploadRun(of peer: PeerConnection, limit: Int) -> UploadRun {
    guard let request = peer.uploads.first, Int(request.begin) % blockLength == 0 else { return UploadRun() }
    var run = UploadRun(first: Int(request.begin) / blockLength)
    for next in peer.uploads {
      let begin = (run.first + run.count) * blockLength
      guard run.count < limit, next.piece == request.piece, Int(next.length) <= blockLength,
        Int(next.begin) == begin,
        context.cache.lookup(cacheKey(next.piece, run.first + run.count)) == .missing
      else { break }
      run.count += 1
      run.length += Int(next.length)
      if Int(next.length) < blockLength { break }
    }
    return run
  }

  /// Sends the next run of the peer's queue straight from the page cache, as far as the socket has room.
  func sendDirectly(to peer: PeerConnection, _ key: PeerKey) -> DirectUpload {
    let run = uploadRun(of: peer, limit: peer.directRunLimit)
    // Without a block to finish what the socket cuts through, nothing may be begun.
    guard run.count > 0, let piece = peer.uploads.first?.piece, let spare = context.cache.takeSpare() else {
      return .impossible
    }
    context.output.flush()
    var headers: [UInt8] = []
    swap(&headers, &context.headerBuffer)
    for i in 0..<run.count { PeerMessage.piece(peer.uploads[i]).append(to: &headers) }
    let offset = geometry.start(of: piece) + Int64(run.first * blockLength)
    let sent = context.pageCache.send(offset, run.length, of: storage) { mapping, place in
      peer.write(place..<place + Int64(run.length), of: mapping, headers: headers.span)
    }
    headers.removeAll(keepingCapacity: true)
    swap(&headers, &context.headerBuffer)
    guard let sent else {
      context.cache.returnSpare(spare)
      // Where the disk has to be read anyway, long runs are looked up in vain.
      peer.directRunLimit = max(PeerConnection.shortestDirectRun, peer.directRunLimit / 2)
      return .impossible
    }
    return took(sent, of: run, piece, spare: spare, peer, key)
  }

  /// The kernel took `sent` bytes of a run's messages.
  private func took(
    _ sent: Int, of run: UploadRun, _ piece: PieceIndex, spare: BlockID, _ peer: PeerConnection,
    _ key: PeerKey
  ) -> DirectUpload {
    var rest = sent
    var payload = 0
    for block in run.first..<run.first + run.count {
      guard let request = peer.uploads.first else { break }
      let length = PieceHeader.length + Int(request.length)
      guard rest >= length else {
        guard context.readAtHand(self, piece: piece, block: block, into: spare) else {
          // A message that was not begun can be read as others are.
          if rest == 0 { return payload > 0 ? .sent(payload) : .impossible }
          peer.close(.unreadableBlock, detail: "the rest of a block was no longer in memory")
          return .full(payload)
        }
        queueRest(of: request, block, from: rest, to: peer)
        payload += finished(request, peer, key)
        peer.waitForEmptyOutput()
        peer.directRunLimit = max(
          PeerConnection.shortestDirectRun, min(peer.directRunLimit, 2 * (block - run.first)))
        return .full(payload)
      }
      rest -= length
      context.counters.blocksSentDirectly += 1
      payload += finished(request, peer, key)
    }
    context.cache.returnSpare(spare)
    if run.count == peer.directRunLimit {
      peer.directRunLimit = min(PeerConnection.longestDirectRun, 2 * peer.directRunLimit)
    }
    return .sent(payload)
  }

  private func finished(_ request: BlockRequest, _ peer: PeerConnection, _ key: PeerKey) -> Int {
    peer.uploads.removeFirst()
    context.counters.blocksSent += 1
    swarm?.uploadFinished(key, request, now: now)
    return Int(request.length)
  }

  /// Queues a message whose first `sent` bytes have left.
  private func queueRest(of request: BlockRequest, _ block: Int, from sent: Int, to peer: PeerConnection) {
    if sent < PieceHeader.length {
      var header: [UInt8] = []
      PeerMessage.piece(request).append(to: &header)
      peer.write(header.span.extracting(sent...))
    }
    let offset = max(0, sent - PieceHeader.length)
    writeCached(request.piece, block, from: offset, count: Int(request.length) - offset, to: peer)
  }
}
