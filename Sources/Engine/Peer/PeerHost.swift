import BlockPool
import PeerWire
import Reactor
import Swarm
import TorrentModel

/// What connections to peers belong to: a torrent, or a magnet link whose metadata is being fetched.
///
/// It makes connections and takes them in, numbers them, greets peers (BEP 10), tells them of each other (BEP 11), and wakes
/// up in time. What else is said on them is its subclasses' affair. Confined to its loop.
class PeerHost {
  final let context: LoopContext
  final let infoHash: InfoHash
  final let binding: LocalBinding
  /// The swarm that blocks are exchanged with; nil while only the info-hash is known, or files are being looked at.
  final var swarm: Swarm?
  /// The extensions that we take part in.
  final var extensions: ExtensionRegistry
  final var trackers: TrackerDriver?

  /// By peer key.
  final var peers: [PeerConnection?] = []
  private var freeKeys: [PeerKey] = []
  /// Connections whose handshake is not done.
  final var handshaking: [PeerConnection] = []
  /// Extensions that peers of ``greetings`` were told of and that we take part in no more.
  private var withdrawn: [WireExtension] = []
  /// Peers that are owed an extended handshake, which goes behind the bitfield.
  private var greetings: [PeerKey] = []
  /// Peers that are to hear of our DHT node.
  private var portsOwed: [PeerKey] = []
  /// Exists while anybody is connected.
  private var exchange: PeerExchangeMachine?
  /// Peers come from its trackers only (BEP 27).
  final let isPrivate: Bool
  /// False for private torrents, and where the user wants none.
  private let usesExchange: Bool
  final var random: SeededRandom

  final var everHadPeer = false
  final var isTouched = false
  private var wakeTimer: TimerID?
  private var wakeAt = Moment.distantFuture
  private var isTracked = false

  init(_ infoHash: InfoHash, isPrivate: Bool, binding: LocalBinding, context: LoopContext) {
    self.context = context
    self.infoHash = infoHash
    self.binding = binding
    self.isPrivate = isPrivate
    let configuration = context.shared.configuration
    random = SeededRandom(seed: configuration.randomSeed ?? UInt64.random(in: .min ... .max))
    usesExchange = !isPrivate && configuration.usesPeerExchange
    extensions =
      isPrivate
      ? .privateTorrent : usesExchange ? .standard : .withoutPeerExchange
  }

  final var now: Moment { context.now }

  // MARK: What subclasses say and do

  /// Nil while only the info-hash is known.
  var pieceGeometry: PieceGeometry? { nil }
  var isSeeding: Bool { false }
  /// Why a connection from there would not be kept, if so.
  func refusal(ofIncoming endpoint: Endpoint) -> DisconnectReason? { .paused }
  /// Whether a peer whose handshake is done can be told to a swarm.
  var takesPeers: Bool { false }
  func peerJoined(_ key: PeerKey, _ profile: PeerProfile) {}
  func peerLeft(_ key: PeerKey, _ reason: DisconnectReason) {}
  /// Nobody holds on to the connection any more.
  func connectionEnded(_ peer: PeerConnection) {}
  func connectFailed(_ endpoint: Endpoint, _ reason: DisconnectReason) {}
  func peersFound(_ endpoints: [Endpoint], source: PeerSource) {}
  /// Our address as others see it.
  func externalEndpointFound(_ endpoint: Endpoint) {}
  /// Where a connected peer can be connected to, if that is known.
  func listensOn(_ key: PeerKey) -> Endpoint? { nil }
  func exchangeFlags(of key: PeerKey) -> PeerExchange.Flags { [] }

  func messageArrived(_ key: PeerKey, _ message: PeerMessage) {}
  func extendedHandshakeReceived(_ key: PeerKey, _ handshake: ExtendedHandshake, from peer: PeerConnection) {}
  func dontHaveArrived(_ key: PeerKey, _ piece: PieceIndex) {}
  /// - Throws: what the connection is to be closed for. It cannot be closed in here: it is being read from.
  func metadataArrived(_ key: PeerKey, _ message: Metadata.Message) throws(PeerProtocolError) {}
  func activityNoticed(_ key: PeerKey) {}

  func payloadReceived(_ key: PeerKey, _ bytes: Int) {}
  func blocksArrived(_ key: PeerKey, _ blocks: Span<ArrivedBlock>) {
    for i in blocks.indices { context.reader.recycle(blocks[i].id) }
  }
  func blockDropped(_ key: PeerKey, _ block: BlockRequest) {}
  func pumpUploads(_ peer: PeerConnection) {}

  var isDownloadLimited: Bool { false }
  func grantDownload(_ wanted: Int) -> Int { wanted }
  func refundDownload(_ bytes: Int) {}
  /// The peer goes on when its limit has something to give.
  func throttle(_ peer: PeerConnection) {}

  /// Everything of this turn has been told; now it is decided and carried out.
  func endTurn() {}
  /// When ``woke(now:)`` wants to be called.
  var nextDeadline: Moment { .distantFuture }
  func woke(now: Moment) {}

  /// What we say of ourselves (BEP 10, BEP 21).
  func completeGreeting(_ handshake: inout ExtendedHandshake) {}

  /// Counts for trackers, in bytes; `left` counts what is not here, wanted or not (BEP 3).
  var announceCounts: AnnounceCounts { AnnounceCounts() }

  struct AnnounceCounts {
    var uploaded: Int64 = 0
    var downloaded: Int64 = 0
    var left: Int64 = 0
    /// All that is wanted is here, but not everything (BEP 21).
    var isPartialSeed = false
  }

  // MARK: Connections

  /// Connects to a peer, unless the session has all the connections it may have.
  final func connect(to endpoint: Endpoint) {
    let shared = context.shared
    let isFull =
      shared.connections.load(ordering: .relaxed) >= shared.configuration.maxPeers
      || shared.halfOpen.load(ordering: .relaxed) >= shared.configuration.maxHalfOpen
    if isFull { return connectFailed(endpoint, .full) }
    do {
      let peer = try PeerConnection(connectingTo: endpoint, host: self, binding: binding)
      shared.connections.add(1, ordering: .relaxed)
      shared.halfOpen.add(1, ordering: .relaxed)
      handshaking.append(peer)
    } catch {
      connectFailed(endpoint, .connectFailed)
      context.touch(self)
    }
  }

  /// Takes over an incoming connection whose info-hash is this one. False: the descriptor is still the caller's.
  final func accept(_ descriptor: CInt, from endpoint: Endpoint, handshake: [UInt8]) -> Bool {
    let shared = context.shared
    guard takesPeers, refusal(ofIncoming: endpoint) == nil,
      shared.connections.load(ordering: .relaxed) < shared.configuration.maxPeers,
      let peer = try? PeerConnection(adopting: descriptor, from: endpoint, handshake: handshake, host: self)
    else { return false }
    shared.connections.add(1, ordering: .relaxed)
    if peer.isOpen && !peer.isEstablished { handshaking.append(peer) }
    return true
  }

  /// The handshake is done: the peer gets its number, and the swarm hears of it.
  final func peerEstablished(_ peer: PeerConnection, _ handshake: Handshake) -> PeerKey? {
    handshaking.removeAll { $0 === peer }
    if !peer.isIncoming { context.shared.halfOpen.subtract(1, ordering: .relaxed) }
    guard takesPeers else { return nil }
    let key = takeKey(for: peer)
    everHadPeer = true
    peerJoined(
      key,
      PeerProfile(
        endpoint: peer.endpoint, peerID: handshake.peerID, reserved: handshake.reserved,
        isIncoming: peer.isIncoming))
    if usesExchange, exchange == nil { exchange = PeerExchangeMachine() }
    exchange?.peerConnected(
      key, at: peer.endpoint.address, listensOn: peer.isIncoming ? nil : peer.endpoint, now: now)
    context.touch(self)
    context.shared.report(.peerConnected(infoHash, peer.endpoint, client: peer.client))
    if handshake.reserved.contains(.extensionProtocol) { greetings.append(key) }
    if !isPrivate, handshake.reserved.contains(.dht), context.shared.discovery?.dhtPort != nil {
      portsOwed.append(key)
    }
    return key
  }

  private func takeKey(for peer: PeerConnection) -> PeerKey {
    if let key = freeKeys.popLast() {
      peers[key.offset] = peer
      return key
    }
    peers.append(peer)
    return PeerKey(peers.count - 1)
  }

  /// A connection ended, for whatever reason.
  final func peerClosed(_ peer: PeerConnection, _ reason: DisconnectReason, detail: String) {
    context.output.flush()
    context.shared.connections.subtract(1, ordering: .relaxed)
    connectionEnded(peer)
    if let key = peer.key {
      peers[key.offset] = nil
      freeKeys.append(key)
      exchange?.peerDisconnected(key)
      if freeKeys.count == peers.count {
        // Arrays that were as large as the crowd are given back.
        peers = []
        freeKeys = []
        exchange = nil
      }
      peerLeft(key, reason)
      context.shared.report(.peerDisconnected(infoHash, peer.endpoint, reason: detail))
    } else {
      handshaking.removeAll { $0 === peer }
      if !peer.isIncoming {
        context.shared.halfOpen.subtract(1, ordering: .relaxed)
        connectFailed(peer.endpoint, reason)
      }
    }
    context.touch(self)
  }

  final func disconnectAll(_ reason: DisconnectReason) {
    for peer in handshaking { peer.close(reason, detail: reason.description) }
    for peer in peers { peer?.close(reason, detail: reason.description) }
  }

  final func peer(_ key: PeerKey) -> PeerConnection? {
    guard key.offset < peers.count, let peer = peers[key.offset], peer.isOpen else { return nil }
    return peer
  }

  final func send(_ message: PeerMessage, to key: PeerKey) { peer(key)?.send(message) }

  /// Takes over the connections of another host under their keys, before anything else happens here.
  final func takeConnections(of other: PeerHost) {
    precondition(peers.isEmpty && handshaking.isEmpty)
    (peers, other.peers) = (other.peers, [])
    (freeKeys, other.freeKeys) = (other.freeKeys, [])
    (handshaking, other.handshaking) = (other.handshaking, [])
    everHadPeer = other.everHadPeer
    (isTracked, other.isTracked) = (other.isTracked, false)
    if usesExchange { exchange = other.exchange }
    other.exchange = nil
    for peer in handshaking { peer.move(to: self) }
    for peer in peers { peer?.move(to: self) }
    withdrawn = other.extensions.all.filter { extensions[$0.localID] == nil }
    // They hear what has changed: that we have the metadata, and which extensions we take part in.
    greetings = peers.compactMap { peer in
      peer?.reserved.contains(.extensionProtocol) == true ? peer?.key : nil
    }
  }

  // MARK: Extensions

  /// Sends the extended handshakes and ports that are owed; to be called behind what else the turn had to send, since a
  /// bitfield or its like has to come first (BEP 3, 6).
  final func greet() {
    if !portsOwed.isEmpty {
      if let port = context.shared.discovery?.dhtPort {
        for key in portsOwed { peer(key)?.send(.port(port)) }
      }
      portsOwed.removeAll(keepingCapacity: true)
    }
    guard !greetings.isEmpty else { return }
    for key in greetings {
      guard let peer = peer(key) else { continue }
      peer.send(.extended(id: 0, payload: greeting(for: peer).encoded()))
    }
    greetings.removeAll(keepingCapacity: true)
    withdrawn = []
  }

  private func greeting(for peer: PeerConnection) -> ExtendedHandshake {
    var handshake = ExtendedHandshake()
    handshake.messages = ExtendedHandshake.messages(of: extensions, without: withdrawn)
    handshake.client = context.shared.configuration.userAgent
    handshake.requestQueueLength = Limits.incomingRequests
    handshake.yourAddress = peer.endpoint.address
    let port = context.shared.listenPort.load(ordering: .relaxed)
    if port != 0 { handshake.listenPort = port }
    completeGreeting(&handshake)
    return handshake
  }

  final func extendedHandshakeArrived(
    _ key: PeerKey, _ handshake: ExtendedHandshake, from peer: PeerConnection
  ) {
    extendedHandshakeReceived(key, handshake, from: peer)
    guard exchange != nil else { return }
    exchange?.exchangeChanged(
      key, takesMessages: peer.remoteID(of: PeerExchange.registration) != nil, now: now)
    if peer.isIncoming, let endpoint = listensOn(key) { exchange?.listenEndpointKnown(key, endpoint) }
    context.touch(self)
  }

  /// - Throws: what the connection is to be closed for.
  final func contactsArrived(
    _ key: PeerKey, _ message: PeerExchange.Message
  ) throws(PeerProtocolError) {
    activityNoticed(key)
    guard exchange != nil else { return }
    let port = context.shared.listenPort.load(ordering: .relaxed)
    let own = peer(key)?.localAddress.map { Endpoint(address: $0, port: port) }
    switch exchange?.messageReceived(from: key, message, now: now, isOwn: { $0 == own }) {
    case .contacts(let contacts):
      if !contacts.isEmpty { peersFound(contacts.map(\.endpoint), source: .exchange) }
    case .disconnect: throw .tooManyExtensionMessages(extension: PeerExchange.registration.name)
    case .ignored, nil: break
    }
    context.touch(self)
  }

  private func exchangeContacts() {
    guard let due = exchange?.nextDeadline, due <= now else { return }
    let messages = exchange?.tick(now: now, random: &random) { [self] in exchangeFlags(of: $0) } ?? []
    for (key, message) in messages {
      guard let peer = peer(key), let id = peer.remoteID(of: PeerExchange.registration) else { continue }
      context.output.append({ PeerExchange.append(message, remoteID: id, to: &$0) }, to: peer)
    }
  }

  // MARK: Where peers come from, beside trackers

  /// Asks the DHT and the local network, again and again, and lets others find us there.
  final func startDiscovery(isPrivate: Bool, isSeed: Bool) {
    guard !isPrivate, let discovery = context.shared.discovery else { return }
    isTracked = true
    let bound = LoopBound(self, on: context.loop)
    let loop = context.loop
    discovery.track(
      infoHash, announcePort: context.shared.announcedPort, isSeed: isSeed,
      fromDHT: { found in loop.post { bound.value.discovered(found, .dht) } },
      fromNeighbours: { found in loop.post { bound.value.discovered(found, .local) } })
  }

  private func discovered(_ endpoints: [Endpoint], _ source: PeerSource) {
    guard isTracked else { return }
    peersFound(endpoints, source: source)
    context.touch(self)
  }

  final func becameSeed() {
    if isTracked { context.shared.discovery?.update(infoHash, isSeed: true) }
  }

  final func wantMorePeers() {
    trackers?.peersRunShort(now: now)
    if isTracked { context.shared.discovery?.wantMore(infoHash) }
  }

  final func stopDiscovery() {
    guard isTracked else { return }
    isTracked = false
    context.shared.discovery?.untrack(infoHash)
  }

  // MARK: Time

  /// Makes sure that ``woke(now:)`` comes in time. A later wish costs nothing: the timer fires early and is set anew.
  final func rearm() {
    let deadline = min(
      nextDeadline, trackers?.nextDeadline ?? .distantFuture, exchange?.nextDeadline ?? .distantFuture)
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
    trackers?.wake(now: now)
    woke(now: now)
    exchangeContacts()
    context.touch(self)
    rearm()
  }

  /// Cuts the ties to the loop's timers and to where peers come from.
  final func cutTies() {
    if let wakeTimer { context.loop.cancel(wakeTimer) }
    wakeTimer = nil
    stopDiscovery()
    trackers?.close()
    trackers = nil
  }
}
