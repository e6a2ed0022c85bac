import BlockPool
import Reactor
import Testing

/// What is queued leaves in order and each block comes back once, whichever way it takes: staged and written at once, or
/// through the bufferevent when the socket has no room.
@Suite struct OutputTests {
  private static func makePool(_ capacity: Int) throws -> (pool: BlockPool, blocks: [BlockID], bytes: [UInt8])
  {
    let pool = try BlockPool(capacity: capacity)
    var blocks: [BlockID] = []
    pool.take(capacity, into: &blocks)
    let bytes = pattern(capacity * 16384, seed: 99)
    for (index, block) in blocks.enumerated() {
      pool.withMutableBytes(of: block) { target in
        for offset in 0..<16384 {
          target.storeBytes(of: bytes[index * 16384 + offset], toByteOffset: offset, as: UInt8.self)
        }
      }
    }
    return (pool, blocks, bytes)
  }

  @Test(arguments: [0, 8 * 1024, 64 * 1024], [UInt64(1), 2, 3])
  func drawnOutputArrivesInOrder(_ sendBuffer: Int, _ seed: UInt64) async throws {
    try await withLoop { actor in
      var options = Connection.Options()
      options.sendBufferBytes = sendBuffer
      let pair = try await makePair(on: actor, options: options)
      let (pool, blocks, contents) = try Self.makePool(8)
      var returned = 0
      let signal = Signal()
      actor.loop.onBlocksReturned { list in
        returned += list.count
        signal.changed()
      }
      var random = Pseudorandom(seed)
      var expected: [UInt8] = []
      var given = 0
      for step in 0..<600 {
        switch random.next(10) {
        case 0..<4:
          // Some longer than what is staged.
          let bytes = pattern(1 + random.next(random.next(8) == 0 ? 5000 : 40), seed: UInt64(step))
          pair.left.write(copying: bytes)
          expected += bytes
        case 4..<8:
          let index = random.next(blocks.count)
          let offset = random.next(16384)
          let count = 1 + random.next(16384 - offset)
          #expect(pair.left.write(block: blocks[index], of: pool, offset: offset, count: count))
          expected += contents[index * 16384 + offset..<index * 16384 + offset + count]
          given += 1
        case 8: pair.left.flush()
        default: await pause(milliseconds: 1, on: actor)
        }
        if step == 200 { pair.right.pauseReading() }
        if step == 400 { pair.right.resumeReading() }
        #expect(pair.left.bytesSent + UInt64(pair.left.outputLength) == UInt64(expected.count))
      }
      try await pair.rightEvents.signal.wait("everything", isolation: actor) {
        pair.rightEvents.received.count >= expected.count
      }
      #expect(pair.rightEvents.received == expected)
      try await signal.wait("returns", isolation: actor) { returned >= given }
      #expect(returned == given && pair.left.outputLength == 0)
      pool.release(blocks)
      pair.close()
    }
  }

  /// More connections than there are stages in one turn, twice.
  @Test func manyConnectionsInOneTurn() async throws {
    try await withLoop { actor in
      let (pool, blocks, contents) = try Self.makePool(1)
      var returned = 0
      let signal = Signal()
      actor.loop.onBlocksReturned { list in
        returned += list.count
        signal.changed()
      }
      var pairs: [ConnectedPair] = []
      for _ in 0..<100 { pairs.append(try await makePair(on: actor)) }
      for round in 1...2 {
        for (index, pair) in pairs.enumerated() {
          pair.left.write(copying: [UInt8(index), UInt8(round)])
          pair.left.write(block: blocks[0], of: pool, offset: index, count: 300)
        }
        for (index, pair) in pairs.enumerated() {
          try await pair.rightEvents.signal.wait("round \(round)", isolation: actor) {
            pair.rightEvents.received.count >= round * 302
          }
          let expected = [UInt8(index), UInt8(round)] + contents[index..<index + 300]
          #expect(Array(pair.rightEvents.received[((round - 1) * 302)...]) == expected)
        }
      }
      try await signal.wait("returns", isolation: actor) { returned >= 200 }
      #expect(returned == 200)
      for pair in pairs { pair.close() }
      pool.release(blocks)
    }
  }
}

/// Drawn numbers that a seed repeats.
private struct Pseudorandom {
  private var state: UInt64

  init(_ seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

  mutating func next(_ bound: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(state >> 33) % bound
  }
}
