import Metainfo
import Reactor
import TorrentModel
import TrackerProtocol

/// Announces one torrent: carries out what its schedule decides, and tells the torrent what trackers said.
final class TrackerDriver {
  private unowned let torrent: TorrentDriver
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

  init(_ torrent: TorrentDriver) {
    self.torrent = torrent
    let shared = torrent.context.shared
    random = SeededRandom(seed: shared.configuration.randomSeed ?? UInt64.random(in: .min ... .max))
    var tiers: [[TrackerURL]] = []
    var fromUser: Set<TrackerURL> = []
    for text in torrent.options.extraTrackers {
      guard let url = try? TrackerURL(text) else { continue }
      tiers.append([url])
      fromUser.insert(url)
    }
    if torrent.options.usesTrackers {
      for tier in torrent.metainfo.trackers {
        var urls: [TrackerURL] = []
        for text in tier {
          do { urls.append(try TrackerURL(text)) } catch {
            let name = printableText(text.utf8.span, lengthLimit: 200)
            shared.report(
              .warning(torrent.infoHash, "the tracker '\(name)' is not used: \(error.description)"))
          }
        }
        if !urls.isEmpty { tiers.append(urls) }
      }
    }
    self.fromUser = fromUser
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

  var nextDeadline: Moment { schedule.nextDeadline ?? .distantFuture }

  // MARK: What the torrent says

  func start(now: Moment) {
    let snapshot = torrent.swarm?.snapshot(now: now)
    startDownloaded = snapshot?.downloaded ?? 0
    startUploaded = snapshot?.uploaded ?? 0
    schedule.isPartialSeed = isPartialSeed
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
    stopTimer = torrent.context.loop.schedule(afterNanoseconds: Self.stopTimeout) { [weak self] in
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
    schedule.isPartialSeed = isPartialSeed
    schedule.timerFired(now: now, random: &random, into: &actions)
    carryOut()
  }

  func close() {
    for operation in running.values { operation.cancel() }
    running = [:]
    if let stopTimer { torrent.context.loop.cancel(stopTimer) }
    stopTimer = nil
    whenStopped = nil
  }

  private var isPartialSeed: Bool {
    guard let swarm = torrent.swarm else { return false }
    return swarm.isFinished && !swarm.isComplete
  }

  // MARK: What the schedule says

  private func carryOut() {
    while !actions.isEmpty {
      let batch = actions
      actions.removeAll(keepingCapacity: true)
      for action in batch { carryOut(action) }
    }
    torrent.rearm()
  }

  private func carryOut(_ action: AnnounceSchedule.Action) {
    let shared = torrent.context.shared
    switch action {
    case .announce(let order): announce(order)
    case .cancelAnnounce(let number, _): running.removeValue(forKey: number)?.cancel()
    case .showWarning(let tracker, let text):
      shared.report(.trackerWarned(torrent.infoHash, url: name(tracker), text: text))
    case .showFailure(let tracker, let error):
      shared.report(.trackerFailed(torrent.infoHash, url: name(tracker), reason: error.description))
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
    let shared = torrent.context.shared
    let status = torrent.status()
    let request = AnnounceRequest(
      infoHash: torrent.infoHash, peerID: shared.peerID, port: shared.listenPort.load(ordering: .relaxed),
      uploaded: max(0, status.uploadedBytes - startUploaded),
      downloaded: max(0, status.downloadedBytes - startDownloaded), left: bytesLeft, event: order.event,
      numberWanted: order.numberWanted, key: order.key, trackerID: order.trackerID)
    running[order.number] = torrent.context.trackerClient(torrent.binding).announce(
      order.url, request, isFromUser: fromUser.contains(order.url), retransmissions: order.retransmissions,
      more: order.event == .stopped ? nil : { [weak self] in self?.peersCame($0) }
    ) { [weak self] answer in
      self?.answered(order, answer)
    }
  }

  /// Bytes of the torrent that are not here, wanted or not (BEP 3).
  private var bytesLeft: Int64 {
    let have = torrent.swarm?.have ?? Bitfield(capacity: torrent.geometry.pieceCount)
    return torrent.geometry.totalLength - FileSelection.bytes(of: have, torrent.geometry)
  }

  private func answered(_ order: AnnounceSchedule.Order, _ answer: Result<AnnounceReply, TrackerError>) {
    running[order.number] = nil
    let now = torrent.now
    switch answer {
    case .success(let reply):
      everReplied = true
      torrent.context.shared.report(
        .trackerReplied(torrent.infoHash, url: name(order.tracker), peers: reply.peers.count))
      schedule.announceSucceeded(order.number, reply, now: now, random: &random, into: &actions)
      schedule.peerDemandChanged(false, now: now, random: &random, into: &actions)
      if order.event != .stopped { peersCame(reply) }
    case .failure(let error):
      schedule.announceFailed(order.number, error, now: now, random: &random, into: &actions)
    }
    carryOut()
    torrent.context.touch(torrent)
  }

  /// What one family of a tracker said.
  private func peersCame(_ reply: AnnounceReply) {
    if let address = reply.externalAddress {
      let port = torrent.context.shared.listenPort.load(ordering: .relaxed)
      torrent.swarm?.externalEndpoint = Endpoint(address: address, port: port)
    }
    torrent.swarm?.peersDiscovered(reply.peers, source: .tracker, now: torrent.now)
    torrent.context.touch(torrent)
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
