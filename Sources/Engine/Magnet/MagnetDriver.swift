import Hashing
import Metainfo
import PeerWire
import Reactor
import Swarm
import TorrentModel

/// Fetches the metadata of a magnet link from peers (BEP 9), on its loop. When it has come, the torrent that is made of it
/// takes the connections over.
final class MagnetDriver: PeerHost {
  let link: MagnetLink
  let addedAt: Moment
  /// What peers, trackers and other sources are told to.
  let swarmBeforeMetadata: MetadataSwarm
  private(set) var result: Result<TorrentMetainfo, SessionError>?
  private var waiting: [(Result<TorrentMetainfo, SessionError>) -> Void] = []
  private var isClosed = false
  /// Told of the known peers now and then, for a run that comes after one that was cut short.
  var keepPeers: ([PeerRecord]) -> Void = { _ in }
  private var keepAt = Moment.distantFuture

  /// On the loop. Starts at once.
  init(
    _ link: MagnetLink, infoHash: InfoHash, options: TorrentOptions, known: [PeerRecord],
    binding: LocalBinding, context: LoopContext
  ) {
    self.link = link
    self.addedAt = context.now
    let shared = context.shared
    let swarm = MetadataSwarm(
      infoHash: infoHash, configuration: context.swarmConfiguration.configuration,
      seed: shared.configuration.randomSeed ?? UInt64.random(in: .min ... .max), now: context.now)
    swarm.maximumConnections = shared.configuration.maxPeersPerTorrent
    swarm.halfOpenLimit = shared.configuration.maxHalfOpen
    swarmBeforeMetadata = swarm
    super.init(infoHash, isPrivate: false, binding: binding, context: context)
    swarm.peersRestored(known, now: now)
    swarm.peersDiscovered(options.peers + link.peers.compactMap(\.endpoint), source: .user, now: now)
    trackers = TrackerDriver(
      self, extra: options.extraTrackers, tiers: options.usesTrackers ? link.trackers : [])
    trackers?.start(now: now)
    startDiscovery(isPrivate: false, isSeed: false)
    context.touch(self)
  }

  /// Calls back with the metadata, or why there will be none.
  func whenDone(_ body: @escaping (Result<TorrentMetainfo, SessionError>) -> Void) {
    if let result { return body(result) }
    waiting.append(body)
  }

  private func finish(_ result: Result<TorrentMetainfo, SessionError>) {
    guard self.result == nil else { return }
    self.result = result
    let bodies = waiting
    waiting = []
    for body in bodies { body(result) }
  }

  func addPeers(_ endpoints: [Endpoint]) {
    swarmBeforeMetadata.peersDiscovered(endpoints, source: .user, now: now)
    context.touch(self)
  }

  // MARK: What peers say

  override var takesPeers: Bool { !isClosed }

  override func refusal(ofIncoming endpoint: Endpoint) -> DisconnectReason? {
    swarmBeforeMetadata.refusal(ofIncoming: endpoint, now: now)
  }

  override func peerJoined(_ key: PeerKey, _ profile: PeerProfile) {
    swarmBeforeMetadata.peerConnected(key, profile, now: now)
    peersChanged()
  }

  override func peerLeft(_ key: PeerKey, _ reason: DisconnectReason) {
    swarmBeforeMetadata.peerDisconnected(key, reason: reason, now: now)
  }

  override func connectFailed(_ endpoint: Endpoint, _ reason: DisconnectReason) {
    swarmBeforeMetadata.connectFailed(endpoint, reason: reason, now: now)
  }

  override func peersFound(_ endpoints: [Endpoint], source: PeerSource) {
    swarmBeforeMetadata.peersDiscovered(endpoints, source: source, now: now)
    peersChanged()
  }

  /// They are kept soon, whatever else comes.
  private func peersChanged() {
    guard keepAt == .distantFuture else { return }
    keepAt = now + .seconds(max(1, context.shared.configuration.resumeInterval))
  }

  override func externalEndpointFound(_ endpoint: Endpoint) {
    swarmBeforeMetadata.externalEndpoint = endpoint
  }
  override func listensOn(_ key: PeerKey) -> Endpoint? { swarmBeforeMetadata.listensOn(key) }
  override func exchangeFlags(of key: PeerKey) -> PeerExchange.Flags {
    swarmBeforeMetadata.exchangeFlags(of: key)
  }
  override func activityNoticed(_ key: PeerKey) { swarmBeforeMetadata.activityNoticed(key, now: now) }

  override func messageArrived(_ key: PeerKey, _ message: PeerMessage) {
    swarmBeforeMetadata.messageReceived(key, message, now: now)
  }

  override func extendedHandshakeReceived(
    _ key: PeerKey, _ handshake: ExtendedHandshake, from peer: PeerConnection
  ) {
    swarmBeforeMetadata.extendedHandshakeReceived(
      key, handshake, takesMetadata: peer.remoteID(of: Metadata.registration) != nil, now: now)
  }

  override func metadataArrived(_ key: PeerKey, _ message: Metadata.Message) {
    swarmBeforeMetadata.metadataReceived(key, message, now: now)
    context.touch(self)
  }

  /// How long the torrent is, nobody knows: less than a block would look like a seed to trackers.
  override var announceCounts: AnnounceCounts { AnnounceCounts(left: Int64(blockLength)) }

  // MARK: The turn

  override func endTurn() {
    guard !isClosed else { return }
    swarmBeforeMetadata.turnEnded(now: now)
    carryOutEffects()
    greet()
    trackers?.turnEnded()
    rearm()
  }

  private func carryOutEffects() {
    while !swarmBeforeMetadata.effects.isEmpty {
      let batch = swarmBeforeMetadata.effects
      swarmBeforeMetadata.effects.removeAll()
      for effect in batch { carryOut(effect) }
    }
  }

  private func carryOut(_ effect: MetadataEffect) {
    switch effect {
    case .sendHaveNone(let key): send(.haveNone, to: key)
    case .sendKeepAlive(let key): send(.keepAlive, to: key)
    case .sendMetadataRequest(let key, let piece):
      guard let peer = peer(key), let id = peer.remoteID(of: Metadata.registration) else { return }
      context.output.append({ Metadata.appendRequest(piece: piece, remoteID: id, to: &$0) }, to: peer)
    case .sendMetadataReject(let key, let piece):
      guard let peer = peer(key), let id = peer.remoteID(of: Metadata.registration) else { return }
      context.output.append({ Metadata.appendReject(piece: piece, remoteID: id, to: &$0) }, to: peer)
    case .connect(let endpoint): connect(to: endpoint)
    case .disconnect(let key, let reason): peer(key)?.close(reason, detail: reason.description)
    case .ban(let address, let reason):
      context.shared.report(.peerBanned(infoHash, address, reason: reason.description))
    case .wantMorePeers: wantMorePeers()
    case .reportMetadata(let bytes): metadataCame(bytes)
    }
  }

  private func metadataCame(_ bytes: [UInt8]) {
    do {
      let metainfo = try TorrentMetainfo(info: bytes, infoHash: infoHash, magnet: link)
      // What is private is known to the tracker's peers alone from now on (BEP 27).
      if metainfo.info.isPrivate { stopDiscovery() }
      finish(.success(metainfo))
    } catch {
      finish(.failure(.unusableMetadata(error)))
    }
  }

  override var nextDeadline: Moment {
    isClosed ? .distantFuture : min(swarmBeforeMetadata.nextDeadline, keepAt)
  }

  override func woke(now: Moment) {
    guard !isClosed else { return }
    if swarmBeforeMetadata.nextDeadline <= now { swarmBeforeMetadata.tick(now: now) }
    if keepAt <= now {
      keepAt = .distantFuture
      keepPeers(peerRecords)
    }
  }

  // MARK: Counts

  func status() -> MagnetStatus {
    let snapshot = swarmBeforeMetadata.snapshot(now: now)
    let progress = swarmBeforeMetadata.progress
    return MagnetStatus(
      infoHash: infoHash, name: link.name, havePieces: progress?.have ?? 0, pieces: progress?.total,
      peers: snapshot.connectedPeers, knownPeers: max(0, snapshot.knownPeers - snapshot.connectedPeers),
      sources: PeerSources(snapshot.connectedSources), seconds: (now - addedAt).seconds,
      everHadPeer: everHadPeer, everHadTrackerReply: trackers?.everReplied ?? false,
      trackers: trackers?.status(now: now) ?? [])
  }

  var peerRecords: [PeerRecord] { swarmBeforeMetadata.peerRecords(limit: 200) }

  // MARK: The end

  /// The torrent has the connections, the trackers and the peers now.
  func handedOver() {
    isClosed = true
    cutTies()
    context.forget(self)
    finish(.failure(.shutDown))
  }

  /// Leaves trackers and peers; nothing is fetched any more.
  func close(_ done: @escaping () -> Void = {}) {
    guard !isClosed else { return done() }
    isClosed = true
    disconnectAll(.shutDown)
    stopDiscovery()
    finish(.failure(.shutDown))
    guard let trackers else {
      cutTies()
      context.forget(self)
      return done()
    }
    trackers.stopForGood(now: now) {
      self.cutTies()
      self.context.forget(self)
      done()
    }
  }
}
