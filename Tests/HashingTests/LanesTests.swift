import BlockPool
import Hashing
import Testing

/// The lane scheduler against a model that keeps every stream's message.
@Suite struct LanesTests {
  struct Model<Digest: HashDigest> {
    let pool: BlockPool
    let lanes: HashLanes<Digest>
    var drawing: Drawing
    var blocks: [BlockID] = []
    var used = 0
    var open: [(id: StreamID, message: [UInt8])] = []
    var finishing: [StreamID: [UInt8]] = [:]
    var ended: Set<StreamID> = []

    init(engine: HashEngine, seed: UInt64) throws {
      pool = try BlockPool(capacity: 96)
      lanes = HashLanes(pool: pool, engine: engine)
      drawing = Drawing(seed)
      pool.take(96, into: &blocks)
    }

    /// Fills a block that nobody reads any more, and gives it to a stream.
    mutating func appendBlock(_ index: Int) {
      if used == blocks.count { run() }
      let block = blocks[used]
      used += 1
      let limit = [16384, 10_000, 200, 64, 63].randomElement(using: &drawing) ?? 0
      let count = Bool.random(using: &drawing) ? limit : Int.random(in: 0...limit, using: &drawing)
      let offset = Int.random(in: 0...min(70, BlockPool.blockLength - count), using: &drawing)
      let bytes = drawing.bytes(count)
      pool.withMutableBytes(of: block) { span in
        for (index, byte) in bytes.enumerated() {
          span.storeBytes(of: byte, toByteOffset: offset + index, as: UInt8.self)
        }
      }
      lanes.append(open[index].id, block: block, offset: offset, count: count)
      open[index].message += bytes
    }

    mutating func delivered(_ id: StreamID, _ digest: Digest) {
      guard let message = finishing.removeValue(forKey: id) else {
        Issue.record("a digest nobody asked for, or a second one")
        return
      }
      #expect(digest.bytes == Digest.algorithm.reference(message))
      #expect(ended.insert(id).inserted)
    }

    mutating func run() {
      lanes.run { delivered($0, $1) }
      #expect(lanes.isIdle && lanes.queuedBlockCount == 0 && finishing.isEmpty)
      for stream in open { #expect(lanes.consumedBytes(of: stream.id) == UInt64(stream.message.count)) }
      // Every block is free for other bytes now.
      used = 0
    }

    mutating func step() {
      let index = open.indices.randomElement(using: &drawing)
      switch Int.random(in: 0..<20, using: &drawing) {
      case 0..<3 where open.count < 40: open.append((lanes.open(), []))
      case 3..<12: if let index { appendBlock(index) }
      case 12..<13:
        if let index {
          var bytes = drawing.bytes(Int.random(in: 0...300, using: &drawing))
          lanes.append(open[index].id, bytes: bytes.span.bytes)
          open[index].message += bytes
          bytes.withUnsafeMutableBufferPointer { $0.update(repeating: 0) }
        }
      case 13..<16:
        if let index {
          let stream = open.remove(at: index)
          lanes.finish(stream.id)
          finishing[stream.id] = stream.message
        }
      case 16:
        if let index { lanes.cancel(open.remove(at: index).id) }
        if Bool.random(using: &drawing), let id = finishing.keys.min(by: { "\($0)" < "\($1)" }) {
          lanes.cancel(id)
          finishing[id] = nil
        }
      case 17..<19:
        _ = lanes.runPass { delivered($0, $1) }
        for stream in open { #expect(lanes.consumedBytes(of: stream.id) <= UInt64(stream.message.count)) }
      default: run()
      }
      #expect(lanes.openCount == open.count + finishing.count)
    }
  }

  static func play<Digest: HashDigest>(_: Digest.Type, _ engine: HashEngine) throws {
    for seed in 0..<4 as Range<UInt64> {
      var model = try Model<Digest>(engine: engine, seed: seed)
      for _ in 0..<400 { model.step() }
      while !model.open.isEmpty {
        let stream = model.open.removeLast()
        model.lanes.finish(stream.id)
        model.finishing[stream.id] = stream.message
      }
      model.run()
      #expect(model.lanes.openCount == 0)
    }
  }

  @Test(arguments: Engines.all) func drawnCasesOfSHA1(_ engine: HashEngine) throws {
    try Self.play(SHA1Digest.self, engine)
  }

  @Test(arguments: Engines.families) func drawnCasesOfSHA256(_ engine: HashEngine) throws {
    try Self.play(SHA256Digest.self, engine)
  }

  /// A pool with known bytes in each block.
  static func filledPool(_ count: Int) throws -> (BlockPool, [BlockID], [[UInt8]]) {
    let pool = try BlockPool(capacity: count)
    var drawing = Drawing(7)
    var ids: [BlockID] = []
    pool.take(count, into: &ids)
    let contents = ids.map { id in
      let bytes = drawing.bytes(BlockPool.blockLength)
      pool.withMutableBytes(of: id) { span in
        for (index, byte) in bytes.enumerated() {
          span.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
        }
      }
      return bytes
    }
    return (pool, ids, contents)
  }

  /// Pieces of one size, as many as there may be at once, queued whole.
  @Test(arguments: [(1, 16384), (16, 16384), (17, 16384), (40, 10_000), (70, 16383), (100, 1), (130, 64)])
  func manyPieces(_ streams: Int, _ length: Int) throws {
    let (pool, ids, contents) = try Self.filledPool(streams)
    let lanes = SHA1Lanes(pool: pool, engine: try #require(HashEngine(.automatic)))
    // Twice, so that the second time slots are used again.
    for _ in 0..<2 {
      var expected: [StreamID: [UInt8]] = [:]
      for (id, bytes) in zip(ids, contents) {
        let stream = lanes.open()
        lanes.append(stream, block: id, count: length)
        lanes.finish(stream)
        expected[stream] = HashAlgorithm.sha1.reference(bytes.prefix(length))
      }
      #expect(expected.count == streams)
      lanes.run { stream, digest in #expect(digest.bytes == expected.removeValue(forKey: stream)) }
      #expect(expected.isEmpty)
    }
  }

  @Test func nothingIsADigestToo() throws {
    let pool = try BlockPool(capacity: 1)
    let lanes = SHA256Lanes(pool: pool)
    let stream = lanes.open()
    lanes.append(stream, block: BlockID(rawValue: 0), count: 0)
    #expect(lanes.isIdle)
    lanes.finish(stream)
    #expect(!lanes.isIdle)
    var digests: [SHA256Digest] = []
    lanes.run { digests.append($1) }
    #expect(digests.map(\.bytes) == [HashAlgorithm.sha256.reference([])])
    #expect(!lanes.runPass { _, _ in Issue.record("there is nothing left") })
  }

  /// Streams keep pace with each other: no piece has to wait until another is through.
  @Test func streamsTakeTurns() throws {
    let (pool, ids, _) = try Self.filledPool(40)
    let lanes = SHA1Lanes(pool: pool)
    let streams = (0..<20).map { _ in lanes.open() }
    for (index, stream) in streams.enumerated() {
      lanes.append(stream, block: ids[2 * index], count: 16384)
      lanes.append(stream, block: ids[2 * index + 1], count: 16384)
    }
    #expect(lanes.queuedBlockCount == 40)
    #expect(lanes.runPass { _, _ in })
    // Sixteen of twenty had a turn; the others come first in the next.
    #expect(streams.filter { lanes.consumedBytes(of: $0) == 16384 }.count == 16)
    #expect(lanes.runPass { _, _ in })
    #expect(streams.allSatisfy { lanes.consumedBytes(of: $0) >= 16384 })
    #expect(lanes.queuedBlockCount == 8)
    lanes.run { _, _ in }
    #expect(lanes.queuedBlockCount == 0 && lanes.isIdle && lanes.openCount == 20)
  }

  @Test func aDeliveryMayQueueMore() throws {
    let (pool, ids, contents) = try Self.filledPool(3)
    let lanes = SHA1Lanes(pool: pool)
    var expected = contents.map { HashAlgorithm.sha1.reference($0) }
    var next = 0
    func start() {
      let stream = lanes.open()
      lanes.append(stream, block: ids[next], count: 16384)
      lanes.finish(stream)
      next += 1
    }
    start()
    lanes.run { _, digest in
      #expect(digest.bytes == expected.removeFirst())
      if next < ids.count { start() }
    }
    #expect(expected.isEmpty && lanes.openCount == 0)
  }

  // A programmer's errors end the process; each in one of its own.

  @Test func aStaleIDTraps() async {
    await #expect(processExitsWith: .failure) {
      let lanes = SHA1Lanes(pool: try BlockPool(capacity: 1))
      let stream = lanes.open()
      lanes.finish(stream)
      lanes.run { _, _ in }
      _ = lanes.open()
      lanes.finish(stream)
    }
  }

  @Test func appendingToAFinishedStreamTraps() async {
    await #expect(processExitsWith: .failure) {
      let lanes = SHA1Lanes(pool: try BlockPool(capacity: 1))
      let stream = lanes.open()
      lanes.finish(stream)
      lanes.append(stream, block: BlockID(rawValue: 0), count: 1)
    }
  }

  @Test func bytesOutsideABlockTrap() async {
    await #expect(processExitsWith: .failure) {
      let lanes = SHA1Lanes(pool: try BlockPool(capacity: 1))
      lanes.append(lanes.open(), block: BlockID(rawValue: 0), offset: 1, count: 16384)
    }
    await #expect(processExitsWith: .failure) {
      let lanes = SHA1Lanes(pool: try BlockPool(capacity: 1))
      lanes.append(lanes.open(), block: BlockID(rawValue: 1), count: 1)
    }
  }
}
