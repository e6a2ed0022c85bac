import BlockPool
import Glibc
@testable import Storage
import Synchronization
import Testing
import TorrentModel

/// The smaller parts, each by itself.
@Suite struct PartsTests {
  // MARK: File cache

  @Test func manyMoreFilesThanDescriptors() throws {
    let sample = Sample((0..<120).map { ("f\($0)", 9_000 + $0, .regular) }, pieceLength: 32768)
    let bench = try Bench(sample, workers: 3, fileLimit: 5)
    try bench.open()
    var random = SeededRandom(seed: 8)
    try bench.post(sample.blocks.shuffled(using: &random))
    try bench.waitVerified(sample.geometry.pieceCount)
    #expect(bench.disk.openFileCount <= 5)
    bench.expectFiles()
    #expect(try bench.check().verified.isFull)
    try bench.save(bench.full)
    #expect(bench.disk.openFileCount <= 5)
    bench.finish()
  }

  @Test func aFileInUseStaysOpenWhenTheCacheForgetsIt() throws {
    let files = FaultyFileSystem()
    // Descriptors that do not exist: closing is only noted.
    files.pretendToClose()
    let cache = FileCache(limit: 2, fileSystem: files)
    func file(_ number: CInt) -> OpenFile {
      OpenFile(
        descriptor: number, status: FileStatus(kind: .regular, size: 0, modified: 0), isWritable: true,
        reservesAhead: false, fileSystem: files)
    }
    func key(_ number: Int32) -> FileCache.Key { FileCache.Key(torrent: 1, file: number) }
    var held: OpenFile? = cache.keep(file(101), as: key(1))
    _ = cache.keep(file(102), as: key(2))
    _ = cache.lookup(key(1), writing: true)
    _ = cache.keep(file(103), as: key(3))
    #expect(files.closed == [102], "the least recently used goes first")
    _ = cache.keep(file(104), as: key(4))
    #expect(cache.lookup(key(1), writing: false) == nil && files.closed == [102])
    #expect(held?.descriptor == 101)
    held = nil
    #expect(files.closed == [102, 101])
    // The faster of two threads wins; the other's descriptor is closed.
    #expect(cache.keep(file(105), as: key(4)).descriptor == 104)
    #expect(files.closed == [102, 101, 105])
    cache.forget(torrent: 1)
    #expect(Set(files.closed) == [101, 102, 103, 104, 105] && cache.count == 0)
  }

  @Test func whenDescriptorsRunOutOthersAreClosed() throws {
    let faults = FaultyFileSystem()
    let sample = Sample((0..<30).map { ("f\($0)", 30_000, .regular) }, pieceLength: 32768)
    let bench = try Bench(sample, fileSystem: faults)
    mkdirIfNeeded(bench.root)
    sample.writeFiles(below: bench.root)
    try bench.open()
    let counter = CheckTests.Counter()
    // Every third time the system says that there are no descriptors left.
    faults.set(.open) { _ in counter.value.add(1, ordering: .relaxed).newValue % 3 == 0 ? EMFILE : 0 }
    #expect(try bench.check().verified.isFull)
    bench.finish()
  }

  // MARK: Work queue

  @Test func everyJobIsTakenOnceByOneOfATeam() {
    let queue = WorkQueue<Int>()
    let taken = Lock<[Int]>([])
    let threads = (0..<4).compactMap { number in
      Thread(name: "test-\(number)") {
        var jobs: [Int] = []
        while true {
          // Half of the team wakes up by itself now and then.
          switch queue.take(into: &jobs, limit: 3, timeout: number % 2 == 0 ? 50_000 : nil) {
          case .jobs:
            taken.withLock { $0 += jobs }
            jobs.removeAll(keepingCapacity: true)
          case .timeout: break
          case .closed: return
          }
        }
      }
    }
    var random = SeededRandom(seed: 1)
    var next = 0
    while next < 20_000 {
      let count = Int.random(in: 1...20, using: &random)
      queue.post { jobs in jobs += next..<next + count }
      next += count
      if Int.random(in: 0..<50, using: &random) == 0 { usleep(200) }
    }
    queue.close()
    for thread in threads { thread.join() }
    #expect(threads.count == 4)
    #expect(taken.withLock { $0.sorted() } == Array(0..<next))
  }

  // MARK: Gate

  /// Drawn jobs against a plain model: a job that runs alone starts when everything before is done, and nothing behind
  /// it starts before it is done.
  @Test(arguments: 0..<40 as Range<UInt64>)
  func theGateKeepsTheOrder(_ seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let sample = Sample(single: 16384, pieceLength: 16384)
    let port = TestPort()
    let storage = TorrentStorage(
      infoHash: sample.infoHash, root: "/nowhere", files: sample.files, layout: sample.layout,
      geometry: sample.geometry, pieceHashes: sample.hashes[...], port: port.port)
    var gate = Gate()
    var next: UInt64 = 0
    // Numbers of the jobs under way, those that run alone told apart.
    var running: Set<UInt64> = []
    var alone: UInt64?
    var notices = 0
    var started: [UInt64] = []
    var isAlone: Set<UInt64> = []

    func number(_ job: DiskJob) -> UInt64 {
      switch job.work {
      case .read(let read): read.token
      case .move(let root): UInt64(root) ?? 0
      case .blocks(_, let run): UInt64(run.first)
      default: 0
      }
    }
    func begin(_ job: DiskJob) {
      #expect(alone == nil, "nothing runs beside a job that runs alone")
      running.insert(number(job))
      started.append(number(job))
    }
    func beginAlone(_ job: DiskJob) {
      #expect(running.isEmpty && alone == nil && notices == 0)
      alone = number(job)
      started.append(number(job))
    }
    func act(_ admission: Gate.Admission, _ job: DiskJob) {
      switch admission {
      case .run: begin(job)
      case .later: break
      case .drop: Issue.record("there is room")
      case .announce: notices += 3
      case .start(let job): beginAlone(job)
      }
    }
    for _ in 0..<400 {
      switch Int.random(in: 0..<8, using: &random) {
      case 0...3:
        next += 1
        let work: DiskJob.Work
        switch Int.random(in: 0..<6, using: &random) {
        case 0:
          work = .move(root: "\(next)")
          isAlone.insert(next)
        case 1...2: work = .blocks(PieceIndex(0), BlockRun(Int(next), BlockID(rawValue: 0)))
        default: work = .read(BlockRead(token: next, offset: 0, length: 1, block: BlockID(rawValue: 0)))
        }
        let job = DiskJob(storage, work)
        act(gate.admit(job, blockLimit: 10_000, workers: 3), job)
      case 4 where notices > 0:
        notices -= 1
        if let job = gate.finish(1) { beginAlone(job) }
      case 5...6:
        guard let done = running.randomElement(using: &random) else { continue }
        running.remove(done)
        if let job = gate.finish(1) { beginAlone(job) }
      default:
        guard alone != nil else { continue }
        alone = nil
        var hasNewcomer = false
        resuming: while true {
          switch gate.resume(workers: 3) {
          case .open: break resuming
          case .dispatch(let jobs):
            for job in jobs { begin(job) }
            // A newcomer in the middle of this stays behind.
            if hasNewcomer { continue }
            hasNewcomer = true
            next += 1
            let job = DiskJob(
              storage, .read(BlockRead(token: next, offset: 0, length: 1, block: BlockID(rawValue: 0))))
            guard case .later = gate.admit(job, blockLimit: 10_000, workers: 3) else {
              Issue.record("a newcomer overtook those that waited")
              return
            }
          case .alone(let admission):
            act(admission, DiskJob(storage, .close))
            break resuming
          }
        }
      }
    }
    // Started in the order of posting: around each job that runs alone nothing was moved.
    for (position, job) in started.enumerated() where isAlone.contains(job) {
      #expect(
        started[..<position].allSatisfy { $0 < job } && started[(position + 1)...].allSatisfy { $0 > job })
    }
    #expect(started.count > 10)
  }

  // MARK: Failures

  @Test func failuresReadLikeSentences() {
    let cases: [(StorageFailure, String)] = [
      (
        StorageFailure(.write, errno: ENOSPC, path: "/d/f", file: 1),
        "cannot write to '/d/f': the disk is full (No space left on device)"
      ),
      (
        StorageFailure(.read, .fileTruncated, path: "/d/f"),
        "cannot read from '/d/f': the file is shorter than it should be"
      ),
      (
        StorageFailure(.open, errno: ELOOP, path: "/d/f"),
        "cannot open '/d/f': it lies behind a symbolic link, which is not written through (Too many levels of symbolic links)"
      ),
    ]
    for (failure, text) in cases { #expect(failure.description == text) }
    #expect(StorageFailure.Cause(errno: EDQUOT) == .diskFull && StorageFailure.Cause(errno: 9999) == .other)
  }
}
