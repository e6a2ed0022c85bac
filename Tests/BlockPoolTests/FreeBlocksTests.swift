import Testing
import TorrentModel

@testable import BlockPool

@Suite struct FreeBlocksTests {
  /// Drawn takes and returns against plain sets, on a clock that runs at several speeds.
  @Test(arguments: [1, 64, 65, 300, 1000], [0, 3, 40, 500]) func everyBlockIsTakenForAReason(
    _ capacity: Int, _ rest: Int
  ) {
    var random = SeededRandom(seed: UInt64(capacity * 1000 + rest))
    var free = FreeBlocks(capacity: capacity, rest: rest)
    var ready = Set(0..<UInt32(capacity))
    /// When the blocks that rest came back.
    var resting: [UInt32: UInt64] = [:]
    var held: [BlockID] = []
    var (touched, now) = (0, UInt64(0))

    func check(_ id: UInt32) {
      let lowest = ready.min()
      let many = resting.count >= rest
      if let since = resting.removeValue(forKey: id) {
        // Nothing that was used before is ready, and either nothing is at all, or this one has rested.
        #expect(lowest == nil || Int(lowest!) >= touched)
        #expect(
          ready.isEmpty || many || touched >= capacity - capacity / 8 || now >= since + FreeBlocks.longestRest
        )
      } else {
        #expect(id == lowest)
        // A block that was never used is not taken while all that rest have done so for long enough.
        if Int(id) >= touched, !resting.isEmpty {
          #expect(resting.values.contains { $0 + FreeBlocks.longestRest > now })
          #expect(!many && touched < capacity - capacity / 8)
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
          free.insert(id, restingSince: rests ? now : nil)
          if rests {
            resting[id.rawValue] = now
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
      for id in pieces.removeFirst() { free.insert(id, restingSince: now) }
    }
    #expect(free.touched <= 5 * 64 + 1024)
    #expect(free.touched >= 1024)
  }

  /// The same at one in 60 ms: what came back has rested by then, and the same few blocks do for all.
  @Test func aSlowTransferTouchesNothingBesides() {
    var free = FreeBlocks(capacity: 4096, rest: 1024)
    for step in 0..<1000 {
      let now = UInt64(step) * 60_000_000
      var piece: [BlockID] = []
      free.take(64, at: now, into: &piece)
      for id in piece { free.insert(id, restingSince: now) }
    }
    #expect(free.touched == 64)
  }

  /// A pool that is in use to its end takes what rests at once.
  @Test func nobodyWaitsForABlockThatRests() {
    var free = FreeBlocks(capacity: 100, rest: 1024)
    var blocks: [BlockID] = []
    free.take(100, at: 0, into: &blocks)
    #expect(free.takeFirst(at: 0) == nil)
    for id in blocks { free.insert(id, restingSince: 0) }
    #expect(free.count == 100)
    var again: [BlockID] = []
    free.take(100, at: 0, into: &again)
    #expect(again == blocks)
  }

  /// Once many rest, each is taken as long after it came back as there are others.
  @Test func whatRestsIsTakenInTurn() {
    var free = FreeBlocks(capacity: 4096, rest: 1024)
    var (cameBack, order) = ([UInt32: Int](), 0)
    for step in 0..<500 {
      var piece: [BlockID] = []
      free.take(64, at: UInt64(step), into: &piece)
      for id in piece {
        if let before = cameBack[id.rawValue] { #expect(order - before >= 1024 - 64) }
      }
      for id in piece {
        free.insert(id, restingSince: UInt64(step))
        cameBack[id.rawValue] = order
        order += 1
      }
    }
  }

  /// Resting takes no more than seven eighths of a pool. What is in use takes the last eighth too.
  @Test func theLastEighthIsForWhatIsInUse() {
    var free = FreeBlocks(capacity: 1000, rest: 1024)
    var piece: [BlockID] = []
    for _ in 0..<100 {
      piece.removeAll()
      free.take(40, at: 0, into: &piece)
      for id in piece { free.insert(id, restingSince: 0) }
    }
    #expect(free.touched == 875)
    var all: [BlockID] = []
    free.take(1000, at: 0, into: &all)
    #expect(free.touched == 1000)
    #expect(Set(all).count == 1000)
  }
}
