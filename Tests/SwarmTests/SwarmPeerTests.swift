import PeerWire
import Testing
import TorrentModel

@testable import Swarm

/// Coming, going, and what is said first.
@Suite struct SwarmPeerTests {
  // MARK: The first message

  @Test(arguments: [
    ("xxx", true, ["haveAll 0"]), ("...", true, ["haveNone 0"]), ("x..", true, ["bitfield 0"]),
    ("xxx", false, ["bitfield 0"]), ("...", false, []), ("x..", false, ["bitfield 0"]),
  ])
  func ourPiecesAreToldFirst(have: String, fast: Bool, expected: [String]) throws {
    let harness = SwarmHarness(have)
    #expect(try harness.connect(0, harness.profile(0, fast: fast)) == expected)
  }

  @Test func interestFollowsWhatThePeerHas() throws {
    let harness = SwarmHarness("x..")
    try harness.connect(0)
    #expect(try harness.say(0, .bitfield(SwarmHarness.set("x.."))) == [])
    #expect(try harness.say(0, .have(PieceIndex(2))) == ["interested 0"])
    #expect(try harness.say(0, .have(PieceIndex(1))) == [])
    #expect(try harness.verify(2) == [], "it has the piece: no need to tell")
    #expect(try harness.verify(1).prefix(1) == ["notInterested 0"])
  }

  /// aria2 sends a bitfield in place of many `have`s.
  @Test func aLaterBitfieldAddsToWhatThePeerHas() throws {
    let harness = SwarmHarness("x....")
    try harness.join(0, "x....")
    #expect(try harness.say(0, .bitfield(SwarmHarness.set("x.xx."))).first == "interested 0")
    #expect(try harness.say(0, .bitfield(SwarmHarness.set("x...."))) == [], "it takes nothing back")
    #expect(
      try !harness.verify(2).contains("notInterested 0") && harness.verify(3).contains("notInterested 0"))
    try harness.say(0, .bitfield(SwarmHarness.set("xxxxx")))
    #expect(harness.swarm.snapshot(now: harness.now).connectedSeeds == 1)
  }

  @Test func whoLacksAPieceIsToldOfIt() throws {
    let harness = SwarmHarness("...")
    try harness.join(0, "xxx")
    try harness.join(1, "x..")
    try harness.join(2, "...")
    let words = try harness.verify(1)
    #expect(words.filter { $0.hasPrefix("have") } == ["have 1 1", "have 2 1"])
  }

  @Test func aTakenBackPieceEndsInterest() throws {
    let harness = SwarmHarness("..")
    try harness.join(0, "x.")
    let words = try harness.turn { $0.dontHaveReceived(PeerKey(0), PieceIndex(0), now: harness.now) }
    #expect(words == ["notInterested 0"])
    #expect(try harness.say(0, .have(PieceIndex(1))).first == "interested 0")
  }

  @Test func twoWhoHaveAllPart() throws {
    let harness = SwarmHarness("xx")
    try harness.connect(0)
    #expect(try harness.say(0, .haveAll) == ["disconnect 0 neither side needs anything"])
    // And so when we become complete.
    let other = SwarmHarness("x.")
    try other.join(0, "xx")
    try other.join(1, "x.")
    let words = try other.verify(1)
    #expect(words.contains("disconnect 0 neither side needs anything"))
    #expect(words.contains("finished") && words.contains("complete"))
    #expect(!words.contains { $0.hasPrefix("disconnect 1") })
  }

  @Test func aPartialSeedParts() throws {
    let harness = SwarmHarness("xx")
    try harness.join(0, "x.")
    var handshake = ExtendedHandshake()
    handshake.isUploadOnly = true
    let words = try harness.turn { $0.extendedHandshakeReceived(PeerKey(0), handshake, now: harness.now) }
    #expect(words == ["disconnect 0 neither side needs anything"])
  }

  // MARK: Who may stay

  @Test func ourselvesAndTheBannedMayNot() throws {
    let harness = SwarmHarness("..")
    #expect(try harness.connect(0, harness.profile(0, id: 100)) == ["disconnect 0 connected to ourselves"])
    try harness.leave(0, .selfConnection)
    try harness.turn { $0.addressBanned(SwarmHarness.address(0), now: harness.now) }
    #expect(harness.swarm.refusal(ofIncoming: harness.profile(0).endpoint, now: harness.now) == .banned)
    #expect(try harness.connect(0) == ["disconnect 0 the peer is banned"])
  }

  @Test func aBanEndsConnections() throws {
    let harness = SwarmHarness("..")
    try harness.join(0, "xx")
    let words = try harness.turn { $0.addressBanned(SwarmHarness.address(0), now: harness.now) }
    #expect(words == ["disconnect 0 the peer is banned"])
  }

  /// Our id begins with 100. Which of two connections with the same peer is kept?
  @Test(arguments: [
    // First incoming, second incoming, id, number of the one that goes.
    (true, true, 7 as UInt8, 1), (false, false, 7, 1), (true, false, 7, 0), (false, true, 7, 1),
    (true, false, 200, 1), (false, true, 200, 0),
  ])
  func ofTwoConnectionsBothSidesKeepTheSame(first: Bool, second: Bool, id: UInt8, gone: Int) throws {
    let harness = SwarmHarness("..")
    let address = SwarmHarness.address(0)
    try harness.connect(
      0, harness.profile(0, incoming: first, id: id, endpoint: Endpoint(address: address, port: 1000)))
    let words = try harness.connect(
      1, harness.profile(0, incoming: second, id: id, endpoint: Endpoint(address: address, port: 2000)))
    #expect(
      words.filter { $0.hasPrefix("disconnect") } == ["disconnect \(gone) already connected to this peer"])
  }

  @Test func aStolenPeerIdDoesNotEndAConnection() throws {
    let harness = SwarmHarness("..")
    try harness.connect(0, harness.profile(0, incoming: false, id: 200))
    let words = try harness.connect(1, harness.profile(1, incoming: true, id: 200))
    #expect(words == ["disconnect 1 already connected to this peer"])
  }

  @Test func oneAddressHasALimit() throws {
    let harness = SwarmHarness("..") { $0.maximumConnectionsPerAddress = 2 }
    for (address, refused) in [(IPAddress(192, 0, 2, 1), true), (IPAddress(127, 0, 0, 1), false)] {
      for peer in 0..<3 {
        let endpoint = Endpoint(address: address, port: UInt16(1000 + peer))
        let words = try harness.connect(peer, harness.profile(peer, endpoint: endpoint))
        let isRefused = words == ["disconnect \(peer) too many connections from one address"]
        #expect(isRefused == (refused && peer == 2))
      }
      for peer in 0..<3 { try harness.leave(peer) }
    }
  }

  @Test func whenFullTheUselessMakeRoom() throws {
    let harness = SwarmHarness("...")
    harness.swarm.maximumConnections = 2
    try harness.join(0, "x..")
    try harness.connect(1)
    #expect(harness.swarm.refusal(ofIncoming: harness.profile(2).endpoint, now: harness.now) == .full)
    #expect(try harness.connect(2) == ["disconnect 2 all connections are in use"])
    try harness.leave(2)
    try harness.wait(70)
    #expect(try harness.connect(2).first == "disconnect 1 replaced by a better peer")
  }

  @Test func whenFullTheLowestPriorityMakesRoom() throws {
    let harness = SwarmHarness("...")
    harness.swarm.maximumConnections = 2
    let own = Endpoint(address: IPAddress(198, 51, 100, 7), port: 6881)
    harness.swarm.externalEndpoint = own
    let peers = (0..<8).sorted {
      (PeerPriority.priority(own, harness.profile($0).endpoint) ?? 0)
        < (PeerPriority.priority(own, harness.profile($1).endpoint) ?? 0)
    }
    // Two of middling priority are there.
    for key in [0, 1] { try harness.connect(key, harness.profile(peers[key + 3])) }
    #expect(try harness.connect(2, harness.profile(peers[0])) == ["disconnect 2 all connections are in use"])
    try harness.leave(2)
    #expect(
      try harness.connect(2, harness.profile(peers[7])).first == "disconnect 0 replaced by a better peer")
  }

  // MARK: Connecting

  @Test func connectionsAreMadeWithinTheLimits() throws {
    let harness = SwarmHarness("...")
    harness.swarm.maximumConnections = 10
    harness.swarm.halfOpenLimit = 4
    let peers = (0..<30).map { harness.profile($0).endpoint }
    var words = try harness.turn { $0.peersDiscovered(peers, source: .tracker, now: harness.now) }
    #expect(words.count == 4 && words.allSatisfy { $0.hasPrefix("connect") })
    var connected = 0
    while connected < 10 {
      guard let word = words.first(where: { $0.hasPrefix("connect ") }) else { break }
      guard let endpoint = Endpoint(word.dropFirst("connect ".count)) else { break }
      words.removeAll { $0 == word }
      words += try harness.connect(
        connected, harness.profile(0, incoming: false, id: UInt8(connected), endpoint: endpoint))
      connected += 1
    }
    #expect(connected == 10 && !words.contains { $0.hasPrefix("connect ") })
    try harness.leave(3)
    #expect(harness.swarm.snapshot(now: harness.now).connecting == 1)
  }

  @Test func aFailedConnectionIsTriedAgainLater() throws {
    let harness = SwarmHarness("...")
    let endpoint = harness.profile(0).endpoint
    let first = try harness.turn { $0.peersDiscovered([endpoint], source: .tracker, now: harness.now) }
    #expect(first == ["connect \(endpoint)", "wantMorePeers"])
    try harness.turn { $0.connectFailed(endpoint, reason: .connectFailed, now: harness.now) }
    #expect(try harness.wait(59) == [])
    #expect(try harness.wait(20).first == "connect \(endpoint)")
  }

  @Test func moreArePeersAreWantedWhenTheyRunShort() throws {
    let harness = SwarmHarness("...")
    harness.swarm.maximumConnections = 4
    var count = 0
    for peer in 0..<3 {
      let words = try harness.turn {
        $0.peersDiscovered([harness.profile(peer).endpoint], source: .tracker, now: harness.now)
      }
      count += words.count { $0 == "wantMorePeers" }
    }
    #expect(count == 1, "once a minute, and not with half of the places taken")
  }

  @Test func aSeedDoesNotConnectToSeeds() throws {
    let harness = SwarmHarness("xx")
    let endpoint = harness.profile(0).endpoint
    let words = try harness.turn { $0.peersDiscovered([endpoint], source: .tracker, now: harness.now) }
    #expect(words == ["connect \(endpoint)"])
    try harness.connect(0, harness.profile(0, incoming: false))
    #expect(try harness.say(0, .haveAll).count == 1)
    try harness.leave(0, .bothComplete)
    #expect(try harness.wait(10_000) == [])
    #expect(harness.swarm.nextDeadline == .distantFuture)
  }

  @Test func theListeningPortOfAnIncomingPeerIsKept() throws {
    let harness = SwarmHarness("...")
    try harness.join(0, "xxx")
    var handshake = ExtendedHandshake()
    handshake.listenPort = 7000
    handshake.client = "Test 1"
    handshake.requestQueueLength = 3
    try harness.turn { $0.extendedHandshakeReceived(PeerKey(0), handshake, now: harness.now) }
    let listening = Endpoint(address: SwarmHarness.address(0), port: 7000)
    #expect(harness.swarm.goodPeers == [listening])
    let snapshot = harness.swarm.peerSnapshots(now: harness.now).first
    #expect(
      snapshot?.client == "Test 1" && snapshot?.flags.contains([.incoming, .seed, .interesting]) == true)
    try harness.leave(0, .connectionLost)
    #expect(try harness.wait(100).contains("connect \(listening)"))
  }

  // MARK: Time

  @Test func idleConnectionsAreKeptAliveAndDeadOnesClosed() throws {
    let harness = SwarmHarness("xx")
    try harness.connect(0)
    let words = try harness.wait(175)
    #expect(words == ["keepAlive 0"])
    #expect(try harness.wait(10) == ["disconnect 0 nothing heard for too long"])
    try harness.leave(0, .inactive)
    #expect(harness.swarm.nextDeadline == .distantFuture)
  }

  @Test func idleConnectionsCostFewTicks() throws {
    let harness = SwarmHarness("xx")
    try harness.join(0, "x.")
    var ticks = 0
    var now = harness.now
    while now < .zero + .seconds(1000) {
      now = harness.swarm.nextDeadline
      harness.swarm.tick(now: now)
      harness.swarm.messageReceived(PeerKey(0), .keepAlive, now: now)
      harness.swarm.turnEnded(now: now)
      ticks += 1
    }
    #expect(ticks <= 12, "\(ticks)")
  }

  // MARK: Pause

  @Test func aPauseClosesAllAndAResumeConnectsAgain() throws {
    let harness = SwarmHarness("...")
    let endpoint = harness.profile(0).endpoint
    try harness.turn { $0.peersDiscovered([endpoint], source: .tracker, now: harness.now) }
    try harness.connect(0, harness.profile(0, incoming: false))
    try harness.say(0, .haveAll)
    try harness.say(0, .unchoke)
    #expect(try harness.send(0, firstPiece(harness), 0) == .wanted)
    let words = try harness.turn { $0.paused(now: harness.now) }
    #expect(words.first == "disconnect 0 the torrent is paused" && words.last?.hasPrefix("abandon") == true)
    try harness.leave(0, .paused)
    #expect(harness.swarm.refusal(ofIncoming: endpoint, now: harness.now) == .paused)
    #expect(try harness.wait(1000) == [] && harness.swarm.nextDeadline == .distantFuture)
    #expect(try harness.turn { $0.resumed(now: harness.now) }.first == "connect \(endpoint)")
  }

  /// The piece that is being asked of peer 0.
  private func firstPiece(_ harness: SwarmHarness) -> Int {
    harness.swarm.expectedBlock(PeerKey(0), 0)?.piece.offset ?? -1
  }
}
