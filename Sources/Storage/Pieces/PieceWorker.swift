import BlockPool
import Hashing
import TorrentModel

enum PieceJob: Sendable {
  case blocks(TorrentStorage, PieceIndex, BlockRun)
  case abandon(TorrentStorage, PieceIndex)
  case notice(TorrentStorage, Gate.WorkerNotice)
  /// The pool ran dry.
  case relieve
  /// Writes past the page cache have ended: see ``WriteReturns``.
  case written
}

/// Puts pieces together, hashes and writes them: the thread that owns them.
///
/// A turn takes all that is queued, sorts blocks into their pieces, and then decides whether to hash and write. Complete
/// pieces wait a moment for company: sixteen are hashed in the time of four, and neighbours are written with one call.
/// Of a piece too long to wait for, in-order segments are hashed and written as they are complete.
final class PieceWorker {
  let core: DiskCore
  let number: Int
  let lanes: SHA1Lanes
  var io: ContentIO
  var table = AssemblyTable()
  /// Blocks of the pool for reading back what was written early.
  let scratch: [BlockID]
  var completions = CompletionBuffer()
  /// Blocks in memory over all pieces.
  var held = 0
  /// Pieces to hash and write, and the blocks of them that are in memory.
  var ready: [Int] = []
  var readyBlocks = 0
  /// Pieces whose hash was wrong the last time, by torrent.
  var failedBefore: [UInt32: Set<PieceIndex>] = [:]
  var pending = WriteRun()
  /// Blocks on their way past the page cache, over all pieces.
  var flying = 0
  /// Pieces that were right and whose last write has ended, and what went wrong with others.
  var landed: [Int] = []
  var failedWrites: [(TorrentStorage, StorageFailure)] = []
  var streamSlots: [StreamID: Int] = [:]
  // Kept between batches, so that steady work takes no memory: pieces that came out right, how far each piece of the
  // batch was given to the lanes, and the order to write in.
  var verified: [Int] = []
  var fed: [Int] = []
  var writeOrder: [WritePlace] = []
  /// Runs to be handed to the writers, runs that came back, and runs to be used again.
  var launching: [WriteJob] = []
  var returned: [WriteRun] = []
  var spareRuns: [WriteRun] = []

  let queue: WorkQueue<PieceJob>
  private var jobs: [PieceJob] = []
  private var tally = JobTally()
  /// When the ready pieces are to be hashed at the latest.
  private var due: Int64 = 0
  /// When pieces were last hashed.
  var lastBatch: Int64 = 0
  private var isAskedToRelieve = false

  var pool: BlockPool { core.pool }
  var tuning: DiskTuning { core.tuning }

  init(core: DiskCore, number: Int, scratch: [BlockID]) {
    self.core = core
    self.number = number
    self.scratch = scratch
    self.lanes = SHA1Lanes(pool: core.pool)
    self.io = ContentIO(pool: core.pool, cache: core.cache)
    self.queue = core.pieceQueues[number]
  }

  func run() {
    while true {
      switch queue.take(into: &jobs, timeout: timeout()) {
      case .closed: return finish()
      case .timeout: break
      case .jobs: take()
      }
      if shouldRunBatch() { runBatch() }
      isAskedToRelieve = relieveIfNeeded(isAskedToRelieve)
      // Last: what was waited for above has told nobody, and nothing else may come that wakes this thread.
      settleWrites()
      // Completions first: whoever is told that a fence was passed has then heard of all before it.
      completions.deliver()
      tally.report(to: core)
    }
  }

  private func timeout() -> Int64? {
    if !ready.isEmpty { return due - monotonicNow() }
    return held > 0 ? tuning.lookTime : nil
  }

  private func take() {
    for job in jobs {
      switch job {
      case .blocks(let storage, let piece, let run):
        take(storage, piece, run)
        tally.add(storage)
      case .abandon(let storage, let piece):
        if let slot = table.find(storage, piece) { drop(slot) }
        tally.add(storage)
      case .notice(let storage, .flush):
        flush(storage)
        tally.add(storage)
      case .notice(let storage, .forget):
        // What is complete was posted before: it still counts, unless the torrent failed.
        if !storage.isStopped.load(ordering: .acquiring) {
          if !ready.isEmpty { runBatch() }
          waitForWrites()
          settleWrites()
        }
        forget(storage)
        tally.add(storage)
      case .relieve: isAskedToRelieve = true
      case .written: break
      }
    }
    jobs.removeAll(keepingCapacity: true)
  }

  private func take(_ storage: TorrentStorage, _ piece: PieceIndex, _ run: BlockRun) {
    guard !storage.isStopped.load(ordering: .acquiring), run.first >= 0,
      run.first + run.count <= storage.geometry.blockCount(of: piece)
    else {
      run.forEach { block, id in
        pool.release(id)
        completions.append(storage, .blockDropped(piece, block: block))
      }
      return
    }
    let slot = table.findOrBegin(storage, piece)
    let taken = table[slot].insert(run) { pool.release($0) }
    guard taken > 0 else { return }
    held += taken
    if table[slot].isReady {
      readyBlocks += taken
    } else if table[slot].isComplete || isSegmentComplete(slot) {
      makeReady(slot)
    }
  }

  /// Whether enough of a long piece is there to be worth hashing and writing.
  private func isSegmentComplete(_ slot: Int) -> Bool {
    table[slot].places.count > 2 * tuning.segmentBlocks
      && table[slot].frontier - table[slot].hashed >= tuning.segmentBlocks
  }

  func makeReady(_ slot: Int) {
    guard !table[slot].isReady else { return }
    table[slot].isReady = true
    if ready.isEmpty {
      let now = monotonicNow()
      // A piece that comes alone, long after the one before, gains nothing by waiting.
      due = now - lastBatch > tuning.holdTime ? now : now + tuning.holdTime
    }
    ready.append(slot)
    readyBlocks += table[slot].held
  }

  private func shouldRunBatch() -> Bool {
    guard !ready.isEmpty else { return false }
    return readyBlocks >= tuning.batchBlocks || monotonicNow() >= due
  }

  // MARK: Letting go

  /// Gives back what is held of a piece and forgets it.
  func drop(_ slot: Int) {
    // Or a write that comes late could replace one of the same block that is right.
    if table[slot].flying > 0 { waitForWrites() }
    if table[slot].isReady {
      ready.removeAll { $0 == slot }
      readyBlocks -= table[slot].held
    }
    release(slot)
    table.remove(slot)
  }

  private func release(_ slot: Int) {
    if let stream = table[slot].stream { lanes.cancel(stream) }
    table[slot].stream = nil
    guard table[slot].held > 0 else { return }
    held -= table[slot].held
    pool.release(table[slot].places.filter(Assembly.isHeld).map { BlockID(rawValue: $0) })
    table[slot].held = 0
  }

  /// Drops all pieces of a torrent and says which.
  func forget(_ storage: TorrentStorage) {
    failedBefore[storage.id] = nil
    var slots: [Int] = []
    table.forEach { slot in
      if table[slot].storage === storage { slots.append(slot) }
    }
    for slot in slots {
      completions.append(storage, .pieceDropped(table[slot].piece))
      drop(slot)
    }
  }

  /// The service shuts down: complete pieces are still written.
  private func finish() {
    if !ready.isEmpty { runBatch() }
    waitForWrites()
    settleWrites()
    completions.deliver()
    var slots: [Int] = []
    table.forEach { slots.append($0) }
    for slot in slots { drop(slot) }
  }

  /// The torrent cannot go on.
  func stop(_ storage: TorrentStorage, _ failure: StorageFailure) {
    core.stop(storage, failure, worker: number, into: &completions)
    forget(storage)
  }
}
