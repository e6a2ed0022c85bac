import BlockPool

/// Where a worker's runs come back to from the writers.
final class WriteReturns: Sendable {
  private struct State {
    var runs: [WriteRun] = []
    /// The worker waits on the semaphore.
    var isWaiting = false
    /// The worker was told and has not looked yet.
    var isTold = false
  }

  private let state = Lock(State())
  private let semaphore = Semaphore()

  /// Takes a run that is done. Returns whether the worker has to be told by its queue.
  func add(_ run: inout WriteRun) -> Bool {
    let (isWaiting, tells) = state.withLock { state in
      state.runs.append(WriteRun())
      swap(&state.runs[state.runs.count - 1], &run)
      defer {
        if !state.isWaiting { state.isTold = true }
        state.isWaiting = false
      }
      return (state.isWaiting, !state.isWaiting && !state.isTold)
    }
    if isWaiting { semaphore.post() }
    return tells
  }

  /// Moves what came back into `output`, which must be empty. With `waiting`, until something did.
  func take(into output: inout [WriteRun], waiting: Bool) {
    while true {
      let isDone = state.withLock { state in
        swap(&state.runs, &output)
        state.isTold = false
        state.isWaiting = output.isEmpty && waiting
        return !state.isWaiting
      }
      if isDone { return }
      semaphore.wait()
    }
  }
}

/// A run on its way past the page cache, and the worker it belongs to.
struct WriteJob: Sendable {
  var run: WriteRun
  var worker: Int
}

/// Writes runs past the page cache, which takes as long as the device does. One of a team that shares a queue: the worker
/// that hashed them goes on meanwhile, and the device has more than one thing to do.
final class DirectWriter {
  private let core: DiskCore
  private var io: ContentIO
  private var jobs: [WriteJob] = []

  init(core: DiskCore) {
    self.core = core
    self.io = ContentIO(pool: core.pool, cache: core.cache, leastDirect: core.tuning.route.leastLength)
  }

  func run() {
    while case .jobs = core.writeQueue.take(into: &jobs, limit: 1) {
      // Nothing of the run may stay here: the worker uses its arrays again, and would copy them.
      while let last = jobs.indices.last {
        let worker = jobs[last].worker
        var run = WriteRun()
        swap(&run, &jobs[last].run)
        jobs.removeLast()
        write(&run)
        if core.writeReturns[worker].add(&run) { core.pieceQueues[worker].post { $0.append(.written) } }
      }
    }
  }

  private func write(_ run: inout WriteRun) {
    guard let storage = run.storage else { return }
    let before = io.directBytes
    do throws(StorageFailure) {
      try io.write(run.segments, length: run.length, to: storage, at: run.offset, isDirect: true)
      let now = monotonicNow()
      core.tuning.route.noteRun(nanoseconds: now - run.posted, of: storage, now: now)
    } catch {
      run.failure = error
    }
    core.pool.release(run.segments, readByDevice: true)
    let direct = io.directBytes - before
    let (length, isWritten) = (run.length, run.failure == nil)
    core.count {
      $0.directBytes += direct
      if isWritten {
        $0.writtenBytes += length
        $0.writeCalls += 1
      }
    }
  }
}
