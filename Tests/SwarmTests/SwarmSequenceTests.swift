import PeerWire
import Testing
import TorrentModel

@testable import Swarm

/// Random events, sensible and senseless, in any order. After each step nothing may contradict itself, and what the
/// swarm wants done must make sense to the driver.
@Suite struct SwarmSequenceTests {
  /// The driver's side: what it would know.
  final class Driver {
    let swarm: Swarm
    let geometry: PieceGeometry
    var random: SeededRandom
    var now = Moment.zero
    /// Keys in use; false once a `disconnect` was wanted.
    var keys: [PeerKey: Bool] = [:]
    var uploads: [(PeerKey, BlockRequest)] = []
    var connecting: Set<Endpoint> = []
    /// Blocks handed to storage, by piece.
    var stored: [PieceIndex: Set<Int>] = [:]
    var problem: String?
    let keyCount = 12

    init(seed: UInt64) {
      random = SeededRandom(seed: seed)
      let pieceLength = [10_000, 16_384, 40_000, 65_536, 200_000][random.below(5)]
      let pieces = 1 + random.below(70)
      let total = Int64(pieceLength) * Int64(pieces) - Int64(random.below(pieceLength))
      geometry = PieceGeometry(totalLength: total, pieceLength: pieceLength)
      var configuration = SwarmConfiguration(ownPeerID: SwarmHarness.peerID(100))
      configuration.maximumKnownPeers = 20
      configuration.sha1 = { bytes in
        var random = SeededRandom(seed: UInt64(bytes.count))
        return PeerID(prefix: "", using: &random).bytes
      }
      var have = Bitfield(capacity: geometry.pieceCount)
      for piece in 0..<geometry.pieceCount where random.below(3) == 0 { have.insert(PieceIndex(piece)) }
      swarm = Swarm(
        infoHash: InfoHash(Bytes20()), geometry: geometry, have: have,
        configuration: SwarmConfiguration.Shared(configuration), seed: seed, now: .zero)
      swarm.openBlockBudget = 4 + random.below(100)
      swarm.uploadBlockBudget = 2 + random.below(40)
      swarm.maximumConnections = 4 + random.below(10)
      swarm.halfOpenLimit = 3
    }

    // MARK: Drawing

    func anyPiece() -> PieceIndex {
      random.below(20) == 0 ? PieceIndex(rawValue: .max) : PieceIndex(random.below(geometry.pieceCount + 1))
    }

    func anyBlock() -> BlockRequest {
      let piece = anyPiece()
      if random.below(8) > 0, geometry.contains(piece) {
        return geometry.request(block: random.below(geometry.blockCount(of: piece)), of: piece)
      }
      let lengths: [UInt32] = [0, 1, 16384, 131_072, 131_073, .max]
      return BlockRequest(
        piece: piece, begin: UInt32(truncatingIfNeeded: random.next()) >> UInt32(random.below(32)),
        length: lengths[random.below(lengths.count)])
    }

    func anyKey() -> PeerKey { PeerKey(random.below(keyCount)) }

    func anyEndpoint() -> Endpoint {
      Endpoint(
        address: random.below(4) == 0
          ? IPAddress(127, 0, 0, 1) : IPAddress(192, 0, 2, UInt8(random.below(12))),
        port: UInt16(1000 + random.below(6)))
    }

    func anyMessage() -> PeerMessage {
      switch random.below(16) {
      case 0: .keepAlive
      case 1: .choke
      case 2...3: .unchoke
      case 4: .interested
      case 5: .notInterested
      case 6: .have(anyPiece())
      case 7: .bitfield(anySet())
      case 8: random.below(2) == 0 ? .haveAll : .haveNone
      case 9...11: .request(anyBlock())
      case 12: .cancel(anyBlock())
      case 13: .reject(anyBlock())
      case 14: .suggest(anyPiece())
      default: .allowedFast(anyPiece())
      }
    }

    func anySet() -> Bitfield {
      var set = Bitfield(capacity: geometry.pieceCount)
      let share = random.below(5)
      for piece in 0..<geometry.pieceCount where random.below(4) < share { set.insert(PieceIndex(piece)) }
      return set
    }

    // MARK: Steps

    func step() throws {
      if random.below(3) == 0 {
        now = now + .milliseconds(random.below(random.below(30) == 0 ? 60_000 : 400))
      }
      for _ in 0...random.below(3) { event() }
      if swarm.nextDeadline <= now { swarm.tick(now: now) }
      swarm.turnEnded(now: now)
      try swarm.checkInvariants()
      // Carrying out may lead to further events, as in a driver.
      let effects = swarm.effects
      swarm.effects.removeAll()
      for effect in effects { carryOut(effect) }
    }

    private func event() {
      switch random.below(40) {
      case 0...1: connect()
      case 2: disconnect()
      case 3...12: if let key = usedKey() { swarm.messageReceived(key, anyMessage(), now: now) }
      case 13...26: expectedBlockArrives()
      case 27: if let key = usedKey() { blockArrives(key, anyBlock()) }
      case 28...31: verdict()
      case 32: swarm.peersDiscovered((0..<3).map { _ in anyEndpoint() }, source: .tracker, now: now)
      case 33: finishUpload()
      case 34: if let key = usedKey() { swarm.dontHaveReceived(key, anyPiece(), now: now) }
      case 35: if let key = usedKey() { extendedHandshake(key) }
      case 36: wish()
      case 37: storage()
      case 38: connectFails()
      default: if let key = usedKey() { swarm.messageReceived(key, .unchoke, now: now) }
      }
    }

    private func usedKey() -> PeerKey? {
      let key = anyKey()
      return keys[key] != nil ? key : nil
    }

    private func connect() {
      let key = anyKey()
      guard keys[key] == nil else { return }
      let isIncoming = connecting.isEmpty || random.below(2) == 0
      var endpoint = anyEndpoint()
      if !isIncoming, let dialled = connecting.min() {
        endpoint = dialled
        connecting.remove(dialled)
      }
      keys[key] = true
      let profile = PeerProfile(
        endpoint: endpoint, peerID: SwarmHarness.peerID(UInt8(90 + random.below(30))),
        reserved: random.below(3) == 0 ? [] : [.fast], isIncoming: isIncoming)
      swarm.peerConnected(key, profile, now: now)
    }

    private func disconnect() {
      guard let key = usedKey() else { return }
      let reasons: [DisconnectReason] = [.closedByPeer, .connectionLost, .protocolError]
      gone(key, reasons[random.below(reasons.count)])
    }

    func gone(_ key: PeerKey, _ reason: DisconnectReason) {
      keys[key] = nil
      uploads.removeAll { $0.0 == key }
      swarm.peerDisconnected(key, reason: reason, now: now)
    }

    private func expectedBlockArrives() {
      guard let key = usedKey(),
        let block = swarm.expectedBlock(key, random.below(10) == 0 ? random.below(4) : 0)
      else { return }
      checkLengths(key)
      blockArrives(key, block)
    }

    /// What a read is laid out for are the lengths of the very blocks that are expected.
    private func checkLengths(_ key: PeerKey) {
      var lengths = InlineArray<8, Int32>(repeating: 0)
      var room = lengths.mutableSpan
      let count = swarm.expectedLengths(key, into: &room)
      for i in 0..<lengths.count {
        let expected = swarm.expectedBlock(key, i).map { Int32($0.length) }
        if expected != (i < count ? lengths[i] : nil) { note("a length is not that of the block expected") }
      }
    }

    private func blockArrives(_ key: PeerKey, _ block: BlockRequest) {
      swarm.payloadReceived(key, Int(min(block.length, 16384)), now: now)
      guard swarm.blockArrived(key, block, now: now) == .wanted else { return }
      guard geometry.isBlock(block) else { return note("an impossible block is wanted") }
      if swarm.has(block.piece) { note("a block of a piece that is here is wanted") }
      if !stored[block.piece, default: []].insert(block.blockOffset).inserted {
        note("a block is wanted twice")
      }
    }

    /// Storage looks at a complete piece.
    private func verdict() {
      let complete = stored.filter { $0.value.count == geometry.blockCount(of: $0.key) }.keys.sorted()
      guard let piece = complete.first else { return }
      stored[piece] = nil
      let digests = (0..<geometry.blockCount(of: piece)).map { UInt64($0) }
      if random.below(4) > 0 {
        swarm.pieceVerified(piece, blockDigests: random.below(2) == 0 ? digests : nil, now: now)
      } else {
        let wrong = digests.map { random.below(3) == 0 ? $0 + 100 : $0 }
        swarm.pieceFailed(piece, blockDigests: random.below(3) == 0 ? nil : wrong, now: now)
      }
    }

    private func finishUpload() {
      guard let (key, block) = uploads.first else { return }
      uploads.removeFirst()
      swarm.payloadSent(key, Int(block.length), now: now)
      if random.below(4) == 0 {
        swarm.uploadDropped(key, block, now: now)
      } else {
        swarm.uploadFinished(key, block, now: now)
      }
    }

    private func extendedHandshake(_ key: PeerKey) {
      var handshake = ExtendedHandshake()
      if random.below(2) == 0 { handshake.listenPort = UInt16(1000 + random.below(6)) }
      if random.below(2) == 0 { handshake.requestQueueLength = 1 + random.below(20) }
      if random.below(4) == 0 { handshake.isUploadOnly = random.below(2) == 0 }
      swarm.extendedHandshakeReceived(key, handshake, now: now)
    }

    private func wish() {
      switch random.below(5) {
      case 0:
        let priorities = (0..<geometry.pieceCount).map { _ in PiecePriority.allCases[random.below(4)] }
        swarm.prioritiesChanged(random.below(2) == 0 ? nil : priorities, now: now)
      case 1: swarm.sequentialChanged(random.below(2) == 0, now: now)
      case 2: swarm.openBlockBudget = 4 + random.below(100)
      case 3:
        swarm.paused(now: now)
        connecting = []
      default: swarm.resumed(now: now)
      }
    }

    private func storage() {
      switch random.below(6) {
      case 0: swarm.storageFailed(now: now)
      case 1...2: swarm.storageResumed(now: now)
      case 3:
        let piece = anyPiece()
        // Only what storage does not have under way.
        if stored[piece] == nil { swarm.piecesFound([piece], now: now) }
      case 4:
        if let piece = stored.keys.min() {
          stored[piece] = nil
          swarm.pieceDropped(piece, now: now)
        }
      default: swarm.piecesLost([anyPiece(), anyPiece()], now: now)
      }
    }

    private func connectFails() {
      guard let endpoint = connecting.min() else { return }
      connecting.remove(endpoint)
      let reasons: [DisconnectReason] = [.connectFailed, .selfConnection, .closedByPeer, .banned]
      swarm.connectFailed(endpoint, reason: reasons[random.below(reasons.count)], now: now)
    }

    // MARK: Effects

    private func carryOut(_ effect: SwarmEffect) {
      switch effect {
      case .connect(let endpoint):
        if !connecting.insert(endpoint).inserted { note("\(endpoint) is dialled twice") }
      case .disconnect(let key, let reason):
        if keys[key] != true { note("\(key) is closed twice") }
        gone(key, reason)
      case .abandonPiece(let piece): stored[piece] = nil
      case .sendBlock(let key, let block):
        if keys[key] == nil || !geometry.isInside(block) || !swarm.has(block.piece) {
          note("\(block) cannot be sent")
        }
        uploads.append((key, block))
      case .dropUpload(let key, let block):
        if let index = uploads.firstIndex(where: { $0 == key && $1 == block }), random.below(2) == 0 {
          uploads.remove(at: index)
          swarm.uploadDropped(key, block, now: now)
        }
      case .sendRequest(let key, let block), .sendCancel(let key, let block):
        if keys[key] == nil || !geometry.isBlock(block) { note("\(effect) is nonsense") }
      case .sendReject(let key, _), .sendHave(let key, _), .sendDontHave(let key, _),
        .sendAllowedFast(let key, _),
        .sendSuggest(let key, _):
        if keys[key] == nil { note("\(effect) goes to nobody") }
      case .sendKeepAlive(let key), .sendChoke(let key), .sendUnchoke(let key), .sendInterested(let key),
        .sendNotInterested(let key), .sendBitfield(let key), .sendHaveAll(let key), .sendHaveNone(let key):
        if keys[key] == nil { note("\(effect) goes to nobody") }
      case .ban, .wantMorePeers, .reportFinished, .reportComplete: break
      }
    }

    func note(_ text: String) { if problem == nil { problem = text } }
  }

  @Test(arguments: 1...60) func anySequenceLeavesASoundSwarm(seed: UInt64) throws {
    let driver = Driver(seed: seed)
    for step in 0..<700 {
      do { try driver.step() } catch {
        Issue.record("step \(step): \(error)")
        return
      }
      if let problem = driver.problem {
        Issue.record("step \(step): \(problem)")
        return
      }
    }
    // All go, and nothing is left.
    driver.swarm.resumed(now: driver.now)
    driver.swarm.paused(now: driver.now)
    driver.swarm.turnEnded(now: driver.now)
    for key in driver.keys.keys.sorted() { driver.gone(key, .paused) }
    driver.swarm.effects.removeAll()
    driver.swarm.turnEnded(now: driver.now)
    try driver.swarm.checkInvariants()
    #expect(driver.swarm.nextDeadline == .distantFuture)
    #expect(driver.swarm.peers.isEmpty && driver.swarm.hungry.isEmpty && driver.swarm.uploadsInFlight == 0)
  }
}
