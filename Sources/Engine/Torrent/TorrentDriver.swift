import BlockPool
import Metainfo
import PeerWire
import Reactor
import Storage
import Swarm
import TorrentModel

/// Runs one torrent on its loop: carries events from connections, disk and trackers to the swarm, and carries out what
/// the swarm decides.
final class TorrentDriver {
  let context: LoopContext
  let metainfo: TorrentMetainfo
  let binding: LocalBinding
  let infoHash: InfoHash
  let geometry: PieceGeometry
  let addedAt: Moment
  /// The torrent's number on its loop.
  let slot: UInt32
  let storage: TorrentStorage
  /// Exists once the files are opened and checked.
  var swarm: Swarm?
  var trackers: TrackerDriver?
  var options: TorrentOptions
  var selection: FileSelection
  var state = TorrentState.opening

  /// By peer key.
  var peers: [PeerConnection?] = []
  private var freeKeys: [PeerKey] = []
  /// Connections whose handshake is not done.
  var handshaking: [PeerConnection] = []
  /// Peers whose next block is being read from the disk.
  var waitingForRead: [PeerConnection] = []
  /// Peers that a rate limit holds back.
  var throttled: [PeerConnection] = []
  private var throttleTimer: TimerID?

  var isTouched = false
  private var wakeTimer: TimerID?
  private var wakeAt = Moment.distantFuture

  // Storage.
  /// Pieces known to be good, until the swarm exists.
  var opened: Bitfield?
  var checkedBytes: Int64 = 0
  var failure: TorrentFailure?
  var retryAt = Moment.distantFuture
  var retries = 0
  var resume = ResumeKeeper()
  var closing: ClosingState?

  // Counts for display.
  var everHadPeer = false
  var bannedPeers = 0
  var lastProgress: Moment
  var wastedByPool: Int64 = 0

  let downloadNode: RateLimitTree.Node
  let uploadNode: RateLimitTree.Node

  /// On the loop. Starts opening the files.
  init(
    _ metainfo: TorrentMetainfo, options: TorrentOptions, selection: FileSelection, binding: LocalBinding,
    context: LoopContext
  ) {
    self.context = context
    self.metainfo = metainfo
    self.binding = binding
    self.infoHash = metainfo.info.infoHash
    self.geometry = metainfo.info.geometry
    self.options = options
    self.selection = selection
    let now = context.now
    self.addedAt = now
    self.lastProgress = now
    self.downloadNode = context.downloads.addNode(
      inside: context.downloads.root, rate: options.downloadLimit, now: now)
    self.uploadNode = context.uploads.addNode(
      inside: context.uploads.root, rate: options.uploadLimit, now: now)
    self.slot = context.reserveSlot()
    self.storage = TorrentStorage(
      infoHash: infoHash, root: options.folder, files: StorageFile.list(of: metainfo.info),
      layout: metainfo.info.layout, geometry: geometry, pieceHashes: metainfo.info.pieceHashes,
      allocation: FileAllocation(options.allocation), wanted: selection.wanted,
      recordPath: ResumeKeeper.path(
        infoHash: infoHash, root: options.folder, in: context.shared.configuration),
      tag: UInt64(slot), port: context.port)
    context.register(self)
    openStorage()
  }

  var now: Moment { context.now }
  var isDownloading: Bool { state == .downloading }
  var isSeeding: Bool { state == .seeding }

  func setState(_ next: TorrentState) {
    guard state != next else { return }
    let wasDownloading = isDownloading
    state = next
    context.shared.report(.stateChanged(infoHash, next))
    if wasDownloading != isDownloading { context.downloadingChanged(self) }
  }

  func setOpenBlockBudget(_ blocks: Int) { swarm?.openBlockBudget = blocks }

  // MARK: Peers

  /// Connects to a peer, unless the session has all the connections it may have.
  func connect(to endpoint: Endpoint) {
    let shared = context.shared
    let isFull =
      shared.connections.load(ordering: .relaxed) >= shared.configuration.maxPeers
      || shared.halfOpen.load(ordering: .relaxed) >= shared.configuration.maxHalfOpen
    if isFull { return swarm?.connectFailed(endpoint, reason: .full, now: now) ?? () }
    do {
      let peer = try PeerConnection(connectingTo: endpoint, driver: self, binding: binding)
      shared.connections.add(1, ordering: .relaxed)
      shared.halfOpen.add(1, ordering: .relaxed)
      handshaking.append(peer)
    } catch {
      swarm?.connectFailed(endpoint, reason: .connectFailed, now: now)
      context.touch(self)
    }
  }

  /// Takes over an incoming connection whose info-hash is this torrent's. False: the descriptor is still the caller's.
  func accept(_ descriptor: CInt, from endpoint: Endpoint, handshake: [UInt8]) -> Bool {
    let shared = context.shared
    guard let swarm, swarm.refusal(ofIncoming: endpoint, now: now) == nil,
      shared.connections.load(ordering: .relaxed) < shared.configuration.maxPeers,
      let peer = try? PeerConnection(
        adopting: descriptor, from: endpoint, handshake: handshake, driver: self)
    else { return false }
    shared.connections.add(1, ordering: .relaxed)
    if peer.isOpen && !peer.isEstablished { handshaking.append(peer) }
    return true
  }

  /// The handshake is done: the peer gets its number, and the swarm hears of it.
  func peerEstablished(_ peer: PeerConnection, _ handshake: Handshake) -> PeerKey? {
    handshaking.removeAll { $0 === peer }
    if !peer.isIncoming { context.shared.halfOpen.subtract(1, ordering: .relaxed) }
    guard let swarm else { return nil }
    let key = takeKey(for: peer)
    everHadPeer = true
    swarm.peerConnected(
      key,
      PeerProfile(
        endpoint: peer.endpoint, peerID: handshake.peerID, reserved: handshake.reserved,
        isIncoming: peer.isIncoming), now: now)
    context.touch(self)
    context.shared.report(.peerConnected(infoHash, peer.endpoint, client: peer.client))
    if handshake.reserved.contains(.extensionProtocol) { greetings.append(key) }
    return key
  }

  /// Peers that are owed an extended handshake, which goes behind the bitfield.
  private var greetings: [PeerKey] = []

  private func takeKey(for peer: PeerConnection) -> PeerKey {
    if let key = freeKeys.popLast() {
      peers[key.offset] = peer
      return key
    }
    peers.append(peer)
    return PeerKey(peers.count - 1)
  }

  /// A connection ended, for whatever reason.
  func peerClosed(_ peer: PeerConnection, _ reason: DisconnectReason, detail: String, wasConnecting: Bool) {
    context.output.flush()
    context.shared.connections.subtract(1, ordering: .relaxed)
    waitingForRead.removeAll { $0 === peer }
    throttled.removeAll { $0 === peer }
    if let key = peer.key {
      peers[key.offset] = nil
      freeKeys.append(key)
      swarm?.peerDisconnected(key, reason: reason, now: now)
      context.shared.report(.peerDisconnected(infoHash, peer.endpoint, reason: detail))
    } else {
      handshaking.removeAll { $0 === peer }
      if !peer.isIncoming {
        context.shared.halfOpen.subtract(1, ordering: .relaxed)
        swarm?.connectFailed(peer.endpoint, reason: reason, now: now)
      }
    }
    context.touch(self)
  }

  func disconnectAll(_ reason: DisconnectReason) {
    for peer in handshaking { peer.close(reason, detail: reason.description) }
    for peer in peers { peer?.close(reason, detail: reason.description) }
  }

  // MARK: The turn

  /// Everything of this turn has been told; now the swarm decides, and its effects are carried out.
  func endTurn() {
    guard let swarm else { return }
    swarm.turnEnded(now: now)
    carryOutEffects(of: swarm)
    greet()
    trackers?.turnEnded()
    rearm()
  }

  private func greet() {
    guard !greetings.isEmpty else { return }
    for key in greetings {
      guard let peer = peers[key.offset], peer.isOpen else { continue }
      peer.send(.extended(id: 0, payload: extendedHandshake(for: peer).encoded()))
    }
    greetings.removeAll(keepingCapacity: true)
  }

  /// What we say of ourselves (BEP 10, BEP 21).
  private func extendedHandshake(for peer: PeerConnection) -> ExtendedHandshake {
    var handshake = ExtendedHandshake()
    handshake.messages = ExtendedHandshake.messages(of: .standard)
    handshake.client = context.shared.configuration.userAgent
    handshake.requestQueueLength = Limits.incomingRequests
    handshake.yourAddress = peer.endpoint.address
    let port = context.shared.listenPort.load(ordering: .relaxed)
    if port != 0 { handshake.listenPort = port }
    if swarm?.isFinished == true { handshake.isUploadOnly = true }
    return handshake
  }

  // MARK: Time

  /// Makes sure that ``wake()`` comes in time. A later wish costs nothing: the timer fires early and is set anew.
  func rearm() {
    let deadline = min(
      swarm?.nextDeadline ?? .distantFuture, trackers?.nextDeadline ?? .distantFuture, resume.dueAt, retryAt)
    guard deadline < wakeAt else { return }
    if let wakeTimer { context.loop.cancel(wakeTimer) }
    wakeAt = deadline
    wakeTimer = context.loop.schedule(atNanoseconds: UInt64(max(0, deadline.nanoseconds))) { [weak self] in
      self?.wake()
    }
  }

  private func wake() {
    wakeTimer = nil
    wakeAt = .distantFuture
    let now = now
    if let swarm, swarm.nextDeadline <= now { swarm.tick(now: now) }
    trackers?.wake(now: now)
    if resume.dueAt <= now { saveRecord() }
    if retryAt <= now { retryStorage() }
    context.touch(self)
    if swarm == nil { rearm() }
  }

  // MARK: Rate limits

  var isDownloadLimited: Bool {
    context.downloads.rate(of: downloadNode) != nil
      || context.downloads.rate(of: context.downloads.root) != nil
  }

  var isUploadLimited: Bool {
    context.uploads.rate(of: uploadNode) != nil || context.uploads.rate(of: context.uploads.root) != nil
  }

  func grantDownload(_ wanted: Int) -> Int { context.downloads.grant(wanted, from: downloadNode, now: now) }
  func refundDownload(_ bytes: Int) {
    if bytes > 0 { context.downloads.charge(-bytes, to: downloadNode, now: now) }
  }

  /// The peer goes on when its limit has something to give.
  func throttle(_ peer: PeerConnection) {
    guard !peer.isThrottled else { return }
    peer.isThrottled = true
    throttled.append(peer)
    guard throttleTimer == nil else { return }
    let down = context.downloads.nextAvailable(blockLength, from: downloadNode, now: now)
    let up = context.uploads.nextAvailable(blockLength, from: uploadNode, now: now)
    let moment = max(min(max(down, now), max(up, now)), now + .milliseconds(5))
    throttleTimer = context.loop.schedule(atNanoseconds: UInt64(moment.nanoseconds)) { [weak self] in
      guard let self else { return }
      self.throttleTimer = nil
      let peers = self.throttled
      self.throttled.removeAll(keepingCapacity: true)
      for peer in peers { peer.unthrottle() }
    }
  }

  // MARK: The end

  /// Cuts every tie to the loop. Storage has been closed before.
  func detach() {
    if let wakeTimer { context.loop.cancel(wakeTimer) }
    if let throttleTimer { context.loop.cancel(throttleTimer) }
    wakeTimer = nil
    throttleTimer = nil
    trackers?.close()
    trackers = nil
    context.downloads.removeNode(downloadNode)
    context.uploads.removeNode(uploadNode)
    context.unregister(self)
    setState(.stopped)
  }
}
