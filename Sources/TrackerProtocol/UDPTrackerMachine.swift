import TorrentModel

/// Talks to one UDP tracker, by one of its addresses, on behalf of any number of torrents (BEP 15).
///
/// Datagrams and times go in, actions come out. The machine asks for a connection id when a request needs one and
/// keeps it for a minute, sends requests again after 15·2ⁿ seconds, and matches answers by sender and transaction.
/// At most ``inFlightLimit`` requests are out at a time; others wait their turn.
public struct UDPTrackerMachine: Sendable {
  /// The caller's name for a request, to know the answer by.
  public struct RequestID: Hashable, Sendable {
    public var rawValue: UInt64
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
  }

  public enum Request: Hashable, Sendable {
    /// `urlData` is path and query of the tracker's URL (BEP 41).
    case announce(AnnounceRequest, urlData: [UInt8])
    /// 1 … `UDPTrackerRequest.scrapeLimit` info-hashes.
    case scrape([InfoHash])
  }

  public enum Action: Hashable, Sendable {
    /// Send this datagram to ``tracker``.
    case send([UInt8])
    case completeAnnounce(RequestID, AnnounceReply)
    /// One entry for each info-hash asked about, in order.
    case completeScrape(RequestID, [ScrapeEntry])
    case fail(RequestID, TrackerError)
  }

  /// How long a connection id is used after it came (BEP 15).
  public static let connectionLifetime = Moment.Interval.seconds(60)
  /// How long the first transmission waits for an answer; each further one waits twice as long (BEP 15).
  public static let firstTimeout = Moment.Interval.seconds(15)
  /// The last n of 15·2ⁿ (BEP 15).
  public static let retransmissionLimit = 8
  /// Requests that wait for an answer at a time, so that thousands of torrents do not flood their tracker.
  public static let inFlightLimit = 64
  /// A connection id that is at least this old may be unknown to a tracker that was restarted: an error is then
  /// taken to mean that, once.
  static let trustedConnectionAge = Moment.Interval.seconds(10)

  private enum Connection: Hashable, Sendable {
    case none
    case connecting(transaction: UInt32, sent: Moment)
    case connected(UInt64, since: Moment)
  }

  private struct Job: Hashable, Sendable {
    let id: RequestID
    let request: Request
    let retransmissions: Int
    var transaction: UInt32 = 0
    /// The n of 15·2ⁿ.
    var attempt = 0
    var deadline = Moment.distantFuture
    /// To be sent as soon as there is a connection id.
    var needsConnection = false
    /// Whether it ever went out, other than as a wish for a connection id.
    var wasSent = false
    /// Whether it went out with a connection id that might be stale, and when that id came.
    var connectedSince: Moment?
    var hasReconnected = false
  }

  /// Where datagrams go to, and the only place from which they are taken.
  public let tracker: Endpoint
  private var connection = Connection.none
  private var inFlight: [Job] = []
  private var waiting: [Job] = []

  public init(tracker: Endpoint) {
    self.tracker = tracker
  }

  /// Whether nothing is asked of the tracker.
  public var isIdle: Bool { inFlight.isEmpty && waiting.isEmpty }

  /// When to call ``timerFired(now:random:into:)``, or `nil` while nothing is out.
  public var nextDeadline: Moment? { inFlight.lazy.map(\.deadline).min() }

  /// Takes a request.
  ///
  /// - Parameter retransmissions: how often it is sent again before it fails, at most ``retransmissionLimit``.
  ///   With n of them it fails after 15·(2ⁿ⁺¹ − 1) seconds.
  public mutating func submit(
    _ request: Request, as id: RequestID, retransmissions: Int = retransmissionLimit, now: Moment,
    random: inout some RandomNumberGenerator, into actions: inout [Action]
  ) {
    if case .scrape(let hashes) = request {
      precondition(
        (1...UDPTrackerRequest.scrapeLimit).contains(hashes.count), "a scrape names 1 to 74 info-hashes")
    }
    let limit = min(max(0, retransmissions), Self.retransmissionLimit)
    waiting.append(Job(id: id, request: request, retransmissions: limit))
    startWaiting(now, &random, &actions)
  }

  /// Forgets a request. Its answer, should it still come, is dropped.
  public mutating func cancel(
    _ id: RequestID, now: Moment, random: inout some RandomNumberGenerator, into actions: inout [Action]
  ) {
    inFlight.removeAll { $0.id == id }
    waiting.removeAll { $0.id == id }
    startWaiting(now, &random, &actions)
  }

  /// A time given by ``nextDeadline`` has come. Being called too early does no harm.
  public mutating func timerFired(
    now: Moment, random: inout some RandomNumberGenerator, into actions: inout [Action]
  ) {
    var isSilent = false
    var index = 0
    while index < inFlight.count {
      guard inFlight[index].deadline <= now else {
        index += 1
        continue
      }
      if inFlight[index].attempt >= inFlight[index].retransmissions {
        let job = inFlight.remove(at: index)
        isSilent = isSilent || !job.wasSent
        actions.append(.fail(job.id, .timedOut))
        continue
      }
      inFlight[index].attempt += 1
      transmit(index, now, &random, &actions)
      index += 1
    }
    if isSilent {
      // Not even a connection id came: those that wait their turn would wait for nothing, one batch after another.
      for job in waiting { actions.append(.fail(job.id, .timedOut)) }
      waiting.removeAll()
    }
    if inFlight.isEmpty, case .connecting = connection { connection = .none }
    startWaiting(now, &random, &actions)
  }

  /// The network says that the tracker cannot be reached: everything fails.
  public mutating func networkFailed(_ reason: String, into actions: inout [Action]) {
    for job in inFlight + waiting { actions.append(.fail(job.id, .cannotConnect(reason))) }
    inFlight.removeAll()
    waiting.removeAll()
    connection = .none
  }

  /// Takes a datagram from anywhere. What is not an answer to something asked, from the tracker, is ignored.
  public mutating func datagramArrived(
    _ bytes: Span<UInt8>, from sender: Endpoint, now: Moment, random: inout some RandomNumberGenerator,
    into actions: inout [Action]
  ) {
    guard sender == tracker, bytes.count >= 8 else { return }
    let transaction = bytes.bigEndian32(at: 4)
    if case .connecting(transaction, _) = connection {
      connectionArrived(bytes, now, &actions)
      if case .none = connection { startWaiting(now, &random, &actions) }
      return
    }
    guard let index = inFlight.firstIndex(where: { $0.transaction == transaction && $0.wasSent }) else {
      return
    }
    let reply: UDPTrackerReply
    do throws(TrackerError) {
      reply = try UDPTrackerReply.decode(bytes, isV4: tracker.address.isV4)
    } catch {
      actions.append(.fail(inFlight.remove(at: index).id, error))
      return startWaiting(now, &random, &actions)
    }
    if case .error = reply, mayReconnect(inFlight[index], now) {
      inFlight[index].hasReconnected = true
      inFlight[index].attempt = 0
      inFlight[index].transaction = drawTransaction(&random)
      // Unless others have had it renewed meanwhile.
      if case .connected(_, let since) = connection, since == inFlight[index].connectedSince {
        connection = .none
      }
      return transmit(index, now, &random, &actions)
    }
    let job = inFlight.remove(at: index)
    actions.append(Self.outcome(of: job, reply))
    startWaiting(now, &random, &actions)
  }

  private static func outcome(of job: Job, _ reply: UDPTrackerReply) -> Action {
    switch (job.request, reply) {
    case (_, .error(_, let message)): .fail(job.id, .failure(reason: message, retry: nil))
    case (.announce, .announce(_, let reply)): .completeAnnounce(job.id, reply)
    case (.scrape(let hashes), .scrape(_, let entries)):
      entries.count < hashes.count
        ? .fail(job.id, .truncatedReply(length: 8 + 12 * entries.count, needed: 8 + 12 * hashes.count))
        : .completeScrape(job.id, Array(entries.prefix(hashes.count)))
    case (_, .connect): .fail(job.id, .unexpectedAction(UDPTrackerRequest.Action.connect.rawValue))
    case (_, .announce): .fail(job.id, .unexpectedAction(UDPTrackerRequest.Action.announce.rawValue))
    case (_, .scrape): .fail(job.id, .unexpectedAction(UDPTrackerRequest.Action.scrape.rawValue))
    }
  }

  /// The answer to a request for a connection id.
  private mutating func connectionArrived(_ bytes: Span<UInt8>, _ now: Moment, _ actions: inout [Action]) {
    let reply = try? UDPTrackerReply.decode(bytes, isV4: tracker.address.isV4)
    switch reply {
    case .connect(_, let id)?:
      connection = .connected(id, since: now)
      for index in inFlight.indices where inFlight[index].needsConnection {
        // The way is open: what has never been sent begins to count anew.
        if !inFlight[index].wasSent { inFlight[index].attempt = 0 }
        send(index, connection: id, since: now, now, &actions)
      }
    case .error(_, let message)?:
      connection = .none
      let refused = inFlight.filter(\.needsConnection) + waiting
      inFlight.removeAll(where: \.needsConnection)
      waiting.removeAll()
      for job in refused { actions.append(.fail(job.id, .failure(reason: message, retry: nil))) }
    case .announce?, .scrape?, nil: break
    }
  }

  private func mayReconnect(_ job: Job, _ now: Moment) -> Bool {
    guard !job.hasReconnected, let since = job.connectedSince else { return false }
    return now - since >= Self.trustedConnectionAge
  }

  private mutating func startWaiting(
    _ now: Moment, _ random: inout some RandomNumberGenerator, _ actions: inout [Action]
  ) {
    let count = min(waiting.count, Self.inFlightLimit - inFlight.count)
    guard count > 0 else { return }
    let starting = waiting.prefix(count)
    waiting.removeFirst(count)
    for var job in starting {
      job.transaction = drawTransaction(&random)
      inFlight.append(job)
      transmit(inFlight.count - 1, now, &random, &actions)
    }
  }

  /// Sends a request, or has it wait for a connection id.
  private mutating func transmit(
    _ index: Int, _ now: Moment, _ random: inout some RandomNumberGenerator, _ actions: inout [Action]
  ) {
    if case .connected(let id, let since) = connection, now - since < Self.connectionLifetime {
      return send(index, connection: id, since: since, now, &actions)
    }
    inFlight[index].needsConnection = true
    inFlight[index].deadline = now + Self.timeout(inFlight[index].attempt)
    switch connection {
    case .connecting(_, let sent) where now - sent < Self.firstTimeout:
      // Others have asked just now.
      break
    case .connecting(let transaction, _):
      connection = .connecting(transaction: transaction, sent: now)
      actions.append(.send(UDPTrackerRequest.connect(transaction: transaction).encoded()))
    case .none, .connected:
      let transaction = drawTransaction(&random)
      connection = .connecting(transaction: transaction, sent: now)
      actions.append(.send(UDPTrackerRequest.connect(transaction: transaction).encoded()))
    }
  }

  private mutating func send(
    _ index: Int, connection: UInt64, since: Moment, _ now: Moment, _ actions: inout [Action]
  ) {
    inFlight[index].needsConnection = false
    inFlight[index].wasSent = true
    inFlight[index].connectedSince = since
    inFlight[index].deadline = now + Self.timeout(inFlight[index].attempt)
    let transaction = inFlight[index].transaction
    switch inFlight[index].request {
    case .announce(let request, let urlData):
      let message = UDPTrackerRequest.announce(
        connection: connection, transaction: transaction, request, urlData: urlData)
      actions.append(.send(message.encoded()))
    case .scrape(let hashes):
      let message = UDPTrackerRequest.scrape(connection: connection, transaction: transaction, hashes)
      actions.append(.send(message.encoded()))
    }
  }

  private static func timeout(_ attempt: Int) -> Moment.Interval { firstTimeout * (1 << attempt) }

  /// A number that no answer still to come carries.
  private func drawTransaction(_ random: inout some RandomNumberGenerator) -> UInt32 {
    while true {
      let number = UInt32.random(in: .min ... .max, using: &random)
      if case .connecting(number, _) = connection { continue }
      if !inFlight.contains(where: { $0.transaction == number }) { return number }
    }
  }
}
