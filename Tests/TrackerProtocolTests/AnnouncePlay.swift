import Testing
import TorrentModel
import TrackerProtocol

/// A schedule with a clock. Trackers are called by the letters of their host names; what they answer is set by the test.
struct Play {
  enum Answer {
    case reply(AnnounceReply)
    case error(TrackerError)
    /// Nothing comes until the test says so.
    case silence
  }

  var schedule: AnnounceSchedule
  var random: SeededRandom
  var now = Moment.seconds(1000)
  var answers: [String: Answer] = [:]
  /// "seconds tracker event" for each announce, and other actions.
  var log: [String] = []
  var orders: [AnnounceSchedule.Order] = []
  var open: [AnnounceSchedule.Order] = []

  init(
    _ tiers: String, seed: UInt64 = 1, configuration: AnnounceSchedule.Configuration = .init()
  ) {
    random = SeededRandom(seed: seed)
    let urls = tiers.split(separator: " ").map { tier in tier.map { Self.url(String($0)) } }
    schedule = AnnounceSchedule(tiers: urls, configuration: configuration, random: &random)
  }

  static func url(_ name: String) -> TrackerURL {
    guard let url = try? TrackerURL("http://\(name)/announce") else { preconditionFailure("not a host") }
    return url
  }

  static func reply(every seconds: Int = 1800, least: Int? = nil) -> Answer {
    .reply(AnnounceReply(interval: .seconds(seconds), minimumInterval: least.map { .seconds($0) }))
  }

  func name(_ tracker: Int) -> String { schedule.trackers[tracker].url.hostText }
  var second: Int { Int(now.nanoseconds / 1_000_000_000) - 1000 }

  mutating func take(_ actions: [AnnounceSchedule.Action]) {
    for action in actions {
      switch action {
      case .announce(let order):
        orders.append(order)
        open.append(order)
        log.append("\(second) \(name(order.tracker)) \(order.event)")
      case .cancelAnnounce(let number, let tracker):
        #expect(open.contains { $0.number == number && $0.tracker == tracker })
        open.removeAll { $0.number == number }
        log.append("\(second) \(name(tracker)) cancelled")
      case .showWarning(let tracker, let text): log.append("\(second) \(name(tracker)) warns: \(text)")
      case .showFailure(let tracker, let error): log.append("\(second) \(name(tracker)) failed: \(error)")
      case .finishStopping: log.append("\(second) stopped")
      }
    }
  }

  /// Answers whatever is open and not to be silent.
  mutating func settle() {
    while let order = open.first(where: { if case .silence = answer($0) { false } else { true } }) {
      answer(order, answer(order))
    }
  }

  private func answer(_ order: AnnounceSchedule.Order) -> Answer {
    answers[name(order.tracker)] ?? Self.reply()
  }

  mutating func answer(_ order: AnnounceSchedule.Order, _ answer: Answer) {
    open.removeAll { $0.number == order.number }
    var actions: [AnnounceSchedule.Action] = []
    switch answer {
    case .reply(let reply):
      schedule.announceSucceeded(order.number, reply, now: now, random: &random, into: &actions)
    case .error(let error):
      schedule.announceFailed(order.number, error, now: now, random: &random, into: &actions)
    case .silence: break
    }
    take(actions)
  }

  mutating func start() { act { $0.start(now: $1, random: &$2, into: &$3) } }
  mutating func complete() { act { $0.downloadCompleted(now: $1, random: &$2, into: &$3) } }
  mutating func need(_ peers: Bool) { act { $0.peerDemandChanged(peers, now: $1, random: &$2, into: &$3) } }
  mutating func announceNow() { act { $0.announceNow(now: $1, random: &$2, into: &$3) } }
  mutating func stop() { act { schedule, _, _, actions in schedule.stop(into: &actions) } }
  mutating func add(_ name: String, tier: Int) {
    act { $0.add(Self.url(name), tier: tier, now: $1, random: &$2, into: &$3) }
  }

  mutating func act(
    _ body: (inout AnnounceSchedule, Moment, inout SeededRandom, inout [AnnounceSchedule.Action]) -> Void
  ) {
    var actions: [AnnounceSchedule.Action] = []
    body(&schedule, now, &random, &actions)
    take(actions)
    settle()
  }

  mutating func advance(_ seconds: Double) {
    let end = now + .seconds(seconds)
    while let deadline = schedule.nextDeadline, deadline <= end {
      now = max(now, deadline)
      act { $0.timerFired(now: $1, random: &$2, into: &$3) }
    }
    now = end
  }

  /// The log since the last call.
  @discardableResult
  mutating func drain() -> [String] {
    defer { log = [] }
    return log
  }

  func status(_ name: String) -> TrackerStatus? { schedule.trackers.first { $0.url == Self.url(name) } }
}
