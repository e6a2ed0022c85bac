import PeerWire
import TorrentModel

@testable import Swarm

// What swarms want done.
extension World {
  func carryOut(_ effect: SwarmEffect, of node: Int) {
    record(effect, of: node)
    switch effect {
    case .sendKeepAlive(let key): send(.keepAlive, from: node, to: key)
    case .sendChoke(let key): send(.choke, from: node, to: key)
    case .sendUnchoke(let key): if nodes[node].fault != .chokes { send(.unchoke, from: node, to: key) }
    case .sendInterested(let key): send(.interested, from: node, to: key)
    case .sendNotInterested(let key): send(.notInterested, from: node, to: key)
    case .sendBitfield(let key): send(.bitfield(nodes[node].swarm.have), from: node, to: key)
    case .sendHaveAll(let key): send(.haveAll, from: node, to: key)
    case .sendHaveNone(let key): send(.haveNone, from: node, to: key)
    case .sendHave(let key, let piece): send(.have(piece), from: node, to: key)
    case .sendDontHave: break
    case .sendRequest(let key, let block): send(.request(block), from: node, to: key)
    case .sendCancel(let key, let block): send(.cancel(block), from: node, to: key)
    case .sendReject(let key, let block): send(.reject(block), from: node, to: key)
    case .sendAllowedFast(let key, let piece): send(.allowedFast(piece), from: node, to: key)
    case .sendSuggest(let key, let piece): send(.suggest(piece), from: node, to: key)
    case .sendBlock(let key, let block): readBlock(block, for: key, of: node)
    case .dropUpload(let key, let block): recall(block, for: key, of: node)
    case .connect(let endpoint): dial(endpoint, from: node)
    case .disconnect(let key, let reason): hangUp(key, reason, of: node)
    case .ban(let address, _): ban(address, by: node)
    case .wantMorePeers: queue.plan(.trackerAnswered(node: node), at: now + .seconds(1))
    case .abandonPiece(let piece): nodes[node].disk.abandon(piece)
    case .reportFinished, .reportComplete: break
    }
  }

  private func readBlock(_ block: BlockRequest, for key: PeerKey, of node: Int) {
    guard let (id, _) = nodes[node].connection(key) else { return fail("node \(node) serves nobody") }
    // What was said before must not be overtaken.
    flush(from: node)
    let delay = Moment.Interval.milliseconds(random.below(8))
    queue.plan(.blockRead(node: node, connection: id, block), at: now + delay)
  }

  private func recall(_ block: BlockRequest, for key: PeerKey, of node: Int) {
    guard let (id, _) = nodes[node].connection(key) else { return fail("node \(node) serves nobody") }
    // Half of them are already on their way.
    if random.below(2) == 0 {
      nodes[node].recalled.insert(VirtualNode.RecalledBlock(connection: id, block: block))
    }
  }

  func dial(_ endpoint: Endpoint, from node: Int) {
    let there = nodes.first { $0.endpoint == endpoint }?.line.latency ?? .seconds(3)
    queue.plan(.dialled(node: node, endpoint), at: now + (nodes[node].line.latency + there) * 2)
  }

  func hangUp(_ key: PeerKey, _ reason: DisconnectReason, of node: Int) {
    guard let (id, isInitiator) = nodes[node].connection(key) else {
      return fail("node \(node) closes nothing")
    }
    let other = connections[id][!isInitiator].node
    if nodes[node].fault == .none, nodes[other].fault == .none { reasons[reason, default: 0] += 1 }
    flush(from: node)
    transmit(.closed, 0, from: node, over: id)
    close(id, isInitiator: isInitiator, reason: reason)
  }

  func ban(_ address: IPAddress, by node: Int) {
    guard let liar = nodes.firstIndex(where: { $0.endpoint.address == address }) else {
      return fail("node \(node) bans an unknown address")
    }
    if nodes[liar].fault != .lies, nodes[liar].fault != .liesAboutMetadata {
      fail("node \(node) bans the innocent node \(liar)")
    }
    nodes[node].banned.insert(address)
  }

  /// One line of the log for an effect.
  private func record(_ effect: SwarmEffect, of node: Int) {
    let (tag, key, detail) = effect.code
    log.record(9, UInt64(now.nanoseconds), UInt64(node), tag, key, detail)
  }
}

extension SwarmEffect {
  fileprivate var code: (tag: UInt64, key: UInt64, detail: UInt64) {
    switch self {
    case .sendKeepAlive(let key): (1, UInt64(key.rawValue), 0)
    case .sendChoke(let key): (2, UInt64(key.rawValue), 0)
    case .sendUnchoke(let key): (3, UInt64(key.rawValue), 0)
    case .sendInterested(let key): (4, UInt64(key.rawValue), 0)
    case .sendNotInterested(let key): (5, UInt64(key.rawValue), 0)
    case .sendBitfield(let key): (6, UInt64(key.rawValue), 0)
    case .sendHaveAll(let key): (7, UInt64(key.rawValue), 0)
    case .sendHaveNone(let key): (8, UInt64(key.rawValue), 0)
    case .sendHave(let key, let piece): (9, UInt64(key.rawValue), UInt64(piece.rawValue))
    case .sendDontHave(let key, let piece): (10, UInt64(key.rawValue), UInt64(piece.rawValue))
    case .sendRequest(let key, let block): (11, UInt64(key.rawValue), block.code)
    case .sendCancel(let key, let block): (12, UInt64(key.rawValue), block.code)
    case .sendReject(let key, let block): (13, UInt64(key.rawValue), block.code)
    case .sendAllowedFast(let key, let piece): (14, UInt64(key.rawValue), UInt64(piece.rawValue))
    case .sendSuggest(let key, let piece): (15, UInt64(key.rawValue), UInt64(piece.rawValue))
    case .sendBlock(let key, let block): (16, UInt64(key.rawValue), block.code)
    case .dropUpload(let key, let block): (17, UInt64(key.rawValue), block.code)
    case .connect(let endpoint): (18, endpoint.address.low, UInt64(endpoint.port))
    case .disconnect(let key, let reason): (19, UInt64(key.rawValue), UInt64(reason.rawValue))
    case .ban(let address, let reason): (20, address.low, UInt64(reason.rawValue))
    case .wantMorePeers: (21, 0, 0)
    case .abandonPiece(let piece): (22, 0, UInt64(piece.rawValue))
    case .reportFinished: (23, 0, 0)
    case .reportComplete: (24, 0, 0)
    }
  }
}

extension BlockRequest {
  fileprivate var code: UInt64 { UInt64(piece.rawValue) << 32 | UInt64(begin) }
}
