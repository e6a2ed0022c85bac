import BlockPool
import Storage
import Testing
import TorrentModel

/// A pool that is far smaller than what is on its way.
@Suite struct PressureTests {
  struct Case: Sendable, CustomStringConvertible {
    var pool: Int
    var pieceLength: Int
    var pieces: Int
    var workers: Int
    var description: String {
      "\(pool) blocks, \(pieces) pieces of \(pieceLength >> 10) KiB, \(workers) workers"
    }
  }

  static let cases = [
    Case(pool: 24, pieceLength: 4 << 20, pieces: 2, workers: 1),
    Case(pool: 48, pieceLength: 1 << 20, pieces: 12, workers: 2),
    Case(pool: 64, pieceLength: 16 << 20, pieces: 1, workers: 1),
    Case(pool: 128, pieceLength: 100_000, pieces: 120, workers: 3),
  ]

  /// Blocks come in any order over all pieces at once, and the feeder takes every block it can get: without writing out
  /// unfinished pieces the pool would run dry for good.
  @Test(arguments: cases)
  func aTinyPoolNeverGetsStuck(_ test: Case) throws {
    let sample = Sample(single: test.pieces * test.pieceLength - 5, pieceLength: test.pieceLength)
    let bench = try Bench(sample, pool: test.pool, workers: test.workers)
    try bench.open()
    var random = SeededRandom(seed: 3)
    try bench.post(sample.blocks.shuffled(using: &random), batch: 5)
    try bench.waitVerified(test.pieces)
    bench.expectFiles()
    bench.finish()
  }

  /// As peers deliver: each piece in order, several at a time, blocks held by the receiving side meanwhile.
  @Test func longPiecesSideBySideWithBlocksHeldElsewhere() throws {
    let sample = Sample(single: 6 * (8 << 20), pieceLength: 8 << 20)
    let bench = try Bench(sample, pool: 256, workers: 2)
    try bench.open()
    // A read cache or read plans hold most of the pool all the time.
    var elsewhere: [BlockID] = []
    bench.pool.take(200, into: &elsewhere)
    var random = SeededRandom(seed: 9)
    var next = [Int](repeating: 0, count: 6)
    var order: [(piece: PieceIndex, block: Int)] = []
    while let piece = next.indices.filter({ next[$0] < 512 }).randomElement(using: &random) {
      let run = min(Int.random(in: 1...8, using: &random), 512 - next[piece])
      for _ in 0..<run {
        order.append((PieceIndex(piece), next[piece]))
        next[piece] += 1
      }
    }
    try bench.post(order, batch: 3)
    try bench.waitVerified(6)
    bench.expectFiles()
    bench.pool.release(elsewhere)
    bench.finish()
  }

  @Test func aWrongLongPieceIsBlamedThoughItsBlocksLeftMemory() throws {
    let sample = Sample(single: 4 << 20, pieceLength: 4 << 20)
    let bench = try Bench(sample, pool: 32)
    try bench.open()
    var jobs: [DiskJob] = []
    for block in 0..<256 {
      jobs.append(try bench.job(PieceIndex(0), block, corrupt: block == 40 || block == 200))
      bench.disk.submit(&jobs)
    }
    let wrong = try bench.port.wait("pieceFailed") { event -> [UInt64]? in
      if case .pieceFailed(_, let digests) = event { digests } else { nil }
    }
    try bench.post((0..<256).reversed().map { (PieceIndex(0), $0) }, batch: 4)
    let right = try bench.port.wait("pieceVerified") { event -> [UInt64]? in
      if case .pieceVerified(_, let digests) = event { digests } else { nil }
    }
    #expect(wrong.count == 256 && right.count == 256)
    #expect((0..<256).filter { wrong[$0] != right[$0] } == [40, 200])
    bench.expectFiles()
    bench.finish()
  }

  /// 512 MiB, the longest piece there is, through 16 MiB of memory. Its contents are a few blocks over and over.
  @Test func theLongestPieceThroughASmallPool() throws {
    let bench = try Bench(Sample(repeating: 512 << 20), pool: 1024)
    try bench.open()
    var random = SeededRandom(seed: 1)
    // Mostly in order, as requests go out; a stretch of a thousand blocks is mixed up.
    var blocks = Array(0..<32768)
    for start in stride(from: 0, to: 32768, by: 1024) where start % 4096 == 0 {
      blocks[start..<start + 1024].shuffle(using: &random)
    }
    try bench.post(blocks.map { (PieceIndex(0), $0) }, batch: 32)
    try bench.waitVerified(1)
    #expect(bench.pool.highWater <= 1024)
    bench.finish()
  }
}
