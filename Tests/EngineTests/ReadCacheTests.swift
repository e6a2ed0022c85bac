import BlockPool
import Testing
import TorrentModel

@testable import Engine

@Suite struct ReadCacheTests {
  static func key(_ block: Int, torrent: UInt32 = 1) -> CacheKey {
    CacheKey(torrent: torrent, piece: UInt32(block / 4), block: UInt32(block % 4))
  }

  @Test func aReadBlockIsFoundAgain() throws {
    let pool = try BlockPool(capacity: 8)
    let cache = ReadCache(pool: pool, limit: 4, reserve: 0)
    let key = Self.key(0)
    #expect(cache.lookup(key) == .missing)
    let block = try #require(cache.startReading(key))
    #expect(cache.lookup(key) == .reading)
    cache.finishReading(block, count: 100)
    #expect(cache.lookup(key) == .ready(block, count: 100))
    cache.pin(key)
    #expect(cache.unpin(block))
    #expect(cache.lookup(key) == .ready(block, count: 100))
    #expect(pool.inUse == 1)
  }

  @Test func aFailedReadLeavesNothing() throws {
    let pool = try BlockPool(capacity: 8)
    let cache = ReadCache(pool: pool, limit: 4, reserve: 0)
    let block = try #require(cache.startReading(Self.key(0)))
    cache.finishReading(block, count: 0)
    #expect(cache.lookup(Self.key(0)) == .missing)
    #expect(pool.inUse == 0 && cache.count == 0)
  }

  @Test func theLeastRecentlyUsedMakesRoomAndPinnedOnesStay() throws {
    let pool = try BlockPool(capacity: 8)
    let cache = ReadCache(pool: pool, limit: 3, reserve: 0)
    for i in 0..<3 {
      let block = try #require(cache.startReading(Self.key(i)))
      cache.finishReading(block, count: 1)
    }
    cache.pin(Self.key(0))
    guard case .ready(let first, _) = cache.lookup(Self.key(0)) else { return #expect(Bool(false)) }
    // 1 is now the oldest that may go.
    let fourth = try #require(cache.startReading(Self.key(3)))
    #expect(cache.lookup(Self.key(1)) == .missing)
    // 2 goes next; then everything is pinned.
    let fifth = try #require(cache.startReading(Self.key(4)))
    #expect(cache.lookup(Self.key(2)) == .missing)
    #expect(cache.startReading(Self.key(5)) == nil)
    cache.finishReading(fourth, count: 1)
    cache.finishReading(fifth, count: 1)
    #expect(cache.unpin(first))
    #expect(cache.count == 3)
  }

  @Test func theReserveOfThePoolIsNotTouched() throws {
    let pool = try BlockPool(capacity: 8)
    let cache = ReadCache(pool: pool, limit: 8, reserve: 6)
    for i in 0..<2 {
      let block = try #require(cache.startReading(Self.key(i)))
      cache.finishReading(block, count: 1)
    }
    #expect(cache.startReading(Self.key(2)) != nil, "evicts instead of taking more")
    #expect(pool.inUse == 2)
  }

  @Test func aRemovedTorrentLeavesWithItsLastPin() throws {
    let pool = try BlockPool(capacity: 8)
    let cache = ReadCache(pool: pool, limit: 8, reserve: 0)
    let block = try #require(cache.startReading(Self.key(0)))
    cache.finishReading(block, count: 1)
    let other = try #require(cache.startReading(Self.key(0, torrent: 2)))
    cache.pin(Self.key(0))
    cache.removeAll(of: 1)
    #expect(cache.lookup(Self.key(0)) == .missing && cache.lookup(Self.key(0, torrent: 2)) == .reading)
    #expect(pool.inUse == 2)
    #expect(cache.unpin(block))
    #expect(pool.inUse == 1)
    cache.finishReading(other, count: 0)
    #expect(pool.inUse == 0 && cache.count == 0)
    #expect(!cache.unpin(block), "it is nobody's now")
  }

  @Test func aPassingBlockLeavesWithTheLastOutput() throws {
    let pool = try BlockPool(capacity: 8)
    let cache = ReadCache(pool: pool, limit: 8, reserve: 0)
    let block = try #require(cache.startReading(Self.key(0), isPassing: true))
    cache.finishReading(block, count: 5)
    #expect(cache.lookup(Self.key(0)) == .ready(block, count: 5), "it stays until it was sent")
    cache.pin(Self.key(0))
    cache.pin(Self.key(0))
    #expect(cache.unpin(block))
    #expect(cache.lookup(Self.key(0)) == .ready(block, count: 5), "another output refers to it")
    #expect(cache.unpin(block))
    #expect(cache.lookup(Self.key(0)) == .missing)
    #expect(pool.inUse == 0 && cache.count == 0)
    #expect(cache.startReading(Self.key(1)) == block, "the next one is read into the same memory")
  }

  /// Drawn use against a model of pins; at the end every block is back.
  @Test(arguments: 0..<20)
  func blocksAreNeitherLostNorSharedByMistake(seed: Int) throws {
    var random = SeededRandom(seed: UInt64(seed))
    let pool = try BlockPool(capacity: 16)
    let cache = ReadCache(pool: pool, limit: 10, reserve: 3)
    var reading: [BlockID] = []
    var pinned: [BlockID] = []
    for _ in 0..<2000 {
      let key = Self.key(
        Int.random(in: 0..<24, using: &random), torrent: UInt32.random(in: 1...2, using: &random))
      switch Int.random(in: 0..<10, using: &random) {
      case 0..<4:
        switch cache.lookup(key) {
        case .missing:
          let isPassing = Bool.random(using: &random)
          if let block = cache.startReading(key, isPassing: isPassing) { reading.append(block) }
        case .ready(let block, let count):
          #expect(count > 0)
          cache.pin(key)
          pinned.append(block)
        case .reading: break
        }
      case 4..<6:
        guard let i = reading.indices.randomElement(using: &random) else { break }
        cache.finishReading(reading.remove(at: i), count: Int.random(in: 0...1, using: &random))
      case 6..<9:
        guard let i = pinned.indices.randomElement(using: &random) else { break }
        #expect(cache.unpin(pinned.remove(at: i)))
      default:
        if Int.random(in: 0..<20, using: &random) == 0 { cache.removeAll(of: key.torrent) }
        cache.shrink(by: 1)
      }
      #expect(cache.count <= 10 && pool.inUse == cache.count && pool.available >= 3)
    }
    for block in reading { cache.finishReading(block, count: 0) }
    for block in pinned { #expect(cache.unpin(block)) }
    cache.removeAll(of: 1)
    cache.removeAll(of: 2)
    #expect(pool.inUse == 0)
  }
}
