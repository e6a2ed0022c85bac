import BlockPool
import Storage
import Testing
import TorrentModel

/// From a block that arrived to verified bytes in files.
@Suite struct BlockPathTests {
  struct Shape: Sendable, CustomStringConvertible {
    var name: String
    var files: [(String, Int, StorageFile.Kind)]
    var pieceLength: Int
    var description: String { name }
  }

  static let shapes: [Shape] = [
    Shape(name: "one piece", files: [("a", 100, .regular)], pieceLength: 16384),
    Shape(name: "short last piece", files: [("a", 5 * 65536 + 777, .regular)], pieceLength: 65536),
    Shape(name: "pieces of one block", files: [("a", 300 * 16384 + 1, .regular)], pieceLength: 16384),
    Shape(name: "odd piece length", files: [("a", 123_456, .regular)], pieceLength: 10_000),
    Shape(name: "1.5 MiB pieces", files: [("a", 4_000_000, .regular)], pieceLength: 3 << 19),
    Shape(
      name: "many files in a piece",
      files: (0..<40).map { ("folder \($0 % 3)/file \($0)", $0 * 977, .regular) }, pieceLength: 65536),
    Shape(
      name: "padding, links, programs and nothing",
      files: [
        ("t/program", 50_000, .executable), (".pad/15536", 15_536, .padding), ("t/empty", 0, .regular),
        ("t/deep/er/file", 100_001, .regular), (".pad/30999", 30_999, .padding),
        ("t/link", 0, .symlink(text: "deep/er")),
        ("t/last", 70_000, .regular),
      ], pieceLength: 65536),
    Shape(name: "long pieces", files: [("a", 40 << 20, .regular)], pieceLength: 16 << 20),
  ]

  @Test(arguments: shapes, [1, 3])
  func drawnOrderGivesTheSameFiles(_ shape: Shape, workers: Int) throws {
    let sample = Sample(shape.files, pieceLength: shape.pieceLength, seed: 7)
    let bench = try Bench(sample, workers: workers)
    let opened = try bench.open()
    #expect(opened.verified.isEmpty && opened.unchecked.isEmpty)
    var random = SeededRandom(seed: UInt64(shape.pieceLength + workers))
    try bench.post(sample.blocks.shuffled(using: &random), batch: 7)
    try bench.waitVerified(sample.geometry.pieceCount)
    bench.expectFiles()
    bench.finish()
  }

  @Test func aBlockPostedTwiceCountsOnce() throws {
    let sample = Sample(single: 4 * 65536, pieceLength: 65536)
    let bench = try Bench(sample)
    try bench.open()
    let blocks = sample.blocks
    // Every block but the last of each piece twice, so that no piece ends before its duplicates came.
    try bench.post(blocks.flatMap { $0.block == 3 ? [$0] : [$0, $0] })
    try bench.waitVerified(4)
    bench.expectFiles()
    bench.finish()
  }

  /// Runs of drawn lengths that overlap: what is here already is given back, and the rest taken.
  @Test(arguments: 0..<8 as Range<UInt64>) func runsThatOverlapCountOnce(_ seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let sample = Sample(single: 6 * 524_288 + 70_000, pieceLength: 524_288, seed: seed)
    let bench = try Bench(sample)
    try bench.open()
    for number in 0..<sample.geometry.pieceCount {
      let piece = PieceIndex(number)
      let last = sample.geometry.blockCount(of: piece) - 1
      var jobs: [DiskJob] = []
      // Everything but the last block, most of it more than once, so that no piece ends before its duplicates came.
      var missing = Set(0..<last)
      while let first = missing.randomElement(using: &random) {
        let count = min(Int.random(in: 1...BlockRun.maximumBlocks, using: &random), last - first)
        jobs.append(try bench.job(piece, first, count: count))
        missing.subtract(first..<first + count)
      }
      jobs.append(try bench.job(piece, last))
      bench.disk.submit(&jobs)
    }
    try bench.waitVerified(sample.geometry.pieceCount)
    bench.expectFiles()
    bench.finish()
  }

  @Test func aRunTakesWhatComesNext() throws {
    var run = BlockRun(5, BlockID(rawValue: 50))
    var refused = [run.append(7, BlockID(rawValue: 0)), run.append(5, BlockID(rawValue: 0))]
    for number in 6..<5 + BlockRun.maximumBlocks {
      let isTaken = run.append(number, BlockID(rawValue: UInt32(10 * number)))
      #expect(isTaken)
    }
    refused.append(run.append(5 + BlockRun.maximumBlocks, BlockID(rawValue: 0)))
    #expect(refused == [false, false, false])
    #expect(run.first == 5 && run.count == BlockRun.maximumBlocks)
    #expect((0..<run.count).map { run[$0].rawValue } == (5..<5 + run.count).map { UInt32(10 * $0) })
  }

  /// A run that reaches past its piece's end is dropped as a whole, and each of its blocks is told of.
  @Test func aRunThatLeavesItsPieceIsDropped() throws {
    let bench = try Bench(Sample(single: 4 * 65536, pieceLength: 65536))
    try bench.open()
    var run = BlockRun(2, try bench.takeBlock())
    for number in 3...5 {
      let isTaken = run.append(number, try bench.takeBlock())
      #expect(isTaken)
    }
    bench.disk.submit(bench.storage, .blocks(PieceIndex(1), run))
    for number in 2...5 {
      try bench.port.wait("blockDropped \(number)") {
        if case .blockDropped(PieceIndex(1), number) = $0 { () } else { nil }
      }
    }
    bench.finish()
  }

  @Test func aWrongBlockFailsItsPieceAndIsFoundByDigests() throws {
    let sample = Sample(single: 3 * 65536, pieceLength: 65536)
    let bench = try Bench(sample)
    try bench.open()
    let piece = PieceIndex(1)
    var jobs = try (0..<4).map { try bench.job(piece, $0, corrupt: $0 == 2) }
    bench.disk.submit(&jobs)
    let wrong = try bench.port.wait("pieceFailed") { event -> [UInt64]? in
      if case .pieceFailed(piece, let digests) = event { digests } else { nil }
    }
    try bench.post((0..<4).map { (piece, $0) })
    let right = try bench.port.wait("pieceVerified") { event -> [UInt64]? in
      if case .pieceVerified(piece, let digests) = event { digests } else { nil }
    }
    #expect(wrong.count == 4 && right.count == 4)
    #expect((0..<4).filter { wrong[$0] != right[$0] } == [2])
    // The next time nobody asks any more.
    try bench.post((0..<4).map { (PieceIndex(2), $0) })
    let none = try bench.port.wait("pieceVerified") { event -> Bool? in
      if case .pieceVerified(_, let digests) = event { digests == nil } else { nil }
    }
    #expect(none)
    bench.finish()
  }

  @Test func anAbandonedPieceGivesItsBlocksBack() throws {
    let sample = Sample(single: 2 * 65536, pieceLength: 65536)
    let bench = try Bench(sample)
    try bench.open()
    let before = bench.pool.inUse
    try bench.post([(PieceIndex(0), 0), (PieceIndex(0), 2), (PieceIndex(1), 0)])
    bench.disk.submit(bench.storage, .abandon(PieceIndex(0)))
    bench.disk.submit(bench.storage, .abandon(PieceIndex(1)))
    try bench.close()
    #expect(bench.pool.inUse == before)
    #expect(bench.port.all.isEmpty)
    bench.finish()
  }

  @Test func closingDropsUnfinishedPiecesAndSaysSo() throws {
    let sample = Sample(single: 4 * 65536, pieceLength: 65536)
    let bench = try Bench(sample, workers: 2)
    try bench.open()
    try bench.post([(PieceIndex(0), 0), (PieceIndex(3), 1)])
    try bench.close()
    var dropped: Set<PieceIndex> = []
    for event in bench.port.all { if case .pieceDropped(let piece) = event { dropped.insert(piece) } }
    #expect(dropped == [PieceIndex(0), PieceIndex(3)])
    try bench.post([(PieceIndex(2), 1)])
    try bench.port.wait("blockDropped") { if case .blockDropped(PieceIndex(2), 1) = $0 { () } else { nil } }
    bench.finish()
  }

  @Test func blocksBeforeOpeningOrOutsideThePieceAreDropped() throws {
    let sample = Sample(single: 65536, pieceLength: 65536)
    let bench = try Bench(sample)
    try bench.post([(PieceIndex(0), 0)])
    try bench.port.wait("blockDropped") { if case .blockDropped(PieceIndex(0), 0) = $0 { () } else { nil } }
    try bench.open()
    for (piece, block) in [(0, 4), (0, -1), (1, 0), (70_000, 0)] {
      let id = try #require(bench.pool.take())
      bench.disk.submit(bench.storage, .blocks(PieceIndex(piece), BlockRun(block, id)))
      try bench.port.wait("blockDropped") {
        if case .blockDropped(PieceIndex(piece), block) = $0 { () } else { nil }
      }
    }
    bench.finish()
  }

  @Test func readsFillBlocksOverPiecesAndFiles() throws {
    let sample = Sample(
      [("a", 100_000, .regular), ("pad", 31_072, .padding), ("b", 300_000, .regular)], pieceLength: 65536)
    let bench = try Bench(sample)
    mkdirIfNeeded(bench.root)
    sample.writeFiles(below: bench.root)
    try bench.open()
    var random = SeededRandom(seed: 5)
    var expected: [UInt64: (offset: Int, length: Int, blocks: [BlockID])] = [:]
    var jobs: [DiskJob] = []
    for token in 0..<200 as Range<UInt64> {
      let length = Int.random(in: 1...16 * blockLength, using: &random)
      let offset = Int.random(in: 0...sample.contents.count - 1, using: &random)
      let count = min(length, sample.contents.count - offset)
      var ids: [BlockID] = []
      let needed = (count + blockLength - 1) / blockLength
      guard bench.pool.take(needed, into: &ids) == needed else {
        bench.pool.release(ids)
        break
      }
      var blocks = InlineArray<16, BlockID>(repeating: BlockID(rawValue: 0))
      for (i, id) in ids.enumerated() { blocks[i] = id }
      expected[token] = (offset, count, ids)
      jobs.append(
        DiskJob(
          bench.storage, .read(BlockRead(token: token, offset: Int64(offset), length: count, blocks: blocks)))
      )
    }
    #expect(jobs.count > 20)
    bench.disk.submit(&jobs)
    for _ in 0..<expected.count {
      let (token, length) = try bench.port.wait("blocksRead") { event -> (UInt64, Int)? in
        if case .blocksRead(let token, let length) = event { (token, length) } else { nil }
      }
      let removed = expected.removeValue(forKey: token)
      let want = try #require(removed)
      #expect(length == want.length)
      var bytes: [UInt8] = []
      for (i, id) in want.blocks.enumerated() {
        bench.pool.withBytes(of: id, count: min(blockLength, want.length - i * blockLength)) {
          $0.withUnsafeBytes { bytes += $0 }
        }
      }
      #expect(bytes == Array(sample.contents[want.offset..<want.offset + want.length]))
      bench.pool.release(want.blocks)
    }
    bench.finish()
  }

  @Test func neighbouringReadsAndWritesShareCalls() throws {
    // 64 pieces of one block, all posted before the worker's hold time ends, leave in few calls.
    let sample = Sample(single: 512 * 16384, pieceLength: 16384)
    let bench = try Bench(sample, pool: 4096)
    try bench.open()
    try bench.post(sample.blocks, batch: 512)
    try bench.waitVerified(512)
    let written = bench.disk.statistics
    #expect(written.writtenBytes == 512 * 16384)
    #expect(written.writeCalls < 64)
    var ids: [BlockID] = []
    bench.pool.take(64, into: &ids)
    var jobs = ids.enumerated().map { i, id in
      DiskJob(
        bench.storage,
        .read(BlockRead(token: UInt64(i), offset: Int64(i * 16384), length: 16384, block: id)))
    }
    bench.disk.submit(&jobs)
    for _ in 0..<64 { try bench.port.wait("blocksRead") { if case .blocksRead = $0 { () } else { nil } } }
    #expect(bench.disk.statistics.readCalls <= 8)
    bench.pool.release(ids)
    bench.finish()
  }
}
