import DHT
import Reactor
import TorrentModel

/// Single questions to the DHT, of whoever uses a ``DHTClient``. Confined to the driver's loop.
///
/// A lookup waits until there is a way into the network, a question to one node until there is a node of ours.
final class DHTRequests {
  enum Question: Sendable {
    case lookup(LookupGoal)
    case ping(Endpoint)
    case sample(Endpoint, toward: NodeID)
  }

  /// What a question brings on its way.
  enum Finding: Sendable {
    case peers([Endpoint])
    case item(DHTItem)
    case samples(InfoHashSamples)
  }

  enum Answer: Sendable {
    case lookup(LookupResult)
    case direct(DirectResult)
  }

  private struct Request {
    let question: Question
    var isAsked = false
    var timer: TimerID?
    let found: (Finding) -> Void
    let done: (Answer) -> Void

    /// How it ends that was never asked.
    func unanswered(_ outcome: LookupResult.Outcome) -> Answer {
      if case .lookup = question { return .lookup(LookupResult(outcome: outcome)) }
      return .direct(.timedOut)
    }
  }

  private unowned let driver: DHTDriver
  private var requests: [LookupID: Request] = [:]
  private var waiting: [LookupID] = []
  private var lastID: UInt64 = 0

  init(_ driver: DHTDriver) { self.driver = driver }

  /// Asks. `done` is called once, in this turn or later, after the last call of `found`.
  ///
  /// - Parameter limit: when to end it with what is known by then.
  @discardableResult
  func ask(
    _ question: Question, within limit: Moment.Interval, found: @escaping (Finding) -> Void = { _ in },
    done: @escaping (Answer) -> Void
  ) -> LookupID {
    lastID += 1
    let id = LookupID(lastID)
    var request = Request(question: question, found: found, done: done)
    guard !driver.isClosed else {
      done(request.unanswered(.cancelled))
      return id
    }
    request.timer = driver.loop.schedule(afterNanoseconds: UInt64(max(0, limit.nanoseconds))) { [weak self] in
      self?.requests[id]?.timer = nil
      self?.end(id, .noNodes)
    }
    requests[id] = request
    waiting.append(id)
    startWaiting()
    return id
  }

  /// It ends as cancelled, with what is known.
  func cancel(_ id: LookupID) { end(id, .cancelled) }

  private func end(_ id: LookupID, _ outcome: LookupResult.Outcome) {
    guard let request = requests[id] else { return }
    if request.isAsked, case .lookup = request.question {
      // What it has found comes with its end.
      driver.cancelLookup(id)
    } else {
      finish(id, request.unanswered(outcome))
    }
  }

  private func finish(_ id: LookupID, _ answer: Answer) {
    guard let request = requests.removeValue(forKey: id) else { return }
    if !request.isAsked { waiting.removeAll { $0 == id } }
    if let timer = request.timer { driver.loop.cancel(timer) }
    request.done(answer)
  }

  // MARK: What the driver says

  /// There is a node, or a way into the network.
  func startWaiting() {
    guard driver.node != nil, !waiting.isEmpty else { return }
    let candidates = waiting
    waiting = []
    for id in candidates {
      guard let question = requests[id]?.question else { continue }
      if case .lookup = question, !driver.isReady {
        waiting.append(id)
        continue
      }
      requests[id]?.isAsked = true
      switch question {
      case .lookup(let goal): driver.startLookup(goal, as: id)
      case .ping(let endpoint): driver.ping(endpoint, as: id)
      case .sample(let endpoint, let target): driver.sample(endpoint, toward: target, as: id)
      }
    }
  }

  func found(_ finding: Finding, by id: LookupID) { requests[id]?.found(finding) }
  func finished(_ id: LookupID, _ result: LookupResult) { finish(id, .lookup(result)) }
  func finished(_ id: LookupID, _ result: DirectResult) { finish(id, .direct(result)) }

  func close() {
    for (id, request) in requests { finish(id, request.unanswered(.cancelled)) }
  }
}
