import PeerWire
import TorrentModel

@testable import Swarm

/// A swarm with drawn peers around it: events in, effects out as short words.
final class SwarmHarness {
  let swarm: Swarm
  let geometry: PieceGeometry
  private(set) var now = Moment.zero
  /// What the driver would count: uploads it holds, and keys in use.
  private(set) var uploads: [(peer: Int, block: BlockRequest)] = []

  static let blocks = 2

  /// - Parameter have: what we have, a column per piece, `x` or `.`.
  init(
    _ have: String, blocks: Int = SwarmHarness.blocks, seed: UInt64 = 1,
    _ change: (inout SwarmConfiguration) -> Void = { _ in }
  ) {
    geometry = PieceGeometry(
      totalLength: Int64(have.count * blocks * blockLength), pieceLength: blocks * blockLength)
    var configuration = SwarmConfiguration(ownPeerID: Self.peerID(100))
    configuration.randomFirstPieces = 0
    change(&configuration)
    swarm = Swarm(
      infoHash: InfoHash(Bytes20()), geometry: geometry, have: Self.set(have),
      configuration: SwarmConfiguration.Shared(configuration), seed: seed, now: .zero)
  }

  static func set(_ row: String) -> Bitfield {
    var bits = Bitfield(capacity: row.count)
    for (piece, character) in row.enumerated() where character == "x" { bits.insert(PieceIndex(piece)) }
    return bits
  }

  static func peerID(_ number: UInt8) -> PeerID {
    var bytes = Bytes20()
    bytes[0] = number
    return PeerID(bytes)
  }

  static func address(_ peer: Int) -> IPAddress { IPAddress(203, 0, 113, UInt8(peer + 1)) }

  func block(_ piece: Int, _ block: Int) -> BlockRequest {
    geometry.request(block: block, of: PieceIndex(piece))
  }

  // MARK: Events

  /// Lets something happen and ends the turn. Returns the effects, in words.
  @discardableResult
  func turn(_ event: (Swarm) -> Void = { _ in }) throws -> [String] {
    event(swarm)
    swarm.turnEnded(now: now)
    try swarm.checkInvariants()
    let words = swarm.effects.map { $0.word }
    for effect in swarm.effects {
      if case .sendBlock(let peer, let block) = effect { uploads.append((peer.offset, block)) }
    }
    swarm.effects.removeAll()
    return words
  }

  /// Time goes by, with ticks when they are due.
  @discardableResult
  func wait(_ seconds: Double) throws -> [String] {
    let end = now + .seconds(seconds)
    var words: [String] = []
    while swarm.nextDeadline <= end {
      now = max(now, swarm.nextDeadline)
      words += try turn { $0.tick(now: self.now) }
    }
    now = end
    return words
  }

  func profile(
    _ peer: Int, fast: Bool = true, incoming: Bool = true, id: UInt8? = nil, endpoint: Endpoint? = nil
  ) -> PeerProfile {
    PeerProfile(
      endpoint: endpoint ?? Endpoint(address: Self.address(peer), port: 6881),
      peerID: Self.peerID(id ?? UInt8(peer)),
      reserved: fast ? [.fast, .extensionProtocol] : [.extensionProtocol],
      isIncoming: incoming)
  }

  @discardableResult
  func connect(_ peer: Int, _ profile: PeerProfile? = nil) throws -> [String] {
    try turn { $0.peerConnected(PeerKey(peer), profile ?? self.profile(peer), now: self.now) }
  }

  /// A peer comes, tells what it has, and unchokes us.
  @discardableResult
  func join(_ peer: Int, _ pieces: String, fast: Bool = true, unchoking: Bool = true) throws -> [String] {
    var words = try connect(peer, profile(peer, fast: fast))
    words += try say(peer, .bitfield(Self.set(pieces)))
    if unchoking { words += try say(peer, .unchoke) }
    return words
  }

  @discardableResult
  func say(_ peer: Int, _ message: PeerMessage) throws -> [String] {
    try turn { $0.messageReceived(PeerKey(peer), message, now: self.now) }
  }

  func leave(_ peer: Int, _ reason: DisconnectReason = .closedByPeer) throws {
    try turn { $0.peerDisconnected(PeerKey(peer), reason: reason, now: self.now) }
    uploads.removeAll { $0.peer == peer }
  }

  /// The driver no longer holds this upload.
  func forget(_ peer: Int, _ block: BlockRequest) {
    if let index = uploads.firstIndex(where: { $0.peer == peer && $0.block == block }) {
      uploads.remove(at: index)
    }
  }

  /// A block comes. Returns the verdict; effects follow at the end of the turn, see `last`.
  func send(_ peer: Int, _ piece: Int, _ number: Int) throws -> BlockVerdict {
    var verdict = BlockVerdict.unrequested
    last = try turn {
      $0.payloadReceived(PeerKey(peer), blockLength, now: self.now)
      verdict = $0.blockArrived(PeerKey(peer), self.block(piece, number), now: self.now)
    }
    return verdict
  }
  private(set) var last: [String] = []

  @discardableResult
  func verify(_ piece: Int, digests: [UInt64]? = nil) throws -> [String] {
    try turn { $0.pieceVerified(PieceIndex(piece), blockDigests: digests, now: self.now) }
  }

  @discardableResult
  func fail(_ piece: Int, digests: [UInt64]? = nil) throws -> [String] {
    try turn { $0.pieceFailed(PieceIndex(piece), blockDigests: digests, now: self.now) }
  }

  /// The blocks a peer was asked for, by the words of its requests.
  static func requests(_ words: [String], of peer: Int) -> [String] {
    words.compactMap {
      $0.hasPrefix("request \(peer) ") ? String($0.dropFirst("request \(peer) ".count)) : nil
    }
  }
}

extension Swarm {
  /// The block that `peer` should send as number `index` from now, 0 being the next, if it answers in order.
  /// Nil behind the last.
  func expectedBlock(_ peer: PeerKey, _ index: Int) -> BlockRequest? {
    guard peer.offset < peers.count, index >= 0, index < peers[peer.offset].requests.entries.count else {
      return nil
    }
    let entry = peers[peer.offset].requests.entries[index]
    return geometry.request(block: Int(entry.block), of: entry.piece)
  }
}

extension SwarmEffect {
  /// `what who which`: pieces by number, blocks as `piece.block`.
  var word: String {
    func p(_ key: PeerKey) -> String { String(key.rawValue) }
    func b(_ block: BlockRequest) -> String { "\(block.piece.rawValue).\(block.blockOffset)" }
    return switch self {
    case .sendKeepAlive(let key): "keepAlive \(p(key))"
    case .sendChoke(let key): "choke \(p(key))"
    case .sendUnchoke(let key): "unchoke \(p(key))"
    case .sendInterested(let key): "interested \(p(key))"
    case .sendNotInterested(let key): "notInterested \(p(key))"
    case .sendBitfield(let key): "bitfield \(p(key))"
    case .sendHaveAll(let key): "haveAll \(p(key))"
    case .sendHaveNone(let key): "haveNone \(p(key))"
    case .sendHave(let key, let piece): "have \(p(key)) \(piece.rawValue)"
    case .sendDontHave(let key, let piece): "dontHave \(p(key)) \(piece.rawValue)"
    case .sendRequest(let key, let block): "request \(p(key)) \(b(block))"
    case .sendCancel(let key, let block): "cancel \(p(key)) \(b(block))"
    case .sendReject(let key, let block): "reject \(p(key)) \(b(block))"
    case .sendAllowedFast(let key, let piece): "allowedFast \(p(key)) \(piece.rawValue)"
    case .sendSuggest(let key, let piece): "suggest \(p(key)) \(piece.rawValue)"
    case .sendBlock(let key, let block): "block \(p(key)) \(b(block))"
    case .dropUpload(let key, let block): "drop \(p(key)) \(b(block))"
    case .connect(let endpoint): "connect \(endpoint)"
    case .disconnect(let key, let reason): "disconnect \(p(key)) \(String(describing: reason))"
    case .ban(let address, _): "ban \(address)"
    case .wantMorePeers: "wantMorePeers"
    case .abandonPiece(let piece): "abandon \(piece.rawValue)"
    case .reportFinished: "finished"
    case .reportComplete: "complete"
    }
  }
}
