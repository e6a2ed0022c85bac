import BlockPool
import Glibc
@testable import Storage
import Synchronization
import Testing
import TorrentModel

/// Jobs that run alone keep their place between those that do not.
@Suite struct FenceTests {
  static let sample = SelectionTests.sample

  func mode(of path: String) -> mode_t {
    var status = stat()
    stat(path, &status)
    return status.st_mode & 0o777
  }

  @Test(arguments: ["", "/dev/shm"])
  func movingTakesEverythingAlong(_ otherFileSystem: String) throws {
    // Within a file system by renaming, to another by copying.
    let target = otherFileSystem.isEmpty ? TemporaryFolder() : TemporaryFolder(in: otherFileSystem)
    let newRoot = target.path + "/new/place"
    let bench = try Bench(FenceTests.sample, workers: 2, wanted: [true, true, false, true])
    let sample = bench.sample
    try bench.open()
    try bench.post(sample.blocks.filter { $0.piece.offset < 6 })
    // Half a piece is on its way when the move is posted, the other half is posted behind it.
    try bench.post([(PieceIndex(7), 0), (PieceIndex(7), 2), (PieceIndex(8), 1)])
    bench.disk.submit(bench.storage, .move(root: newRoot))
    try bench.post([(PieceIndex(7), 1), (PieceIndex(7), 3)])
    try bench.port.wait { if case .moved(newRoot) = $0 { () } else { nil } }
    try bench.waitVerified(7)
    #expect(bench.storage.root == newRoot)
    #expect(listFolder(bench.root).isEmpty)
    try bench.post(
      sample.blocks.filter { [6, 8, 9].contains($0.piece.offset) && ($0.piece.offset, $0.block) != (8, 1) })
    try bench.waitVerified(3)
    #expect(readWhole(newRoot + "/d/b") == sample.contents(ofFile: 1))
    #expect(mode(of: newRoot + "/d/b") & 0o100 != 0)
    #expect(try bench.check().verified.isFull)
    try bench.save(bench.full)
    bench.finish()
  }

  @Test func aMoveOntoSomethingElseChangesNothing() throws {
    let bench = try Bench(FenceTests.sample)
    try bench.open()
    try bench.post(bench.sample.blocks)
    try bench.waitVerified(10)
    let newRoot = bench.folder.path + "/taken"
    mkdirIfNeeded(newRoot)
    mkdirIfNeeded(newRoot + "/d")
    writeWhole([1, 2], to: newRoot + "/d/c")
    bench.disk.submit(bench.storage, .move(root: newRoot))
    let failure = try bench.port.wait { if case .operationFailed(let failure) = $0 { failure } else { nil } }
    #expect(failure.operation == .move && failure.file == 2)
    #expect(bench.storage.root == bench.root && readWhole(newRoot + "/d/c") == [1, 2])
    bench.expectFiles()
    bench.finish()
  }

  @Test func aMoveThatFailsHalfWayIsTakenBack() throws {
    let faults = FaultyFileSystem()
    let bench = try Bench(FenceTests.sample, fileSystem: faults)
    try bench.open()
    try bench.post(bench.sample.blocks)
    try bench.waitVerified(10)
    faults.set(.rename) { $0 == "d/c" ? EXDEV : 0 }
    faults.set(.copy) { _ in ENOSPC }
    bench.disk.submit(bench.storage, .move(root: bench.folder.path + "/new"))
    let failure = try bench.port.wait { if case .operationFailed(let failure) = $0 { failure } else { nil } }
    #expect(failure.operation == .move && failure.cause == .diskFull && failure.file == 2)
    bench.expectFiles()
    #expect(listFolder(bench.folder.path + "/new").isEmpty)
    #expect(try bench.check().verified.isFull)
    bench.finish()
  }

  @Test func deletingLeavesNothingOfOursAndAllOfOthers() throws {
    let sample = Sample(
      [
        ("d/a", 100_000, .regular), ("d/x/b", 40_000, .regular), ("d/l", 0, .symlink(text: "a")),
        ("e", 0, .regular),
      ],
      pieceLength: 65536)
    let bench = try Bench(sample, wanted: [true, false, true, true])
    try bench.open()
    try bench.post(sample.blocks.filter { $0.piece.offset < 2 })
    try bench.waitVerified(2)
    try bench.save(bench.full)
    writeWhole([5], to: bench.root + "/d/keep")
    bench.disk.submit(bench.storage, .delete)
    try bench.port.wait { if case .deleted = $0 { () } else { nil } }
    #expect(listFolder(bench.root) == ["d"] && listFolder(bench.root + "/d") == ["keep"])
    #expect(!exists(bench.recordPath))
    bench.finish()
  }

  /// Everything is posted at once from one thread; what comes out is as if each had waited for the one before.
  @Test func jobsPostedTogetherKeepTheirOrder() throws {
    let sample = FenceTests.sample
    let bench = try Bench(sample, workers: 3, wanted: [true, false, false, false])
    func blocks(_ pieces: ClosedRange<Int>) throws -> [DiskJob] {
      try sample.blocks.filter { pieces.contains($0.piece.offset) }.map { try bench.job($0.piece, $0.block) }
    }
    var jobs = [DiskJob(bench.storage, .open(OpenOptions()))]
    jobs += try blocks(0...1)
    jobs.append(DiskJob(bench.storage, .check(nil)))
    jobs.append(DiskJob(bench.storage, .setWanted([true, true, true, true])))
    jobs += try blocks(2...6)
    jobs.append(DiskJob(bench.storage, .save(verified: Bitfield(capacity: 10, [0, 1]), userData: [])))
    jobs.append(DiskJob(bench.storage, .check(nil)))
    jobs += try blocks(7...9)
    jobs.append(DiskJob(bench.storage, .close))
    jobs.append(DiskJob(bench.storage, .open(OpenOptions())))
    bench.disk.submit(&jobs)
    #expect(jobs.isEmpty)
    for _ in 0..<2 {
      try bench.port.wait { if case .closed = $0 { () } else if case .opened = $0 { () } else { nil } }
    }
    let second = try bench.port.wait { if case .opened(let result) = $0 { result } else { nil } }
    var checks: [Int] = []
    for event in bench.port.all {
      if case .checked(let result) = event { checks.append(result.verified.count) }
    }
    #expect(checks == [2, 7])
    try bench.waitVerified(10)
    #expect(second.unchecked.count == 10 || second.verified.count + second.unchecked.count == 10)
    bench.expectFiles()
    bench.finish()
  }

  /// Blocks behind a long job may not starve the pool: too many are refused, and named.
  @Test func blocksBehindALongJobAreBounded() throws {
    let faults = FaultyFileSystem()
    let sample = Sample(single: 4 << 20, pieceLength: 65536)
    let bench = try Bench(sample, pool: 320, fileSystem: faults)
    mkdirIfNeeded(bench.root)
    writeWhole(sample.contents, to: bench.root + "/file.bin")
    try bench.open()
    let stall = FaultTests.Stall()
    faults.set(.read) { _ in
      while stall.isOn.load(ordering: .relaxed) { usleep(500) }
      return 0
    }
    bench.disk.submit(bench.storage, .check(nil))
    try bench.post(Array(sample.blocks.prefix(200)))
    var dropped = Set<[Int]>()
    for event in bench.port.all {
      if case .blockDropped(let piece, let block) = event { dropped.insert([piece.offset, block]) }
    }
    #expect(dropped.count >= 150 && dropped.count < 200)
    stall.isOn.store(false, ordering: .relaxed)
    try bench.port.wait { if case .checked = $0 { () } else { nil } }
    try bench.close()
    bench.finish()
  }

  @Test func savesQueueUpAndAllAreAnswered() throws {
    let bench = try Bench(FenceTests.sample)
    try bench.open()
    var jobs = (0..<20).map {
      DiskJob(bench.storage, .save(verified: Bitfield(capacity: 10), userData: [UInt8($0)]))
    }
    bench.disk.submit(&jobs)
    for _ in 0..<20 { try bench.port.wait { if case .saved = $0 { () } else { nil } } }
    #expect(try ResumeRecord.read(at: bench.recordPath)?.userData == [19])
    bench.finish()
  }
}
