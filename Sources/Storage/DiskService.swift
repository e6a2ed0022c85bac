import BlockPool
import Synchronization

/// The disk of a session: threads that hash, write, read and check for any number of torrents. See ``DiskJob``.
///
/// Nothing a caller does here waits for a disk or a hash, except ``shutdown()``. Kinds of work that may take long are
/// kept apart, so that none stands in another's way: pieces have workers of their own, which hash and write; reads for
/// upload, whole-torrent jobs (opening, syncing, moving) and checking have their own threads, asleep unless needed.
public final class DiskService: Sendable {
  /// Blocks of the pool kept for reading back and checking, from start to shutdown.
  public let reservedBlocks: Int
  /// With fewer blocks free in the pool than this, unfinished pieces are written out, which costs. Whoever caches blocks
  /// should leave more than these.
  public var lowWaterBlocks: Int { core.tuning.lowWater }
  /// Blocks that the workers set free when they are asked to (``relievePool()``), if they hold as many.
  public var relievedBlocks: Int { core.tuning.feedWater }
  private let core: DiskCore
  private let threads: Lock<[Thread]>
  /// They end after the workers, who wait for them.
  private let writerThreads: Lock<[Thread]>
  private let reserved: [BlockID]

  /// Threads that read for upload: with data that is not cached, how many reads the device sees at once.
  static let readers = 4
  /// Threads that write past the page cache: how many writes the device sees at once. A third gains nothing.
  public static let writers = 2
  /// Threads for jobs on whole torrents.
  static let controllers = 2

  /// - Parameters:
  ///   - workers: threads that hash and write pieces. A piece belongs to one of them.
  ///   - checkers: threads for `check` and `hash`; nil is one for each core.
  ///   - isForChecking: nothing else is asked of it, so checking may have most of the pool. Longer reads cost less.
  ///   - fileLimit: files to have open at once; nil is half of what `RLIMIT_NOFILE` allows.
  ///   - writes: which way verified data goes to the device.
  /// - Precondition: the pool has at least 16 blocks to spare for each worker and checker.
  public convenience init(
    pool: BlockPool, workers: Int, checkers: Int? = nil, fileSystem: any FileSystem = RealFileSystem(),
    fileLimit: Int? = nil, writes: WriteMode = .automatic, isForChecking: Bool = false
  ) {
    let checkers = checkers ?? coreCount()
    var tuning = DiskTuning(capacity: pool.capacity, workers: workers, checkers: checkers, writes: writes)
    if isForChecking { tuning.checkScratch = max(1, min(256, pool.capacity / (2 * checkers))) }
    self.init(
      pool: pool, workers: workers, checkers: checkers, fileSystem: fileSystem, fileLimit: fileLimit,
      tuning: tuning)
  }

  init(
    pool: BlockPool, workers: Int, checkers: Int, fileSystem: any FileSystem, fileLimit: Int?,
    tuning: DiskTuning
  ) {
    precondition(workers > 0 && checkers > 0)
    let cache = FileCache(limit: fileLimit ?? defaultFileLimit(), fileSystem: fileSystem)
    let core = DiskCore(pool: pool, cache: cache, workers: workers, checkers: checkers, tuning: tuning)
    var reserved: [BlockID] = []
    let wanted = workers * tuning.workerScratch + checkers * tuning.checkScratch
    pool.take(wanted, into: &reserved)
    precondition(reserved.count == wanted, "the pool is too small for the disk's threads")
    self.core = core
    self.reserved = reserved
    self.reservedBlocks = wanted

    var rest = reserved[...]
    func scratch(_ count: Int) -> [BlockID] {
      defer { rest = rest.dropFirst(count) }
      return Array(rest.prefix(count))
    }
    func thread(_ name: String, _ body: @escaping @Sendable () -> Void) -> Thread {
      guard let thread = Thread(name: name, body) else {
        preconditionFailure("the system has no thread left")
      }
      return thread
    }
    var threads: [Thread] = []
    func start(_ name: String, _ body: @escaping @Sendable () -> Void) { threads.append(thread(name, body)) }
    for number in 0..<workers {
      let blocks = scratch(tuning.workerScratch)
      start("spate-piece-\(number)") { PieceWorker(core: core, number: number, scratch: blocks).run() }
    }
    for number in 0..<checkers {
      let blocks = scratch(tuning.checkScratch)
      start("spate-check-\(number)") { Checker(core: core, scratch: blocks).run() }
    }
    for number in 0..<DiskService.readers { start("spate-read-\(number)") { BlockReader(core: core).run() } }
    for number in 0..<DiskService.controllers {
      start("spate-files-\(number)") { Controller(core: core).run() }
    }
    self.threads = Lock(threads)
    self.writerThreads = Lock(
      (0..<DiskService.writers).map { number in
        thread("spate-write-\(number)") { DirectWriter(core: core).run() }
      })
  }

  /// Hands over a batch: once per turn of a loop. The array is emptied and keeps its space. Jobs of one torrent keep
  /// their order when they are posted from one thread.
  public func submit(_ jobs: inout [DiskJob]) { core.submit(&jobs) }

  /// Hands over one job.
  public func submit(_ storage: TorrentStorage, _ work: DiskJob.Work) {
    var jobs = [DiskJob(storage, work)]
    core.submit(&jobs)
  }

  /// Tells the workers that the pool ran dry: they write out what they hold, complete or not. Cheap to call again. They
  /// look by themselves as well, ten times a second.
  public func relievePool() {
    for queue in core.pieceQueues { queue.post { $0.append(.relieve) } }
  }

  /// A reader for one thread, for what needs no waiting.
  public func makePageCacheReader() -> PageCacheReader { PageCacheReader(core: core) }

  public var statistics: DiskStatistics { core.statistics }

  /// Files open at the moment.
  public var openFileCount: Int { core.cache.count }

  /// Calls ``shutdown()`` in the background, once `isOver` has returned, which may wait for whoever posts jobs.
  public func shutdownSoon(after isOver: @escaping @Sendable () -> Void) {
    let end: @Sendable () -> Void = {
      isOver()
      self.shutdown()
    }
    // Without a thread to wait on, better stay than stand still where nobody expects it.
    Thread(name: "spate-end", end)?.detach()
  }

  /// Finishes the jobs posted before and ends the threads; unfinished pieces are dropped and all blocks given back. Save
  /// and close torrents before, and post nothing from here on. Blocks the caller; call it once, last.
  public func shutdown() {
    let threads = self.threads.withLock { threads in
      defer { threads = [] }
      return threads
    }
    guard !threads.isEmpty else { return }
    core.close()
    for thread in threads { thread.join() }
    core.writeQueue.close()
    let writers = writerThreads.withLock { threads in
      defer { threads = [] }
      return threads
    }
    for thread in writers { thread.join() }
    core.releaseStragglers()
    core.pool.release(reserved)
  }
}
