import TorrentModel

/// When to announce one torrent, to which of its trackers, and with what event (BEP 3, 7, 12, 21, 31).
///
/// The trackers are in tiers. An announce goes through the tiers in order, and within a tier through its trackers
/// in an order that was shuffled at first, until one answers; that one moves to the front of its tier (BEP 12). With
/// ``Configuration/announceToAllTiers`` each tier does this on its own, so that every tier has one tracker working.
///
/// Times and outcomes go in, actions come out. Whoever carries the actions out must report the outcome of each
/// announce that was not cancelled.
public struct AnnounceSchedule: Sendable {
  /// Trackers of one torrent. A list from a torrent is cut here.
  public static let trackerLimit = 256

  public let configuration: Configuration
  /// Drawn once, so that trackers know us again from another address (BEP 7).
  public let key: UInt32
  /// The trackers in the order in which they were given.
  public private(set) var trackers: [TrackerStatus] = []
  /// Whether more peers are needed than are known.
  public private(set) var needsPeers = true
  /// Whether all that is wanted is there, but not everything (BEP 21).
  public var isPartialSeed = false

  private enum Phase: Hashable, Sendable {
    case idle
    case running
    case stopping
  }

  /// Trackers of which one is enough.
  private struct Lane: Hashable, Sendable {
    /// In the order in which they are tried.
    var members: [Int]
    /// The announce that is being carried out.
    var running: Order?
    /// The tracker that answered last.
    var current: Int?
    /// When to announce as the tracker asked.
    var due = Moment.distantFuture
    /// From when on to announce if peers are needed.
    var earlyDue = Moment.distantFuture
    /// Announces in a row that were made because peers were needed.
    var earlyCount = 0
    var isEarly = false
    /// Trackers tried since the lane last fell due.
    var tried: [Int] = []
  }

  private var phase = Phase.idle
  private var lanes: [Lane] = []
  private var orderCount: UInt32 = 0
  private var stopping: [Order] = []

  /// - Parameters:
  ///   - tiers: the torrent's `announce-list`, or its `announce` as the only tier. A tracker that comes again is left out.
  ///   - random: shuffles the tiers and draws the key.
  public init(
    tiers: [[TrackerURL]], configuration: Configuration = Configuration(),
    random: inout some RandomNumberGenerator
  ) {
    self.configuration = configuration
    key = UInt32.random(in: .min ... .max, using: &random)
    var known: Set<TrackerURL> = []
    for (tier, urls) in tiers.enumerated() {
      var members: [Int] = []
      for url in urls where trackers.count < Self.trackerLimit && known.insert(url).inserted {
        members.append(trackers.count)
        trackers.append(TrackerStatus(url: url, tier: tier))
      }
      guard !members.isEmpty else { continue }
      members.shuffle(using: &random)
      if configuration.announceToAllTiers || lanes.isEmpty {
        lanes.append(Lane(members: members))
      } else {
        lanes[0].members += members
      }
    }
  }

  /// When to call ``timerFired(now:random:into:)``, or `nil` while there is nothing to wait for.
  public var nextDeadline: Moment? {
    guard phase == .running else { return nil }
    return lanes.lazy.filter { $0.running == nil }.map { dueTime($0) }.filter { $0 < .distantFuture }.min()
  }

  /// Whether trackers were tried, all of them failed, and none works now.
  public var isFailingEverywhere: Bool {
    !trackers.isEmpty && trackers.allSatisfy { $0.failures > 0 || $0.isRefused }
  }

  /// Adds a tracker, for instance one that the user named. One that is there already is left as it is.
  ///
  /// - Parameter tier: it joins the trackers of this tier, or makes a new last one.
  public mutating func add(
    _ url: TrackerURL, tier: Int, now: Moment, random: inout some RandomNumberGenerator,
    into actions: inout [Action]
  ) {
    guard trackers.count < Self.trackerLimit, !trackers.contains(where: { $0.url == url }) else { return }
    let number = trackers.count
    trackers.append(TrackerStatus(url: url, tier: tier))
    var index = 0
    if configuration.announceToAllTiers || lanes.isEmpty {
      let sameTier = lanes.firstIndex { trackers[$0.members[0]].tier == tier }
      index = sameTier ?? lanes.count
      if sameTier == nil { lanes.append(Lane(members: [])) }
    }
    let members = lanes[index].members
    let place = members.firstIndex { trackers[$0].tier > tier } ?? members.count
    lanes[index].members.insert(number, at: place)
    guard phase == .running, lanes[index].running == nil, lanes[index].current == nil else { return }
    beginRound(index, now, &random, &actions)
  }

  /// The torrent starts: trackers are told with `started`.
  public mutating func start(
    now: Moment, random: inout some RandomNumberGenerator, into actions: inout [Action]
  ) {
    guard phase != .running else { return }
    for order in stopping { cancel(order, &actions) }
    stopping.removeAll()
    phase = .running
    for index in trackers.indices { trackers[index].forgetSession() }
    for index in lanes.indices {
      lanes[index].current = nil
      lanes[index].earlyCount = 0
      beginRound(index, now, &random, &actions)
    }
  }

  /// The last wanted byte has just arrived and all of the torrent is there: trackers that know us as a
  /// downloader are told with `completed`. To be called when that happens, not when a complete torrent starts.
  public mutating func downloadCompleted(
    now: Moment, random: inout some RandomNumberGenerator, into actions: inout [Action]
  ) {
    guard phase == .running else { return }
    for index in trackers.indices where trackers[index].sawStart { trackers[index].owesCompleted = true }
    for index in lanes.indices {
      if let running = lanes[index].running {
        trackers[running.tracker].owesCompleted = true
      } else if let current = lanes[index].current, trackers[current].owesCompleted {
        // An event may be told at any time (BEP 3).
        lanes[index].tried = []
        lanes[index].isEarly = false
        order(index, current, &actions)
      }
    }
  }

  /// Whether more peers are needed than are known. If so, trackers may be asked before their interval is over,
  /// though not before the least interval that they allow.
  public mutating func peerDemandChanged(
    _ needsPeers: Bool, now: Moment, random: inout some RandomNumberGenerator, into actions: inout [Action]
  ) {
    guard self.needsPeers != needsPeers else { return }
    self.needsPeers = needsPeers
    timerFired(now: now, random: &random, into: &actions)
    for index in lanes.indices { showNextTimes(index, now) }
  }

  /// The user wants an announce now, whatever the trackers said about waiting.
  public mutating func announceNow(
    now: Moment, random: inout some RandomNumberGenerator, into actions: inout [Action]
  ) {
    guard phase == .running else { return }
    for index in lanes.indices where lanes[index].running == nil {
      for member in lanes[index].members where !trackers[member].isRefused {
        trackers[member].earliest = .distantPast
      }
      beginRound(index, now, &random, &actions)
    }
  }

  /// The torrent stops: every tracker that saw it start is told with `stopped`, all at once, and once only.
  /// ``Action/finishStopping`` comes when they have answered, which may be at once.
  public mutating func stop(into actions: inout [Action]) {
    if phase == .idle { actions.append(.finishStopping) }
    guard phase == .running else { return }
    phase = .stopping
    for index in lanes.indices {
      guard let running = lanes[index].running else { continue }
      cancel(running, &actions)
      // It may have come through.
      if running.event == .started { trackers[running.tracker].sawStart = true }
      lanes[index].running = nil
    }
    for index in trackers.indices where trackers[index].sawStart {
      let order = makeOrder(index, .stopped, numberWanted: 0, retransmissions: 0)
      stopping.append(order)
      actions.append(.announce(order))
    }
    finishStoppingIfDone(&actions)
  }

  /// A time given by ``nextDeadline`` has come. Being called too early does no harm.
  public mutating func timerFired(
    now: Moment, random: inout some RandomNumberGenerator, into actions: inout [Action]
  ) {
    guard phase == .running else { return }
    for index in lanes.indices where lanes[index].running == nil && dueTime(lanes[index]) <= now {
      lanes[index].isEarly = lanes[index].due > now
      beginRound(index, now, &random, &actions)
    }
  }

  /// A tracker answered.
  public mutating func announceSucceeded(
    _ number: UInt32, _ reply: AnnounceReply, now: Moment, random: inout some RandomNumberGenerator,
    into actions: inout [Action]
  ) {
    if finishStopOrder(number, failure: nil, &actions) { return }
    guard let index = lanes.firstIndex(where: { $0.running?.number == number }),
      let order = lanes[index].running
    else { return }
    lanes[index].running = nil
    let tracker = order.tracker
    let least = min(reply.minimumInterval ?? .zero, configuration.longestInterval)
    let interval = max(least, clamp(reply.interval ?? configuration.defaultInterval))
    trackers[tracker].note(reply, now)
    trackers[tracker].activity = .working
    trackers[tracker].earliest = now + max(least, configuration.shortestInterval)
    if order.event == .started { trackers[tracker].sawStart = true }
    if order.event == .completed { trackers[tracker].owesCompleted = false }
    if let warning = reply.warning { actions.append(.showWarning(tracker: tracker, warning)) }

    promote(tracker, in: index)
    lanes[index].current = tracker
    lanes[index].earlyCount = lanes[index].isEarly ? min(lanes[index].earlyCount + 1, 10) : 0
    lanes[index].isEarly = false
    lanes[index].due = now + interval
    let early = configuration.earlyInterval * (1 << lanes[index].earlyCount)
    lanes[index].earlyDue = now + max(least, max(early, configuration.shortestInterval))
    if trackers[tracker].owesCompleted {
      lanes[index].tried = []
      self.order(index, tracker, &actions)
    }
    showNextTimes(index, now)
  }

  /// An announce brought nothing. The next tracker has its turn.
  public mutating func announceFailed(
    _ number: UInt32, _ error: TrackerError, now: Moment, random: inout some RandomNumberGenerator,
    into actions: inout [Action]
  ) {
    if finishStopOrder(number, failure: error, &actions) { return }
    guard let index = lanes.firstIndex(where: { $0.running?.number == number }),
      let order = lanes[index].running
    else { return }
    lanes[index].running = nil
    let tracker = order.tracker
    if lanes[index].current == tracker { lanes[index].current = nil }
    trackers[tracker].note(error)
    trackers[tracker].activity = .waiting
    actions.append(.showFailure(tracker: tracker, error))
    var rest = backOff(trackers[tracker].failures, &random)
    if case .failure(_, let advice) = error {
      switch advice {
      case .never?: trackers[tracker].activity = .refused
      case .after(let time)?: rest = max(rest, min(time, configuration.longestInterval))
      case nil: break
      }
    }
    trackers[tracker].earliest = now + rest
    tryNext(index, now, &random, &actions)
  }

  /// What a scrape said about the torrent.
  public mutating func scrapeSucceeded(tracker: Int, _ entry: ScrapeEntry) {
    guard trackers.indices.contains(tracker) else { return }
    trackers[tracker].note(entry)
  }
}

extension AnnounceSchedule {
  private func dueTime(_ lane: Lane) -> Moment { needsPeers ? min(lane.due, lane.earlyDue) : lane.due }

  private func clamp(_ interval: Moment.Interval) -> Moment.Interval {
    min(max(interval, configuration.shortestInterval), configuration.longestInterval)
  }

  /// Exponential, with jitter, so that peers which lost their tracker at the same time do not come back at the same time.
  private func backOff(_ failures: Int, _ random: inout some RandomNumberGenerator) -> Moment.Interval {
    let doubled = configuration.firstRetry * (1 << min(max(0, failures - 1), 20))
    let quarter = min(doubled, configuration.longestRetry).nanoseconds / 4
    return Moment.Interval(
      nanoseconds: 3 * quarter + Int64.random(in: 0...max(0, 2 * quarter), using: &random))
  }

  private mutating func beginRound(
    _ index: Int, _ now: Moment, _ random: inout some RandomNumberGenerator, _ actions: inout [Action]
  ) {
    lanes[index].tried = []
    tryNext(index, now, &random, &actions)
  }

  /// Announces to the first tracker whose turn it is and that does not rest.
  private mutating func tryNext(
    _ index: Int, _ now: Moment, _ random: inout some RandomNumberGenerator, _ actions: inout [Action]
  ) {
    let ready = lanes[index].members.first { member in
      !trackers[member].isRefused && trackers[member].earliest <= now && !lanes[index].tried.contains(member)
    }
    if let ready {
      order(index, ready, &actions)
    } else {
      // Nobody is left to try: come back when the first has rested.
      var first = Moment.distantFuture
      for member in lanes[index].members where !trackers[member].isRefused {
        first = min(first, trackers[member].earliest)
      }
      lanes[index].due = first
      lanes[index].earlyDue = .distantFuture
      lanes[index].isEarly = false
    }
    showNextTimes(index, now)
  }

  private mutating func order(_ index: Int, _ tracker: Int, _ actions: inout [Action]) {
    let status = trackers[tracker]
    let event: AnnounceEvent =
      !status.sawStart ? .started : status.owesCompleted ? .completed : isPartialSeed ? .paused : .periodic
    // What is told with `started` includes that everything is there (BEP 3).
    if event == .started { trackers[tracker].owesCompleted = false }
    lanes[index].tried.append(tracker)
    let hasOthers = lanes[index].members.contains {
      !trackers[$0].isRefused && !lanes[index].tried.contains($0)
    }
    let wanted = needsPeers ? configuration.numberWanted : configuration.numberWantedWhenSatisfied
    let order = makeOrder(tracker, event, numberWanted: wanted, retransmissions: hasOthers ? 1 : 2)
    lanes[index].running = order
    actions.append(.announce(order))
  }

  private mutating func makeOrder(
    _ tracker: Int, _ event: AnnounceEvent, numberWanted: Int, retransmissions: Int
  ) -> Order {
    orderCount &+= 1
    trackers[tracker].activity = .announcing(event)
    trackers[tracker].nextAnnounce = nil
    return Order(
      number: orderCount, tracker: tracker, url: trackers[tracker].url, event: event,
      numberWanted: numberWanted, key: key, trackerID: trackers[tracker].trackerID,
      retransmissions: retransmissions)
  }

  private mutating func cancel(_ order: Order, _ actions: inout [Action]) {
    trackers[order.tracker].activity = .waiting
    actions.append(.cancelAnnounce(number: order.number, tracker: order.tracker))
  }

  /// To the front of its tier (BEP 12).
  private mutating func promote(_ tracker: Int, in index: Int) {
    var members = lanes[index].members
    guard let place = members.firstIndex(of: tracker),
      let front = members.firstIndex(where: { trackers[$0].tier == trackers[tracker].tier })
    else { return }
    members.remove(at: place)
    members.insert(tracker, at: front)
    lanes[index].members = members
  }

  private mutating func finishStopOrder(
    _ number: UInt32, failure: TrackerError?, _ actions: inout [Action]
  ) -> Bool {
    guard let place = stopping.firstIndex(where: { $0.number == number }) else { return false }
    let tracker = stopping.remove(at: place).tracker
    trackers[tracker].activity = .notContacted
    trackers[tracker].sawStart = false
    if let failure { actions.append(.showFailure(tracker: tracker, failure)) }
    finishStoppingIfDone(&actions)
    return true
  }

  private mutating func finishStoppingIfDone(_ actions: inout [Action]) {
    guard phase == .stopping, stopping.isEmpty else { return }
    phase = .idle
    for index in trackers.indices { trackers[index].nextAnnounce = nil }
    actions.append(.finishStopping)
  }

  /// Notes for display when each tracker of a lane has its next turn.
  private mutating func showNextTimes(_ index: Int, _ now: Moment) {
    let lane = lanes[index]
    for member in lane.members {
      let isResting = lane.current == nil && !trackers[member].isRefused && trackers[member].earliest > now
      let time = member == lane.current ? dueTime(lane) : isResting ? trackers[member].earliest : nil
      trackers[member].nextAnnounce = lane.running == nil ? time : nil
    }
  }
}
