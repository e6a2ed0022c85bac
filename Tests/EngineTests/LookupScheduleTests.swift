import Testing
import TorrentModel

@testable import Engine

struct LookupScheduleTests {
  static func hash(_ number: Int) -> InfoHash {
    var bytes = Bytes20()
    for index in 0..<8 { bytes[index] = UInt8(truncatingIfNeeded: number >> (8 * index)) }
    return InfoHash(bytes)
  }

  /// Lookups that take a while, over time.
  struct Run {
    var schedule: LookupSchedule
    var random = SeededRandom(seed: 7)
    var now = Moment.zero
    var ends: [(Moment, InfoHash)] = []
    var starts: [InfoHash: [Moment]] = [:]
    var outcome: (InfoHash) -> LookupSchedule.Outcome = { _ in .completed(peers: 3) }
    var peak = 0

    init(concurrency: Int = 4) { schedule = LookupSchedule(concurrency: concurrency) }

    mutating func pass(_ interval: Moment.Interval, lookup: Moment.Interval = .seconds(2)) {
      let end = now + interval
      while true {
        while let next = schedule.next(now: now) {
          starts[next, default: []].append(now)
          ends.append((now + lookup, next))
        }
        peak = max(peak, schedule.runningCount)
        let next = min(schedule.nextDeadline, ends.first?.0 ?? .distantFuture)
        guard next <= end else { break }
        now = max(now, next)
        while let first = ends.first, first.0 <= now {
          ends.removeFirst()
          schedule.finished(first.1, outcome(first.1), now: now, random: &random)
        }
      }
      now = end
    }
  }

  @Test func aTorrentComesAtOnceAndEveryFifteenMinutes() {
    var run = Run()
    run.schedule.add(Self.hash(1), now: run.now)
    run.pass(.seconds(3600))
    let starts = run.starts[Self.hash(1)] ?? []
    #expect(starts.first == .zero)
    #expect((4...5).contains(starts.count), "\(starts)")
    for (a, b) in zip(starts, starts.dropFirst()) {
      #expect((810.0...990.0).contains((b - a).seconds))
    }
  }

  @Test func moreIsAskedForOnceAMinuteAndThenLess() {
    for (finds, gaps) in [(3, [60.0, 60, 60]), (0, [120.0, 240, 300, 300])] {
      var run = Run()
      run.outcome = { _ in .completed(peers: finds) }
      run.schedule.add(Self.hash(1), now: run.now)
      // Asked for more every second.
      for _ in 0..<1200 {
        run.pass(.seconds(1))
        run.schedule.peersRanShort(Self.hash(1), now: run.now)
      }
      let starts = run.starts[Self.hash(1)] ?? []
      let seen = zip(starts, starts.dropFirst()).map { ($1 - $0).seconds }
      #expect(Array(seen.prefix(gaps.count)) == gaps, "\(seen)")
    }
  }

  @Test func whoeverWantsPeersGoesFirst() {
    var run = Run(concurrency: 1)
    for number in 0..<10 { run.schedule.add(Self.hash(number), now: run.now) }
    run.pass(.seconds(60))
    #expect(run.starts.count == 10)
    run.schedule.peersRanShort(Self.hash(0), now: run.now)
    // All are due, and one wants peers.
    run.now = run.now + .seconds(3600)
    #expect(run.schedule.next(now: run.now) == Self.hash(0))
  }

  @Test func fiveThousandTorrentsShareTheLookups() {
    var run = Run(concurrency: 16)
    let count = 5000
    for number in 0..<count { run.schedule.add(Self.hash(number), now: run.now) }
    run.pass(.seconds(4 * 3600))
    #expect(run.peak == 16)
    #expect(run.starts.count == count)
    // Nobody is left out, whoever else is there.
    let counts = run.starts.values.map(\.count)
    #expect(
      (counts.min() ?? 0) >= 14 && (counts.max() ?? 0) <= 18, "\(counts.min() ?? 0)…\(counts.max() ?? 0)")
    // Never many at once: after the first round they have parted.
    var perSecond: [Int64: Int] = [:]
    for start in run.starts.values.joined() { perSecond[start.nanoseconds / 1_000_000_000, default: 0] += 1 }
    #expect((perSecond.values.max() ?? 0) <= 32)
  }

  @Test func whoGotNoAnswerComesAgainWhenTheNetworkDoes() {
    var run = Run()
    run.outcome = { _ in .noNodes }
    for number in 0..<3 { run.schedule.add(Self.hash(number), now: run.now) }
    run.pass(.seconds(600))
    let tries = run.starts[Self.hash(0)]?.count ?? 0
    #expect((8...14).contains(tries), "pauses grow to a minute: \(tries)")
    run.outcome = { _ in .completed(peers: 1) }
    // Asked in between, which does not matter.
    run.schedule.peersRanShort(Self.hash(0), now: run.now)
    let before = run.now
    run.pass(.seconds(3))
    run.schedule.networkReturned(now: run.now)
    run.pass(.seconds(5))
    for number in 0..<3 { #expect((run.starts[Self.hash(number)]?.last ?? .zero) >= before) }
  }

  @Test func whoLeavesLeavesNothingBehind() {
    var random = SeededRandom(seed: 3)
    var run = Run(concurrency: 3)
    var present: Set<Int> = []
    for _ in 0..<20_000 {
      let number = Int.random(in: 0..<50, using: &random)
      switch Int.random(in: 0..<4, using: &random) {
      case 0:
        run.schedule.add(Self.hash(number), now: run.now)
        present.insert(number)
      case 1:
        run.schedule.remove(Self.hash(number))
        run.ends.removeAll { $0.1 == Self.hash(number) }
        present.remove(number)
      case 2: run.schedule.peersRanShort(Self.hash(number), now: run.now)
      default: run.pass(.milliseconds(Int.random(in: 0...20_000, using: &random)))
      }
      #expect(run.schedule.count == present.count)
      #expect(run.schedule.runningCount == run.ends.count)
      #expect(run.schedule.plannedCount <= 64 + 4 * 50)
    }
    for number in present { run.schedule.remove(Self.hash(number)) }
    #expect(run.schedule.count == 0 && run.schedule.runningCount == 0)
    #expect(run.schedule.next(now: .distantFuture) == nil)
    #expect(run.schedule.nextDeadline == .distantFuture)
  }
}
