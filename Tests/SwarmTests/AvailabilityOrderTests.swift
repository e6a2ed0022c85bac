import Testing
import TorrentModel

@testable import Swarm

@Suite struct AvailabilityOrderTests {
  /// Random changes, held against the plainest model: the members must come out by rank and copies.
  @Test(arguments: 1...8) func followsTheModel(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let count = 1 + random.below(90)
    let rankCount = 1 + random.below(3)
    var order = AvailabilityOrder(pieceCount: count)
    let ranks = (0..<count).map { _ in UInt8(random.below(rankCount)) }
    order.setRanks(rankCount == 1 ? [] : ranks, rankCount: rankCount)
    var members: Set<Int> = []
    var copies = [Int](repeating: 0, count: count)
    for step in 0..<4000 {
      let p = random.below(count)
      let piece = PieceIndex(p)
      switch random.below(12) {
      case 0...1:
        if members.insert(p).inserted { order.insert(piece, random: &random) }
      case 2:
        if members.remove(p) != nil { order.remove(piece) }
      case 3...6 where copies[p] < 300:
        copies[p] += 1
        order.increment(piece, random: &random)
      case 7...9 where copies[p] > 0:
        copies[p] -= 1
        order.decrement(piece, random: &random)
      case 10 where step % 50 == 0:
        var set = Bitfield(capacity: count)
        for other in 0..<count where random.below(2) == 0 {
          set.insert(PieceIndex(other))
          copies[other] += 1
        }
        order.addCopies(of: set)
      default: order.sort()
      }
      try order.checkInvariants()
    }
    order.sort()
    try order.checkInvariants()
    #expect(order.count == members.count)
    let keys = (0..<order.count).map { index -> Int in
      let p = order[index].offset
      return (rankCount == 1 ? 0 : Int(ranks[p]) * 1000) + min(copies[p], 255)
    }
    #expect(keys == keys.sorted())
    #expect(Set((0..<order.count).map { order[$0].offset }) == members)
  }
}
