import Testing
import TorrentModel

@testable import Swarm

@Suite struct RequestQueueTests {
  private static func at(_ milliseconds: Int) -> Moment { .zero + .milliseconds(milliseconds) }

  /// A peer that answers after `delay` milliseconds, `rate` blocks a second at most: where does the window go?
  private static func run(delay: Int, rate: Int, seconds: Int, maximum: Int) -> (window: Int, came: Int) {
    var queue = RequestQueue()
    var bytes = TransferRate()
    var next: UInt32 = 0
    var now = 0
    /// When the answers come, in order.
    var answers: [Int] = []
    var came = 0
    for tick in 0..<(seconds * 1000) {
      now = tick
      while let first = answers.first, first <= now {
        answers.removeFirst()
        _ = queue.arrived(at: 0, maximum: maximum, now: at(now))
        bytes.add(blockLength, now: at(now))
        came += 1
      }
      while queue.live < queue.window {
        queue.append(PieceIndex(0), next, slot: 0, now: at(now))
        next += 1
        answers.append(max(now + delay, (answers.last ?? 0) + 1000 / rate))
      }
      if now % 1000 == 0, now > 0 {
        queue.adapt(rate: bytes.rate(now: at(now)), minimum: 4, maximum: maximum)
      }
    }
    return (queue.window, came)
  }

  @Test func theWindowCoversBandwidthTimesDelay() {
    // 200 blocks a second at 300 ms: 60 under way keep it busy.
    let (window, came) = Self.run(delay: 300, rate: 200, seconds: 20, maximum: 2000)
    #expect(window > 60 && window < 200 * 5)
    #expect(came > 200 * 17)
  }

  @Test func aSlowPeerHasAShortQueue() {
    let (window, came) = Self.run(delay: 50, rate: 1, seconds: 60, maximum: 2000)
    #expect(window <= 4)
    #expect(came > 50)
  }

  @Test func theWindowIsBounded() {
    #expect(Self.run(delay: 200, rate: 1000, seconds: 5, maximum: 30).window == 30)
  }

  @Test func answersInAnyOrderAreFound() {
    var queue = RequestQueue()
    for block in 0..<10 { queue.append(PieceIndex(block / 4), UInt32(block % 4), slot: 0, now: .zero) }
    for block in [9, 0, 4, 5, 1, 8, 7, 2, 3, 6] {
      let index = queue.index(of: PieceIndex(block / 4), UInt32(block % 4))
      #expect(index != nil)
      if let index { queue.remove(at: index, now: .zero) }
    }
    #expect(queue.entries.isEmpty && queue.live == 0)
    #expect(queue.index(of: PieceIndex(0), 0) == nil)
  }

  @Test func lateBlocksAreCounted() {
    var queue = RequestQueue()
    for block in 0..<3 { queue.append(PieceIndex(0), UInt32(block), slot: 0, now: .zero) }
    queue.release(at: 1)
    #expect(queue.live == 2 && queue.entries.count == 3)
    queue.removeAll()
    var expected: [Bool] = []
    for _ in 0..<4 { expected.append(queue.takeLateBlock()) }
    #expect(expected == [true, true, true, false])
  }

  @Test func silenceIsNoticed() {
    var queue = RequestQueue()
    let least = Moment.Interval.seconds(8)
    let most = Moment.Interval.seconds(60)
    #expect(!queue.isOverdue(minimum: least, maximum: most, now: Self.at(1_000_000)), "nothing was asked for")
    queue.append(PieceIndex(0), 0, slot: 0, now: Self.at(0))
    queue.append(PieceIndex(0), 1, slot: 0, now: Self.at(0))
    // Nothing is known of the peer: the longest time holds.
    #expect(!queue.isOverdue(minimum: least, maximum: most, now: Self.at(59_000)))
    #expect(queue.isOverdue(minimum: least, maximum: most, now: Self.at(61_000)))
    // It answers quickly: the shortest time holds.
    _ = queue.arrived(at: 0, maximum: 10, now: Self.at(100))
    #expect(!queue.isOverdue(minimum: least, maximum: most, now: Self.at(8_000)))
    #expect(queue.isOverdue(minimum: least, maximum: most, now: Self.at(8_200)))
    // A trickle of bytes counts, but not for ever.
    for second in 1...100 { queue.bytesArrived(now: Self.at(second * 1000)) }
    #expect(queue.isOverdue(minimum: least, maximum: most, now: Self.at(100_000)))
  }

  @Test func rejectionsMakeItWaitLonger() {
    var queue = RequestQueue()
    var waits: [Int] = []
    var now = Moment.zero
    for _ in 0..<9 {
      queue.hold(now: now)
      waits.append(Int((queue.holdUntil - now).seconds))
      now = queue.holdUntil
    }
    #expect(waits == [1, 2, 4, 8, 16, 32, 64, 64, 64])
  }
}
