import PeerWire
import TorrentModel

@testable import Swarm

// What happens to nodes.
extension World {
  func perform(_ action: Action) {
    switch action {
    case .start(let node): start(node)
    case .dialled(let node, let endpoint): dialled(by: node, endpoint)
    case .arrived(let id, let atInitiator, let packet): arrived(id, atInitiator, packet)
    case .ticked(let node): ticked(node)
    case .exchangeTicked(let node): exchangeTicked(node)
    case .hashed(let node, let piece, let job): hashed(node, piece, job)
    case .blockRead(let node, let id, let block): blockRead(node, id, block)
    case .blockLeft(let node, let id, let block): blockLeft(node, id, block)
    case .trackerAnswered(let node): trackerAnswered(node)
    case .connectionBroke: connectionBroke()
    case .diskBroke(let node): diskBroke(node)
    case .diskRepaired(let node): diskRepaired(node)
    }
  }

  private func start(_ node: Int) {
    log.record(1, UInt64(now.nanoseconds), UInt64(node))
    trackerAnswered(node)
  }

  /// The tracker names some peers, picked at random.
  private func trackerAnswered(_ node: Int) {
    guard !isEnding else { return }
    var told: [Endpoint] = []
    for _ in 0..<(scenario.isIntroducedByOne ? 0 : scenario.peersTold) {
      let other = random.below(nodes.count)
      if other != node { told.append(nodes[other].endpoint) }
    }
    // The first seed is known to all, so that no part of the swarm is cut off.
    if node != 0 { told.append(nodes[0].endpoint) }
    log.record(2, UInt64(now.nanoseconds), UInt64(node), UInt64(told.count))
    frontTurn(node) { $0.peersDiscovered(told, source: .tracker, now: self.now) }
  }

  private func ticked(_ node: Int) {
    guard nodes[node].tickAt <= now else { return }
    nodes[node].tickAt = .distantFuture
    log.record(3, UInt64(now.nanoseconds), UInt64(node))
    frontTurn(node) { $0.tick(now: self.now) }
  }

  // MARK: Connections

  private func dialled(by node: Int, _ endpoint: Endpoint) {
    guard let other = nodes.firstIndex(where: { $0.endpoint == endpoint }), !isEnding else {
      frontTurn(node) { $0.connectFailed(endpoint, reason: .connectFailed, now: self.now) }
      return
    }
    let remote = Endpoint(
      address: nodes[node].endpoint.address, port: UInt16(40_000 + connections.count % 20_000))
    if nodes[other].banned.contains(remote.address)
      || nodes[other].front.refusal(ofIncoming: remote, now: now) != nil
    {
      frontTurn(node) { $0.connectFailed(endpoint, reason: .closedByPeer, now: self.now) }
      return
    }
    let id = connections.count
    connections.append(
      Connection(
        initiator: ConnectionEnd(node: node, parser: makeParser(node)),
        responder: ConnectionEnd(node: other, parser: makeParser(other)),
        endpoint: endpoint))
    transmit(.accepted, 68, from: other, over: id)
    open(id, isInitiator: false, at: other, remote: remote)
  }

  /// The connection stands at this end.
  private func open(_ id: Int, isInitiator: Bool, at node: Int, remote: Endpoint) {
    let key = nodes[node].takeKey(for: id, isInitiator: isInitiator)
    connections[id][isInitiator].key = key
    connections[id][isInitiator].wasOpen = true
    // The metadata may have come since somebody dialled.
    connections[id][isInitiator].parser = makeParser(node)
    let other = connections[id][!isInitiator].node
    let reserved: ReservedBits = scenario.withoutFast ? [.extensionProtocol] : [.extensionProtocol, .fast]
    let profile = PeerProfile(
      endpoint: remote, peerID: nodes[other].peerID, reserved: reserved, isIncoming: !isInitiator)
    log.record(4, UInt64(now.nanoseconds), UInt64(node), UInt64(other), UInt64(key.rawValue))
    exchangeConnected(node, key, to: other, profile)
    frontTurn(node) {
      $0.peerConnected(key, profile, now: self.now)
      var handshake = ExtendedHandshake()
      handshake.requestQueueLength = 200
      handshake.listenPort = self.nodes[other].endpoint.port
      handshake.metadataSize = self.offeredLength(other)
      $0.handshakeReceived(key, handshake, now: self.now)
    }
  }

  /// This end is closed.
  func close(_ id: Int, isInitiator: Bool, reason: DisconnectReason) {
    let end = connections[id][isInitiator]
    guard let key = end.key else { return }
    connections[id][isInitiator].key = nil
    nodes[end.node].connections[key.offset] = nil
    log.record(5, UInt64(now.nanoseconds), UInt64(end.node), UInt64(key.rawValue), UInt64(reason.rawValue))
    nodes[end.node].front.peerDisconnected(key, reason: reason, now: now)
    nodes[end.node].exchange?.peerDisconnected(key)
    nodes[end.node].server.peerLeft(key)
  }

  private func connectionBroke() {
    if !connections.isEmpty {
      let id = random.below(connections.count)
      let nodesOfConnection = [connections[id].initiator.node, connections[id].responder.node]
      close(id, isInitiator: true, reason: .connectionLost)
      close(id, isInitiator: false, reason: .connectionLost)
      for node in nodesOfConnection { frontTurn(node) { _ in } }
    }
    planNextBreak()
  }

  // MARK: Packets

  private func arrived(_ id: Int, _ atInitiator: Bool, _ packet: Packet) {
    let end = connections[id][atInitiator]
    let node = end.node
    if case .accepted = packet {
      open(id, isInitiator: true, at: node, remote: connections[id].endpoint)
      return
    }
    guard let key = end.key else {
      // Closed meanwhile, unless the answer to the dial was overtaken, which cannot be.
      if !end.wasOpen { fail("a packet came before the connection stood") }
      return
    }
    switch packet {
    case .accepted: break
    case .closed:
      close(id, isInitiator: atInitiator, reason: .closedByPeer)
      frontTurn(node) { _ in }
    case .messages(let bytes): messagesArrived(bytes, id, atInitiator, key, node)
    case .block(let header, let content): blockArrived(header, content, key, node)
    }
  }

  private func messagesArrived(_ bytes: [UInt8], _ id: Int, _ atInitiator: Bool, _ key: PeerKey, _ node: Int)
  {
    var rest = bytes[...]
    frontTurn(node) { _ in
      while !rest.isEmpty {
        do {
          let step = try self.connections[id][atInitiator].parser.next(in: Array(rest).span)
          guard case .message(let message, let length) = step else { return self.fail("a message is cut") }
          rest = rest.dropFirst(length)
          self.log.record(6, UInt64(self.now.nanoseconds), UInt64(node), UInt64(key.rawValue), UInt64(length))
          if case .extended(let id, let payload) = message {
            try self.extendedArrived(id, payload, at: node, key)
          } else {
            // The swarm may have come into its own with the message before.
            self.nodes[node].front.messageReceived(key, message, now: self.now)
          }
        } catch {
          return self.fail("\(error)")
        }
      }
    }
  }

  private func blockArrived(_ header: [UInt8], _ content: UInt64, _ key: PeerKey, _ node: Int) {
    guard let block = PieceHeader.decode(header.span) else { return fail("not a block") }
    log.record(
      7, UInt64(now.nanoseconds), UInt64(node), UInt64(block.piece.rawValue), UInt64(block.begin), content)
    turn(node) { swarm in
      swarm.payloadReceived(key, Int(block.length), now: self.now)
      guard swarm.blockArrived(key, block, now: self.now) == .wanted else { return }
      guard let job = self.nodes[node].disk.store(block, content) else { return }
      self.queue.plan(
        .hashed(node: node, block.piece, job: job), at: self.now + .milliseconds(1 + self.random.below(30)))
    }
  }

  // MARK: Disks

  private func hashed(_ node: Int, _ piece: PieceIndex, _ job: Int) {
    guard !nodes[node].isDiskBroken, let (isRight, digests) = nodes[node].disk.finish(piece, job: job) else {
      return
    }
    log.record(8, UInt64(now.nanoseconds), UInt64(node), UInt64(piece.rawValue), isRight ? 1 : 0)
    turn(node) {
      if isRight {
        let wanted = $0.wantsDigests(of: piece)
        $0.pieceVerified(piece, blockDigests: wanted ? digests : nil, now: self.now)
      } else {
        $0.pieceFailed(piece, blockDigests: digests, now: self.now)
      }
    }
  }

  private func diskBroke(_ node: Int) {
    nodes[node].isDiskBroken = true
    turn(node) { $0.storageFailed(now: self.now) }
    queue.plan(.diskRepaired(node: node), at: now + .seconds(20))
  }

  private func diskRepaired(_ node: Int) {
    nodes[node].isDiskBroken = false
    turn(node) { $0.storageResumed(now: self.now) }
  }

  private func blockRead(_ node: Int, _ id: Int, _ block: BlockRequest) {
    let isInitiator = connections[id].initiator.node == node
    guard let key = connections[id][isInitiator].key else { return }
    let recalled = VirtualNode.RecalledBlock(connection: id, block: block)
    if nodes[node].recalled.remove(recalled) != nil {
      turn(node) { $0.uploadDropped(key, block, now: self.now) }
      return
    }
    guard var content = nodes[node].disk.read(block) else {
      return fail("node \(node) serves what it has not")
    }
    nodes[node].blocksSent += 1
    switch nodes[node].fault {
    case .lies where random.below(4) == 0: content = random.next()
    case .snubs where nodes[node].blocksSent > 20: return
    default: break
    }
    var header: [UInt8] = []
    PieceHeader.append(block, to: &header)
    let left = transmit(.block(header, content: content), Int(block.length) + 13, from: node, over: id)
    queue.plan(.blockLeft(node: node, connection: id, block), at: left)
  }

  private func blockLeft(_ node: Int, _ id: Int, _ block: BlockRequest) {
    let isInitiator = connections[id].initiator.node == node
    guard let key = connections[id][isInitiator].key else { return }
    turn(node) {
      $0.payloadSent(key, Int(block.length), now: self.now)
      $0.uploadFinished(key, block, now: self.now)
    }
  }
}
