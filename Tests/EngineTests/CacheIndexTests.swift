import Testing
import TorrentModel

@testable import Engine

@Suite struct CacheIndexTests {
  /// Few keys and seeds that put them close together: what a dictionary says is what the table has to say.
  @Test(arguments: [UInt64(0), 1, 0x5EED, .max])
  func drawnChangesMatchADictionary(_ seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var index = CacheIndex(seed: seed)
    var model: [Int: Int32] = [:]
    for step in 0..<20_000 {
      // Grows, shrinks, and grows again.
      let isGrowing = step / 2500 % 2 == 0
      let number = Int.random(in: 0..<600, using: &random)
      let key = CacheKey(
        torrent: UInt32(number % 3), piece: UInt32(number / 3 % 5), block: UInt32(number / 15))
      #expect(index.find(key) == model[number])
      if model[number] == nil, isGrowing || step % 3 == 0 {
        index.insert(key, Int32(step))
        model[number] = Int32(step)
      } else if !isGrowing || step % 3 == 0 {
        index.remove(key)
        model[number] = nil
      }
      #expect(index.count == model.count)
    }
    var found: [Int: Int32] = [:]
    index.forEach { found[Int($0.torrent) + 3 * (Int($0.piece) + 5 * Int($0.block))] = $1 }
    #expect(found == model)
  }

  @Test func extremeKeysAreKeysLikeOthers() {
    var index = CacheIndex()
    let keys = [0, 1, UInt32.max - 1, .max].flatMap { a in
      [0, 1, UInt32.max].map { b in CacheKey(torrent: a, piece: b, block: a ^ b) }
    }
    for (slot, key) in keys.enumerated() { index.insert(key, Int32(slot)) }
    for (slot, key) in keys.enumerated() { #expect(index.find(key) == Int32(slot)) }
    for key in keys { index.remove(key) }
    #expect(index.count == 0 && keys.allSatisfy { index.find($0) == nil })
  }
}
