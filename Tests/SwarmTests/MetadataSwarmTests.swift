import PeerWire
import Testing
import TorrentModel

@testable import Swarm

@Suite struct MetadataSwarmTests {
  static let metadata = (0..<50_000).map { UInt8(truncatingIfNeeded: $0 * 31) }
  static let geometry = PieceGeometry(totalLength: 801_000, pieceLength: 40_000)

  static var configuration: SwarmConfiguration {
    var configuration = SwarmConfiguration(ownPeerID: SwarmHarness.peerID(100))
    configuration.sha1 = digest
    return configuration
  }

  static func endpoint(_ number: Int) -> Endpoint {
    Endpoint(address: IPAddress(198, 51, 100, UInt8(number + 1)), port: 6881)
  }

  static func profile(_ number: Int, isIncoming: Bool = false, id: UInt8? = nil) -> PeerProfile {
    PeerProfile(
      endpoint: endpoint(number), peerID: SwarmHarness.peerID(id ?? UInt8(number)),
      reserved: [.fast, .extensionProtocol],
      isIncoming: isIncoming)
  }

  static func handshake(size: Int? = nil, port: UInt16? = nil) -> ExtendedHandshake {
    var handshake = ExtendedHandshake()
    handshake.metadataSize = size
    handshake.listenPort = port
    return handshake
  }

  static func make() -> MetadataSwarm {
    MetadataSwarm(
      infoHash: InfoHash(digest(metadata.span)), configuration: configuration, seed: 1, now: .zero)
  }

  static func take(_ swarm: MetadataSwarm, now: Moment = .zero) -> [MetadataEffect] {
    swarm.turnEnded(now: now)
    defer { swarm.effects.removeAll() }
    return swarm.effects
  }

  /// A peer that offers the metadata and gives what it is asked for.
  static func serve(_ swarm: MetadataSwarm, _ key: PeerKey, _ bytes: [UInt8], now: Moment = .zero) -> [UInt8]?
  {
    for _ in 0..<100 {
      for effect in take(swarm, now: now) {
        switch effect {
        case .sendMetadataRequest(let asked, let piece) where asked == key:
          guard let range = Metadata.range(ofPiece: piece, length: bytes.count) else { return nil }
          swarm.metadataReceived(
            key, .data(piece: piece, totalLength: bytes.count, bytes: Array(bytes[range])), now: now)
        case .reportMetadata(let metadata): return metadata
        default: break
        }
      }
    }
    return nil
  }

  @Test func peersAreSoughtAndConnectedTo() {
    let swarm = Self.make()
    #expect(Self.take(swarm).isEmpty)
    swarm.peersDiscovered([Self.endpoint(0), Self.endpoint(1)], source: .dht, now: .zero)
    let effects = Self.take(swarm)
    #expect(Set(effects) == [.connect(Self.endpoint(0)), .connect(Self.endpoint(1)), .wantMorePeers])
    swarm.connectFailed(Self.endpoint(0), reason: .connectFailed, now: .zero)
    swarm.peerConnected(PeerKey(0), Self.profile(1), now: .zero)
    #expect(Self.take(swarm) == [.sendHaveNone(PeerKey(0))])
    #expect(swarm.snapshot(now: .zero).connectedSources.dht == 1)
    // After a minute others are asked for again.
    var now = Moment.zero
    var effects2: [MetadataEffect] = []
    while now < .zero + .seconds(65) {
      now = swarm.nextDeadline
      swarm.tick(now: now)
      effects2 += Self.take(swarm, now: now)
    }
    #expect(effects2.contains(.wantMorePeers) && effects2.contains(.connect(Self.endpoint(0))))
  }

  @Test func theMetadataComesAndTheSwarmTakesOver() throws {
    let early = Self.make()
    early.peersDiscovered((0..<4).map(Self.endpoint), source: .tracker, now: .zero)
    _ = Self.take(early)
    for number in 0..<3 {
      early.peerConnected(PeerKey(number), Self.profile(number), now: .zero)
      early.extendedHandshakeReceived(
        PeerKey(number), Self.handshake(size: number == 1 ? Self.metadata.count : nil), takesMetadata: true,
        now: .zero)
    }
    early.peerConnected(PeerKey(3), Self.profile(9, isIncoming: true), now: .zero)
    early.extendedHandshakeReceived(PeerKey(3), Self.handshake(port: 77), takesMetadata: false, now: .zero)
    early.messageReceived(PeerKey(0), .haveAll, now: .zero)
    early.messageReceived(PeerKey(1), .bitfield(Bitfield(capacity: 24)), now: .zero)
    early.messageReceived(PeerKey(1), .have(PieceIndex(7)), now: .zero)
    early.messageReceived(PeerKey(2), .have(PieceIndex(21)), now: .zero)
    early.messageReceived(PeerKey(3), .interested, now: .zero)
    early.messageReceived(PeerKey(0), .unchoke, now: .zero)
    early.metadataReceived(PeerKey(3), .request(piece: 0), now: .zero)
    #expect(early.effects.contains(.sendMetadataReject(PeerKey(3), piece: 0)))
    #expect(Self.serve(early, PeerKey(1), Self.metadata) == Self.metadata)
    #expect(early.isComplete)

    var have = Bitfield(capacity: 21)
    have.insert(PieceIndex(2))
    let swarm = Swarm(
      infoHash: InfoHash(digest(Self.metadata.span)), geometry: Self.geometry, have: have,
      configuration: SwarmConfiguration.Shared(Self.configuration), seed: 1, now: .zero)
    swarm.adopt(early, now: .zero)
    swarm.turnEnded(now: .zero)
    try swarm.checkInvariants()
    let effects = swarm.effects
    #expect(effects.contains(.sendInterested(PeerKey(0))) && effects.contains(.sendInterested(PeerKey(1))))
    #expect(effects.contains(.disconnect(PeerKey(2), .badMetadata)), "the torrent has no piece 21")
    #expect(effects.contains(.sendUnchoke(PeerKey(3))))
    // The first words of the connection were said long ago.
    #expect(
      effects.contains(.sendHave(PeerKey(0), PieceIndex(2))) && !effects.contains(.sendBitfield(PeerKey(0))))
    #expect(effects.contains { if case .sendRequest(PeerKey(0), _) = $0 { true } else { false } })
    let snapshot = swarm.snapshot(now: .zero)
    #expect(snapshot.connectedPeers == 3 && snapshot.connectedSeeds == 1 && snapshot.connecting == 1)
    #expect(swarm.listensOn(PeerKey(3)) == Endpoint(address: Self.endpoint(9).address, port: 77))
    // A connection in the making goes on.
    swarm.effects.removeAll()
    swarm.peerDisconnected(PeerKey(2), reason: .badMetadata, now: .zero)
    swarm.peerConnected(PeerKey(2), Self.profile(3), now: .zero)
    swarm.turnEnded(now: .zero)
    try swarm.checkInvariants()
    #expect(swarm.snapshot(now: .zero).connecting == 0)
  }

  @Test func liarsAreBanned() {
    let swarm = Self.make()
    swarm.peerConnected(PeerKey(0), Self.profile(0, isIncoming: true), now: .zero)
    swarm.extendedHandshakeReceived(
      PeerKey(0), Self.handshake(size: Self.metadata.count), takesMetadata: true, now: .zero)
    #expect(Self.serve(swarm, PeerKey(0), [UInt8](repeating: 0, count: Self.metadata.count)) == nil)
    // `serve` took the effects; the state tells.
    #expect(swarm.refusal(ofIncoming: Self.endpoint(0), now: .zero) == .banned)
    swarm.peerDisconnected(PeerKey(0), reason: .banned, now: .zero)
    swarm.peerConnected(PeerKey(0), Self.profile(0, isIncoming: true), now: .zero)
    #expect(Self.take(swarm).contains(.disconnect(PeerKey(0), .banned)))
  }

  @Test func theUnwelcomeAreSentAway() {
    let swarm = Self.make()
    swarm.maximumConnections = 3
    swarm.peerConnected(PeerKey(0), Self.profile(0), now: .zero)
    swarm.peerConnected(PeerKey(1), Self.profile(0, id: 77), now: .zero)
    swarm.peerConnected(PeerKey(2), Self.profile(2, id: 100), now: .zero)
    let effects = Self.take(swarm)
    #expect(effects.contains(.disconnect(PeerKey(1), .duplicate)))
    #expect(effects.contains(.disconnect(PeerKey(2), .selfConnection)))
    for number in 3..<5 { swarm.peerConnected(PeerKey(number), Self.profile(number), now: .zero) }
    #expect(swarm.refusal(ofIncoming: Self.endpoint(7), now: .zero) == .full)
    // Whoever has had its time, and has nothing, makes room.
    swarm.extendedHandshakeReceived(PeerKey(0), Self.handshake(size: 1000), takesMetadata: true, now: .zero)
    let later = Moment.zero + .seconds(30)
    #expect(swarm.refusal(ofIncoming: Self.endpoint(7), now: later) == nil)
    swarm.peerConnected(PeerKey(7), Self.profile(7, isIncoming: true), now: later)
    #expect(Self.take(swarm, now: later).contains(.disconnect(PeerKey(3), .replaced)))
    swarm.paused(now: later)
    #expect(
      swarm.refusal(ofIncoming: Self.endpoint(8), now: later) == .paused
        && swarm.nextDeadline == .distantFuture)
    #expect(Self.take(swarm, now: later).count { if case .disconnect = $0 { true } else { false } } == 3)
  }

  @Test func theSilentAreLetGo() {
    let swarm = Self.make()
    swarm.peerConnected(PeerKey(0), Self.profile(0), now: .zero)
    var effects: [MetadataEffect] = []
    while swarm.nextDeadline < .zero + .seconds(200), !effects.contains(.disconnect(PeerKey(0), .inactive)) {
      let now = swarm.nextDeadline
      swarm.tick(now: now)
      effects += Self.take(swarm, now: now)
    }
    #expect(effects.contains(.sendKeepAlive(PeerKey(0))))
    #expect(effects.contains(.disconnect(PeerKey(0), .inactive)))
  }

  /// What strangers say of pieces takes no more memory than is written.
  @Test func earlyMessagesAreBounded() {
    let swarm = Self.make()
    swarm.maximumConnections = 200
    var isRefused = false
    for number in 0..<100 {
      let endpoint = Endpoint(address: IPAddress(10, 0, 0, UInt8(number + 1)), port: 1)
      let profile = PeerProfile(
        endpoint: endpoint, peerID: SwarmHarness.peerID(UInt8(number + 1)), reserved: [], isIncoming: true)
      swarm.peerConnected(PeerKey(number), profile, now: .zero)
      swarm.messageReceived(PeerKey(number), .have(PieceIndex(Limits.pieceCount - 1)), now: .zero)
      if Self.take(swarm).contains(where: { if case .disconnect(_, .full) = $0 { true } else { false } }) {
        isRefused = true
      }
    }
    #expect(isRefused)
    let held = swarm.peers.reduce(0) { $0 + ($1?.early.heldLength ?? 0) }
    #expect(held <= MetadataSwarm.earlyLengthLimit)
  }
}
