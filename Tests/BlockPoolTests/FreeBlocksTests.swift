import Testing
import TorrentModel

@testable import BlockPool

@Suite struct FreeBlocksTests {
  /// Drawn takes and returns against plain sets, on a clock that runs at several speeds.
  @Test(arguments: [1, 64, 65, 300, 1000], [0, 3, 40, 500]) func everyBlockIsTakenForAReason(_ capacity: Int, _ rest: Int)
  {
    var random = SeededRandom(seed: UInt64(capacity * 1000 + rest))
    var free = FreeBlocks(capacity: capacity, rest: rest)
    var ready = Set(0..<UInt32(capacity))
    /// Blocks that rest: how many had come back by then, and when.
    var resting: [UInt32: (returned: Int, time: UInt64)] = [:]
    var held: [BlockID] = []
    var (touched, returned, now) = (0, 0, UInt64(0))

    func check(_ id: UInt32) {
      let lowest = ready.min()
      if let since = resting.removeValue(forKey: id) {
        // Nothing that was used before is ready, and either nothing is at all, or this one has rested.
        #expect(lowest == nil || Int(lowest!) >= touched)
        #expect(
          ready.isEmpty || returned - since.returned >= rest || now >= since.time + FreeBlocks.longestRest)
      } else {
        #expect(id == lowest)
        // A block that was never used is not taken while all that rest have done so for long enough.
        if Int(id) >= touched, !resting.isEmpty {
          #expect(resting.values.contains { $0.time + FreeBlocks.longestRest > now })
          #expect(resting.values.contains { returned - $0.returned < rest })
        }
        ready.remove(id)
        touched = max(touched, Int(id) + 1)
      }
    }

    for _ in 0..<1500 {
      now += UInt64.random(in: 0...(Bool.random(using: &random) ? 100_000 : 20_000_000), using: &random)
      switch Int.random(in: 0..<5, using: &random) {
      case 0:
        let id = free.takeFirst(at: now)
        #expect((id == nil) == (ready.isEmpty && resting.isEmpty))
        guard let id else { continue }
        check(id.rawValue)
        held.append(id)
      case 1, 2:
        let number = min(free.count, Int.random(in: 0...100, using: &random))
        var taken: [BlockID] = []
        free.take(number, at: now, into: &taken)
        #expect(taken.count == number)
        for id in taken { check(id.rawValue) }
        held += taken
      default:
        if Bool.random(using: &random) { held.shuffle(using: &random) }
        let rests = Int.random(in: 0..<4, using: &random) > 0
        for _ in 0..<min(held.count, Int.random(in: 0...100, using: &random)) {
          let id = held.removeLast()
          free.insert(id, resting: rests, at: now)
          if rests {
            returned += 1
            resting[id.rawValue] = (returned, now)
          } else {
            ready.insert(id.rawValue)
          }
        }
      }
      #expect(free.count == ready.count + resting.count)
      #expect(free.touched == touched)
    }
  }

  /// Pieces that come and go one a millisecond: memory is what is in use, what rests, and no more.
  @Test func aFastTransferTouchesWhatRestsBesides() {
    var free = FreeBlocks(capacity: 4096, rest: 1024)
    var pieces: [[BlockID]] = []
    for step in 0..<1000 {
      let now = UInt64(step) * 1_000_000
      var piece: [BlockID] = []
      free.take(64, at: now, into: &piece)
      pieces.append(piece)
      guard pieces.count > 4 else { continue }
      for id in pieces.removeFirst() { free.insert(id, resting: true, at: now) }
    }
    #expect(free.touched <= 5 * 64 + 1024 + 64)
    #expect(free.touched >= 1024)
  }

  /// The same at one in 60 ms: what came back has rested by then, and the same few blocks do for all.
  @Test func aSlowTransferTouchesNothingBesides() {
    var free = FreeBlocks(capacity: 4096, rest: 1024)
    for step in 0..<1000 {
      let now = UInt64(step) * 60_000_000
      var piece: [BlockID] = []
      free.take(64, at: now, into: &piece)
      for id in piece { free.insert(id, resting: true, at: now) }
    }
    #expect(free.touched == 64)
  }

  /// A pool that is in use to its end takes what rests at once.
  @Test func nobodyWaitsForABlockThatRests() {
    var free = FreeBlocks(capacity: 100, rest: 1024)
    var blocks: [BlockID] = []
    free.take(100, at: 0, into: &blocks)
    #expect(free.takeFirst(at: 0) == nil)
    for id in blocks { free.insert(id, resting: true, at: 0) }
    #expect(free.count == 100)
    var again: [BlockID] = []
    free.take(100, at: 0, into: &again)
    #expect(again == blocks)
  }
}
