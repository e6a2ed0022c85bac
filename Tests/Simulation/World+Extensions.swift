import PeerWire
import TorrentModel

@testable import Swarm

/// What a swarm and one without metadata have in common.
protocol FrontSwarm: AnyObject {
  var nextDeadline: Moment { get }
  func peersDiscovered(_ endpoints: [Endpoint], source: PeerSource, now: Moment)
  func refusal(ofIncoming endpoint: Endpoint, now: Moment) -> DisconnectReason?
  func peerConnected(_ peer: PeerKey, _ profile: PeerProfile, now: Moment)
  func peerDisconnected(_ peer: PeerKey, reason: DisconnectReason, now: Moment)
  func connectFailed(_ endpoint: Endpoint, reason: DisconnectReason, now: Moment)
  func messageReceived(_ peer: PeerKey, _ message: PeerMessage, now: Moment)
  func handshakeReceived(_ peer: PeerKey, _ handshake: ExtendedHandshake, now: Moment)
  func activityNoticed(_ peer: PeerKey, now: Moment)
  func exchangeFlags(of peer: PeerKey) -> PeerExchange.Flags
  func paused(now: Moment)
  func tick(now: Moment)
}

extension Swarm: FrontSwarm {
  func handshakeReceived(_ peer: PeerKey, _ handshake: ExtendedHandshake, now: Moment) {
    extendedHandshakeReceived(peer, handshake, now: now)
  }
}

extension MetadataSwarm: FrontSwarm {
  func handshakeReceived(_ peer: PeerKey, _ handshake: ExtendedHandshake, now: Moment) {
    extendedHandshakeReceived(peer, handshake, takesMetadata: true, now: now)
  }
}

// Extensions: peers of peers, and metadata. Every node sends messages under our own ids.
extension World {
  func prepareExtensions(of node: inout VirtualNode, _ configuration: SwarmConfiguration) {
    if scenario.exchangesPeers { node.exchange = PeerExchangeMachine() }
    guard scenario.metadataLength > 0 else { return }
    if node.isSeed || node.fault == .liesAboutMetadata {
      node.server = MetadataServer(length: metadata.count, isPrivate: false, now: .zero)
      return
    }
    let metadata = metadata
    let early = MetadataSwarm(
      infoHash: InfoHash(Self.digest(metadata.span)), configuration: configuration, seed: random.next(),
      now: .zero)
    early.maximumConnections = scenario.maximumConnections
    early.halfOpenLimit = 8
    node.early = early
  }

  func makeParser(_ node: Int) -> MessageParser {
    let hasExtensions = scenario.exchangesPeers || scenario.metadataLength > 0
    return MessageParser(
      geometry: nodes[node].early == nil ? geometry : nil, isFast: !scenario.withoutFast,
      extensions: hasExtensions ? .standard : nil)
  }

  /// What a node says of its metadata. Some liars cannot even get the length right.
  func offeredLength(_ node: Int) -> Int? {
    guard nodes[node].fault == .liesAboutMetadata, node % 2 == 0 else {
      return nodes[node].server.offeredLength
    }
    return metadata.count + node
  }

  /// Lets something happen to whatever has the connections of a node, and carries out what it wants.
  func frontTurn(_ index: Int, _ event: (any FrontSwarm) -> Void) {
    guard let early = nodes[index].early else { return turn(index) { event($0) } }
    event(early)
    early.turnEnded(now: now)
    while !early.effects.isEmpty {
      let effects = early.effects
      early.effects.removeAll()
      for effect in effects { carryOut(effect, of: index) }
      flush(from: index)
      if nodes[index].early == nil { break }
      early.turnEnded(now: now)
    }
    planTick(index)
  }

  private func carryOut(_ effect: MetadataEffect, of node: Int) {
    switch effect {
    case .sendHaveNone(let key): send(.haveNone, from: node, to: key)
    case .sendKeepAlive(let key): send(.keepAlive, from: node, to: key)
    case .sendMetadataRequest(let key, let piece):
      sendMetadata(from: node, to: key) { Metadata.appendRequest(piece: piece, remoteID: $0, to: &$1) }
    case .sendMetadataReject(let key, let piece):
      sendMetadata(from: node, to: key) { Metadata.appendReject(piece: piece, remoteID: $0, to: &$1) }
    case .connect(let endpoint): dial(endpoint, from: node)
    case .disconnect(let key, let reason): hangUp(key, reason, of: node)
    case .ban(let address, _): ban(address, by: node)
    case .wantMorePeers: queue.plan(.trackerAnswered(node: node), at: now + .seconds(1))
    case .reportMetadata(let bytes): metadataCame(bytes, to: node)
    }
  }

  private func metadataCame(_ bytes: [UInt8], to node: Int) {
    guard let early = nodes[node].early, bytes == metadata else {
      return fail("node \(node) has wrong metadata")
    }
    nodes[node].early = nil
    nodes[node].metadataAt = now
    nodes[node].server = MetadataServer(length: bytes.count, isPrivate: false, now: now)
    for case (let id, let isInitiator)? in nodes[node].connections {
      connections[id][isInitiator].parser.geometry = geometry
    }
    turn(node) { $0.adopt(early, now: self.now) }
    // Whoever is still looking may ask here from now on.
    var handshake = ExtendedHandshake()
    handshake.metadataSize = bytes.count
    for (offset, connection) in nodes[node].connections.enumerated() where connection != nil {
      send(.extended(id: 0, payload: handshake.encoded()), from: node, to: PeerKey(offset))
    }
    flush(from: node)
  }

  func extendedArrived(_ id: UInt8, _ payload: [UInt8], at node: Int, _ key: PeerKey) throws {
    switch id {
    case 0:
      let handshake = try ExtendedHandshake.decode(payload.span, registry: .standard)
      nodes[node].front.handshakeReceived(key, handshake, now: now)
    case Metadata.registration.localID:
      guard let message = try Metadata.decode(payload.span) else { return }
      if let early = nodes[node].early {
        early.metadataReceived(key, message, now: now)
      } else if case .request(let piece) = message {
        serveMetadata(piece, from: node, to: key)
      }
    case PeerExchange.registration.localID:
      let message = try PeerExchange.decode(payload.span)
      nodes[node].front.activityNoticed(key, now: now)
      let own = nodes[node].endpoint
      let verdict = nodes[node].exchange?.messageReceived(from: key, message, now: now, isOwn: { $0 == own })
      switch verdict {
      case .contacts(let contacts)?:
        nodes[node].front.peersDiscovered(contacts.map(\.endpoint), source: .exchange, now: now)
      // Messages that a slow line held up come together.
      case .ignored?: break
      case .disconnect?, nil: fail("node \(node) was flooded")
      }
    default: fail("an extended message of id \(id)")
    }
  }

  private func serveMetadata(_ piece: Int, from node: Int, to key: PeerKey) {
    var bytes = metadata
    if nodes[node].fault == .liesAboutMetadata {
      bytes = [UInt8](repeating: UInt8(node & 255), count: offeredLength(node) ?? metadata.count)
    }
    switch nodes[node].server.requested(by: key, piece: piece, now: now) {
    case .data:
      sendMetadata(from: node, to: key) {
        Metadata.appendData(piece: piece, of: bytes[...], remoteID: $0, to: &$1)
      }
    case .reject:
      sendMetadata(from: node, to: key) { Metadata.appendReject(piece: piece, remoteID: $0, to: &$1) }
    case .disconnect: fail("node \(node) was asked too often")
    }
  }

  private func sendMetadata(from node: Int, to key: PeerKey, _ append: (UInt8, inout [UInt8]) -> Void) {
    guard let (id, _) = nodes[node].connection(key) else { return }
    flush(from: node)
    var bytes: [UInt8] = []
    append(Metadata.registration.localID, &bytes)
    transmit(.messages(bytes), bytes.count, from: node, over: id)
  }

  // MARK: Peers of peers

  func exchangeConnected(_ node: Int, _ key: PeerKey, to other: Int, _ profile: PeerProfile) {
    let listensOn = nodes[other].endpoint
    nodes[node].exchange?.peerConnected(key, at: profile.endpoint.address, listensOn: listensOn, now: now)
    nodes[node].exchange?.exchangeChanged(key, takesMessages: true, now: now)
    if nodes[node].openConnections * 5 >= scenario.maximumConnections * 4, nodes[node].filledAt == nil {
      nodes[node].filledAt = now
    }
  }

  func planExchange(_ node: Int) {
    guard let deadline = nodes[node].exchange?.nextDeadline, deadline < nodes[node].exchangeAt else { return }
    nodes[node].exchangeAt = max(deadline, now)
    queue.plan(.exchangeTicked(node: node), at: nodes[node].exchangeAt)
  }

  func exchangeTicked(_ node: Int) {
    guard nodes[node].exchangeAt <= now else { return }
    nodes[node].exchangeAt = .distantFuture
    let front = nodes[node].front
    var exchange = nodes[node].exchange
    let due = exchange?.tick(now: now, random: &random) { front.exchangeFlags(of: $0) }
    nodes[node].exchange = exchange
    for (key, message) in due ?? [] {
      send(
        .extended(id: PeerExchange.registration.localID, payload: PeerExchange.encode(message)), from: node,
        to: key)
    }
    flush(from: node)
    planExchange(node)
  }
}
