import BlockPool
import Synchronization
import TorrentModel

/// Numbers that follow from the pool's size and the number of threads.
struct DiskTuning: Sendable {
  /// Blocks of a segment: what is hashed and written at a time of a piece too long to wait for. 1 MiB, less with a small
  /// pool.
  var segmentBlocks: Int
  /// Blocks of complete pieces and segments that a worker gathers before it hashes and writes them.
  var batchBlocks: Int
  /// Blocks a worker may hold before it writes out unfinished pieces.
  var heldBlocks: Int
  /// With fewer blocks free in the pool than this, workers write out what they hold, whatever state it is in.
  var lowWater: Int
  /// Blocks that are free after that in any case, if the workers hold as many. More than a loop leaves to uploads, or the
  /// connections that wait for the pool would go on waiting.
  var feedWater: Int
  /// Blocks that are to be free after that if long runs are enough to write for it.
  var relievedWater: Int
  /// Blocks of a torrent that may wait behind a job that runs alone.
  var waitingBlocks: Int
  /// Nanoseconds a complete piece waits for others to fill the lanes, and for neighbours to be written with.
  var holdTime: Int64 = 20_000_000
  /// Nanoseconds after which a worker that holds blocks looks whether the pool ran dry.
  var lookTime: Int64 = 100_000_000
  /// Blocks each worker keeps for reading back what it had to write early.
  var workerScratch: Int
  /// Blocks each checking thread reads into.
  var checkScratch: Int
  /// Blocks a worker has on their way past the page cache before it waits.
  var flightBlocks: Int
  /// Which way verified data goes to the device.
  var route: WriteRoute
  /// Bytes of pieces that a checking thread takes at a time, unless sixteen pieces are more.
  var sliceLength = 16 << 20

  /// The longest run of one write, in blocks.
  static let runBlocks = 256

  init(capacity: Int, workers: Int, checkers: Int, writes: WriteMode = .automatic) {
    segmentBlocks = max(1, min(64, capacity / 64))
    batchBlocks = max(1, min(1024, capacity / 4 / workers))
    heldBlocks = max(1, capacity / 2 / workers)
    lowWater = max(2, capacity / 16)
    feedWater = capacity / 8 + min(16, capacity / 16)
    relievedWater = max(feedWater, capacity / 4)
    waitingBlocks = max(1, capacity / 16)
    flightBlocks = max(1, capacity * 3 / 8 / workers)
    route = WriteRoute(mode: writes)
    workerScratch = max(1, min(32, capacity / (128 * workers)))
    checkScratch = max(1, min(128, capacity / (16 * checkers)))
  }
}

/// What the disk did so far.
public struct DiskStatistics: Sendable, Equatable {
  /// Payload, and the vectored calls it took; several with files side by side.
  public var writtenBytes: Int64 = 0
  public var writeCalls: Int64 = 0
  /// Payload written past the page cache.
  public var directBytes: Int64 = 0
  public var readBytes: Int64 = 0
  public var readCalls: Int64 = 0
  /// Runs of the hash lanes, and the pieces or segments they took together.
  public var hashRuns: Int64 = 0
  public var hashedParts: Int64 = 0
}

/// What all threads of a ``DiskService`` share.
final class DiskCore: Sendable {
  let pool: BlockPool
  let cache: FileCache
  let tuning: DiskTuning
  let pieceQueues: [WorkQueue<PieceJob>]
  let writeReturns: [WriteReturns]
  let writeQueue = WorkQueue<WriteJob>()
  let readQueue = WorkQueue<ReadJob>()
  let controlQueue = WorkQueue<ControlJob>()
  let checkQueue = WorkQueue<CheckTask>()
  let checkerCount: Int
  private let closing = Atomic<Bool>(false)
  private let counts = Lock(DiskStatistics())

  init(pool: BlockPool, cache: FileCache, workers: Int, checkers: Int, tuning: DiskTuning) {
    self.checkerCount = checkers
    self.pool = pool
    self.cache = cache
    self.tuning = tuning
    self.pieceQueues = (0..<workers).map { _ in WorkQueue() }
    self.writeReturns = (0..<workers).map { _ in WriteReturns() }
  }

  var statistics: DiskStatistics { counts.withLock { $0 } }

  func count(_ change: (inout DiskStatistics) -> Void) { counts.withLock { change(&$0) } }

  /// The worker a piece belongs to. Pieces of one stretch of a MiB share one, so that neighbours can be written together.
  func worker(of piece: PieceIndex, in storage: TorrentStorage) -> Int {
    let stretch = max(1, (1 << 20) / storage.geometry.pieceLength)
    let mixed = (UInt64(storage.id) << 32 | UInt64(piece.offset / stretch)) &* 0x9e37_79b9_7f4a_7c15
    return Int((mixed >> 32) % UInt64(pieceQueues.count))
  }

  /// Takes a batch through the torrents' gates and to the threads. Empties it.
  func submit(_ jobs: inout [DiskJob]) {
    var next = 0
    // Jobs before `kept` have passed and are still to be dispatched.
    var kept = 0
    while next < jobs.count {
      let storage = jobs[next].storage
      var special: Gate.Admission?
      storage.gate.withLock { gate in
        while next < jobs.count, jobs[next].storage === storage, special == nil {
          let job = jobs[next]
          if job.work.isLong { storage.longJobs.add(1, ordering: .relaxed) }
          let admission = gate.admit(job, blockLimit: waitingLimit, workers: pieceQueues.count)
          switch admission {
          case .run:
            jobs[kept] = job
            kept += 1
          case .later: break
          case .drop, .announce, .start: special = admission
          }
          next += 1
        }
      }
      guard let special else { continue }
      // Rare. What passed before has to be on its way before this.
      if case .drop = special {
        drop(jobs[next - 1])
        continue
      }
      dispatch(jobs[..<kept])
      kept = 0
      act(on: special, storage)
    }
    dispatch(jobs[..<kept])
    jobs.removeAll(keepingCapacity: true)
  }

  /// Blocks that may wait behind a job that runs alone: none when the pool is short, for they hold it up.
  private var waitingLimit: Int { pool.available < tuning.lowWater ? 0 : tuning.waitingBlocks }

  private func drop(_ job: DiskJob) {
    guard case .blocks(let piece, let run) = job.work else { return }
    run.forEach { block, id in
      pool.release(id)
      deliver(job.storage, .blockDropped(piece, block: block))
    }
  }

  func deliver(_ storage: TorrentStorage, _ event: DiskCompletion.Event) {
    var completions = [DiskCompletion(storage: storage, event: event)]
    storage.port.deliver(&completions)
  }

  private func act(on admission: Gate.Admission, _ storage: TorrentStorage) {
    switch admission {
    case .announce(let notice):
      for queue in pieceQueues { queue.post { $0.append(.notice(storage, notice)) } }
    case .start(let job): controlQueue.post { $0.append(.alone(job)) }
    case .run, .later, .drop: break
    }
  }

  /// Puts jobs that may run into the queues: one lock and at most one wake-up for each queue.
  private func dispatch(_ jobs: ArraySlice<DiskJob>) {
    guard !jobs.isEmpty else { return }
    var hasReads = false
    var hasSaves = false
    // Workers beyond 64 share bits; a queue with no job for it is only looked at in vain.
    var mask: UInt64 = 0
    for job in jobs {
      switch job.work {
      case .blocks(let piece, _), .abandon(let piece):
        mask |= 1 << UInt64(worker(of: piece, in: job.storage) & 63)
      case .read: hasReads = true
      default: hasSaves = true
      }
    }
    for number in pieceQueues.indices where mask & 1 << UInt64(number & 63) != 0 {
      pieceQueues[number].post { queue in
        for job in jobs {
          switch job.work {
          case .blocks(let piece, let run):
            if worker(of: piece, in: job.storage) == number { queue.append(.blocks(job.storage, piece, run)) }
          case .abandon(let piece):
            if worker(of: piece, in: job.storage) == number { queue.append(.abandon(job.storage, piece)) }
          default: break
          }
        }
      }
    }
    if hasReads {
      readQueue.post { queue in
        for job in jobs {
          if case .read(let read) = job.work { queue.append(ReadJob(storage: job.storage, read: read)) }
        }
      }
    }
    if hasSaves {
      controlQueue.post { queue in
        for job in jobs {
          if case .save = job.work { queue.append(.save(job)) }
        }
      }
    }
  }

  /// Lets the threads finish what is queued and end.
  func close() {
    closing.store(true, ordering: .relaxed)
    for queue in pieceQueues { queue.close() }
    readQueue.close()
    checkQueue.close()
    controlQueue.close()
  }

  /// Gives back the blocks of jobs that reached a queue when its thread had ended. Only after all threads have.
  func releaseStragglers() {
    var jobs: [PieceJob] = []
    for queue in pieceQueues {
      guard case .jobs = queue.take(into: &jobs) else { continue }
      for case .blocks(_, _, let run) in jobs { run.forEach { pool.release($1) } }
      jobs.removeAll()
    }
  }

  /// The service shuts down: long jobs end early.
  var isClosing: Bool { closing.load(ordering: .relaxed) }

  /// Jobs of a torrent were done by a thread.
  func finished(_ storage: TorrentStorage, _ count: Int) {
    if let job = storage.gate.withLock({ $0.finish(count) }) { act(on: .start(job), storage) }
  }

  func finishedSave(_ storage: TorrentStorage) {
    let next = storage.gate.withLock { $0.finishSave() }
    if let save = next.save { controlQueue.post { $0.append(.save(save)) } }
    if let job = next.alone { act(on: .start(job), storage) }
  }

  /// The job that ran alone is done: what came after it moves up.
  func finishedAlone(_ storage: TorrentStorage) {
    while true {
      switch storage.gate.withLock({ $0.resume(workers: pieceQueues.count) }) {
      case .open: return
      case .dispatch(let jobs): dispatch(jobs[...])
      case .alone(let admission): return act(on: admission, storage)
      }
    }
  }

  /// A torrent cannot go on. The workers forget its blocks; `worker` has done so already. Says so once.
  func stop(
    _ storage: TorrentStorage, _ failure: StorageFailure, worker: Int?,
    into completions: inout CompletionBuffer
  ) {
    if let file = failure.file {
      switch failure.cause {
      case .diskFull, .permission, .tooManyFiles, .fileTooLarge, .symbolicLink: break
      case .inputOutput, .fileMissing, .fileTruncated, .wrongKind, .other: storage.distrust(file: file)
      }
    }
    guard !storage.isStopped.exchange(true, ordering: .acquiringAndReleasing) else { return }
    completions.append(storage, .failed(failure))
    let others = pieceQueues.indices.filter { $0 != worker }
    storage.gate.withLock { $0.beginNotices(others.count) }
    for other in others { pieceQueues[other].post { $0.append(.notice(storage, .forget)) } }
  }
}

extension DiskJob.Work {
  var isLong: Bool {
    switch self {
    case .check, .hash: true
    default: false
    }
  }
}
