import PeerWire
import TorrentModel

@testable import Swarm

/// A client in the virtual world: the real swarm, and what stands around it.
struct VirtualNode {
  let endpoint: Endpoint
  let peerID: PeerID
  let fault: Fault
  let isSeed: Bool
  let swarm: Swarm
  var disk: VirtualDisk
  var line: Line
  /// Which connection has a key, and whether we are its initiator.
  var connections: [(id: Int, isInitiator: Bool)?] = []
  /// When the next tick is planned.
  var tickAt = Moment.distantFuture
  var blocksSent = 0
  var isDiskBroken = false
  /// Blocks that were recalled before they were read.
  var recalled: Set<RecalledBlock> = []
  var finishedAt: Moment?
  /// When it had nearly all the connections it may have.
  var filledAt: Moment?
  /// While it has no metadata, this has the connections, and ``swarm`` does nothing.
  var early: MetadataSwarm?
  var metadataAt: Moment?
  var server = MetadataServer(length: nil, isPrivate: false, now: .zero)
  var exchange: PeerExchangeMachine?
  var exchangeAt = Moment.distantFuture
  var banned: Set<IPAddress> = []

  struct RecalledBlock: Hashable {
    var connection: Int
    var block: BlockRequest
  }

  mutating func takeKey(for connection: Int, isInitiator: Bool) -> PeerKey {
    let free = connections.firstIndex { $0 == nil } ?? connections.count
    if free == connections.count { connections.append(nil) }
    connections[free] = (connection, isInitiator)
    return PeerKey(free)
  }

  func connection(_ key: PeerKey) -> (id: Int, isInitiator: Bool)? {
    key.offset < connections.count ? connections[key.offset] : nil
  }

  /// What has the connections now.
  var front: any FrontSwarm { early ?? swarm }

  var openConnections: Int { connections.count { $0 != nil } }
}
