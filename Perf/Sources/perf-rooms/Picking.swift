import PeerWire
import Swarm
import TorrentModel

/// A swarm that downloads from peers who answer at once, driven as the engine drives it: what choosing and book-keeping
/// cost per block, everything else left out.
///
/// Each turn of the loop answers up to `turnBlocks` requests. Pieces verify as soon as their last block is there.
private struct PickingRun {
  private let swarm: Swarm
  private let geometry: PieceGeometry
  private let peers: Int
  private var now = Moment(nanoseconds: 1_000_000_000)
  private var queues: [[BlockRequest]]
  private var heads: [Int]
  private var arrived: [UInt16]
  private static let turnBlocks = 64

  init?(pieces: Int, peers: Int, blocksPerPiece: Int) {
    geometry = PieceGeometry(
      totalLength: Int64(pieces) * Int64(blocksPerPiece * blockLength),
      pieceLength: blocksPerPiece * blockLength)
    self.peers = peers
    queues = Array(repeating: [], count: peers)
    heads = Array(repeating: 0, count: peers)
    arrived = Array(repeating: 0, count: pieces)
    var random = SeededRandom(seed: 7)
    let configuration = SwarmConfiguration(ownPeerID: PeerID(prefix: "-SP0000-", using: &random))
    swarm = Swarm(
      infoHash: InfoHash(Bytes20()), geometry: geometry, have: Bitfield(capacity: pieces),
      configuration: SwarmConfiguration.Shared(configuration), seed: 7, now: now)
    swarm.maximumConnections = peers
    for key in 0..<peers {
      let address = IPAddress(v4: 0x0a4d_0101 + UInt32(key))
      let profile = PeerProfile(
        endpoint: Endpoint(address: address, port: 6881), peerID: PeerID(prefix: "-XX0000-", using: &random),
        reserved: .supported, isIncoming: false)
      swarm.peerConnected(PeerKey(key), profile, now: now)
      // Nine in ten pieces each, so that availability differs and rarest-first has something to do.
      var has = Bitfield(capacity: pieces)
      for piece in 0..<pieces where random.next() % 10 != 0 || piece % peers == key {
        _ = has.insert(PieceIndex(piece))
      }
      swarm.messageReceived(PeerKey(key), .bitfield(has), now: now)
      swarm.messageReceived(PeerKey(key), .unchoke, now: now)
    }
    endTurn()
  }

  private mutating func endTurn() {
    swarm.turnEnded(now: now)
    for effect in swarm.effects {
      switch effect {
      case .sendRequest(let peer, let block): queues[peer.offset].append(block)
      case .sendCancel(let peer, let block):
        if let at = queues[peer.offset][heads[peer.offset]...].firstIndex(of: block) {
          queues[peer.offset].remove(at: at)
        }
      default: break
      }
    }
    swarm.effects.removeAll(keepingCapacity: true)
  }

  /// Downloads up to `limit` blocks; gives how many there were.
  mutating func download(_ limit: Int) -> Int {
    var blocks = 0
    var idle = 0
    var peer = 0
    while blocks < limit, idle <= peers {
      var turn = 0
      var received = 0
      while turn < Self.turnBlocks, heads[peer] < queues[peer].count {
        let block = queues[peer][heads[peer]]
        heads[peer] += 1
        turn += 1
        received += Int(block.length)
        guard case .wanted = swarm.blockArrived(PeerKey(peer), block, now: now) else { continue }
        blocks += 1
        let piece = block.piece
        arrived[piece.offset] += 1
        if Int(arrived[piece.offset]) == geometry.blockCount(of: piece) {
          swarm.pieceVerified(piece, blockDigests: nil, now: now)
        }
      }
      if heads[peer] == queues[peer].count {
        queues[peer].removeAll(keepingCapacity: true)
        heads[peer] = 0
      }
      if received > 0 { swarm.payloadReceived(PeerKey(peer), received, now: now) }
      // A block each 10 µs is 1.5 GiB/s.
      now = Moment(nanoseconds: now.nanoseconds + Int64(max(1, turn)) * 10_000)
      if swarm.nextDeadline < now { swarm.tick(now: now) }
      endTurn()
      idle = turn == 0 ? idle + 1 : 0
      peer = (peer + 1) % peers
    }
    return blocks
  }
}

func benchmarkPicking(_ stopwatch: Stopwatch) {
  for peers in [20, 200] {
    for (pieces, blocks) in [(100, 64), (1000, 64), (50_000, 4)] {
      let name = "pick.\(pieces)-pieces-\(peers)-peers"
      guard stopwatch.wants(name), var run = PickingRun(pieces: pieces, peers: peers, blocksPerPiece: blocks)
      else {
        continue
      }
      let wanted = min(pieces * blocks, 60_000)
      stopwatch.measureOnce(name) {
        let got = run.download(wanted)
        precondition(got >= wanted, "the swarm stopped asking after \(got) of \(wanted) blocks")
        return got
      }
    }
  }
}
