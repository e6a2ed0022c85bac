import BlockPool
import Hashing
import TorrentModel

/// Where a piece stands among those to be written: by torrent, then by number.
struct WritePlace: Comparable {
  var place: UInt64
  var slot: Int

  static func < (a: WritePlace, b: WritePlace) -> Bool { a.place < b.place }
}

extension PieceWorker {
  /// Hashes everything in order of all ready pieces, writes it, and reports pieces that are complete.
  func runBatch() {
    var batch: [Int] = []
    swap(&batch, &ready)
    readyBlocks = 0
    lastBatch = monotonicNow()
    for slot in batch { table[slot].isReady = false }
    hash(batch)
    verified.removeAll(keepingCapacity: true)
    var digests: [Int: [UInt64]] = [:]
    for slot in batch {
      guard let storage = table[slot].storage, table[slot].hashed == table[slot].places.count else {
        continue
      }
      let piece = table[slot].piece
      guard table[slot].isRight else {
        failedBefore[storage.id, default: []].insert(piece)
        let found = blockDigests(of: slot)
        guard table[slot].storage != nil else { continue }
        completions.append(storage, .pieceFailed(piece, digests: found ?? []))
        drop(slot)
        continue
      }
      if !failedBefore.isEmpty, failedBefore[storage.id]?.remove(piece) != nil {
        if failedBefore[storage.id]?.isEmpty == true { failedBefore[storage.id] = nil }
        digests[slot] = blockDigests(of: slot)
      }
      verified.append(slot)
    }
    // Digests are rare, and would have to be kept until the writes end.
    write(batch, mayBeDirect: digests.isEmpty) { table[$0].hashed }
    for slot in verified {
      // Dropped meanwhile when its torrent could not be written.
      guard let storage = table[slot].storage else { continue }
      guard table[slot].flying == 0 else {
        table[slot].awaitsWrites = true
        continue
      }
      let found = digests.isEmpty ? nil : digests[slot]
      completions.append(storage, .pieceVerified(table[slot].piece, digests: found))
      table.remove(slot)
    }
    // The array goes back for the next batch, unless a piece became ready meanwhile.
    if ready.isEmpty {
      batch.removeAll(keepingCapacity: true)
      swap(&batch, &ready)
    }
  }

  // MARK: Hashing

  /// Takes the hash of each piece as far as its blocks are there without a gap. Sets `isRight` for those that end.
  private func hash(_ batch: [Int]) {
    for slot in batch where table[slot].stream == nil { table[slot].stream = lanes.open() }
    for slot in batch {
      if let stream = table[slot].stream { streamSlots[stream] = slot }
    }
    fed.removeAll(keepingCapacity: true)
    for slot in batch { fed.append(table[slot].hashed) }
    while true {
      // Blocks that were written early are read back, a few of each piece in a round.
      var scratchUsed = 0
      let waiting = batch.indices.count { fed[$0] < table[batch[$0]].frontier }
      let share = max(1, scratch.count / max(1, waiting))
      var isDone = true
      for i in batch.indices where table[batch[i]].storage != nil {
        let slot = batch[i]
        let end = table[slot].frontier
        guard fed[i] < end else { continue }
        fed[i] = feed(slot, from: fed[i], to: end, share: share, scratchUsed: &scratchUsed)
        if fed[i] < end { isDone = false }
        if fed[i] == table[slot].places.count, let stream = table[slot].stream { lanes.finish(stream) }
      }
      lanes.run { stream, digest in
        guard let slot = streamSlots[stream], let storage = table[slot].storage else { return }
        table[slot].stream = nil
        table[slot].isRight = storage.isRight(digest, for: table[slot].piece)
      }
      if isDone { break }
    }
    for slot in batch where table[slot].storage != nil { table[slot].hashed = table[slot].frontier }
    streamSlots.removeAll(keepingCapacity: true)
    core.count {
      $0.hashRuns += 1
      $0.hashedParts += Int64(batch.count)
    }
  }

  /// Queues blocks of a piece for the lanes. Returns how far it came: to the end, or to where scratch ran out.
  private func feed(_ slot: Int, from start: Int, to end: Int, share: Int, scratchUsed: inout Int) -> Int {
    guard let storage = table[slot].storage, let stream = table[slot].stream else { return end }
    let piece = table[slot].piece
    var block = start
    var left = share
    while block < end {
      let place = table[slot].places[block]
      if Assembly.isHeld(place) {
        let count = storage.geometry.length(ofBlock: block, in: piece)
        lanes.append(stream, block: BlockID(rawValue: place), count: count)
        block += 1
        continue
      }
      var count = 0
      while block + count < end, count < left, scratchUsed + count < scratch.count,
        table[slot].places[block + count] == Assembly.onDisk
      { count += 1 }
      guard count > 0 else { return block }
      let blocks = scratch[scratchUsed..<scratchUsed + count]
      guard readBack(storage, piece, block, into: blocks) else { return end }
      for id in blocks {
        lanes.append(stream, block: id, count: storage.geometry.length(ofBlock: block, in: piece))
        block += 1
      }
      left -= count
      scratchUsed += count
    }
    return block
  }

  /// Reads blocks that were written early. When that fails the torrent stops.
  private func readBack(
    _ storage: TorrentStorage, _ piece: PieceIndex, _ first: Int, into blocks: ArraySlice<BlockID>
  ) -> Bool {
    var segments: [BlockSegment] = []
    var length: Int64 = 0
    for (i, id) in blocks.enumerated() {
      let count = storage.geometry.length(ofBlock: first + i, in: piece)
      segments.append(BlockSegment(block: id, count: count))
      length += Int64(count)
    }
    do throws(StorageFailure) {
      let offset = storage.geometry.start(of: piece) + Int64(first * blockLength)
      try io.read(segments, length: length, from: storage, at: offset)
      return true
    } catch {
      stop(storage, error)
      return false
    }
  }

  /// A digest for each block of a piece that is all there. Nil when it cannot be read back.
  private func blockDigests(of slot: Int) -> [UInt64]? {
    guard let storage = table[slot].storage else { return nil }
    if table[slot].flying > 0 { waitForWrites() }
    let piece = table[slot].piece
    var digests: [UInt64] = []
    digests.reserveCapacity(table[slot].places.count)
    for block in table[slot].places.indices {
      let place = table[slot].places[block]
      var id = BlockID(rawValue: place)
      if !Assembly.isHeld(place) {
        guard readBack(storage, piece, block, into: scratch[..<1]) else { return nil }
        id = scratch[0]
      }
      digests.append(blockDigest(of: id, count: storage.geometry.length(ofBlock: block, in: piece), in: pool))
    }
    return digests
  }
}
