import BlockPool
import PeerWire
import Storage
import Swarm
import TorrentModel

/// Blocks on their way out: from the disk into the read cache, and from there, by reference, to the socket.
extension TorrentDriver {
  func queueUpload(_ block: BlockRequest, to key: PeerKey) {
    guard let peer = peer(key) else { return }
    peer.uploads.append(block)
    guard !peer.isGivenUploads else { return }
    peer.isGivenUploads = true
    givenUploads.append(peer)
  }

  /// All blocks that are to go out now are queued: what a peer gets is read and sent in runs.
  func sendQueuedUploads() {
    guard !givenUploads.isEmpty else { return }
    var peers: [PeerConnection] = []
    swap(&peers, &givenUploads)
    for peer in peers {
      peer.isGivenUploads = false
      // Otherwise the queue moves when the output does.
      if peer.isOpen, peer.hasRoomForOutput { sendUploads(to: peer) }
    }
    if givenUploads.isEmpty {
      peers.removeAll(keepingCapacity: true)
      givenUploads = peers
    }
  }

  func dropUpload(_ block: BlockRequest, to key: PeerKey) {
    guard let peer = peer(key), let index = peer.uploads.firstIndex(of: block) else { return }
    peer.uploads.remove(at: index)
    swarm?.uploadDropped(key, block, now: now)
  }

  /// Sends what is in the cache or at hand as far as the output has room, and reads ahead what is not.
  func sendUploads(to peer: PeerConnection) {
    guard let key = peer.key, let swarm else { return }
    var sent = 0
    var unflushed = 0
    sending: while let block = peer.uploads.first, peer.hasRoomForOutput {
      if !isUploadLimited, unflushed == 0 {
        switch sendDirectly(to: peer, key) {
        case .sent(let count):
          sent += count
          continue sending
        case .full(let count):
          sent += count
          break sending
        case .impossible: break
        }
      }
      peer.waitForShortOutput()
      if isUploadLimited,
        context.uploads.grant(Int(block.length), from: uploadNode, now: now) < Int(block.length)
      {
        throttle(peer)
        break
      }
      guard isCached(block) || readAtHand(for: peer) else {
        if isUploadLimited { context.uploads.charge(-Int(block.length), to: uploadNode, now: now) }
        readAhead(block, for: peer)
        break
      }
      peer.uploads.removeFirst()
      send(block, to: peer)
      swarm.uploadFinished(key, block, now: now)
      sent += Int(block.length)
      unflushed += Int(block.length)
      if unflushed >= Self.flushLength {
        flush(peer)
        unflushed = 0
      }
    }
    if unflushed > 0 { flush(peer) }
    if sent > 0 {
      swarm.payloadSent(key, sent, now: now)
      context.touch(self)
    }
  }

  /// The numbers of the 16 KiB blocks that a request touches: one for a usual request, more for an odd one.
  private func blocks(of request: BlockRequest) -> ClosedRange<Int> {
    Int(request.begin) / blockLength...(Int(request.begin) + Int(request.length) - 1) / blockLength
  }

  func cacheKey(_ piece: PieceIndex, _ block: Int) -> CacheKey {
    CacheKey(torrent: slot, piece: piece.rawValue, block: UInt32(block))
  }

  private func isCached(_ request: BlockRequest) -> Bool {
    for block in blocks(of: request) {
      guard case .ready = context.cache.lookup(cacheKey(request.piece, block)) else { return false }
    }
    return true
  }

  private func send(_ request: BlockRequest, to peer: PeerConnection) {
    context.output.append(.piece(request), to: peer)
    context.output.flush()
    context.counters.blocksSent += 1
    var offset = Int(request.begin)
    var rest = Int(request.length)
    for block in blocks(of: request) {
      let start = offset - block * blockLength
      let count = writeCached(request.piece, block, from: start, count: rest, to: peer)
      offset += count
      rest -= count
    }
  }

  /// Queues up to `count` bytes of a block of the cache, from `start` on, and returns how many there are.
  @discardableResult
  func writeCached(_ piece: PieceIndex, _ block: Int, from start: Int, count: Int, to peer: PeerConnection)
    -> Int
  {
    let key = cacheKey(piece, block)
    guard case .ready(let id, let filled) = context.cache.lookup(key) else { return 0 }
    let count = min(count, filled - start)
    context.cache.pin(key)
    if !peer.write(block: id, offset: start, count: count) { _ = context.cache.unpin(id) }
    return count
  }

  /// Bytes that are sent at once: so few that they are still in the processor's cache, so many that a call costs little.
  private static let flushLength = BlockRead.maximumBlocks * blockLength

  /// Sends what was queued, and takes back the blocks that left: the next ones are read into the same memory.
  private func flush(_ peer: PeerConnection) {
    peer.flush()
    context.loop.returnBlocks()
  }

  /// Reads the next block of the peer's queue without waiting, and with it those in the queue that follow it in the piece.
  private func readAtHand(for peer: PeerConnection) -> Bool {
    let run = uploadRun(of: peer, limit: BlockRead.maximumBlocks)
    guard run.count > 0, let request = peer.uploads.first else { return false }
    return context.readAtHand(self, piece: request.piece, first: run.first, count: run.count)
  }

  /// Reads the blocks of the request, and with them those behind that the peer is likely to ask for next.
  private func readAhead(_ request: BlockRequest, for peer: PeerConnection) {
    for block in blocks(of: request) {
      switch context.cache.lookup(cacheKey(request.piece, block)) {
      case .ready, .reading: continue
      case .missing:
        let behind = geometry.blockCount(of: request.piece) - block
        _ = context.startRead(self, piece: request.piece, first: block, wanted: min(behind, readAheadBlocks))
      }
    }
    wait(peer)
  }

  /// A run long enough that a worker's hand-over costs little, short enough that many peers share the cache.
  private var readAheadBlocks: Int {
    max(1, min(BlockRead.maximumBlocks, context.cache.limit / max(1, 2 * peers.count)))
  }

  private func wait(_ peer: PeerConnection) {
    guard !peer.isWaitingForRead else { return }
    peer.isWaitingForRead = true
    waitingForRead.append(peer)
  }

  /// A run was read, or could not be.
  func readFinished(_ piece: PieceIndex, failure: StorageFailure?) {
    let peers = waitingForRead
    waitingForRead.removeAll(keepingCapacity: true)
    for peer in peers {
      peer.isWaitingForRead = false
      guard peer.isOpen, let key = peer.key else { continue }
      if failure != nil, let block = peer.uploads.first, block.piece == piece {
        peer.uploads.removeFirst()
        swarm?.uploadDropped(key, block, now: now)
      }
      sendUploads(to: peer)
    }
    if let failure { readFailed(failure) }
    context.touch(self)
  }
}
