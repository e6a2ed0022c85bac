import TorrentModel

/// What a worker does when it holds too much, or when the pool runs dry.
///
/// Every block a worker holds can be let go of without another one: a complete piece is hashed and written, the in-order
/// part of an unfinished one as well, and the rest is written as it is and read back, through a few blocks kept for that,
/// when the hash gets there. So a pool that is all in Storage's hands is never stuck, however long the pieces.
extension PieceWorker {
  /// Segments shorter than this are left alone at first: short writes cost.
  private static let worthwhileBlocks = 16

  /// - Parameter isAsked: whether somebody waits for the pool (``DiskService/relievePool()``).
  /// - Returns: whether that still has to be answered: blocks that are queued come first.
  func relieveIfNeeded(_ isAsked: Bool) -> Bool {
    guard held > 0 else { return false }
    let isOverBudget = held - readyBlocks > tuning.heldBlocks
    guard isAsked || isOverBudget || pool.available < tuning.lowWater else { return false }
    // What is ready first: it gives most for least.
    if !ready.isEmpty { runBatch() }
    var isEnough: Bool {
      // What is on its way to the device is as good as free.
      held == 0
        || (pool.available + flying >= tuning.relievedWater && held <= tuning.heldBlocks * 3 / 4)
    }
    // Blocks that wait in the queue may complete what is unfinished now: those first.
    if isEnough { return false }
    if queue.hasJobs { return isAsked }
    writeInOrderParts(of: PieceWorker.worthwhileBlocks) { isEnough }
    if isEnough || pool.available + flying >= tuning.feedWater { return false }
    writeInOrderParts(of: 1) { isEnough }
    if isEnough { return false }
    spill(fullestFirst(least: 1) { table[$0].held }) { isEnough }
    return false
  }

  /// Pieces by some count of blocks, the largest first.
  private func fullestFirst(least: Int, _ count: (Int) -> Int) -> [Int] {
    var found: [(slot: Int, count: Int)] = []
    table.forEach { slot in
      let blocks = count(slot)
      if blocks >= least { found.append((slot, blocks)) }
    }
    return found.sorted { $0.count > $1.count }.map { $0.slot }
  }

  /// Hashes and writes what is there without a gap of unfinished pieces, a lane-full at a time.
  private func writeInOrderParts(of least: Int, until isEnough: () -> Bool) {
    let slots = fullestFirst(least: least) { table[$0].frontier - table[$0].hashed }
    var next = 0
    while next < slots.count, !isEnough() {
      for slot in slots[next..<min(next + 16, slots.count)] where table[slot].storage != nil {
        makeReady(slot)
      }
      next += 16
      if !ready.isEmpty { runBatch() }
    }
  }

  /// Writes all that is in memory of pieces, hashed or not.
  private func spill(_ slots: [Int], until isEnough: () -> Bool) {
    for slot in slots where table[slot].storage != nil {
      write([slot], mayBeDirect: false) { table[$0].places.count }
      if isEnough() { return }
    }
  }

  /// Writes all blocks of a torrent: a job is about to run that must find everything on the disk.
  func flush(_ storage: TorrentStorage) {
    if !ready.isEmpty { runBatch() }
    let slots = fullestFirst(least: 1) { table[$0].storage === storage ? table[$0].held : 0 }
    spill(slots) { false }
    waitForWrites()
    settleWrites()
  }
}
