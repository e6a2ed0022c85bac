import BlockPool
import Reactor
import Testing
import TorrentModel

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
      let returns = Returns(on: actor)
      var random = SeededRandom(seed: seed)
      var expected: [UInt8] = []
      var given = 0
      for step in 0..<600 {
        switch Int.random(in: 0..<10, using: &random) {
        case 0..<4:
          // Some longer than what is staged.
          let bytes = pattern(
            Int.random(in: 1...(step % 8 == 0 ? 5000 : 40), using: &random), seed: UInt64(step))
          pair.left.write(copying: bytes)
          expected += bytes
        case 4..<8:
          let index = Int.random(in: 0..<blocks.count, using: &random)
          let offset = Int.random(in: 0..<16384, using: &random)
          let count = Int.random(in: 1...(16384 - offset), using: &random)
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
      try await returns.signal.wait("returns", isolation: actor) { returns.count >= given }
      #expect(returns.count == given && pair.left.outputLength == 0)
      pool.release(blocks)
      pair.close()
    }
  }

  /// More connections than there are stages in one turn, twice.
  @Test func manyConnectionsInOneTurn() async throws {
    try await withLoop { actor in
      let (pool, blocks, contents) = try Self.makePool(1)
      let returns = Returns(on: actor)
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
      try await returns.signal.wait("returns", isolation: actor) { returns.count >= 200 }
      #expect(returns.count == 200)
      for pair in pairs { pair.close() }
      pool.release(blocks)
    }
  }
}

/// Counts the blocks that come back.
private final class Returns {
  let signal = Signal()
  private(set) var count = 0

  init(on actor: isolated LoopActor) {
    actor.loop.onBlocksReturned { blocks in
      self.count += blocks.count
      self.signal.changed()
    }
  }
}
