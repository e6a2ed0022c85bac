import BlockPool
import Glibc
import Synchronization
import Testing
import TorrentModel

@Suite struct BlockPoolTests {
  @Test func aLeaseComesBackWhenItEnds() throws {
    let pool = try BlockPool(capacity: 2)
    do {
      let first = pool.lease()
      let second = pool.lease()
      let third = pool.lease()
      let held = [first == nil, second == nil, third == nil]
      #expect(held == [false, false, true])
      #expect(pool.available == 0)
    }
    #expect(pool.available == 2)
    #expect(pool.highWater == 2)
  }

  @Test func aDetachedBlockStaysTaken() throws {
    let pool = try BlockPool(capacity: 2)
    var held: BlockID?
    if let lease = pool.lease() { held = lease.detach() }
    #expect(pool.available == 1)
    pool.release(try #require(held))
    #expect(pool.available == 2)
  }

  @Test func batchesStopAtTheReserve() throws {
    let pool = try BlockPool(capacity: 10)
    var blocks: [BlockID] = []
    #expect(pool.take(20, leaving: 3, into: &blocks) == 7)
    #expect(Set(blocks).count == 7)
    #expect(pool.take(1, leaving: 3, into: &blocks) == 0)
    pool.release(blocks)
    #expect(pool.available == 10)
  }

  /// Drawn takes and returns against a plain set: always the lowest free blocks, in order.
  @Test(arguments: [1, 63, 64, 65, 200]) func theLowestAreTakenFirst(_ capacity: Int) throws {
    var random = SeededRandom(seed: UInt64(capacity))
    let pool = try BlockPool(capacity: capacity)
    var free = Set(0..<UInt32(capacity))
    var held: [BlockID] = []
    for _ in 0..<600 {
      switch Int.random(in: 0..<4, using: &random) {
      case 0:
        let id = pool.take()
        #expect(id?.rawValue == free.min())
        guard let id else { continue }
        free.remove(id.rawValue)
        held.append(id)
      case 1:
        let (wanted, reserve) = (
          Int.random(in: 0...40, using: &random), Int.random(in: 0...5, using: &random)
        )
        var taken: [BlockID] = []
        let count = pool.take(wanted, leaving: reserve, into: &taken)
        #expect(
          taken.map(\.rawValue) == Array(free.sorted().prefix(max(0, min(wanted, free.count - reserve)))))
        #expect(count == taken.count)
        free.subtract(taken.map(\.rawValue))
        held += taken
      default:
        held.shuffle(using: &random)
        let back = Array(held.suffix(Int.random(in: 0...20, using: &random)))
        held.removeLast(back.count)
        free.formUnion(back.map(\.rawValue))
        pool.release(back)
      }
      #expect(pool.available == free.count)
    }
  }

  @Test func bytesOfNeighboursDoNotMix() throws {
    let pool = try BlockPool(capacity: 8)
    var blocks: [BlockID] = []
    pool.take(8, into: &blocks)
    for (i, id) in blocks.enumerated() {
      pool.withMutableBytes(of: id) { bytes in
        for j in 0..<bytes.byteCount { bytes.storeBytes(of: UInt8(i), toByteOffset: j, as: UInt8.self) }
      }
    }
    for (i, id) in blocks.enumerated() {
      pool.withBytes(of: id) { bytes in
        for j in stride(from: 0, to: bytes.byteCount, by: 511) {
          #expect(bytes.unsafeLoadUnaligned(fromByteOffset: j, as: UInt8.self) == UInt8(i))
        }
      }
    }
    pool.release(blocks)
  }

  @Test func waitersHearOfReturnsOnce() throws {
    let pool = try BlockPool(capacity: 4)
    var blocks: [BlockID] = []
    pool.take(4, into: &blocks)
    let calls = Atomic<Int>(0)
    pool.whenAvailable(2) { calls.add(1, ordering: .relaxed) }
    pool.release(blocks.removeLast())
    #expect(calls.load(ordering: .relaxed) == 0)
    pool.release(blocks.removeLast())
    #expect(calls.load(ordering: .relaxed) == 1)
    pool.release(blocks)
    #expect(calls.load(ordering: .relaxed) == 1)
    pool.whenAvailable(4) { calls.add(1, ordering: .relaxed) }
    #expect(calls.load(ordering: .relaxed) == 2)
  }

  /// What a device has read is left alone while there are others; what comes back from elsewhere is taken first.
  @Test func whatADeviceHasReadRests() throws {
    let pool = try BlockPool(capacity: 100)
    var blocks: [BlockID] = []
    pool.take(2, into: &blocks)
    pool.release([BlockSegment(block: blocks[0], count: 1)], readByDevice: true)
    #expect(pool.take() == BlockID(rawValue: 2))
    pool.release([BlockSegment(block: blocks[1], count: 1)])
    #expect(pool.take() == blocks[1])
    #expect(pool.available == 98)
  }

  @Test func vectoredWritesAndReadsRoundTrip() throws {
    let pool = try BlockPool(capacity: 3000)
    var blocks: [BlockID] = []
    pool.take(1500, into: &blocks)
    var segments: [BlockSegment] = []
    var expected: [UInt8] = []
    for (i, id) in blocks.enumerated() {
      let segment = BlockSegment(block: id, offset: i % 7, count: i % 5 == 0 ? 0 : 3 + i % 97)
      segments.append(segment)
      pool.withMutableBytes(of: id) { bytes in
        for j in 0..<Int(segment.count) {
          let byte = UInt8(truncatingIfNeeded: i &* 31 &+ j)
          bytes.storeBytes(of: byte, toByteOffset: Int(segment.offset) + j, as: UInt8.self)
          expected.append(byte)
        }
      }
    }
    var template = Array("/tmp/spate-blockio-XXXXXX".utf8CString)
    let file = unsafe mkstemp(&template)
    defer {
      close(file)
      unsafe unlink(template)
    }
    // More segments than one system call takes, at an odd offset.
    #expect(try pool.write(segments.span, to: file, at: 5) == 2)

    var into: [BlockID] = []
    pool.take(2, into: &into)
    let target = [BlockSegment(block: into[0], count: 16384), BlockSegment(block: into[1], count: 16384)]
    var read: [UInt8] = []
    var position: Int64 = 5
    while true {
      let count = try pool.read(into: target.span, from: file, at: position)
      if count == 0 { break }
      for i in 0..<count {
        pool.withBytes(of: into[i / 16384]) {
          read.append($0.unsafeLoadUnaligned(fromByteOffset: i % 16384, as: UInt8.self))
        }
      }
      position += Int64(count)
    }
    #expect(read == expected)
  }

  /// Neighbours in the slab are written as one; what only nearly touches is not.
  @Test func neighboursAreOneStretch() throws {
    let pool = try BlockPool(capacity: 2048)
    var blocks: [BlockID] = []
    pool.take(2048, into: &blocks)
    for (i, id) in blocks.enumerated() {
      pool.withMutableBytes(of: id) { bytes in
        for j in stride(from: 0, to: 16384, by: 8) {
          bytes.storeBytes(of: UInt64(i * 16384 + j), toByteOffset: j, as: UInt64.self)
        }
      }
    }
    var template = Array("/tmp/spate-blockio-XXXXXX".utf8CString)
    let file = unsafe mkstemp(&template)
    defer {
      close(file)
      unsafe unlink(template)
    }
    /// The place of each word that reached the file, in order.
    func written() throws -> [UInt64] {
      var words = [UInt64](repeating: 0, count: 2048 * 2048)
      let count = unsafe words.withUnsafeMutableBytes { unsafe pread(file, $0.baseAddress, $0.count, 0) }
      return Array(words[..<(count / 8)])
    }
    let all = (0..<UInt64(2048 * 2048)).map { $0 * 8 }
    let whole = blocks.map { BlockSegment(block: $0, count: 16384) }
    // More than 1024 segments, and yet one call, since they are one stretch.
    #expect(try pool.write(whole.span, to: file, at: 0) == 1)
    #expect(try written() == all)

    // Backwards, no two touch in the order that counts.
    #expect(try pool.write(Array(whole.reversed()).span, to: file, at: 0) == 2)
    #expect(try written() == (0..<2048).reversed().flatMap { i in all[i * 2048..<(i + 1) * 2048] })

    // The end of a block is left out, or the start of the next.
    ftruncate(file, 0)
    let parts = [
      BlockSegment(block: blocks[0], count: 16376), BlockSegment(block: blocks[1], count: 16384),
      BlockSegment(block: blocks[2], offset: 8, count: 16376), BlockSegment(block: blocks[3], count: 8),
    ]
    #expect(try pool.write(parts.span, to: file, at: 0) == 1)
    #expect(try written() == Array(all[..<2047] + all[2048..<4096] + all[4097..<6144] + all[6144..<6145]))
    pool.release(blocks)
  }

  @Test func aBadDescriptorIsAnError() throws {
    let pool = try BlockPool(capacity: 1)
    let id = try #require(pool.take())
    #expect(throws: SystemError(code: EBADF)) {
      try pool.write([BlockSegment(block: id, count: 1)].span, to: -1, at: 0)
    }
    pool.release(id)
  }
}
