import BlockPool
import TorrentModel

/// How a worker writes: into the page cache itself, or past it by way of the writers.
extension PieceWorker {
  /// Writes the blocks in memory of these pieces that lie before a limit of each, neighbours together.
  /// - Parameter mayBeDirect: whether they may go past the page cache: not what will be read back.
  func write(_ slots: [Int], mayBeDirect: Bool, before limit: (Int) -> Int) {
    writeOrder.removeAll(keepingCapacity: true)
    for slot in slots {
      guard let storage = table[slot].storage else { continue }
      writeOrder.append(
        WritePlace(place: UInt64(storage.id) << 32 | UInt64(table[slot].piece.rawValue), slot: slot))
    }
    writeOrder.sort()
    for index in writeOrder.indices {
      let slot = writeOrder[index].slot
      guard let storage = table[slot].storage else { continue }
      let geometry = storage.geometry
      let piece = table[slot].piece
      let end = limit(slot)
      for block in table[slot].settled..<end where Assembly.isHeld(table[slot].places[block]) {
        let offset = geometry.start(of: piece) + Int64(block * blockLength)
        if pending.storage !== storage || pending.offset + pending.length != offset
          || pending.segments.count == DiskTuning.runBlocks
        {
          flushRun(mayBeDirect: mayBeDirect)
          // The torrent stopped, and this piece with it.
          guard table[slot].storage != nil else { break }
          pending.storage = storage
          pending.offset = offset
        }
        let count = geometry.length(ofBlock: block, in: piece)
        pending.segments.append(
          BlockSegment(block: BlockID(rawValue: table[slot].places[block]), count: count))
        pending.origins.append((slot, block))
        pending.length += Int64(count)
      }
    }
    flushRun(mayBeDirect: mayBeDirect)
    launch()
    for slot in slots where table[slot].storage != nil { table[slot].settled = table[slot].hashed }
  }

  private func flushRun(mayBeDirect: Bool) {
    guard let storage = pending.storage else { return }
    let now = monotonicNow()
    if mayBeDirect, tuning.route.isDirect(length: pending.length, of: storage, now: now) {
      pending.posted = now
      return queueRun()
    }
    defer { pending.clear() }
    do throws(StorageFailure) {
      try io.write(pending.segments, length: pending.length, to: storage, at: pending.offset)
    } catch {
      return stop(storage, error)
    }
    letGo(as: Assembly.onDisk)
    pool.release(pending.segments)
    let length = pending.length
    core.count {
      $0.writtenBytes += length
      $0.writeCalls += 1
    }
  }

  /// The blocks of the pending run are no longer the worker's.
  private func letGo(as place: Assembly.Place) {
    for (slot, block) in pending.origins {
      table[slot].places[block] = place
      table[slot].held -= 1
      if table[slot].isReady { readyBlocks -= 1 }
    }
    held -= pending.segments.count
  }

  // MARK: Past the page cache

  /// Puts the pending run among those that are handed over together.
  private func queueRun() {
    letGo(as: Assembly.inFlight)
    for (slot, _) in pending.origins { table[slot].flying += 1 }
    flying += pending.segments.count
    var run = spareRuns.popLast() ?? WriteRun()
    swap(&run, &pending)
    launching.append(WriteJob(run: run, worker: number))
    guard flying >= tuning.flightBlocks else { return }
    // The device is behind. Half of it first: then there is something to do for it again before it is idle.
    launch()
    while flying > tuning.flightBlocks / 2 { absorb(waiting: true) }
  }

  private func launch() {
    guard !launching.isEmpty else { return }
    core.writeQueue.post { $0.append(contentsOf: launching) }
    launching.removeAll(keepingCapacity: true)
  }

  /// Waits until nothing is on its way past the page cache.
  func waitForWrites() {
    launch()
    while flying > 0 { absorb(waiting: true) }
  }

  /// Notes which writes have ended. What follows from it is left to ``settleWrites()``: pieces stay where they are.
  private func absorb(waiting: Bool) {
    core.writeReturns[number].take(into: &returned, waiting: waiting)
    for i in returned.indices {
      // Taken out, for clearing a run that is in two places would copy its arrays.
      var run = WriteRun()
      swap(&run, &returned[i])
      flying -= run.segments.count
      for (slot, block) in run.origins {
        table[slot].places[block] = Assembly.onDisk
        table[slot].flying -= 1
        if table[slot].flying == 0, table[slot].awaitsWrites { landed.append(slot) }
      }
      if let failure = run.failure, let storage = run.storage { failedWrites.append((storage, failure)) }
      run.clear()
      spareRuns.append(run)
    }
    returned.removeAll(keepingCapacity: true)
  }

  /// Reports the pieces whose writes have ended, and stops torrents that could not be written.
  func settleWrites() {
    if flying > 0 { absorb(waiting: false) }
    while let (storage, failure) = failedWrites.popLast() { stop(storage, failure) }
    for slot in landed {
      guard let storage = table[slot].storage, table[slot].awaitsWrites, table[slot].flying == 0 else {
        continue
      }
      completions.append(storage, .pieceVerified(table[slot].piece, digests: nil))
      table.remove(slot)
    }
    landed.removeAll(keepingCapacity: true)
  }
}
