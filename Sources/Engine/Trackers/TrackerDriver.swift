import Metainfo
import Reactor
import TorrentModel
import TrackerProtocol

/// Announces one torrent: carries out what its schedule decides, and tells the torrent what trackers said.
final class TrackerDriver {
  private unowned var host: PeerHost
  private var schedule: AnnounceSchedule
  private var random: SeededRandom
  private var actions: [AnnounceSchedule.Action] = []
  private var running: [UInt32: TrackerClient.Operation] = [:]
  /// Trackers the user named, which may be anywhere.
  private let fromUser: Set<TrackerURL>
  private(set) var everReplied = false
  private var whenStopped: (() -> Void)?
  private var stopTimer: TimerID?
  /// Counts at `started`, from which announces count (BEP 3).
  private var startDownloaded: Int64 = 0
  private var startUploaded: Int64 = 0

  /// How long `stopped` may take when the torrent leaves.
  private static let stopTimeout: UInt64 = 3_000_000_000

  /// - Parameters:
  ///   - extra: trackers the user named, each a tier of its own, in front of the torrent's.
  ///   - tiers: the torrent's.
  init(_ host: PeerHost, extra: [String], tiers torrentsTiers: [[String]]) {
    self.host = host
    let shared = host.context.shared
    random = SeededRandom(seed: shared.configuration.randomSeed ?? UInt64.random(in: .min ... .max))
    var tiers: [[TrackerURL]] = []
    var fromUser: Set<TrackerURL> = []
    for text in extra {
      guard let url = try? TrackerURL(text) else { continue }
      tiers.append([url])
      fromUser.insert(url)
    }
    for tier in torrentsTiers {
      var urls: [TrackerURL] = []
      for text in tier {
        do { urls.append(try TrackerURL(text)) } catch {
          let name = printableText(text.utf8.span, lengthLimit: 200)
          shared.report(
            .warning(host.infoHash, "the tracker '\(name)' is not used: \(error.description)"))
        }
      }
      if !urls.isEmpty { tiers.append(urls) }
    }
    self.fromUser = fromUser
    hasTrackers = !tiers.isEmpty
    var configuration = AnnounceSchedule.Configuration()
    configuration.announceToAllTiers = shared.configuration.announceToAllTrackers
    schedule = AnnounceSchedule(tiers: tiers, configuration: configuration, random: &random)
  }

  /// Refuses URLs that are none for trackers, by the reason.
  static func validate(_ urls: [String]) throws(SessionError) {
    for text in urls {
      do { _ = try TrackerURL(text) } catch { throw .notATracker(text, reason: error.description) }
    }
  }

  /// Whether there is anybody to announce to.
  let hasTrackers: Bool

  var nextDeadline: Moment { schedule.nextDeadline ?? .distantFuture }

  // MARK: What the torrent says

  func start(now: Moment) {
    let counts = host.announceCounts
    startDownloaded = counts.downloaded
    startUploaded = counts.uploaded
    schedule.isPartialSeed = counts.isPartialSeed
    schedule.start(now: now, random: &random, into: &actions)
    carryOut()
  }

  func stop(now: Moment) {
    schedule.stop(into: &actions)
    carryOut()
  }

  /// Tells trackers that we leave, and calls `done` when they know, or when they take too long.
  func stopForGood(now: Moment, done: @escaping () -> Void) {
    whenStopped = done
    schedule.stop(into: &actions)
    carryOut()
    guard whenStopped != nil else { return }
    // A torrent that never announced has nothing to take back.
    if running.isEmpty { return finishStopping() }
    stopTimer = host.context.loop.schedule(afterNanoseconds: Self.stopTimeout) { [weak self] in
      self?.stopTimer = nil
      self?.finishStopping()
    }
  }

  func completed(now: Moment) {
    schedule.downloadCompleted(now: now, random: &random, into: &actions)
    carryOut()
  }

  /// The swarm has no candidates left.
  func peersRunShort(now: Moment) {
    schedule.peerDemandChanged(true, now: now, random: &random, into: &actions)
    carryOut()
  }

  func turnEnded() {
    if !actions.isEmpty { carryOut() }
  }

  func wake(now: Moment) {
    guard nextDeadline <= now else { return }
    schedule.isPartialSeed = host.announceCounts.isPartialSeed
    schedule.timerFired(now: now, random: &random, into: &actions)
    carryOut()
  }

  func close() {
    for operation in running.values { operation.cancel() }
    running = [:]
    if let stopTimer { host.context.loop.cancel(stopTimer) }
    stopTimer = nil
    whenStopped = nil
  }

  /// The torrent that goes on where a magnet link's metadata has come.
  func move(to host: PeerHost) {
    self.host = host
    let counts = host.announceCounts
    startDownloaded = counts.downloaded
    startUploaded = counts.uploaded
  }

  // MARK: What the schedule says

  private func carryOut() {
    while !actions.isEmpty {
      let batch = actions
      actions.removeAll(keepingCapacity: true)
      for action in batch { carryOut(action) }
    }
    host.rearm()
  }

  private func carryOut(_ action: AnnounceSchedule.Action) {
    let shared = host.context.shared
    switch action {
    case .announce(let order): announce(order)
    case .cancelAnnounce(let number, _): running.removeValue(forKey: number)?.cancel()
    case .showWarning(let tracker, let text):
      shared.report(.trackerWarned(host.infoHash, url: name(tracker), text: text))
    case .showFailure(let tracker, let error):
      shared.report(.trackerFailed(host.infoHash, url: name(tracker), reason: error.description))
    case .finishStopping: finishStopping()
    }
  }

  /// What to call a tracker in public: paths hold pass keys.
  private func name(_ tracker: Int) -> String { schedule.trackers[tracker].url.origin }

  private func finishStopping() {
    guard let done = whenStopped else { return }
    whenStopped = nil
    close()
    done()
  }

  private func announce(_ order: AnnounceSchedule.Order) {
    let shared = host.context.shared
    let counts = host.announceCounts
    let request = AnnounceRequest(
      infoHash: host.infoHash, peerID: shared.peerID, port: shared.listenPort.load(ordering: .relaxed),
      uploaded: max(0, counts.uploaded - startUploaded),
      downloaded: max(0, counts.downloaded - startDownloaded), left: counts.left, event: order.event,
      numberWanted: order.numberWanted, key: order.key, trackerID: order.trackerID)
    running[order.number] = host.context.trackerClient(host.binding).announce(
      order.url, request, isFromUser: fromUser.contains(order.url), retransmissions: order.retransmissions,
      more: order.event == .stopped ? nil : { [weak self] in self?.peersCame($0) }
    ) { [weak self] answer in
      self?.answered(order, answer)
    }
  }

  private func answered(_ order: AnnounceSchedule.Order, _ answer: Result<AnnounceReply, TrackerError>) {
    running[order.number] = nil
    let now = host.now
    switch answer {
    case .success(let reply):
      everReplied = true
      host.context.shared.report(
        .trackerReplied(host.infoHash, url: name(order.tracker), peers: reply.peers.count))
      schedule.announceSucceeded(order.number, reply, now: now, random: &random, into: &actions)
      schedule.peerDemandChanged(false, now: now, random: &random, into: &actions)
      if order.event != .stopped { peersCame(reply) }
    case .failure(let error):
      schedule.announceFailed(order.number, error, now: now, random: &random, into: &actions)
    }
    carryOut()
    host.context.touch(host)
  }

  /// What one family of a tracker said.
  private func peersCame(_ reply: AnnounceReply) {
    if let address = reply.externalAddress {
      let port = host.context.shared.listenPort.load(ordering: .relaxed)
      host.externalEndpointFound(Endpoint(address: address, port: port))
    }
    host.peersFound(reply.peers, source: .tracker)
    host.context.touch(host)
  }

  // MARK: Display

  func status(now: Moment) -> [TrackerStatus] {
    schedule.trackers.map { tracker in
      TrackerStatus(
        url: tracker.url.description, tier: tracker.tier, text: tracker.activity.description,
        failure: tracker.failure, warning: tracker.warning, seeds: tracker.seeds, leechers: tracker.leechers,
        nextAnnounce: tracker.nextAnnounce.map { max(0, Int(($0 - now).seconds)) })
    }
  }
}
