import Testing
import TorrentModel

@testable import Swarm

@Suite struct RateTests {
  private static func at(_ milliseconds: Int) -> Moment { .zero + .milliseconds(milliseconds) }

  // MARK: TransferRate

  @Test(arguments: [1, 7, 100, 499, 500, 1500]) func anEvenFlowIsMeasured(every: Int) {
    var rate = TransferRate()
    let bytes = 1000 * every
    for step in 0...(60_000 / every) { rate.add(bytes, now: Self.at(step * every)) }
    let measured = rate.rate(now: Self.at(60_000))
    #expect((900_000...1_100_000).contains(measured), "\(measured)")
    #expect(rate.total == Int64(bytes * (60_000 / every + 1)))
  }

  @Test func theFirstSecondsCountInFull() {
    var rate = TransferRate()
    for step in 0..<200 { rate.add(10_000, now: Self.at(step * 10)) }
    let measured = rate.rate(now: Self.at(2000))
    #expect((900_000...1_100_000).contains(measured), "\(measured)")
  }

  @Test func itFadesWhenNothingComes() {
    var rate = TransferRate()
    for step in 0..<3000 { rate.add(10_000, now: Self.at(step * 10)) }
    let before = rate.rate(now: Self.at(30_000))
    let after = rate.rate(now: Self.at(38_000))
    #expect(after > before / 5 && after < before / 2)
    #expect(rate.rate(now: Self.at(90_000)) < before / 1000)
    #expect(rate.rate(now: Self.at(1_000_000_000)) == 0)
  }

  @Test func nothingIsZero() {
    #expect(TransferRate().rate(now: Self.at(5000)) == 0)
  }

  // MARK: TokenBucket

  @Test func unlimitedGrantsAll() {
    var bucket = TokenBucket(rate: nil, now: .zero)
    let granted = bucket.grant(1 << 40, now: .zero)
    #expect(granted == 1 << 40)
    #expect(bucket.nextAvailable(1 << 40, now: Self.at(3)) == Self.at(3))
  }

  /// Whoever asks at random moments for random amounts gets what the rate allows, and no more than a bucket above it.
  @Test(arguments: [(1, 1), (1000, 2), (100_000, 3), (20_000_000, 4), (1_000_000_007, 5)])
  func theRateHolds(rate: Int, seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var bucket = TokenBucket(rate: rate, now: .zero)
    var now = Moment.zero
    var granted = 0
    let span = Moment.Interval.seconds(100)
    while now < .zero + span {
      now = now + .milliseconds(1 + random.below(20))
      granted += bucket.grant(random.below(rate / 10 + 20_000), now: now)
    }
    let allowed = rate * 100 + bucket.capacity + rate / 50 + 1
    #expect(granted <= allowed && granted >= min(allowed, rate * 99), "\(granted)")
  }

  @Test func whoWaitsUntilTheTimeNamedGetsIt() {
    for wanted in [1, 100, 16_384, 17_000] {
      var bucket = TokenBucket(rate: 12_345, now: .zero)
      _ = bucket.grant(.max, now: .zero)
      let time = bucket.nextAvailable(wanted, now: .zero)
      let early = bucket.grant(wanted, now: time - .milliseconds(1))
      #expect(early < wanted)
      let rest = bucket.nextAvailable(wanted - early, now: time)
      let late = bucket.grant(wanted - early, now: max(time, rest))
      #expect(early + late == wanted)
    }
  }

  @Test func aChargeIsPaidBack() {
    var bucket = TokenBucket(rate: 1000, now: .zero)
    bucket.charge(bucket.capacity + 500, now: .zero)
    let atOnce = bucket.grant(1, now: .zero)
    let before = bucket.grant(1000, now: Self.at(500))
    let after = bucket.grant(1000, now: Self.at(600))
    #expect([atOnce, before, after] == [0, 0, 100])
  }

  @Test func aDebtIsBounded() {
    var bucket = TokenBucket(rate: 100_000, now: .zero)
    bucket.charge(1 << 40, now: .zero)
    #expect(bucket.nextAvailable(1, now: .zero) <= Self.at(1001))
  }

  // MARK: RateLimitTree

  @Test func theTightestLimitRules() {
    var tree = RateLimitTree(rate: 1_000_000, now: .zero)
    let torrent = tree.addNode(inside: tree.root, rate: nil, now: .zero)
    let slow = tree.addNode(inside: torrent, rate: 50_000, now: .zero)
    let free = tree.addNode(inside: torrent, rate: nil, now: .zero)
    var (a, b) = (0, 0)
    for step in 1...1000 {
      a += tree.grant(100_000, from: slow, now: Self.at(step * 10))
      b += tree.grant(100_000, from: free, now: Self.at(step * 10))
    }
    #expect((490_000...530_000).contains(a), "\(a)")
    #expect((9_700_000...10_400_000).contains(a + b), "\(a + b)")
  }

  @Test func whatIsChargedBelowIsMissingAbove() {
    var tree = RateLimitTree(rate: 100_000, now: .zero)
    let torrent = tree.addNode(inside: tree.root, rate: nil, now: .zero)
    let other = tree.addNode(inside: tree.root, rate: nil, now: .zero)
    tree.charge(200_000, to: torrent, now: .zero)
    let granted = tree.grant(1, from: other, now: .zero)
    #expect(granted == 0)
    #expect(tree.nextAvailable(1, from: other, now: .zero) > .zero)
  }

  @Test func nodesAreUsedAgain() {
    var tree = RateLimitTree(rate: nil, now: .zero)
    let first = tree.addNode(inside: tree.root, rate: 10, now: .zero)
    tree.removeNode(first)
    let second = tree.addNode(inside: tree.root, rate: 20, now: .zero)
    #expect(first == second && tree.rate(of: second) == 20)
    tree.setRate(nil, of: second, now: .zero)
    let granted = tree.grant(1 << 30, from: second, now: .zero)
    #expect(granted == 1 << 30)
  }
}
