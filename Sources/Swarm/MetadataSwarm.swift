import PeerWire
import TorrentModel

/// The swarm of a torrent of which only the info-hash is known: finds peers, keeps connections and gets the metadata from
/// them (BEP 9). When it has come, ``Swarm/adopt(_:now:)`` takes over whom it knows and is connected to.
///
/// It is driven as a ``Swarm`` is: any number of events, then ``turnEnded(now:)``, then the effects are carried out in
/// order; ``tick(now:)`` and ``turnEnded(now:)`` when ``nextDeadline`` has come.
public final class MetadataSwarm {
  let configuration: SwarmConfiguration
  /// What the driver has to do, in order. The driver empties it.
  public var effects: [MetadataEffect] = []
  /// Connections this torrent may have, those being made counted.
  public var maximumConnections = 100 {
    didSet { isConnectDue = true }
  }
  /// Connections that may be in the making at once.
  public var halfOpenLimit = 32 {
    didSet { isConnectDue = true }
  }
  /// Our address as others see it, for canonical peer priority (BEP 40).
  public var externalEndpoint: Endpoint? {
    didSet {
      if let externalEndpoint, externalEndpoint != oldValue { book.rerank(ownEndpoint: externalEndpoint) }
    }
  }
  public private(set) var isPaused = false

  var book: PeerBook
  var fetch: MetadataFetch
  /// By key.
  var peers: [EarlyPeer?] = []
  var connectedCount = 0
  var random: SeededRandom
  var isConnectDue = false
  var connectAt = Moment.distantFuture
  var sweepAt = Moment.distantFuture
  var morePeersAt = Moment.zero

  /// A connection.
  struct EarlyPeer {
    var profile: PeerProfile
    var isClosing = false
    var listensOn: Endpoint?
    var firstSource: PeerSource = []
    /// Everything its extended handshakes said.
    var handshake = ExtendedHandshake()
    var early = EarlyMessages()
    var connectedAt: Moment
    var receivedAt: Moment
    var sentAt: Moment
    /// It claims to have the metadata.
    var offers = false
  }

  /// Bytes of what peers say of their pieces that are kept over all peers. Honest peers of the largest torrents need
  /// half of it.
  static let earlyLengthLimit = 32 << 20
  private static let sweepInterval = Moment.Interval.seconds(10)
  private var earlyLength = 0

  /// - Precondition: the configuration has a `sha1`.
  public init(
    infoHash: InfoHash, configuration: SwarmConfiguration, fetch: MetadataFetch.Configuration = .init(),
    seed: UInt64, now: Moment
  ) {
    guard let sha1 = configuration.sha1 else {
      preconditionFailure("metadata cannot be checked without SHA-1")
    }
    self.configuration = configuration
    self.book = PeerBook(configuration)
    self.fetch = MetadataFetch(infoHash: infoHash, configuration: fetch, sha1: sha1)
    self.random = SeededRandom(seed: seed)
  }

  /// When ``tick(now:)`` wants to be called. Connections are kept alive also while files are checked, after the metadata
  /// has come.
  public var nextDeadline: Moment {
    if isPaused { return .distantFuture }
    return fetch.isComplete ? sweepAt : min(fetch.nextDeadline, min(connectAt, sweepAt))
  }

  /// Pieces of the metadata that are here, and how many there are; nil while no peer is known to have any.
  public var progress: (have: Int, total: Int)? { fetch.progress }
  public var isComplete: Bool { fetch.isComplete }

  func peer(_ key: PeerKey) -> EarlyPeer? {
    guard key.offset < peers.count, let peer = peers[key.offset], !peer.isClosing else { return nil }
    return peer
  }

  // MARK: Messages

  /// Every message but extended ones.
  public func messageReceived(_ key: PeerKey, _ message: PeerMessage, now: Moment) {
    guard let peer = peer(key) else { return }
    peers[key.offset]?.receivedAt = now
    peers[key.offset]?.early.note(message)
    earlyLength += (peers[key.offset]?.early.heldLength ?? 0) - peer.early.heldLength
    if earlyLength > Self.earlyLengthLimit { disconnect(key, .full, now: now) }
  }

  /// A handshake of the extension protocol, the first or a later one (BEP 10).
  ///
  /// - Parameter takesMetadata: whether the peer takes metadata messages now, see `RemoteExtensions`.
  public func extendedHandshakeReceived(
    _ key: PeerKey, _ handshake: ExtendedHandshake, takesMetadata: Bool, now: Moment
  ) {
    guard let peer = peer(key) else { return }
    peers[key.offset]?.receivedAt = now
    peers[key.offset]?.handshake.merge(handshake)
    if let port = handshake.listenPort, peer.profile.isIncoming, peer.listensOn == nil {
      let endpoint = peer.profile.endpoint.with(port: port)
      _ = book.add(endpoint, source: .incoming, ownEndpoint: externalEndpoint, random: &random, now: now)
      if book.entry(endpoint)?.state == .idle {
        book.connected(endpoint)
        peers[key.offset]?.listensOn = endpoint
      }
    }
    if !takesMetadata {
      peers[key.offset]?.offers = false
      fetch.withdrawn(by: key, now: now)
    } else if let length = peers[key.offset]?.handshake.metadataSize, !isPaused {
      peers[key.offset]?.offers = true
      fetch.offered(by: key, at: peer.profile.endpoint, length: handshake.metadataSize ?? length, now: now)
    }
    carryOut(now: now)
  }

  /// A message of the metadata extension.
  public func metadataReceived(_ key: PeerKey, _ message: Metadata.Message, now: Moment) {
    guard peer(key) != nil else { return }
    peers[key.offset]?.receivedAt = now
    switch message {
    case .request(let piece): effects.append(.sendMetadataReject(key, piece: piece))
    case .data(let piece, let totalLength, let bytes):
      fetch.dataArrived(from: key, piece: piece, totalLength: totalLength, bytes: bytes, now: now)
    case .reject(let piece): fetch.rejected(by: key, piece: piece, now: now)
    }
    carryOut(now: now)
  }

  /// Something arrived that is not looked at here: a message of another extension.
  public func activityNoticed(_ key: PeerKey, now: Moment) {
    if peer(key) != nil { peers[key.offset]?.receivedAt = now }
  }

  /// Turns what the fetch wants into effects. One may lead to another: who is disconnected is asked for nothing more.
  func carryOut(now: Moment) {
    while !fetch.actions.isEmpty {
      let actions = fetch.actions
      fetch.actions.removeAll(keepingCapacity: true)
      for action in actions {
        switch action {
        case .request(let key, let piece):
          guard peer(key) != nil else { continue }
          effects.append(.sendMetadataRequest(key, piece: piece))
          peers[key.offset]?.sentAt = now
        case .disconnect(let key, _): disconnect(key, .badMetadata, now: now)
        case .ban(let endpoint): ban(endpoint, now: now)
        case .complete(let metadata): effects.append(.reportMetadata(metadata))
        }
      }
    }
  }

  private func ban(_ endpoint: Endpoint, now: Moment) {
    // The address of a loopback peer is everybody's.
    if book.ban(endpoint.address) { effects.append(.ban(endpoint.address, .corruptMetadata)) }
    if let peer = peers.first(where: { $0?.profile.endpoint == endpoint }), let peer {
      book.ban(SenderTable.Sender(endpoint: endpoint, peerID: peer.profile.peerID))
    }
    for offset in peers.indices {
      guard let peer = peer(PeerKey(offset)) else { continue }
      if peer.profile.endpoint == endpoint || book.isBanned(peer.profile.endpoint) {
        disconnect(PeerKey(offset), .banned, now: now)
      }
    }
  }

  // MARK: Connections

  func disconnect(_ key: PeerKey, _ reason: DisconnectReason, now: Moment) {
    guard let peer = peer(key) else { return }
    peers[key.offset]?.isClosing = true
    connectedCount -= 1
    earlyLength -= peer.early.heldLength
    peers[key.offset]?.early = EarlyMessages()
    fetch.withdrawn(by: key, now: now)
    effects.append(.disconnect(key, reason))
    isConnectDue = true
  }

  /// The handshake is done. An unwelcome peer gets a `disconnect`.
  public func peerConnected(_ key: PeerKey, _ profile: PeerProfile, now: Moment) {
    while peers.count <= key.offset { peers.append(nil) }
    precondition(peers[key.offset] == nil, "the key is in use")
    var peer = EarlyPeer(profile: profile, connectedAt: now, receivedAt: now, sentAt: now)
    if !profile.isIncoming {
      peer.listensOn = profile.endpoint
      book.connected(profile.endpoint)
    }
    isConnectDue = true
    let reason = refusal(of: profile, now: now)
    connectedCount += 1
    peers[key.offset] = peer
    if let reason { return disconnect(key, reason, now: now) }
    if connectedCount + book.connecting > maximumConnections, let victim = victim(besides: key, now: now) {
      disconnect(victim, .replaced, now: now)
    }
    // One of three messages must be the first on such a connection (BEP 6), and there is no piece yet.
    if profile.reserved.contains(.fast) { effects.append(.sendHaveNone(key)) }
    if sweepAt == .distantFuture { sweepAt = now + Self.sweepInterval }
  }

  public func peerDisconnected(_ key: PeerKey, reason: DisconnectReason, now: Moment) {
    guard key.offset < peers.count, let peer = peers[key.offset] else { return }
    if !peer.isClosing {
      connectedCount -= 1
      earlyLength -= peer.early.heldLength
    }
    fetch.withdrawn(by: key, now: now)
    peers[key.offset] = nil
    effects.removeAll { $0.peer == key }
    if let endpoint = peer.listensOn {
      // A peer that had nothing for us now may have it soon.
      book.disconnected(
        endpoint, reason: reason, wasUseful: peer.offers, isSeed: false, random: &random, now: now)
    }
    isConnectDue = true
    carryOut(now: now)
  }

  public func connectFailed(_ endpoint: Endpoint, reason: DisconnectReason, now: Moment) {
    book.connectFailed(endpoint, reason: reason, random: &random, now: now)
    isConnectDue = true
  }

  public func peersDiscovered(_ endpoints: some Sequence<Endpoint>, source: PeerSource, now: Moment) {
    for endpoint in endpoints {
      let isNew = book.add(
        endpoint, source: source, ownEndpoint: externalEndpoint, random: &random, now: now)
      if isNew || source.contains(.user) { isConnectDue = true }
    }
  }

  /// Peers of an earlier run.
  public func peersRestored(_ records: [PeerRecord], now: Moment) {
    book.restore(records, ownEndpoint: externalEndpoint, random: &random, now: now)
    isConnectDue = true
  }

  /// The peers that are known, the most promising first.
  public func peerRecords(limit: Int = 500) -> [PeerRecord] { book.records(limit: limit) }

  /// Where a connected peer can be connected to, if that is known: what peer exchange says of it.
  public func listensOn(_ key: PeerKey) -> Endpoint? { peer(key)?.listensOn }

  /// Another torrent, or the user, banned this address.
  public func addressBanned(_ address: IPAddress, now: Moment) {
    guard book.ban(address) else { return }
    for offset in peers.indices {
      if let peer = peer(PeerKey(offset)), book.isBanned(peer.profile.endpoint) {
        disconnect(PeerKey(offset), .banned, now: now)
      }
    }
    carryOut(now: now)
  }

  /// The user wants nothing to be done for now.
  public func paused(now: Moment) {
    guard !isPaused else { return }
    isPaused = true
    for offset in peers.indices { disconnect(PeerKey(offset), .paused, now: now) }
    fetch.actions.removeAll()
    book.forgetConnecting(now: now)
  }

  public func resumed(now: Moment) {
    isPaused = false
    isConnectDue = true
  }

  // MARK: Turns

  public func tick(now: Moment) {
    if fetch.nextDeadline <= now { fetch.tick(now: now) }
    if sweepAt <= now { sweep(now: now) }
    if connectAt <= now { isConnectDue = true }
    carryOut(now: now)
  }

  private func sweep(now: Moment) {
    for offset in peers.indices {
      let key = PeerKey(offset)
      guard let peer = peer(key) else { continue }
      if now - peer.receivedAt >= configuration.inactivityTimeout {
        disconnect(key, .inactive, now: now)
      } else if now - peer.sentAt >= configuration.keepAliveInterval {
        peers[offset]?.sentAt = now
        effects.append(.sendKeepAlive(key))
      }
    }
    sweepAt = connectedCount > 0 ? now + Self.sweepInterval : .distantFuture
  }

  /// The end of a turn of the loop.
  public func turnEnded(now: Moment) {
    carryOut(now: now)
    guard isConnectDue || connectAt <= now else { return }
    isConnectDue = false
    connectAt = .distantFuture
    guard !isPaused, !fetch.isComplete else { return }
    while book.connecting < halfOpenLimit, connectedCount + book.connecting < maximumConnections,
      let endpoint = book.takeCandidate(skippingSeeds: false, now: now)
    {
      effects.append(.connect(endpoint))
    }
    guard book.connecting < halfOpenLimit, connectedCount + book.connecting < maximumConnections else {
      return
    }
    connectAt = book.nextAttempt(skippingSeeds: false)
    if (connectedCount + book.connecting) * 2 < maximumConnections, connectAt > now {
      if now >= morePeersAt {
        morePeersAt = now + SwarmTimers.morePeersInterval
        effects.append(.wantMorePeers)
      }
      // Nothing else may happen before there are more.
      connectAt = min(connectAt, morePeersAt)
    }
  }
}
