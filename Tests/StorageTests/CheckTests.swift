import BlockPool
import Glibc
import Hashing
@testable import Storage
import Synchronization
import Testing
import TorrentModel

/// Reading and hashing what lies on the disk.
@Suite struct CheckTests {
  static let shapes = BlockPathTests.shapes

  @Test(arguments: shapes)
  func aCheckFindsExactlyTheRightPieces(_ shape: BlockPathTests.Shape) throws {
    let sample = Sample(shape.files, pieceLength: shape.pieceLength, seed: 11)
    for pool in [64, 1024] {
      let bench = try Bench(sample, pool: pool)
      mkdirIfNeeded(bench.root)
      sample.writeFiles(below: bench.root)
      let result = try bench.open()
      #expect(result.unchecked.isFull && result.verified.isEmpty)
      #expect(try bench.check().verified.isFull)
      // Now some bytes are wrong; every other piece is still right.
      var random = SeededRandom(seed: 2)
      var wrong = Bitfield(capacity: sample.geometry.pieceCount)
      for _ in 0..<3 {
        let offset = Int64.random(in: 0..<sample.geometry.totalLength, using: &random)
        let file = sample.layout.file(at: offset)
        guard sample.files[file].kind != .padding else { continue }
        let piece = PieceIndex(Int(offset) / shape.pieceLength)
        guard wrong.insert(piece) else { continue }
        flipByte(
          at: Int(offset - sample.layout.start(of: file)), of: "\(bench.root)/\(sample.files[file].path)")
      }
      var right = bench.full
      right.subtract(wrong)
      let found = try bench.check()
      #expect(found.verified == right && found.checked.isFull && !found.wasCancelled)
      bench.finish()
    }
  }

  @Test func missingAndShortFilesAreMissingPieces() throws {
    let sample = ResumeTests.sample
    let bench = try Bench(sample)
    mkdirIfNeeded(bench.root)
    sample.writeFiles(below: bench.root)
    try bench.open()
    unlink(bench.root + "/t/one")
    truncate(bench.root + "/t/three", 70_000)
    let result = try bench.check()
    #expect(result.verified == Bitfield(capacity: 10, [4, 5, 6, 7]))
    #expect(result.checked.isFull)
    // Only what is asked for.
    let some = try bench.check(Bitfield(capacity: 10, [0, 5, 9]))
    #expect(
      some.verified == Bitfield(capacity: 10, [5]) && some.checked == Bitfield(capacity: 10, [0, 5, 9]))
    removeTree(bench.root)
    #expect(try bench.check().verified.isEmpty)
    bench.finish()
  }

  @Test func aDeviceFailureEndsTheCheckWithAnError() throws {
    let faults = FaultyFileSystem()
    let bench = try Bench(ResumeTests.sample, fileSystem: faults)
    mkdirIfNeeded(bench.root)
    ResumeTests.sample.writeFiles(below: bench.root)
    try bench.open()
    faults.set(.read) { _ in EIO }
    bench.disk.submit(bench.storage, .check(nil))
    let failure = try bench.port.wait { if case .operationFailed(let failure) = $0 { failure } else { nil } }
    #expect(failure.cause == .inputOutput && failure.operation == .read)
    faults.set(.read, nil)
    #expect(try bench.check().verified.isFull)
    bench.finish()
  }

  @Test func progressEndsAtTheTotal() throws {
    let sample = Sample(single: 20 << 20, pieceLength: 65536)
    let bench = try Bench(sample)
    mkdirIfNeeded(bench.root)
    sample.writeFiles(below: bench.root)
    try bench.open()
    _ = try bench.check()
    var last: Int64 = 0
    for event in bench.port.all {
      guard case .checkProgress(let done, let total) = event else { continue }
      #expect(total == 20 << 20 && done <= total)
      last = max(last, done)
    }
    #expect(last == 20 << 20)
    bench.finish()
  }

  @Test func aCancelledCheckSaysHowFarItCame() throws {
    let faults = FaultyFileSystem()
    let sample = Sample(single: 16 << 20, pieceLength: 1 << 18, seed: 20)
    let bench = try Bench(sample, fileSystem: faults, tune: { $0.sliceLength = 4 << 20 })
    mkdirIfNeeded(bench.root)
    sample.writeFiles(below: bench.root)
    try bench.open()
    // The disk serves two of four slices (256 reads each), and then stops until the check was cancelled.
    let counter = Counter()
    let stall = FaultTests.Stall()
    faults.set(.read) { _ in
      if counter.value.add(1, ordering: .relaxed).newValue > 600 {
        while stall.isOn.load(ordering: .relaxed) { usleep(500) }
      }
      return 0
    }
    bench.disk.submit(bench.storage, .check(nil))
    try bench.port.wait { if case .checkProgress = $0 { () } else { nil } }
    bench.storage.cancelLongJob()
    stall.isOn.store(false, ordering: .relaxed)
    let result = try bench.port.wait { if case .checked(let result) = $0 { result } else { nil } }
    #expect(result.wasCancelled && result.checked.count > 0 && result.checked.count < 64)
    #expect(result.verified == result.checked)
    // The next one is not cancelled; one that is cancelled before it starts does nothing.
    faults.set(.read, nil)
    #expect(try bench.check().verified.isFull)
    bench.disk.submit(bench.storage, .check(nil))
    bench.disk.submit(bench.storage, .check(nil))
    bench.storage.cancelLongJob()
    _ = try bench.port.wait { if case .checked(let result) = $0 { result } else { nil } }
    let second = try bench.port.wait { if case .checked(let result) = $0 { result } else { nil } }
    #expect(second.wasCancelled && second.checked.isEmpty)
    bench.finish()
  }

  final class Counter: Sendable { let value = Atomic<Int>(0) }

  @Test(arguments: shapes)
  func hashingATorrentInTheMaking(_ shape: BlockPathTests.Shape) throws {
    let sample = Sample(shape.files, pieceLength: shape.pieceLength, seed: 13)
    let bench = try Bench(sample)
    mkdirIfNeeded(bench.root)
    sample.writeFiles(below: bench.root)
    let port = TestPort()
    let making = TorrentStorage(
      infoHash: sample.infoHash, root: bench.root, files: sample.files, layout: sample.layout,
      geometry: sample.geometry, pieceHashes: [], port: port.port)
    bench.disk.submit(making, .hash)
    let hashes = try port.wait { if case .hashed(let hashes) = $0 { hashes } else { nil } }
    #expect(hashes == sample.hashes)
    // A file that shrinks under the hands is an error here, not a missing piece.
    if let last = sample.files.indices.last(where: {
      sample.layout.length(of: $0) > 1 && sample.files[$0].kind == .regular
    }) {
      truncate("\(bench.root)/\(sample.files[last].path)", 1)
      bench.disk.submit(making, .hash)
      let failure = try port.wait { if case .operationFailed(let failure) = $0 { failure } else { nil } }
      #expect(failure.cause == .fileTruncated && failure.file == last)
    }
    bench.finish()
  }

  @Test func manyChecksAtOnceAllEnd() throws {
    let folder = TemporaryFolder()
    let pool = try BlockPool(capacity: 512)
    let disk = DiskService(pool: pool, workers: 1, checkers: 3)
    let port = TestPort()
    var storages: [TorrentStorage] = []
    for number in 0..<60 {
      let sample = Sample(single: 40_000 * (number % 7 + 1), pieceLength: 32768, seed: UInt64(number))
      let root = "\(folder.path)/\(number)"
      mkdirIfNeeded(root)
      sample.writeFiles(below: root)
      storages.append(
        TorrentStorage(
          infoHash: sample.infoHash, root: root, files: sample.files, layout: sample.layout,
          geometry: sample.geometry,
          pieceHashes: sample.hashes[...], tag: UInt64(number), port: port.port))
    }
    var jobs = storages.flatMap { [DiskJob($0, .open(OpenOptions())), DiskJob($0, .check(nil))] }
    disk.submit(&jobs)
    for _ in storages {
      try port.wait { if case .checked(let result) = $0 { result.verified.isFull ? () : nil } else { nil } }
    }
    disk.shutdown()
    #expect(pool.inUse == 0)
  }
}
