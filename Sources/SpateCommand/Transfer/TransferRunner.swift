import Engine
import Foundation
import Logging

/// Runs a plan: loads its torrents, hands them to a session, watches them, ends in order.
actor TransferRunner {
  /// What the runner waits for, in one stream.
  enum Input: Sendable {
    case session(SessionEvent)
    case loaded([Loaded])
    /// The metadata of a magnet link came, or never will.
    case described(Loaded)
    case linked(Int, Result<MagnetDownload, CommandFailure>)
    case resolved([Endpoint])
    case tick
    /// Torrents changed their state: they are to be looked at.
    case lookDue
    case interrupted
  }

  /// A torrent that was read, or could not be.
  struct Loaded: Sendable {
    let number: Int
    let result: Result<TorrentMetainfo, CommandFailure>
  }

  let plan: TransferPlan
  let console: Console
  private let view: any ProgressView
  let logger: Logger
  let printsResults: Bool
  private let events: @Sendable (Session) -> AsyncStream<SessionEvent>
  private let inputs: AsyncStream<Input>
  let post: AsyncStream<Input>.Continuation
  private let clock = ContinuousClock()
  private let started = ContinuousClock.now

  var jobs: TransferJobs
  var jobByHash: [InfoHash: Int] = [:]
  var claims = TargetClaims()
  var peers: [Endpoint]
  var session: Session?
  private var lastUpdate = -Double.infinity
  private var isInterrupted = false
  var outputFailure: CommandFailure?
  /// Tasks that read torrents.
  var loaders = 0
  /// States that torrents came to, in order, and that nobody was told yet.
  private var changes: [(number: Int, state: TorrentState)] = []

  /// Tasks that read torrents at once: files are small, and disks have one head.
  static let loaderLimit = 8
  /// Files that one of them reads: of thousands of torrents, each hop between threads would cost more than the reading.
  static let loaderBatch = 32
  /// For leaving in order, within the five seconds that are promised.
  private static let shutdownSeconds = 4.0

  /// - Parameters:
  ///   - printsResults: a line on standard output for each torrent that is complete.
  ///   - events: what the runner hears of its session. States are asked for as well, so that no event is needed in time;
  ///     tests hold some back.
  init(
    _ plan: TransferPlan, console: Console, view: sending any ProgressView, logger: Logger,
    printsResults: Bool, events: @escaping @Sendable (Session) -> AsyncStream<SessionEvent> = \.events
  ) {
    self.plan = plan
    self.console = console
    self.view = view
    self.logger = logger
    self.printsResults = printsResults
    self.events = events
    jobs = TransferJobs(plan.sources)
    peers = plan.peers.compactMap(\.endpoint)
    (inputs, post) = AsyncStream<Input>.makeStream()
  }

  /// Asks the runner to end in order. From any thread.
  nonisolated func interrupt() { post.yield(.interrupted) }

  // MARK: The run

  /// - Returns: how each torrent ended, in the order of the sources.
  func run() async throws(CommandFailure) -> [TransferResult] {
    let session: Session
    do { session = try await Session.start(plan.sessionNeeded) } catch { throw CommandFailure(error) }
    self.session = session
    logger.info("listening on port \(session.listenPort.map(String.init) ?? "none")")
    let listener = Task { [post, events] in
      for await event in events(session) { post.yield(.session(event)) }
    }
    let ticker = Task { [post, interval = min(1, view.interval)] in
      while !Task.isCancelled {
        try? await Task.sleep(for: .seconds(interval))
        post.yield(.tick)
      }
    }
    resolvePeers()
    loadMore()
    for await input in inputs {
      await take(input)
      // A seed whose disk fails waits for the disk.
      if isInterrupted || jobs.isOver || jobs.isSettled && plan.goal.kind == .download { break }
    }
    ticker.cancel()
    listener.cancel()
    await finish(session)
    if let outputFailure { throw outputFailure }
    return jobs.results
  }

  private func take(_ input: Input) async {
    switch input {
    case .session(let event): await take(event)
    case .loaded(let batch):
      loaders -= 1
      await loaded(batch)
    case .described(let item): await loaded([item])
    case .linked(let number, let result): await linked(number, result)
    case .resolved(let endpoints):
      peers += endpoints
      for number in jobs.active {
        await jobs[number].torrent?.addPeers(endpoints)
        await jobs[number].magnet?.addPeers(endpoints)
      }
    case .tick: await tick()
    case .lookDue: await lookAtChanged()
    case .interrupted: isInterrupted = true
    }
  }

  var now: Double {
    let passed = (clock.now - started).components
    return Double(passed.seconds) + Double(passed.attoseconds) * 1e-18
  }

  // MARK: Loading

  private func resolvePeers() {
    for peer in plan.peers where peer.endpoint == nil {
      Task { [post, logger] in
        do { post.yield(.resolved(try await Session.resolve(host: peer.host, port: peer.port))) } catch {
          logger.warning("--peer: \(error)")
        }
      }
    }
  }

  func complain(_ failure: CommandFailure, of name: String) {
    let place = Printable.text(name)
    logger.error(
      "\(failure.description.contains(place) ? "" : place + ": ")\(failure.description)")
  }

  // MARK: Watching

  private func take(_ event: SessionEvent) async {
    switch event {
    case .stateChanged(let hash, let state):
      guard let number = jobByHash[hash], jobs[number].torrent != nil else { return }
      // What else has happened by the time that this comes round is looked at together.
      if changes.isEmpty { post.yield(.lookDue) }
      changes.append((number, state))
    case .completed(let hash):
      await lookAtChanged()
      guard let number = await refreshed(hash) else { return }
      complete(number)
    case .failed(let hash, let failure):
      await lookAtChanged()
      // The engine tries again from time to time; the same failure is told once.
      guard let number = await refreshed(hash) else { return }
      tellOnce(failure, number)
    case .trackerFailed(let hash, let url, let reason):
      passOn(.trackerFailed(url: url, message: reason), key: "\(url) \(reason)", hash)
    case .trackerWarned(let hash, let url, let text):
      passOn(.trackerWarned(url: url, message: text), key: "\(url) \(text)", hash)
    case .warning(let hash?, let text): passOn(.warning(text), key: text, hash)
    case .warning(nil, let text): logger.warning("\(text)")
    case .trackerReplied(_, let url, let peers): logger.info("tracker \(url): \(peers) peers")
    case .peerConnected(_, let endpoint, let client): logger.debug("peer \(endpoint) connected: \(client)")
    case .peerDisconnected(_, let endpoint, let reason): logger.debug("peer \(endpoint) gone: \(reason)")
    case .peerBanned(_, let address, let reason): logger.info("peer \(address) banned: \(reason)")
    case .pieceFailed(_, let piece):
      logger.info("piece \(piece) does not match its hash and is fetched again")
    case .pieceVerified: break
    }
  }

  private func lookAtChanged() async {
    guard !changes.isEmpty else { return }
    let changed = changes
    changes.removeAll(keepingCapacity: true)
    let fresh = await refresh(Set(changed.map(\.number)).sorted())
    for (number, state) in changed { tell(.stateChanged(state), number) }
    // A bar is there from the start, and full at the end, however short the time between.
    if view.interval < 1 { view.update(jobs.snapshot()) }
    for (number, status) in fresh { await judge(number, status) }
    // Places in the queue may have become free.
    loadMore()
  }

  /// Each complaint once a torrent: trackers are asked again and again.
  private func passOn(_ news: ProgressNews, key: String, _ hash: InfoHash) {
    guard let number = jobByHash[hash], jobs[number].complaints.count < 100,
      jobs[number].complaints.insert(key).inserted
    else { return }
    tell(news, number)
  }

  func tell(_ news: ProgressNews, _ number: Int) {
    guard let row = row(of: number) else { return }
    view.news(news, of: row)
  }

  private func tellOnce(_ failure: TorrentFailure, _ number: Int) {
    guard jobs[number].toldFailure != failure else { return }
    jobs[number].toldFailure = failure
    tell(.failed(failure.description), number)
  }

  private func row(of number: Int) -> ProgressRow? {
    jobs[number].row ?? jobs[number].torrent.map { ProgressRow(seeding: $0.metainfo.info) }
  }

  /// Fetches the counts of the torrent with the info-hash, if it is under way.
  private func refreshed(_ hash: InfoHash) async -> Int? {
    guard let number = jobByHash[hash], jobs[number].torrent != nil || jobs[number].magnet != nil else {
      return nil
    }
    await refresh(number)
    return number
  }

  @discardableResult
  func refresh(_ number: Int) async -> TorrentStatus? {
    if await refreshMagnet(number) != nil { return nil }
    guard let torrent = jobs[number].torrent else { return nil }
    let status = await torrent.status()
    note(status, of: number)
    return status
  }

  /// Fetches the counts of many torrents at once.
  @discardableResult
  func refresh(_ numbers: [Int]) async -> [(number: Int, status: TorrentStatus)] {
    guard let session else { return [] }
    var fresh: [(number: Int, status: TorrentStatus)] = []
    for status in await session.statuses(of: numbers.compactMap { jobs[$0].torrent }) {
      guard let number = jobByHash[status.infoHash] else { continue }
      note(status, of: number)
      fresh.append((number, status))
    }
    return fresh
  }

  private func note(_ status: TorrentStatus, of number: Int) {
    guard let torrent = jobs[number].torrent else { return }
    // Nobody sees the counts of thousands of seeds that run in silence.
    let isUnwatched = view is SilentProgress && status.state == .seeding
    jobs[number].row =
      isUnwatched ? nil : ProgressRow(status, contents: torrent.metainfo.info.layout.totalLength)
    if status.state == .failed {
      jobs.setFailure(jobs[number].failure ?? status.error, number)
    } else if status.state == .downloading || status.state == .seeding {
      jobs.setFailure(nil, number)
      jobs[number].toldFailure = nil
    }
  }

  private func tick() async {
    // Thousands of seeds that nobody looks at, and that end with the command, need not be asked every second.
    if plan.goal.isTimed || !(view is SilentProgress) { await judgeAll() }
    guard now - lastUpdate >= view.interval - 0.01 else { return }
    lastUpdate = now
    view.update(jobs.snapshot())
  }

  private func judgeAll() async {
    let numbers = jobs.active.sorted()
    for number in numbers where jobs[number].magnet != nil { await judgeMagnet(number) }
    for (number, status) in await refresh(numbers) { await judge(number, status) }
  }

  /// Ends a torrent that is done.
  private func judge(_ number: Int, _ status: TorrentStatus) async {
    guard case .active(let torrent, var watch) = jobs[number].phase else { return }
    let verdict = watch.observe(TransferSample(status), of: plan.goal, now: now)
    jobs.enter(.active(torrent, watch), number)
    switch verdict {
    case .goOn, .failed: return
    case .goalMet:
      complete(number)
      await end(number, status, .complete, .success, nil)
    case .timedOut(let hadPeer):
      let reason = status.timeoutReason(timeout: plan.goal.timeout ?? 0)
      tell(.timedOut(reason), number)
      await end(number, status, .timedOut, hadPeer ? .timedOut : .network, reason)
    case .incomplete:
      let reason =
        "only \(Units.part(status.doneBytes, of: status.wantedBytes)) is there and right; 'spate verify' tells what is missing, 'spate download' fetches it"
      tell(.failed(reason), number)
      await end(number, status, .failed, .dataMismatch, reason)
    }
  }

  /// Every wanted file is there and verified: told once.
  private func complete(_ number: Int) {
    guard !jobs[number].wasToldComplete, let row = row(of: number), let torrent = jobs[number].torrent else {
      return
    }
    jobs[number].wasToldComplete = true
    tell(.completed, number)
    guard plan.goal.kind == .download else { return }
    let text =
      "\(Printable.text(plan.torrent.folder))/\(Printable.text(torrent.metainfo.info.name)): complete, \(Units.size(row.total))"
    if printsResults {
      do throws(CommandFailure) { try console.result(text) } catch { outputFailure = error }
    }
    // Where the result goes elsewhere, the person at the terminal is told too.
    if console.errorIsTerminal, !console.outputIsTerminal, !(view is SilentProgress), !(view is JSONProgress)
    {
      console.line(text)
    }
  }

  // MARK: Ends

  private func end(
    _ number: Int, _ status: TorrentStatus, _ how: TransferResult.Status, _ exit: CommandStatus,
    _ error: String?
  ) async {
    guard let torrent = jobs[number].torrent else { return }
    let files = await torrent.files()
    jobs.enter(
      .ended(
        TransferResult(
          status: how, exit: exit, error: error, name: status.name, infohash: status.infoHash.hex,
          files: files,
          downloaded: status.downloadedBytes, uploaded: status.uploadedBytes, seconds: status.seconds)),
      number)
    tell(.ended, number)
    // What the session still has at the end, it closes at the end. Waiting for a tracker must not hold up the others.
    if let session, !isInterrupted, !jobs.isOver { Task { await session.remove(torrent) } }
    loadMore()
  }

  private func finish(_ session: Session) async {
    for number in jobs.indices {
      switch jobs[number].phase {
      case .waiting, .loading:
        jobs.enter(
          .ended(
            TransferResult(
              status: .interrupted, exit: .interrupted, error: "not begun when the command was interrupted",
              name: jobs[number].source.description)), number)
      case .fetching(let magnet, _):
        endMagnet(
          number, magnet, .interrupted, .interrupted,
          "interrupted while the metadata was fetched; run the same command again to go on")
      case .active: await close(number)
      case .ended, .leftOut: break
      }
    }
    await writeCounters(session)
    view.activity("saving, and telling trackers")
    await session.shutdown(within: Self.shutdownSeconds)
    view.finish()
  }

  /// The result of a torrent that is still under way when the command ends.
  private func close(_ number: Int) async {
    guard let status = await refresh(number) else { return }
    if let failure = jobs[number].failure {
      // The state may have been seen, and have ended the run, before the event came round.
      tellOnce(failure, number)
      await end(number, status, .failed, CommandStatus(failure.kind), failure.description)
    } else if status.isComplete || plan.goal.kind == .seed {
      await end(number, status, .complete, .success, nil)
    } else {
      let part = Units.part(status.doneBytes, of: status.wantedBytes)
      await end(
        number, status, .interrupted, .interrupted,
        "interrupted at \(part); run the same command again to go on")
    }
  }

  private func writeCounters(_ session: Session) async {
    guard let path = plan.countersFile else { return }
    let text = JSONText.document(CountersDocument(await session.status())) + "\n"
    do { try Data(text.utf8).write(to: URL(fileURLWithPath: path)) } catch {
      logger.warning("cannot write SPATE_COUNTERS '\(path)': \(SystemReason.of(error))")
    }
  }
}
