import BlockPool
import Glibc
import Synchronization
import Testing
import TorrentModel

@testable import Storage

/// Disks that are full, broken, cut short or slow.
@Suite struct FaultTests {
  static let sample = Sample([("one", 200_000, .regular), ("two", 300_000, .regular)], pieceLength: 65536)

  func waitFailed(_ bench: Bench) throws -> StorageFailure {
    try bench.port.wait("failed") { if case .failed(let failure) = $0 { failure } else { nil } }
  }

  @Test(arguments: [
    (ENOSPC, StorageFailure.Cause.diskFull), (EDQUOT, .diskFull), (EIO, .inputOutput), (EROFS, .permission),
    (EFBIG, .fileTooLarge),
  ])
  func aWriteThatFailsStopsTheTorrentUntilItIsOpenedAgain(_ code: CInt, _ cause: StorageFailure.Cause) throws
  {
    let faults = FaultyFileSystem()
    let bench = try Bench(FaultTests.sample, workers: 2, fileSystem: faults)
    try bench.open()
    try bench.post((0..<4).map { (PieceIndex(0), $0) } + (0..<4).map { (PieceIndex(1), $0) })
    try bench.waitVerified(2)
    var known = Bitfield(capacity: 8)
    known.insert(PieceIndex(0))
    known.insert(PieceIndex(1))

    faults.set(.write) { _ in code }
    try bench.post([(PieceIndex(5), 0)])
    try bench.post((0..<4).map { (PieceIndex(2), $0) })
    let failure = try waitFailed(bench)
    #expect(failure.cause == cause && failure.operation == .write && failure.code == code)
    #expect(failure.path.hasPrefix(bench.root) && failure.file != nil)
    // Both unfinished pieces are gone, and said to be.
    for piece in [2, 5] {
      try bench.port.wait("pieceDropped") {
        if case .pieceDropped(PieceIndex(piece)) = $0 { () } else { nil }
      }
    }
    try bench.post([(PieceIndex(6), 0)])
    try bench.port.wait("blockDropped") { if case .blockDropped(PieceIndex(6), 0) = $0 { () } else { nil } }

    // Still broken: the failure comes again after another open.
    let reopened = try bench.open(OpenOptions(known: known))
    if cause != .inputOutput { #expect(reopened.verified == known && reopened.unchecked.isEmpty) }
    try bench.post((0..<4).map { (PieceIndex(2), $0) })
    _ = try waitFailed(bench)

    faults.set(.write, nil)
    let again = try bench.open(OpenOptions(known: known))
    // After a device failure the file concerned is looked at again; nothing that was verified is lost.
    var verified = again.verified
    if !again.unchecked.isEmpty { verified.formUnion(try bench.check(again.unchecked).verified) }
    #expect(verified == known)
    try bench.post(FaultTests.sample.blocks.filter { !verified[$0.piece] })
    try bench.waitVerified(6)
    bench.expectFiles()
    bench.finish()
  }

  @Test func otherTorrentsGoOn() throws {
    let faults = FaultyFileSystem()
    let bench = try Bench(FaultTests.sample, fileSystem: faults)
    try bench.open()
    let other = Sample(single: 500_000, pieceLength: 65536, seed: 99)
    let otherPort = TestPort()
    let healthy = TorrentStorage(
      infoHash: other.infoHash, root: bench.folder.path + "/other", files: other.files, layout: other.layout,
      geometry: other.geometry, pieceHashes: other.hashes[...], port: otherPort.port)
    bench.disk.submit(healthy, .open(OpenOptions()))
    try otherPort.wait("opened") { if case .opened = $0 { () } else { nil } }
    faults.set(.open) { $0 == "two" ? EACCES : 0 }
    var jobs: [DiskJob] = []
    for (piece, block) in other.blocks {
      let id = try bench.takeBlock()
      bench.fill(id, other.bytes(ofBlock: block, in: piece))
      jobs.append(DiskJob(healthy, .blocks(piece, BlockRun(block, id))))
      if piece.offset < FaultTests.sample.geometry.pieceCount,
        block < FaultTests.sample.geometry.blockCount(of: piece)
      {
        jobs.append(try bench.job(piece, block))
      }
    }
    bench.disk.submit(&jobs)
    let failure = try waitFailed(bench)
    #expect(failure.cause == .permission && failure.file == 1 && failure.path == "\(bench.root)/two")
    for _ in 0..<other.geometry.pieceCount {
      try otherPort.wait("pieceVerified") { if case .pieceVerified = $0 { () } else { nil } }
    }
    #expect(readWhole("\(bench.folder.path)/other/file.bin") == other.contents)
    bench.finish()
  }

  @Test func readsThatFailSayWhy() throws {
    let faults = FaultyFileSystem()
    let bench = try Bench(FaultTests.sample, fileSystem: faults)
    mkdirIfNeeded(bench.root)
    FaultTests.sample.writeFiles(below: bench.root)
    try bench.open()
    let id = try #require(bench.pool.take())
    func read(_ offset: Int64, _ length: Int = 16384) throws -> StorageFailure {
      bench.disk.submit(
        bench.storage, .read(BlockRead(token: 7, offset: offset, length: length, block: id)))
      return try bench.port.wait("readFailed") {
        if case .readFailed(7, let failure) = $0 { failure } else { nil }
      }
    }
    faults.set(.read) { _ in EIO }
    #expect(try read(0).cause == .inputOutput)
    faults.set(.read, nil)
    faults.setShortReads(true)
    #expect(try read(0).cause == .fileTruncated)
    faults.setShortReads(false)
    #expect(try read(490_000).cause == .fileTruncated, "behind the end")
    // Removed underneath: a descriptor that is still open does not hide it for long.
    bench.disk.submit(bench.storage, .read(BlockRead(token: 1, offset: 0, length: 16384, block: id)))
    try bench.port.wait("blocksRead") { if case .blocksRead(1, 16384) = $0 { () } else { nil } }
    unlink("\(bench.root)/one")
    usleep(1_100_000)
    let missing = try read(0)
    #expect(missing.cause == .fileMissing && missing.path == "\(bench.root)/one" && missing.file == 0)
    truncate("\(bench.root)/two", 100)
    #expect(try read(200_000).cause == .fileTruncated)
    bench.pool.release(id)
    bench.finish()
  }

  @Test(arguments: [true, false])
  func aFileRemovedOrCutUnderneathStopsWriting(_ isRemoved: Bool) throws {
    let bench = try Bench(FaultTests.sample)
    try bench.open()
    try bench.post(FaultTests.sample.blocks.filter { $0.piece.offset != 1 })
    try bench.waitVerified(7)
    if isRemoved { unlink("\(bench.root)/one") } else { truncate("\(bench.root)/one", 10) }
    usleep(1_100_000)
    try bench.post((0..<4).map { (PieceIndex(1), $0) })
    let failure = try waitFailed(bench)
    #expect(failure.cause == (isRemoved ? .fileMissing : .fileTruncated) && failure.file == 0)
    // What the other file has is still good; what the first had is not.
    var known = bench.full
    known.remove(PieceIndex(1))
    let again = try bench.open(OpenOptions(known: known))
    #expect(again.verified == Bitfield(capacity: 8, [4, 5, 6, 7]))
    #expect(again.unchecked.isEmpty, "pieces of a file that is not there cannot be there")
    // A file that is gone is nothing to sync.
    try bench.save(again.verified)
    try bench.post(FaultTests.sample.blocks.filter { $0.piece.offset < 4 })
    try bench.waitVerified(4)
    bench.expectFiles()
    try bench.save(bench.full)
    bench.finish()
  }

  /// What comes next may be written behind the old end, and then the file is as long again as it should be.
  @Test(arguments: [WriteMode.direct, .cached], [65536, 16384])
  func aFileCutUnderneathIsNotMadeLongAgain(_ writes: WriteMode, _ pieceLength: Int) throws {
    let sample = Sample(single: 8 * pieceLength, pieceLength: pieceLength)
    let bench = try Bench(sample) {
      $0.route.mode = writes
      $0.route.leastLength = Int64(pieceLength)
    }
    try bench.open()
    try bench.post(sample.blocks.filter { $0.piece.offset < 7 })
    try bench.waitVerified(7)
    truncate("\(bench.root)/\(sample.files[0].path)", 10)
    try bench.post(sample.blocks.filter { $0.piece.offset == 7 })
    let failure = try waitFailed(bench)
    #expect(failure.cause == .fileTruncated && failure.file == 0)
    bench.finish()
  }

  /// The same for what is kept of files that nobody wants.
  @Test func aPartFileCutUnderneathIsNotMadeLongAgain() throws {
    let bench = try Bench(FaultTests.sample, wanted: [true, false])
    try bench.open()
    try bench.post(FaultTests.sample.blocks.filter { $0.piece.offset < 5 })
    try bench.waitVerified(5)
    truncate("\(bench.root)/\(PartFile.name(of: FaultTests.sample.infoHash))", 10)
    try bench.post((0..<4).map { (PieceIndex(5), $0) })
    let failure = try waitFailed(bench)
    #expect(failure.cause == .fileTruncated)
    bench.finish()
  }

  @Test func aStalledDiskHoldsNobodyButItself() throws {
    let faults = FaultyFileSystem()
    let bench = try Bench(FaultTests.sample, pool: 256, fileSystem: faults)
    try bench.open()
    let stall = Stall()
    faults.set(.write) { _ in
      while stall.isOn.load(ordering: .relaxed) { usleep(1000) }
      return 0
    }
    try bench.post(FaultTests.sample.blocks)
    // Whole-torrent jobs and reads of another torrent get through meanwhile.
    let other = Sample(single: 100_000, pieceLength: 65536, seed: 5)
    let port = TestPort()
    let healthy = TorrentStorage(
      infoHash: other.infoHash, root: bench.folder.path + "/other", files: other.files, layout: other.layout,
      geometry: other.geometry, pieceHashes: other.hashes[...], port: port.port)
    mkdirIfNeeded(healthy.root)
    other.writeFiles(below: healthy.root)
    bench.disk.submit(healthy, .open(OpenOptions()))
    try port.wait("opened") { if case .opened = $0 { () } else { nil } }
    bench.disk.submit(healthy, .check(nil))
    try port.wait("checked") {
      if case .checked(let result) = $0 { result.verified.isFull ? () : nil } else { nil }
    }
    let id = try #require(bench.pool.take())
    bench.disk.submit(healthy, .read(BlockRead(token: 1, offset: 0, length: 16384, block: id)))
    try port.wait("blocksRead") { if case .blocksRead = $0 { () } else { nil } }
    bench.pool.release(id)
    #expect(bench.port.all.isEmpty)
    stall.isOn.store(false, ordering: .relaxed)
    try bench.waitVerified(8)
    bench.expectFiles()
    bench.finish()
  }

  final class Stall: Sendable { let isOn = Atomic<Bool>(true) }

  /// A file system of 2 MiB that really is full.
  @Test func aFullFileSystemIsToldAndUsedAgainWhenThereIsRoom() throws {
    let folder = TemporaryFolder()
    let mountPoint = folder.path + "/data"
    mkdirIfNeeded(mountPoint)
    guard mount("spate", mountPoint, "tmpfs", 0, "size=2m") == 0 else {
      print("skipped: a file system that fills up, because this user may not mount one")
      return
    }
    defer { umount2(mountPoint, CInt(MNT_DETACH)) }
    writeWhole([UInt8](repeating: 1, count: 1 << 20), to: mountPoint + "/ballast")
    let sample = Sample(single: 24 * 65536, pieceLength: 65536)
    let bench = try Bench(sample, folder: folder)
    try bench.open()
    try bench.post(sample.blocks)
    let failure = try waitFailed(bench)
    #expect(failure.cause == .diskFull && failure.description.contains("the disk is full"))
    var known = Bitfield(capacity: 24)
    while let piece = try? bench.port.takeVerified() { known.insert(piece) }
    unlink(mountPoint + "/ballast")
    let again = try bench.open(OpenOptions(known: known))
    #expect(again.verified == known)
    try bench.post(sample.blocks.filter { !known[$0.piece] })
    try bench.waitVerified(24 - known.count)
    bench.expectFiles()
    bench.finish()
  }
}

extension Bitfield {
  init(capacity: Int, _ pieces: [Int]) {
    self.init(capacity: capacity)
    for piece in pieces { insert(PieceIndex(piece)) }
  }
}
