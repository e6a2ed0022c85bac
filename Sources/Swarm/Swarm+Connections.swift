import PeerWire
import TorrentModel

// Peers come and go.
extension Swarm {
  /// Whether a connection from this endpoint would be kept; the reason if not. To be asked as soon as the info-hash is
  /// known; the peer id is looked at in ``peerConnected(_:_:now:)``.
  public func refusal(ofIncoming endpoint: Endpoint, now: Moment) -> DisconnectReason? {
    if activity == .paused { return .paused }
    if book.isBanned(endpoint) { return .banned }
    if isTooMany(from: endpoint.address) { return .tooManyFromAddress }
    if connectedCount + book.connecting >= maximumConnections, victim(for: endpoint, now: now) == nil {
      return .full
    }
    return nil
  }

  /// The handshake is done. Our bitfield is the first effect; an unwelcome peer gets a `disconnect` instead.
  public func peerConnected(_ peer: PeerKey, _ profile: PeerProfile, now: Moment) {
    connected(peer, profile, isAdopted: false, now: now)
  }

  /// Puts a peer under its key.
  func occupy(_ peer: PeerKey, _ profile: PeerProfile, now: Moment) {
    let i = peer.offset
    while peers.count <= i {
      peers.append(Peer.vacant)
      witnesses.append(.max)
    }
    precondition(peers[i].phase == .vacant, "the key is in use")
    let sender = senders.add(SenderTable.Sender(endpoint: profile.endpoint, peerID: profile.peerID))
    peers[i] = Peer(
      profile, pieceCount: geometry.pieceCount, sender: sender,
      requestLimit: configuration.requestsWithoutReqq,
      now: now)
    peers[i].setWhole(isWhole(rate: 0, total: 0))
  }

  /// - Parameter isAdopted: the connection was made before the metadata was here, and opened as such.
  func connected(_ peer: PeerKey, _ profile: PeerProfile, isAdopted: Bool, now: Moment) {
    let i = peer.offset
    occupy(peer, profile, now: now)
    if !profile.isIncoming {
      book.connected(profile.endpoint)
      isConnectDue = true
    }
    // Peers under this key are told apart from the one before; a search begins at a random place of its pieces.
    peers[i].pick.cursor = UInt32(random.below(max(1, (geometry.pieceCount + 63) / 64)))

    // It counts once it is accepted.
    peers[i].phase = .closing
    if let reason = refusal(of: profile, now: now) {
      effects.append(.disconnect(peer, reason))
      return
    }
    if connectedCount + book.connecting >= maximumConnections, profile.isIncoming,
      let victim = victim(for: profile.endpoint, now: now)
    {
      disconnect(victim, .replaced, now: now)
    }
    peers[i].phase = .connected
    connectedCount += 1
    preparePicker()
    if isAdopted { sendOurPiecesLate(to: peer, now: now) } else { sendOurPieces(to: peer, now: now) }
  }

  private func sendOurPieces(to peer: PeerKey, now: Moment) {
    if peers[peer.offset].has(.fast), pieces.isFull || pieces.isEmpty {
      send(pieces.isFull ? .sendHaveAll(peer) : .sendHaveNone(peer), to: peer, now: now)
    } else if !pieces.isEmpty {
      send(.sendBitfield(peer), to: peer, now: now)
    }
  }

  public func peerDisconnected(_ peer: PeerKey, reason: DisconnectReason, now: Moment) {
    guard peer.offset < peers.count, peers[peer.offset].phase != .vacant else { return }
    if peers[peer.offset].phase == .connected { retire(peer, now: now) }
    let gone = peers[peer.offset]
    senders.release(gone.sender)
    peers[peer.offset] = Peer.vacant
    // The key may be given to somebody else before the effects are carried out.
    effects.removeAll { $0.peer == peer }
    if let endpoint = gone.listensOn {
      book.disconnected(
        endpoint, reason: reason, wasUseful: gone.download.total + gone.upload.total > 0,
        isSeed: gone.isSatisfied,
        random: &random, now: now)
    }
    while let last = peers.last, last.phase == .vacant {
      peers.removeLast()
      witnesses.removeLast()
    }
    if peers.isEmpty { releaseMemory() }
    isConnectDue = true
  }

  public func connectFailed(_ endpoint: Endpoint, reason: DisconnectReason, now: Moment) {
    book.connectFailed(endpoint, reason: reason, random: &random, now: now)
    isConnectDue = true
  }

  public func peersDiscovered(_ endpoints: some Sequence<Endpoint>, source: PeerSource, now: Moment) {
    // A torrent that only seeds needs few: mostly they come to it.
    book.limit =
      isFinished ? min(Self.knownPeersWhenFinished, book.maximumKnownPeers) : book.maximumKnownPeers
    for endpoint in endpoints {
      let isNew = book.add(
        endpoint, source: source, ownEndpoint: externalEndpoint, random: &random, now: now)
      if isNew || source.contains(.user) { isConnectDue = true }
    }
  }

  private static var knownPeersWhenFinished: Int { 100 }

  /// Peers of an earlier run, as ``peerRecords(limit:)`` gave them.
  public func peersRestored(_ records: [PeerRecord], now: Moment) {
    book.restore(records, ownEndpoint: externalEndpoint, random: &random, now: now)
    isConnectDue = true
  }

  /// Another torrent, or the user, banned this address.
  public func addressBanned(_ address: IPAddress, now: Moment) {
    guard book.ban(address) else { return }
    for i in peers.indices where peers[i].phase == .connected && book.isBanned(peers[i].profile.endpoint) {
      disconnect(PeerKey(i), .banned, now: now)
    }
  }

  // MARK: Closing

  /// Ends a connection from our side.
  func disconnect(_ key: PeerKey, _ reason: DisconnectReason, now: Moment) {
    guard isConnected(key) else { return }
    retire(key, now: now)
    effects.append(.disconnect(key, reason))
  }

  /// The peer takes part no more: what was asked of it is asked of others, its slot is free.
  private func retire(_ key: PeerKey, now: Moment) {
    let i = key.offset
    dropRequests(&peers[i], key)
    picker?.disown(key, state: &peers[i].pick)
    if peers[i].has(.counted) { picker?.peerWent(peers[i].have.bitfield) }
    if peers[i].have.isFull, geometry.pieceCount > 0 { seedCount -= 1 }
    uploadsInFlight -= peers[i].uploads.issuedBlocks
    peers[i].uploads = UploadQueue()
    if peers[i].has(.hungry) { hungry.removeAll { $0 == key } }
    if peers[i].has(.waiting) { waiting.removeAll { $0 == key } }
    setWish(.interesting, false, of: i)
    setWish(.interested, false, of: i)
    witnesses[i] = .max
    peers[i].flags.subtract([.counted, .hungry, .waiting])
    peers[i].phase = .closing
    connectedCount -= 1
    areSuppliersStale = true
    areSlotsStale = true
    dropPickerIfIdle()
  }

  /// Nobody is connected: arrays that were as large as the crowd are given back.
  private func releaseMemory() {
    peers = []
    witnesses = []
    touched = []
    hungry = []
    waiting = []
    chokeCandidates = []
    senders.shrink()
  }

  // MARK: Who is welcome

  private func refusal(of profile: PeerProfile, now: Moment) -> DisconnectReason? {
    if activity == .paused { return .paused }
    if profile.peerID == configuration.ownPeerID { return .selfConnection }
    if book.isBanned(SenderTable.Sender(endpoint: profile.endpoint, peerID: profile.peerID)) {
      return .banned
    }
    for i in peers.indices where peers[i].phase == .connected {
      let other = peers[i].profile
      if other.endpoint == profile.endpoint { return .duplicate }
      guard other.peerID == profile.peerID else { continue }
      // Two peers may connect to each other at the same moment. Both keep the connection that the one with the
      // greater id made. Somebody at another address with the same id has stolen it, or it is badly made: he has to wait.
      let initiator = profile.isIncoming ? profile.peerID : configuration.ownPeerID
      let answerer = profile.isIncoming ? configuration.ownPeerID : profile.peerID
      guard other.isIncoming != profile.isIncoming, other.endpoint.address == profile.endpoint.address,
        answerer.bytes < initiator.bytes
      else { return .duplicate }
      disconnect(PeerKey(i), .duplicate, now: now)
    }
    if isTooMany(from: profile.endpoint.address) { return .tooManyFromAddress }
    let isFull = connectedCount + book.connecting >= maximumConnections
    if isFull,
      !profile.isIncoming
        ? connectedCount >= maximumConnections : victim(for: profile.endpoint, now: now) == nil
    {
      return .full
    }
    return nil
  }

  private func isTooMany(from address: IPAddress) -> Bool {
    guard !address.isLoopback else { return false }
    let same = peers.count { $0.phase == .connected && $0.profile.endpoint.address == address }
    return same >= configuration.maximumConnectionsPerAddress
  }

  /// All connections are taken.
  var isCrowded: Bool { connectedCount + book.connecting >= maximumConnections }

  /// A connection that may be closed for a peer at `endpoint`: one that has been of no use for a while, else, if our
  /// address is known, the one with the lowest canonical priority, if that is below the newcomer's (BEP 40).
  private func victim(for endpoint: Endpoint, now: Moment) -> PeerKey? {
    var useless: (key: PeerKey, since: Moment)?
    var lowest: (key: PeerKey, priority: UInt32)?
    for i in peers.indices where peers[i].phase == .connected {
      let listed = peers[i].listensOn.flatMap { book.entry($0) }
      if listed?.source.contains(.user) == true { continue }
      if let since = peers[i].uselessSince, now - since >= .seconds(60),
        since < useless?.since ?? .distantFuture
      {
        useless = (PeerKey(i), since)
      }
      guard let own = externalEndpoint,
        let priority = PeerPriority.priority(own, peers[i].listensOn ?? peers[i].profile.endpoint)
      else { continue }
      if priority < lowest?.priority ?? .max { lowest = (PeerKey(i), priority) }
    }
    if let useless { return useless.key }
    guard let lowest, let own = externalEndpoint, let priority = PeerPriority.priority(own, endpoint),
      priority > lowest.priority
    else { return nil }
    return lowest.key
  }

  // MARK: Making connections

  func makeConnections(now: Moment) {
    isConnectDue = false
    timers.connect = .distantFuture
    guard activity == .running else { return }
    while book.connecting < halfOpenLimit, connectedCount + book.connecting < maximumConnections,
      let endpoint = book.takeCandidate(skippingSeeds: isFinished, now: now)
    {
      effects.append(.connect(endpoint))
    }
    guard connectedCount + book.connecting < maximumConnections, book.connecting < halfOpenLimit else {
      return
    }
    timers.connect = book.nextAttempt(skippingSeeds: isFinished)
    // Half of the places are empty and nobody is left to fill them.
    if !isFinished, (connectedCount + book.connecting) * 2 < maximumConnections, timers.connect > now,
      now >= timers.morePeers
    {
      timers.morePeers = now + SwarmTimers.morePeersInterval
      effects.append(.wantMorePeers)
    }
  }
}
