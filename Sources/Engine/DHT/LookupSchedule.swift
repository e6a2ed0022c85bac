import HeapModule
import TorrentModel

/// When which torrent is looked up in the DHT. Pure: times and chance come with the calls.
///
/// A torrent is due at once when it is added, then every fifteen minutes, give or take a tenth, so that torrents that
/// were added together part. One that wants peers comes sooner, and before those that only announce. At most
/// ``concurrency`` are looked up at a time: where there are more torrents than that allows, each just comes less often.
struct LookupSchedule {
  static let interval = Moment.Interval.seconds(15 * 60)
  /// The pause of a torrent that wants peers: at first, and at most, to which it doubles while nothing new is found.
  static let firstDemandInterval = Moment.Interval.seconds(60)
  static let demandInterval = Moment.Interval.seconds(5 * 60)
  /// The pauses after nobody answered at all, or nobody knew a peer.
  static let firstRetryInterval = Moment.Interval.seconds(5)
  static let retryInterval = Moment.Interval.seconds(60)

  /// How a lookup ended.
  enum Outcome {
    /// So many peers were found.
    case completed(peers: Int)
    /// Nodes answered, but none knew a peer, and a download waits: whoever has it may be announcing it just now.
    case nobody
    /// Nobody answered.
    case noNodes
  }

  private struct Entry {
    /// Which heap entry is the valid one.
    var version: UInt32 = 0
    var isRunning = false
    var wantsPeers = true
    var startedAt: Moment?
    /// Pause before the next lookup for more peers.
    var demandPause = LookupSchedule.firstDemandInterval
    var retryPause = LookupSchedule.firstRetryInterval
    /// Waits only because nobody answered.
    var isStranded = false
  }

  private struct Due: Comparable {
    var moment: Moment
    /// Of those due at the same time, the one that was planned first.
    var number: UInt64
    var infoHash: InfoHash
    var version: UInt32

    static func < (a: Due, b: Due) -> Bool { (a.moment, a.number) < (b.moment, b.number) }
  }

  let concurrency: Int
  private var entries: [InfoHash: Entry] = [:]
  private var urgent = Heap<Due>()
  private var routine = Heap<Due>()
  private var nextNumber: UInt64 = 0
  private(set) var runningCount = 0

  init(concurrency: Int) { self.concurrency = concurrency }

  var count: Int { entries.count }
  /// Entries of the heaps, those included that are valid no more.
  var plannedCount: Int { urgent.count + routine.count }

  /// When ``next(now:)`` may have something.
  var nextDeadline: Moment {
    guard runningCount < concurrency else { return .distantFuture }
    return min(urgent.min?.moment ?? .distantFuture, routine.min?.moment ?? .distantFuture)
  }

  mutating func add(_ infoHash: InfoHash, now: Moment) {
    guard entries[infoHash] == nil else { return }
    entries[infoHash] = Entry()
    plan(infoHash, at: now)
  }

  /// - Returns: whether it was being looked up.
  @discardableResult
  mutating func remove(_ infoHash: InfoHash) -> Bool {
    guard let entry = entries.removeValue(forKey: infoHash) else { return false }
    if entry.isRunning { runningCount -= 1 }
    tidy()
    return entry.isRunning
  }

  /// The torrent has nobody left to connect to.
  mutating func peersRanShort(_ infoHash: InfoHash, now: Moment) {
    guard let entry = entries[infoHash], !entry.wantsPeers, let started = entry.startedAt else { return }
    entries[infoHash]?.wantsPeers = true
    // One that is being looked up is planned when that has ended.
    if !entry.isRunning { plan(infoHash, at: max(now, started + entry.demandPause)) }
  }

  /// The next torrent to be looked up, if one is due and there is room.
  mutating func next(now: Moment) -> InfoHash? {
    guard runningCount < concurrency,
      let infoHash = Self.pop(&urgent, now, entries) ?? Self.pop(&routine, now, entries)
    else { return nil }
    entries[infoHash]?.isRunning = true
    entries[infoHash]?.wantsPeers = false
    entries[infoHash]?.isStranded = false
    entries[infoHash]?.startedAt = now
    entries[infoHash]?.version &+= 1
    runningCount += 1
    tidy()
    return infoHash
  }

  mutating func finished(
    _ infoHash: InfoHash, _ outcome: Outcome, now: Moment, random: inout some RandomNumberGenerator
  ) {
    guard var entry = entries[infoHash], entry.isRunning else { return }
    runningCount -= 1
    entry.isRunning = false
    let started = entry.startedAt ?? now
    let next: Moment
    switch outcome {
    case .completed(let peers):
      entry.retryPause = Self.firstRetryInterval
      entry.demandPause =
        peers > 0 ? Self.firstDemandInterval : min(entry.demandPause * 2, Self.demandInterval)
      let tenth = Self.interval.nanoseconds / 10
      let jitter = Moment.Interval(nanoseconds: Int64.random(in: -tenth...tenth, using: &random))
      next = entry.wantsPeers ? max(now, started + entry.demandPause) : started + Self.interval + jitter
    case .nobody:
      entry.wantsPeers = true
      next = now + entry.retryPause
      entry.retryPause = min(entry.retryPause * 2, Self.demandInterval)
    case .noNodes:
      entry.isStranded = true
      entry.wantsPeers = true
      next = now + entry.retryPause
      entry.retryPause = min(entry.retryPause * 2, Self.retryInterval)
    }
    entries[infoHash] = entry
    plan(infoHash, at: max(now, next))
  }

  /// There is a way into the network again: whoever was left without an answer is due.
  mutating func networkReturned(now: Moment) {
    for (infoHash, entry) in entries where entry.isStranded {
      entries[infoHash]?.isStranded = false
      entries[infoHash]?.retryPause = Self.firstRetryInterval
      plan(infoHash, at: now)
    }
  }

  private mutating func plan(_ infoHash: InfoHash, at moment: Moment) {
    guard var entry = entries[infoHash] else { return }
    entry.version &+= 1
    entries[infoHash] = entry
    let due = Due(moment: moment, number: nextNumber, infoHash: infoHash, version: entry.version)
    nextNumber += 1
    if entry.wantsPeers { urgent.insert(due) } else { routine.insert(due) }
    tidy()
  }

  private static func pop(
    _ heap: inout Heap<Due>, _ now: Moment, _ entries: [InfoHash: Entry]
  ) -> InfoHash? {
    while let first = heap.min, first.moment <= now {
      heap.removeMin()
      if entries[first.infoHash]?.version == first.version { return first.infoHash }
    }
    return nil
  }

  /// Entries that are valid no more make room when they are too many, and never stand first.
  private mutating func tidy() {
    let entries = entries
    func isValid(_ due: Due) -> Bool { entries[due.infoHash]?.version == due.version }
    func tidy(_ heap: inout Heap<Due>) {
      if heap.count > 64, heap.count > 2 * entries.count { heap = Heap(heap.unordered.filter(isValid)) }
      while let first = heap.min, !isValid(first) { heap.removeMin() }
    }
    tidy(&urgent)
    tidy(&routine)
  }
}
