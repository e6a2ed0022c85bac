import BlockPool
import Metainfo
import PeerWire
import Reactor
import Storage
import Swarm
import Synchronization
import TorrentModel

/// Downloads and seeds any number of torrents.
///
/// ```swift
/// let session = try await Session.start(SessionConfiguration())
/// let torrent = try await session.add(metainfo, TorrentOptions(folder: "downloads"))
/// for await event in session.events {
///   if case .completed(torrent.infoHash) = event { break }
/// }
/// await session.shutdown(within: 5)
/// ```
///
/// The actor's executor is the session's first event loop. Torrents are spread over the loops; each lives on one.
public actor Session {
  /// What happens in the session, newest kept when nobody listens. For one listener.
  public nonisolated let events: AsyncStream<SessionEvent>
  nonisolated let shared: SessionShared
  nonisolated let homes: [LoopHome]
  private nonisolated let binding: LocalBinding
  private var torrentsByHash: [InfoHash: Torrent] = [:]
  private var acceptor: Acceptor?
  private var isShutDown = false

  public nonisolated var unownedExecutor: UnownedSerialExecutor {
    unsafe homes[0].loop.asUnownedSerialExecutor()
  }

  /// Starts the session's threads and listens for peers.
  public static func start(_ configuration: SessionConfiguration = SessionConfiguration())
    async throws(SessionError)
    -> Session
  {
    let session = try Session(configuration)
    try await session.listen()
    try await session.startDiscovery()
    return session
  }

  /// Bytes that the smallest session needs: 4 MiB.
  public static let minimumMemory = 4 << 20

  private init(_ requested: SessionConfiguration) throws(SessionError) {
    guard requested.memory >= Self.minimumMemory else { throw .memoryTooSmall(minimum: Self.minimumMemory) }
    let cores = Machine.cores
    var configuration = requested
    let loopCount = max(1, requested.loops ?? cores / 2)
    let workers = max(1, requested.workers ?? cores - 1)
    configuration.loops = loopCount
    configuration.workers = workers
    if let bind = requested.bind {
      do { binding = try LocalBinding(parsing: bind) } catch {
        throw .cannotBind(bind, reason: error.description)
      }
    } else {
      binding = .unrestricted
    }
    let plan = MemoryPlan(
      memory: requested.memory, maxPeers: requested.maxPeers, loops: loopCount, workers: workers,
      writers: DiskService.writers)
    let pool: BlockPool
    do { pool = try BlockPool(capacity: plan.poolBlocks) } catch {
      throw .outOfResources(error.description)
    }
    var tls: TLSContext?
    if let file = requested.certificateFile {
      do { tls = try TLSContext(extraCAFile: file) } catch { throw .outOfResources(error.description) }
    }
    var random = SystemRandomNumberGenerator()
    let (stream, continuation) = AsyncStream<SessionEvent>.makeStream(bufferingPolicy: .bufferingNewest(4096))
    events = stream
    let shared = SessionShared(
      configuration: configuration, pool: pool,
      disk: DiskService(pool: pool, workers: workers, writes: WriteMode(configuration.diskWrites)),
      peerID: PeerID(prefix: Release.peerIDPrefix, using: &random),
      announceKey: UInt32.random(in: 1 ... .max, using: &random),
      tls: tls, continuation: continuation)
    self.shared = shared
    do throws(ReactorError) {
      var homes: [LoopHome] = []
      for number in 0..<loopCount {
        let loop = try EventLoop(name: "spate-loop-\(number)")
        try loop.start()
        homes.append(LoopHome(loop: loop, shared: shared))
      }
      self.homes = homes
    } catch {
      throw .outOfResources(error.description)
    }
  }

  deinit {
    shared.finishEvents()
    // Waiting for the threads is not for here: this may well be one of them.
    let loops = homes.map(\.loop)
    for home in homes {
      home.loop.post { home.abandon() }
      home.loop.stop()
    }
    shared.disk.shutdownSoon { for loop in loops { loop.join() } }
  }

  private func listen() throws(SessionError) {
    guard let port = shared.configuration.listenPort else { return }
    let acceptor = Acceptor(loop: homes[0].loop) { [weak self] infoHash in
      self?.assumeIsolated { $0.torrentsByHash[infoHash]?.host ?? $0.magnetsByHash[infoHash]?.host }
    }
    do {
      let bound = try acceptor.listen(port: port, binding: binding)
      shared.listenPort.store(bound, ordering: .relaxed)
    } catch {
      throw .cannotListen(port: port, reason: error.description)
    }
    self.acceptor = acceptor
  }

  private func startDiscovery() throws(SessionError) {
    let configuration = shared.configuration
    let port = shared.listenPort.load(ordering: .relaxed)
    var dht: DHTDriver?
    if let options = configuration.dht {
      do { try options.validate() } catch { throw .notANode("--dht-node", reason: error.description) }
      do {
        dht = try DHTDriver(options: options, binding: binding, listenPort: port, loop: homes[0].loop)
      } catch {
        // Peers are found in other ways, too.
        shared.report(.warning(nil, "the DHT is not used: \(error.description)"))
      }
      dht?.warn = { [shared] text in shared.report(.warning(nil, text)) }
      dht?.start()
    }
    var local: LocalDiscoveryDriver?
    if configuration.usesLocalDiscovery, port != 0 {
      local = LocalDiscoveryDriver(binding: binding, listenPort: port, loop: homes[0].loop)
      local?.start()
    }
    guard dht != nil || local != nil else { return }
    shared.discovery = SessionDiscovery(dht: dht, local: local, on: homes[0].loop)
    if let dht { self.dht = DHTClient(sharing: dht) }
  }

  /// The session's node in the DHT; nil without one.
  public private(set) var dht: DHTClient?

  /// The port for incoming connections, nil while there is none.
  public nonisolated var listenPort: UInt16? {
    let port = shared.listenPort.load(ordering: .relaxed)
    return port == 0 ? nil : port
  }

  // MARK: Torrents

  /// Adds a torrent and starts it: files are opened, checked as far as needed, then peers are sought.
  public func add(_ metainfo: TorrentMetainfo, _ options: TorrentOptions) async throws(SessionError)
    -> Torrent
  {
    try await add([(metainfo, options)])[0].get()
  }

  /// Adds many torrents, with one visit to each loop however many they are: each hop between threads costs as much as a
  /// small torrent does.
  /// - Returns: for each, in their order, the torrent or why it was refused, as ``add(_:_:)-(TorrentMetainfo,_)`` throws it.
  public func add(
    _ torrents: [(metainfo: TorrentMetainfo, options: TorrentOptions)]
  ) async -> [Result<Torrent, SessionError>] {
    var results: [Result<Torrent, SessionError>?] = Array(repeating: nil, count: torrents.count)
    var newcomers: [[Newcomer]] = Array(repeating: [], count: homes.count)
    var count = torrentsByHash.count + magnetsByHash.count
    for (number, (metainfo, options)) in torrents.enumerated() {
      let infoHash = metainfo.info.infoHash
      do throws(SessionError) {
        guard !isShutDown else { throw .shutDown }
        guard torrentsByHash[infoHash] == nil, !adding.contains(infoHash) else {
          throw .alreadyAdded(infoHash)
        }
        let selection = try FileSelection(options.selectedFiles, of: metainfo.info)
        try TrackerDriver.validate(options.extraTrackers)
        let magnet = magnetsByHash[infoHash]
        let home = homes.firstIndex { $0 === magnet?.home } ?? count % homes.count
        count += 1
        adding.insert(infoHash)
        newcomers[home].append(
          Newcomer(
            number: number, metainfo: metainfo, options: options, selection: selection,
            known: magnet?.knownPeers ?? [], early: magnet?.driver))
      } catch {
        results[number] = .failure(error)
      }
    }
    let binding = binding
    for (home, here) in zip(homes, newcomers) where !here.isEmpty {
      let added = await home.visit { context in
        here.map { newcomer in
          Torrent(
            TorrentDriver(
              newcomer.metainfo, options: newcomer.options, selection: newcomer.selection, binding: binding,
              context: context, known: newcomer.known, early: newcomer.early?.value),
            home: home)
        }
      }
      for (newcomer, torrent) in zip(here, added) {
        adding.remove(torrent.infoHash)
        torrentsByHash[torrent.infoHash] = torrent
        magnetsByHash[torrent.infoHash] = nil
        results[newcomer.number] = .success(torrent)
      }
    }
    await shareLimits()
    return results.map { $0 ?? .failure(.shutDown) }
  }

  /// A torrent on its way to a loop.
  private struct Newcomer: Sendable {
    let number: Int
    let metainfo: TorrentMetainfo
    let options: TorrentOptions
    let selection: FileSelection
    let known: [PeerRecord]
    let early: LoopBound<MagnetDriver>?
  }

  private var adding: Set<InfoHash> = []

  /// Adds a magnet link: peers are sought, and the metadata is fetched from them. The torrent that is then added with the
  /// metadata goes on with the same peers.
  ///
  /// - Parameter options: of these the peers and trackers count here.
  /// - Throws: `.alreadyAdded`, `.notATracker`, `.notInDHT`.
  public func add(_ link: MagnetLink, _ options: TorrentOptions) async throws(SessionError) -> MagnetDownload
  {
    guard !isShutDown else { throw .shutDown }
    try TrackerDriver.validate(options.extraTrackers)
    let infoHash = try await infoHash(of: link)
    guard torrentsByHash[infoHash] == nil, magnetsByHash[infoHash] == nil, !adding.contains(infoHash) else {
      throw .alreadyAdded(infoHash)
    }
    adding.insert(infoHash)
    defer { adding.remove(infoHash) }
    let home = homes[(torrentsByHash.count + magnetsByHash.count) % homes.count]
    let binding = binding
    let folder = shared.configuration.resumeFolder
    let (kept, known) = await Task.detached {
      guard let folder else { return (TorrentMetainfo?.none, [PeerRecord]()) }
      return (
        MetadataFiles.load(infoHash, link: link, in: folder), MetadataFiles.loadPeers(infoHash, in: folder)
      )
    }.value
    guard !isShutDown else { throw .shutDown }
    if let kept {
      let magnet = MagnetDownload(
        link, infoHash: infoHash, kept: kept, knownPeers: kept.info.isPrivate ? [] : known, driver: nil,
        host: nil, home: home)
      magnetsByHash[infoHash] = magnet
      return magnet
    }
    let magnet = await home.loop.run {
      let driver = MagnetDriver(
        link, infoHash: infoHash, options: options, known: known, binding: binding, context: home.context)
      if let folder {
        driver.keepPeers = { records in
          Task.detached { MetadataFiles.savePeers(records, infoHash, in: folder) }
        }
        driver.whenDone { [unowned driver] result in
          guard case .success(let metainfo) = result else { return }
          // The torrent has no record of its own before it has a piece.
          let peers = driver.peerRecords
          Task.detached {
            MetadataFiles.savePeers(peers, infoHash, in: folder)
            MetadataFiles.save(metainfo, in: folder)
          }
        }
      }
      return MagnetDownload(
        link, infoHash: infoHash, kept: nil, driver: LoopBound(driver, on: home.loop),
        host: LoopBound(driver, on: home.loop), home: home)
    }
    magnetsByHash[infoHash] = magnet
    for peer in link.peers where peer.endpoint == nil {
      Task {
        if let found = try? await Session.resolve(host: peer.host, port: peer.port) {
          await magnet.addPeers(found)
        }
      }
    }
    return magnet
  }

  private var magnetsByHash: [InfoHash: MagnetDownload] = [:]

  /// The torrent that a link is about; one of BEP 46 is asked for in the DHT.
  private func infoHash(of link: MagnetLink) async throws(SessionError) -> InfoHash {
    if let infoHash = link.infoHashes.first { return infoHash }
    guard let mutable = link.mutableTorrent else { throw .notInDHT(reason: "the link names no torrent") }
    guard let dht else { throw .notInDHT(reason: "the DHT is not in use") }
    do throws(DHTFailure) {
      return try await dht.resolve(mutable: mutable.publicKey, salt: mutable.salt)
    } catch {
      throw .notInDHT(reason: error.description)
    }
  }

  /// Gives a magnet link up. The peers that were found are kept for the next run.
  public func remove(_ magnet: MagnetDownload) async {
    guard magnetsByHash[magnet.infoHash] === magnet else { return }
    magnetsByHash[magnet.infoHash] = nil
    await close(magnet)
  }

  private nonisolated func close(_ magnet: MagnetDownload) async {
    guard let driver = magnet.driver else { return }
    let records = await driver.loop.run { driver.value.result == nil ? driver.value.peerRecords : [] }
    if let folder = shared.configuration.resumeFolder {
      let infoHash = magnet.infoHash
      await Task.detached { MetadataFiles.savePeers(records, infoHash, in: folder) }.value
    }
    await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
      driver.loop.post { driver.value.close { continuation.resume() } }
    }
  }

  public func torrents() -> [Torrent] { Array(torrentsByHash.values) }

  public func torrent(_ infoHash: InfoHash) -> Torrent? { torrentsByHash[infoHash] }

  /// Announces `stopped`, closes connections and files, forgets the torrent. Its files stay unless told otherwise.
  public func remove(_ torrent: Torrent, deletingFiles: Bool = false) async {
    guard torrentsByHash[torrent.infoHash] === torrent else { return }
    await torrent.close(deletingFiles: deletingFiles)
    torrentsByHash[torrent.infoHash] = nil
    await shareLimits()
  }

  // MARK: Limits

  private var downloadLimit: Int??
  private var uploadLimit: Int??

  /// Bytes per second over all torrents; nil is unlimited.
  public func setLimits(download: Int?, upload: Int?) async {
    downloadLimit = .some(download)
    uploadLimit = .some(upload)
    await shareLimits()
  }

  /// Each loop gets the share of the limits that its share of the torrents is.
  private func shareLimits() async {
    // Nothing to share, and a visit to every loop for each torrent of thousands.
    let hasLimits =
      downloadLimit != nil || uploadLimit != nil || shared.configuration.downloadLimit != nil
      || shared.configuration.uploadLimit != nil
    guard hasLimits else { return }
    let download = downloadLimit ?? shared.configuration.downloadLimit
    let upload = uploadLimit ?? shared.configuration.uploadLimit
    let total = max(1, torrentsByHash.count)
    for home in homes {
      let here = homes.count == 1 ? total : torrentsByHash.values.count { $0.home === home }
      func share(_ limit: Int?) -> Int? { limit.map { max(1, $0 / total * max(1, here) + $0 % total) } }
      let (down, up) = (share(download), share(upload))
      await home.loop.run {
        let context = home.context
        context.downloads.setRate(down, of: context.downloads.root, now: context.now)
        context.uploads.setRate(up, of: context.uploads.root, now: context.now)
      }
    }
  }

  // MARK: Counts

  /// Counts of many torrents, in their order: one visit to each loop, however many they are.
  public nonisolated func statuses(of torrents: [Torrent]) async -> [TorrentStatus] {
    var found: [InfoHash: TorrentStatus] = [:]
    found.reserveCapacity(torrents.count)
    for home in homes {
      let here = torrents.filter { $0.home === home }
      guard !here.isEmpty else { continue }
      for status in await home.loop.run({ here.map { $0.driver.value.status() } }) {
        found[status.infoHash] = status
      }
    }
    return torrents.compactMap { found[$0.infoHash] }
  }

  /// Counts over all torrents.
  public func status() async -> SessionStatus {
    var result = SessionStatus(
      torrents: torrentsByHash.count, peers: 0, downloadRate: 0, uploadRate: 0, downloadedBytes: 0,
      uploadedBytes: 0,
      poolInUse: shared.pool.inUse, poolHighWater: shared.pool.highWater, poolCapacity: shared.pool.capacity,
      counters: DataPathCounters())
    for torrent in torrentsByHash.values {
      let status = await torrent.status()
      result.peers += status.peers
      result.downloadRate += status.downloadRate
      result.uploadRate += status.uploadRate
      result.downloadedBytes += status.downloadedBytes
      result.uploadedBytes += status.uploadedBytes
    }
    for home in homes {
      let counters = await home.loop.run {
        var counters = home.context.counters
        let statistics = home.loop.statistics
        counters.timerLatenessNanoseconds = statistics.timerLatenessNanoseconds(quantile: 0.99)
        counters.longestTurnNanoseconds = statistics.maxTurnNanoseconds
        return counters
      }
      result.counters.add(counters)
    }
    let disk = shared.disk.statistics
    result.counters.writtenBytes = disk.writtenBytes
    result.counters.directBytes = disk.directBytes
    return result
  }

  // MARK: The end

  /// Saves every torrent's resume record, announces `stopped`, closes everything. Returns after `seconds` at the latest;
  /// what is not done by then (a slow disk, a silent tracker) is left as it is.
  public func shutdown(within seconds: Double) async {
    guard !isShutDown else { return }
    isShutDown = true
    acceptor?.close()
    acceptor = nil
    let torrents = Array(torrentsByHash.values)
    let magnets = Array(magnetsByHash.values)
    let discovery = shared.discovery
    let loop = homes[0].loop
    await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
      let countdown = Countdown(torrents.count + magnets.count + 1) { continuation.resume() }
      loop.schedule(afterNanoseconds: UInt64(max(0, seconds) * 1e9)) { countdown.expire() }
      for torrent in torrents {
        Task {
          await torrent.close(deletingFiles: false)
          countdown.step()
        }
      }
      for magnet in magnets {
        Task {
          await close(magnet)
          countdown.step()
        }
      }
      if let discovery { discovery.close { countdown.step() } } else { countdown.step() }
      countdown.step()
    }
    torrentsByHash = [:]
    magnetsByHash = [:]
    shared.discovery = nil
    shared.finishEvents()
  }
}

/// Calls back once: when as many steps as there are torrents, and one more, were made, or when it expires.
private final class Countdown: Sendable {
  private let state: Lock<(left: Int, done: (@Sendable () -> Void)?)>

  init(_ count: Int, _ done: @escaping @Sendable () -> Void) {
    state = Lock((count + 1, done))
  }

  func step() {
    let done = state.withLock { state -> (@Sendable () -> Void)? in
      state.left -= 1
      return state.left == 0 ? state.done.take() : nil
    }
    done?()
  }

  func expire() {
    let done = state.withLock { $0.done.take() }
    done?()
  }
}

extension DataPathCounters {
  mutating func add(_ other: DataPathCounters) {
    blocksReceived += other.blocksReceived
    blocksSent += other.blocksSent
    blocksSentDirectly += other.blocksSentDirectly
    receiveCalls += other.receiveCalls
    copiedBytes += other.copiedBytes
    writtenBytes += other.writtenBytes
    directBytes += other.directBytes
    loopTurns += other.loopTurns
    timerLatenessNanoseconds = max(timerLatenessNanoseconds, other.timerLatenessNanoseconds)
    longestTurnNanoseconds = max(longestTurnNanoseconds, other.longestTurnNanoseconds)
  }
}
