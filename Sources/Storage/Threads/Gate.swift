import TorrentModel

/// Keeps the order between a torrent's jobs that run side by side and those that run alone. Nobody waits at it: jobs that
/// may not run yet are put aside, and whoever finishes the last one before sets the next going.
struct Gate: Sendable {
  /// Jobs under way that a job which runs alone has to wait for.
  private var inFlight = 0
  /// The job that runs alone, or waits to.
  private var alone: DiskJob?
  private var isAloneRunning = false
  /// Jobs that were put aside are being dispatched; newcomers stay behind them.
  private var isDraining = false
  /// Jobs posted behind it.
  private var later: [DiskJob] = []
  private var laterBlocks = 0
  /// Whether workers may hold blocks of the torrent.
  private var mayHoldBlocks = false
  /// A save is under way, others wait behind it.
  private var isSaving = false
  private var saves: [DiskJob] = []

  enum Admission {
    case run
    /// Put aside.
    case later
    /// Blocks that came while another job runs alone and too many wait already.
    case drop
    /// A job that runs alone was put aside until its turn; workers have to see this first.
    case announce(WorkerNotice)
    /// A job that runs alone may start.
    case start(DiskJob)
  }

  /// Whether a read may go on beside what is under way: no job runs alone or waits to, and none can before the thread that
  /// posts the torrent's jobs posts it.
  var isOpen: Bool { alone == nil && !isDraining }

  /// What workers do with a torrent's blocks before a job runs alone.
  enum WorkerNotice: Sendable {
    /// Write all of them.
    case flush
    /// Forget all of them.
    case forget
  }

  /// Another job arrives. `workers` is how many an announcement goes to.
  mutating func admit(_ job: DiskJob, blockLimit: Int, workers: Int) -> Admission {
    if alone == nil, !isDraining { return enter(job, workers: workers) }
    if case .blocks(_, let run) = job.work {
      guard laterBlocks + run.count <= blockLimit else { return .drop }
      laterBlocks += run.count
    }
    later.append(job)
    return .later
  }

  private mutating func enter(_ job: DiskJob, workers: Int) -> Admission {
    if let notice = job.work.notice {
      alone = job
      if mayHoldBlocks {
        if notice == .forget { mayHoldBlocks = false }
        inFlight += workers
        return .announce(notice)
      }
      return startIfClear().map(Admission.start) ?? .later
    }
    inFlight += 1
    switch job.work {
    case .blocks: mayHoldBlocks = true
    case .save:
      if isSaving {
        saves.append(job)
        return .later
      }
      isSaving = true
    default: break
    }
    return .run
  }

  private mutating func startIfClear() -> DiskJob? {
    guard inFlight == 0, !isAloneRunning, let job = alone else { return nil }
    isAloneRunning = true
    return job
  }

  /// Jobs (or announcements) are done. Returns the job that may run alone now.
  mutating func finish(_ count: Int) -> DiskJob? {
    inFlight -= count
    assert(inFlight >= 0, "more jobs finished than began")
    return startIfClear()
  }

  /// A save is done. Returns the next save, and the job that may run alone now.
  mutating func finishSave() -> (save: DiskJob?, alone: DiskJob?) {
    guard saves.isEmpty else {
      inFlight -= 1
      return (saves.removeFirst(), nil)
    }
    isSaving = false
    return (nil, finish(1))
  }

  /// The torrent failed: so many workers will be told to forget it.
  mutating func beginNotices(_ count: Int) { inFlight += count }

  enum Resumption {
    /// Nothing waits: the gate is open again.
    case open
    /// Dispatch these, then ask again.
    case dispatch([DiskJob])
    /// The next job that runs alone was met.
    case alone(Admission)
  }

  /// The job that ran alone is done: what is next? Jobs that arrive before the answer is `open` or `alone` stay behind.
  mutating func resume(workers: Int) -> Resumption {
    if !isDraining {
      isDraining = true
      isAloneRunning = false
      alone = nil
    }
    guard let first = later.first else {
      isDraining = false
      return .open
    }
    if first.work.notice != nil {
      later.removeFirst()
      isDraining = false
      return .alone(enter(first, workers: workers))
    }
    let end = later.firstIndex { $0.work.notice != nil } ?? later.endIndex
    var ready: [DiskJob] = []
    for job in later[..<end] {
      if case .blocks(_, let run) = job.work { laterBlocks -= run.count }
      if case .run = enter(job, workers: workers) { ready.append(job) }
    }
    later.removeFirst(end)
    return .dispatch(ready)
  }
}

extension DiskJob.Work {
  /// For jobs that run alone: what workers have to do first.
  var notice: Gate.WorkerNotice? {
    switch self {
    case .blocks, .abandon, .read, .save: nil
    case .open, .close, .delete: .forget
    case .check, .hash, .setWanted, .move: .flush
    }
  }
}
