import BlockPool
import Glibc
@testable import Storage
import Synchronization
import Testing
import TorrentModel

/// Whether the disk that the tests run on has such writes.
private let directWritesArePossible: Bool = {
  let folder = TemporaryFolder()
  writeWhole([0], to: "\(folder.path)/probe")
  let system = RealFileSystem()
  guard let root = try? system.openFolder(folder.path, creating: false) else { return false }
  defer { system.close(root) }
  guard let file = try? system.openDirect("probe", below: root) else { return false }
  system.close(file)
  return true
}()

/// Writes past the page cache, by the writers.
@Suite(.enabled(if: directWritesArePossible, "no direct writes in /tmp"))
struct DirectWriteTests {
  /// Ends in the middle of a page; the third file begins in one.
  static let sample = Sample(
    [("one", 1_048_576, .regular), ("two", 700_001, .regular), ("three", 500_000, .regular)],
    pieceLength: 65536)

  static func always(_ tuning: inout DiskTuning) {
    tuning.route.mode = .direct
    tuning.route.leastLength = 4096
  }

  /// Long pieces are hashed and written a quarter of a MiB at a time.
  static func inSegments(_ tuning: inout DiskTuning) {
    always(&tuning)
    tuning.segmentBlocks = 16
    tuning.batchBlocks = 16
  }

  func bench(
    _ faults: FaultyFileSystem = FaultyFileSystem(), sample: Sample = DirectWriteTests.sample,
    workers: Int = 1,
    pool: Int = 1024, allocation: FileAllocation = .ahead,
    tune: (inout DiskTuning) -> Void = DirectWriteTests.always
  ) throws -> Bench {
    try Bench(sample, pool: pool, workers: workers, fileSystem: faults, allocation: allocation, tune: tune)
  }

  @Test(arguments: [1, 2, 3], [UInt64(1), 2, 3])
  func whatIsWrittenIsThereWhateverTheOrder(_ workers: Int, _ seed: UInt64) throws {
    let bench = try bench(workers: workers)
    try bench.open()
    var random = SeededRandom(seed: seed)
    try bench.post(bench.sample.blocks.shuffled(using: &random), batch: 7)
    try bench.waitVerified(bench.sample.geometry.pieceCount)
    bench.expectFiles()
    let done = bench.disk.statistics
    // The first file and all of the second but its last page; the third begins in the middle of a page.
    #expect(done.directBytes > 1_048_576 && done.directBytes <= 1_048_576 + 700_001 / 4096 * 4096)
    #expect(done.writtenBytes == bench.sample.geometry.totalLength)
    try bench.save(bench.full)
    try bench.close()
    let again = try bench.open()
    #expect(again.verified == bench.full)
    bench.finish()
  }

  /// What the device has read is left alone, while there is another block that was used before; after writes into the
  /// page cache the lowest block is taken again.
  @Test(arguments: [true, false]) func whatTheDeviceHasReadRests(_ isDirect: Bool) throws {
    let sample = Sample(single: 1 << 20, pieceLength: 1 << 20)
    let bench = try bench(sample: sample) {
      Self.always(&$0)
      if !isDirect { $0.route.mode = .cached }
    }
    try bench.open()
    var used: [BlockID] = []
    bench.pool.take(65, into: &used)
    let other = used.removeLast()
    bench.pool.release(used)
    try bench.post(sample.blocks)
    try bench.waitVerified(1)
    #expect((bench.disk.statistics.directBytes > 0) == isDirect)
    bench.pool.release(other)
    let next = try #require(bench.pool.take())
    #expect(next == (isDirect ? other : used[0]))
    bench.pool.release(next)
    bench.finish()
  }

  @Test func aPoolSmallerThanThePiecesIsNoHindrance() throws {
    let sample = Sample(single: 6 << 20, pieceLength: 2 << 20)
    let bench = try bench(sample: sample, pool: 256)
    try bench.open()
    var random = SeededRandom(seed: 4)
    try bench.post(sample.blocks.shuffled(using: &random))
    try bench.waitVerified(3)
    bench.expectFiles()
    bench.finish()
  }

  @Test(arguments: [FileAllocation.sparse, .none])
  func holesAreFilledThroughThePageCache(_ allocation: FileAllocation) throws {
    let bench = try bench(allocation: allocation)
    try bench.open()
    try bench.post(bench.sample.blocks)
    try bench.waitVerified(bench.sample.geometry.pieceCount)
    #expect(bench.disk.statistics.directBytes == 0)
    bench.expectFiles()
    bench.finish()
  }

  @Test func whereItCannotBeDoneThePageCacheTakesAll() throws {
    let faults = FaultyFileSystem()
    faults.set(.openDirect) { _ in EOPNOTSUPP }
    let bench = try bench(faults)
    try bench.open()
    try bench.post(bench.sample.blocks)
    try bench.waitVerified(bench.sample.geometry.pieceCount)
    #expect(bench.disk.statistics.directBytes == 0)
    // Each file is asked once; the third is not aligned.
    #expect(faults.count(of: .openDirect) == 2)
    bench.expectFiles()
    bench.finish()
  }

  @Test(arguments: [EINVAL, EIO, ENOSPC])
  func whatFailsGoesThroughThePageCache(_ code: CInt) throws {
    let faults = FaultyFileSystem()
    faults.set(.directWrite) { _ in code }
    let bench = try bench(faults)
    try bench.open()
    try bench.post(bench.sample.blocks)
    try bench.waitVerified(bench.sample.geometry.pieceCount)
    #expect(faults.count(of: .directWrite) > 0 && bench.disk.statistics.directBytes == 0)
    bench.expectFiles()
    bench.finish()
  }

  @Test(arguments: [1, 2])
  func aFailureOfBothWaysStopsTheTorrent(_ workers: Int) throws {
    let faults = FaultyFileSystem()
    faults.set(.directWrite) { _ in EIO }
    faults.set(.write) { _ in ENOSPC }
    let bench = try bench(faults, workers: workers)
    try bench.open()
    try bench.post(bench.sample.blocks.filter { $0.piece.offset < 12 })
    let failure = try bench.port.wait("failed") { if case .failed(let failure) = $0 { failure } else { nil } }
    #expect(failure.cause == .diskFull && failure.operation == .write)
    for _ in 0..<20 where bench.pool.inUse > bench.disk.reservedBlocks { usleep(50_000) }
    #expect(!bench.port.all.contains { if case .pieceVerified = $0 { true } else { false } })

    faults.set(.write, nil)
    faults.set(.directWrite, nil)
    try bench.open(OpenOptions(known: Bitfield(capacity: bench.sample.geometry.pieceCount)))
    try bench.post(bench.sample.blocks)
    try bench.waitVerified(bench.sample.geometry.pieceCount)
    bench.expectFiles()
    bench.finish()
  }

  /// Every direct write takes its time.
  func slow(_ milliseconds: Int) -> FaultyFileSystem {
    let faults = FaultyFileSystem()
    faults.set(.directWrite) { _ in
      usleep(UInt32(milliseconds * 1000))
      return 0
    }
    return faults
  }

  @Test func jobsThatRunAloneFindEverythingOnTheDisk() throws {
    let bench = try bench(slow(30), workers: 2)
    try bench.open()
    try bench.post(bench.sample.blocks)
    let checked = try bench.check()
    #expect(checked.verified == bench.full)
    bench.disk.submit(bench.storage, .move(root: bench.folder.path + "/elsewhere"))
    try bench.port.wait("moved") { if case .moved = $0 { () } else { nil } }
    try bench.waitVerified(bench.sample.geometry.pieceCount)
    bench.expectFiles()
    bench.finish()
  }

  @Test func closingReportsWhatWasComplete() throws {
    let bench = try bench(slow(30))
    try bench.open()
    try bench.post(bench.sample.blocks)
    try bench.close()
    #expect(bench.port.all.count { if case .pieceVerified = $0 { true } else { false } } == bench.full.count)
    bench.finish()
  }

  @Test func shuttingDownWaitsForTheDevice() throws {
    let bench = try bench(slow(30))
    try bench.open()
    try bench.post(bench.sample.blocks)
    bench.finish()
    bench.expectFiles()
    #expect(bench.port.all.count { if case .pieceVerified = $0 { true } else { false } } == bench.full.count)
  }

  /// Blocks of a piece, the fourth of them wrong.
  private func postWrong(_ blocks: Range<Int>, of piece: PieceIndex, to bench: Bench) throws {
    for block in blocks {
      bench.disk.submit(bench.storage, try bench.job(piece, block, corrupt: block == 3).work)
    }
  }

  /// A late write of bytes that were wrong must not replace what comes after them.
  @Test func aPieceThatFailsWhileItIsWrittenIsWrittenAgain() throws {
    let sample = Sample(single: 4 << 20, pieceLength: 2 << 20)
    let bench = try bench(slow(40), sample: sample, tune: DirectWriteTests.inSegments)
    try bench.open()
    let piece = PieceIndex(1)
    // The first segments are on their way when the last block shows that something is wrong.
    try postWrong(0..<128, of: piece, to: bench)
    let digests = try bench.port.wait("pieceFailed") {
      if case .pieceFailed(piece, let digests) = $0 { digests } else { nil }
    }
    #expect(digests.count == 128)
    try bench.post(sample.blocks)
    let after = try bench.port.wait("pieceVerified") {
      if case .pieceVerified(piece, let digests) = $0 { digests } else { nil }
    }
    // The wrong block is the one that differs.
    #expect(zip(digests, after).enumerated().filter { $1.0 != $1.1 }.map(\.offset) == [3])
    try bench.waitVerified(1)
    bench.expectFiles()
    bench.finish()
  }

  /// The last thing that happens is a piece that is read back, which waits for another piece's writes.
  @Test func aPieceThatLandsWhileAnotherIsReadBackIsReported() throws {
    let sample = Sample(single: 4 << 20, pieceLength: 2 << 20)
    let isHeld = Atomic<Bool>(true)
    let oneByOne = Lock(())
    let faults = FaultyFileSystem()
    faults.set(.directWrite) { _ in
      while isHeld.load(ordering: .acquiring) { usleep(1000) }
      // The worker sees each end by itself, and is never told by its queue.
      oneByOne.withLock { _ in _ = usleep(20_000) }
      return 0
    }
    let bench = try bench(faults, sample: sample, tune: DirectWriteTests.inSegments)
    try bench.open()
    let wrong = PieceIndex(1)
    try postWrong(0..<127, of: wrong, to: bench)
    try bench.post((0..<128).map { (PieceIndex(0), $0) })
    // Time to hash what came, and then to get to the reading back: too little makes the test easier, never fail.
    usleep(200_000)
    bench.disk.submit(bench.storage, try bench.job(wrong, 127).work)
    usleep(200_000)
    isHeld.store(false, ordering: .releasing)
    try bench.port.wait("pieceFailed") { if case .pieceFailed(wrong, _) = $0 { () } else { nil } }
    try bench.waitVerified(1)
    bench.finish()
  }

  @Test func aWorkerWaitsForADeviceThatIsBehind() throws {
    let under = Atomic<Int>(0)
    let most = Atomic<Int>(0)
    let faults = FaultyFileSystem()
    faults.set(.directWrite) { _ in
      most.max(under.add(1, ordering: .relaxed).newValue, ordering: .relaxed)
      usleep(10_000)
      under.subtract(1, ordering: .relaxed)
      return 0
    }
    let bench = try bench(faults, pool: 256) {
      DirectWriteTests.always(&$0)
      $0.flightBlocks = 8
    }
    try bench.open()
    try bench.post(bench.sample.blocks)
    try bench.waitVerified(bench.sample.geometry.pieceCount)
    #expect(most.load(ordering: .relaxed) <= DiskService.writers)
    bench.expectFiles()
    bench.finish()
  }

  @Test func aSlowDeviceIsLeftToThePageCacheForAWhile() throws {
    let bench = try bench(slow(30)) {
      $0.route.longTorrent = 1 << 20
      $0.route.leastLength = 4096
      $0.route.slowRun = 20_000_000
    }
    try bench.open()
    let pieces = bench.sample.geometry.pieceCount
    try bench.post([
      bench.sample.blocks[0], bench.sample.blocks[1], bench.sample.blocks[2], bench.sample.blocks[3],
    ])
    try bench.waitVerified(1)
    #expect(bench.disk.statistics.directBytes == 65536)
    try bench.post(bench.sample.blocks.filter { $0.piece.offset > 0 })
    try bench.waitVerified(pieces - 1)
    #expect(bench.disk.statistics.directBytes == 65536)
    bench.expectFiles()
    bench.finish()
  }

  @Test func twoThreadsAtOnceNeverMixTheWays() {
    let lanes = WriteLanes()
    let key = FileCache.Key(torrent: 1, file: 0)
    let other = FileCache.Key(torrent: 1, file: 1)
    let direct = Atomic<Int>(0)
    let cached = Atomic<Int>(0)
    let mixed = Atomic<Int>(0)
    let refused = Atomic<Int>(0)
    let threads = (0..<4).map { number in
      Thread(name: "lanes-\(number)") {
        var random = SeededRandom(seed: UInt64(number))
        for _ in 0..<2000 {
          if Bool.random(using: &random) {
            guard lanes.beginDirect(key) else {
              refused.add(1, ordering: .relaxed)
              continue
            }
            direct.add(1, ordering: .sequentiallyConsistent)
            if cached.load(ordering: .sequentiallyConsistent) > 0 { mixed.add(1, ordering: .relaxed) }
            if Bool.random(using: &random) { sched_yield() }
            direct.subtract(1, ordering: .sequentiallyConsistent)
            lanes.endDirect(key)
          } else {
            lanes.beginCached(key)
            cached.add(1, ordering: .sequentiallyConsistent)
            if direct.load(ordering: .sequentiallyConsistent) > 0 { mixed.add(1, ordering: .relaxed) }
            cached.subtract(1, ordering: .sequentiallyConsistent)
            lanes.endCached(key)
          }
        }
      }
    }
    for thread in threads { thread?.join() }
    #expect(mixed.load(ordering: .relaxed) == 0)
    // Nobody else is in the way any more, and another file never was.
    #expect(lanes.beginDirect(key))
    lanes.beginCached(other)
    lanes.endDirect(key)
    lanes.beginCached(key)
    #expect(!lanes.beginDirect(key) && !lanes.beginDirect(other))
  }
}

/// Which way a run goes.
@Suite struct WriteRouteTests {
  static func storage(length: Int64) throws -> TorrentStorage {
    let layout = try #require(FileLayout(lengths: [length]))
    let geometry = PieceGeometry(totalLength: length, pieceLength: 1 << 20)
    return TorrentStorage(
      infoHash: InfoHash(Bytes20([UInt8](repeating: 1, count: 20))!), root: "/nowhere",
      files: [StorageFile(path: "file")], layout: layout, geometry: geometry, pieceHashes: [],
      port: CompletionPort { $0.removeAll() })
  }

  struct Case {
    var mode: WriteMode
    /// KiB.
    var run: Int64
    /// MiB.
    var torrent: Int64
    var isDirect: Bool
  }

  static let cases = [
    Case(mode: .automatic, run: 1024, torrent: 1024, isDirect: true),
    Case(mode: .automatic, run: 256, torrent: 256, isDirect: true),
    Case(mode: .automatic, run: 255, torrent: 1024, isDirect: false),
    Case(mode: .automatic, run: 1024, torrent: 255, isDirect: false),
    Case(mode: .cached, run: 1024, torrent: 1 << 20, isDirect: false),
    Case(mode: .direct, run: 1024, torrent: 1, isDirect: true),
    Case(mode: .direct, run: 16, torrent: 1 << 20, isDirect: false),
  ]

  @Test(arguments: cases) func theWayGoesByLength(_ example: Case) throws {
    let storage = try WriteRouteTests.storage(length: example.torrent << 20)
    let route = WriteRoute(mode: example.mode)
    #expect(route.isDirect(length: example.run << 10, of: storage, now: 0) == example.isDirect)
  }

  @Test func whoIsReadAlongStaysInThePageCache() throws {
    let storage = try WriteRouteTests.storage(length: 1 << 40)
    let route = WriteRoute()
    func write(_ count: Int, reading: Int64) -> [Bool] {
      (0..<count).map { _ in
        storage.writing.noteRead(reading)
        return route.isDirect(length: 1 << 20, of: storage, now: 0)
      }
    }
    // A byte in sixteen: not worth it.
    #expect(write(256, reading: 64 << 10).allSatisfy { $0 })
    // A byte in four: at once after an eighth of a window was read, and as long as it goes on.
    let shared = write(256, reading: 256 << 10)
    #expect(shared.firstIndex(of: false)! <= 33 && !shared.suffix(200).contains(true))
    // And back: at the end of the first window in which nobody reads.
    let alone = write(256, reading: 0)
    #expect(alone.firstIndex(of: true)! <= 128 && alone.suffix(128).allSatisfy { $0 })
  }

  @Test func aSlowRunHasItsTime() throws {
    let storage = try WriteRouteTests.storage(length: 1 << 40)
    let route = WriteRoute()
    route.noteRun(nanoseconds: route.slowRun, of: storage, now: 1000)
    #expect(route.isDirect(length: 1 << 20, of: storage, now: 1000))
    route.noteRun(nanoseconds: route.slowRun + 1, of: storage, now: 1000)
    #expect(!route.isDirect(length: 1 << 20, of: storage, now: 999 + route.slowTime))
    #expect(route.isDirect(length: 1 << 20, of: storage, now: 1000 + route.slowTime))
    #expect(WriteRoute(mode: .direct).isDirect(length: 1 << 20, of: storage, now: 1000))
  }
}
