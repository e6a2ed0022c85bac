import Hashing
import Metainfo
import PeerWire
import Storage
import Swarm
import TorrentModel

/// The torrent's files: opening, checking, failing and going on, recording.
extension TorrentDriver {
  func openStorage() {
    setState(.opening)
    var open = OpenOptions()
    open.known = resume.known
    context.jobs.append(DiskJob(storage, .open(open)))
  }

  func storageOpened(_ result: OpenResult) {
    if let data = result.userData { restoredPeers = PeerRecord.decode(data.span) + restoredPeers }
    if let problem = result.recordProblem { context.shared.report(.warning(infoHash, problem.description)) }
    failure = nil
    retryAt = .distantFuture
    if options.forceCheck {
      options.forceCheck = false
      return check(nil, known: Bitfield(capacity: geometry.pieceCount))
    }
    if options.assumesComplete {
      var all = result.verified
      all.formUnion(result.unchecked)
      return ready(all)
    }
    if result.unchecked.isEmpty { return ready(result.verified) }
    check(result.unchecked, known: result.verified)
  }

  /// Reads and hashes; `known` is good already.
  func check(_ pieces: Bitfield?, known: Bitfield) {
    opened = known
    checkedBytes = 0
    setState(.checking)
    context.jobs.append(DiskJob(storage, .check(pieces)))
  }

  func storageChecked(_ result: CheckResult) {
    guard !result.wasCancelled else { return }
    var all = opened ?? Bitfield(capacity: geometry.pieceCount)
    opened = nil
    // What was looked at counts as the check found it.
    all.subtract(result.checked)
    all.formUnion(result.verified)
    // So that the next start need not read it all again.
    resume.isDirty = true
    ready(all)
  }

  /// The pieces on the disk are known: the swarm begins, or goes on.
  private func ready(_ have: Bitfield) {
    retries = 0
    resume.known = nil
    if let swarm {
      let lost = swarm.have
      var missing = lost
      missing.subtract(have)
      var found = have
      found.subtract(lost)
      if !missing.isEmpty { swarm.piecesLost(missing.indices, now: now) }
      if !found.isEmpty { swarm.piecesFound(found.indices, now: now) }
      swarm.storageResumed(now: now)
    } else {
      startSwarm(have)
    }
    if let swarm { settleState(swarm) }
    resume.touch(now: now, interval: context.shared.configuration.resumeInterval)
    context.touch(self)
  }

  private func startSwarm(_ have: Bitfield) {
    let seed = context.shared.configuration.randomSeed ?? UInt64.random(in: .min ... .max)
    let swarm = Swarm(
      infoHash: infoHash, geometry: geometry, have: have, configuration: context.swarmConfiguration,
      seed: seed, now: now)
    swarm.maximumConnections = context.shared.configuration.maxPeersPerTorrent
    swarm.halfOpenLimit = context.shared.configuration.maxHalfOpen
    swarm.uploadBlockBudget = max(16, context.cache.limit / 2)
    self.swarm = swarm
    if let priorities = selection.priorities(geometry: geometry, layout: metainfo.info.layout) {
      swarm.prioritiesChanged(priorities, now: now)
    }
    if options.isSequential { swarm.sequentialChanged(true, now: now) }
    swarm.openBlockBudget = context.blockShare
    adoptEarly(swarm)
    if options.isPaused { swarm.paused(now: now) }
    if !options.peers.isEmpty { swarm.peersDiscovered(options.peers, source: .user, now: now) }
    if !restoredPeers.isEmpty { swarm.peersRestored(restoredPeers, now: now) }
    restoredPeers = []
    let isAnnouncing = trackers != nil
    if trackers == nil {
      let driver = TrackerDriver(
        self, extra: options.extraTrackers, tiers: options.usesTrackers ? metainfo.trackers : [])
      if driver.hasTrackers { trackers = driver }
    }
    if swarm.isFinished {
      context.shared.report(.completed(infoHash))
      if !options.seedsWhenComplete {
        leaveSources()
        return setState(.finished)
      }
    }
    if options.isPaused { return leaveSources() }
    if !isAnnouncing { trackers?.start(now: now) }
    startDiscovery(isPrivate: metainfo.info.isPrivate, isSeed: swarm.isFinished)
  }

  /// Nobody is sought, and nobody finds us; what a magnet link began ends.
  private func leaveSources() {
    trackers?.stop(now: now)
    stopDiscovery()
  }

  /// The connections over which the metadata came go on as the torrent's.
  private func adoptEarly(_ swarm: Swarm) {
    guard let early else { return }
    self.early = nil
    takeConnections(of: early)
    trackers = early.trackers
    early.trackers = nil
    trackers?.move(to: self)
    swarm.adopt(early.swarmBeforeMetadata, now: now)
    early.handedOver()
  }

  /// The state that fits what the swarm is doing.
  func settleState(_ swarm: Swarm) {
    if failure != nil { return setState(.failed) }
    if options.isPaused { return setState(.paused) }
    if !swarm.isFinished { return setState(.downloading) }
    setState(options.seedsWhenComplete ? .seeding : .finished)
  }

  func pieceVerified(_ piece: PieceIndex, _ digests: [UInt64]?) {
    lastProgress = now
    resume.isDirty = true
    resume.touch(now: now, interval: context.shared.configuration.resumeInterval)
    if context.shared.configuration.reportsPieces { context.shared.report(.pieceVerified(infoHash, piece)) }
    swarm?.pieceVerified(piece, blockDigests: digests, now: now)
  }

  /// Every wanted piece is here.
  func finished() {
    context.shared.report(.completed(infoHash))
    guard let swarm else { return }
    if options.seedsWhenComplete {
      becameSeed()
    } else {
      swarm.paused(now: now)
      leaveSources()
    }
    settleState(swarm)
  }

  // MARK: Failure

  /// The disk would not go on. Nothing verified is lost; the torrent waits and tries again.
  func storageFailed(_ failure: StorageFailure) {
    guard self.failure == nil else { return }
    let reason = TorrentFailure(failure)
    self.failure = reason
    swarm?.storageFailed(now: now)
    resume.known = swarm?.have
    setState(.failed)
    context.shared.report(.failed(infoHash, reason))
    scheduleRetry()
  }

  func readFailed(_ failure: StorageFailure) {
    // A file that shrank or went away is found out by opening again; anything else is the disk's trouble.
    storageFailed(failure)
  }

  func operationFailed(_ failure: StorageFailure) {
    switch failure.operation {
    case .save, .sync:
      resume.isSaving = false
      context.shared.report(.warning(infoHash, failure.description))
      if closing != nil { closeStorage() }
    case .setWanted:
      context.shared.report(.warning(infoHash, failure.description))
      passedFence()
    case .move, .delete:
      context.shared.report(.warning(infoHash, failure.description))
      if closing != nil { storageClosed() }
    default:
      storageFailed(failure)
    }
  }

  private func scheduleRetry() {
    retries = min(retries + 1, 6)
    retryAt = now + .seconds(1 << retries)
    rearm()
  }

  func retryStorage() {
    retryAt = .distantFuture
    guard failure != nil, closing == nil else { return }
    failure = nil
    openStorage()
    context.touch(self)
  }

  // MARK: Records and the end

  func saveRecord() {
    resume.dueAt = .distantFuture
    guard let swarm, storage.keepsRecord, resume.isDirty, !resume.isSaving else { return }
    resume.isDirty = false
    resume.isSaving = true
    context.jobs.append(
      DiskJob(
        storage, .save(verified: swarm.have, userData: PeerRecord.encode(swarm.peerRecords(limit: 200)))))
  }

  func recordSaved() {
    resume.isSaving = false
    if let closing, closing.phase == .saving {
      closeStorage()
    } else if resume.isDirty {
      resume.touch(now: now, interval: context.shared.configuration.resumeInterval)
      rearm()
    }
  }

  /// Saves the record, announces `stopped`, closes the files, and calls `done`. Whoever asks again hears of the same end.
  func close(deletingFiles: Bool, done: @escaping () -> Void) {
    if isClosed { return done() }
    if closing != nil {
      closing?.done.append(done)
      return
    }
    closing = ClosingState(deletesFiles: deletingFiles, done: [done])
    storage.cancelLongJob()
    swarm?.paused(now: now)
    if let swarm { carryOutEffects(of: swarm) }
    disconnectAll(.shutDown)
    let isComplete = swarm?.isFinished == true
    if let trackers {
      closing?.isAnnouncing = true
      trackers.stopForGood(now: now) { [weak self] in
        self?.closing?.isAnnouncing = false
        self?.finishClosing()
      }
    }
    // A finished download is its files: a record would have to wait until all of them are synced.
    let isRecordWanted =
      isComplete ? resume.isDirty && swarm?.snapshot(now: now).downloaded == 0 : swarm != nil
    if deletingFiles || !isRecordWanted || failure != nil || !storage.keepsRecord {
      closing?.phase = .saving
      closeStorage()
    } else {
      // A fence: pieces that are with the disk are written before the record says what the files look like.
      context.jobs.append(DiskJob(storage, .setWanted(selection.wanted)))
    }
    context.touch(self)
  }

  /// Everything posted before is done.
  func passedFence() {
    guard closing?.phase == .fencing else { return }
    closing?.phase = .saving
    resume.isDirty = true
    resume.isSaving = false
    saveRecord()
  }

  private func closeStorage() {
    guard closing?.phase == .saving else { return }
    closing?.phase = .closing
    context.jobs.append(DiskJob(storage, closing?.deletesFiles == true ? .delete : .close))
  }

  func storageClosed() {
    guard closing != nil else { return }
    closing?.phase = .closed
    finishClosing()
  }

  private func finishClosing() {
    guard let closing, closing.phase == .closed, !closing.isAnnouncing else { return }
    self.closing = nil
    isClosed = true
    detach()
    swarm = nil
    for done in closing.done { done() }
  }
}

/// How far a torrent has come in leaving.
struct ClosingState {
  enum Phase { case fencing, saving, closing, closed }
  var phase = Phase.fencing
  var deletesFiles: Bool
  var isAnnouncing = false
  /// Those who wait for the end.
  var done: [() -> Void]

  init(deletesFiles: Bool, done: [() -> Void]) {
    self.deletesFiles = deletesFiles
    self.done = done
  }
}

extension Bitfield {
  /// The pieces in the set, ascending.
  var indices: [PieceIndex] {
    var result: [PieceIndex] = []
    result.reserveCapacity(count)
    forEach { result.append($0) }
    return result
  }
}
