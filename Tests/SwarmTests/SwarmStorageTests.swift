import PeerWire
import Testing
import TorrentModel

@testable import Swarm

/// Verdicts, blame, and what becomes of pieces.
@Suite struct SwarmStorageTests {
  // MARK: Blame

  /// Sends the blocks of a piece, each from the peer named.
  private func fill(_ harness: SwarmHarness, _ piece: Int, from peers: [Int]) throws {
    for (block, peer) in peers.enumerated() {
      #expect(try harness.send(peer, piece, block) == .wanted, "block \(block) of peer \(peer)")
    }
  }

  @Test func theOnlySenderOfABadPieceIsBanned() throws {
    let harness = SwarmHarness("..")
    try harness.join(0, "xx")
    guard let piece = harness.swarm.expectedBlock(PeerKey(0), 0)?.piece.offset else { return }
    try fill(harness, piece, from: [0, 0])
    #expect(
      try harness.fail(piece, digests: [1, 2]).prefix(2)
        == ["ban \(SwarmHarness.address(0))", "disconnect 0 the peer is banned"])
    #expect(harness.swarm.snapshot(now: harness.now).corrupt == 2 * Int64(blockLength))
  }

  /// Three peers share the one piece of four blocks; which of them lied is found when it comes whole from another.
  private func mixed() throws -> SwarmHarness {
    let harness = SwarmHarness(".", blocks: 4) { configuration in
      configuration.wholePieceTime = .zero
      configuration.minimumRequestsPerPeer = 1
    }
    // They share because each takes two requests at most.
    for peer in 0..<3 {
      try harness.join(peer, "x", unchoking: false)
      var handshake = ExtendedHandshake()
      handshake.requestQueueLength = peer == 0 ? 2 : 1
      try harness.turn { $0.extendedHandshakeReceived(PeerKey(peer), handshake, now: harness.now) }
    }
    for peer in 0..<3 { try harness.say(peer, .unchoke) }
    return harness
  }

  @Test func ofSeveralSendersTheLiarIsFound() throws {
    let harness = try mixed()
    try fill(harness, 0, from: [0, 0, 1, 2])
    let words = try harness.fail(0, digests: [10, 20, 99, 40])
    #expect(!words.contains { $0.hasPrefix("ban") })
    #expect(harness.swarm.wantsDigests(of: PieceIndex(0)))
    #expect((0..<3).allSatisfy { harness.swarm.peers[$0].has(.onParole) })
    // The piece is taken from one peer alone now. Whoever it is, the digests tell.
    let asked = words.filter { $0.hasPrefix("request") }.map { $0.split(separator: " ")[1] }
    #expect(Set(asked).count == 1)
    guard let peer = asked.first.flatMap({ Int($0) }) else { return }
    for block in 0..<4 { #expect(try harness.send(peer, 0, block) == .wanted) }
    let end = try harness.verify(0, digests: [10, 20, 30, 40])
    #expect(end.filter { $0.hasPrefix("ban") } == ["ban \(SwarmHarness.address(1))"])
    #expect(end.contains("disconnect 1 the peer is banned"))
  }

  @Test func whoStaysUnderSuspicionIsConvictedByAWholePiece() throws {
    let harness = try mixed()
    try fill(harness, 0, from: [0, 0, 1, 2])
    let words = try harness.fail(0)
    guard let peer = words.last(where: { $0.hasPrefix("request") })?.split(separator: " ")[1],
      let number = Int(peer)
    else {
      Issue.record("nobody is asked: \(words)")
      return
    }
    for block in 0..<4 { #expect(try harness.send(number, 0, block) == .wanted) }
    #expect(try harness.fail(0).first == "ban \(SwarmHarness.address(number))")
  }

  @Test func aGoodWholePieceEndsSuspicion() throws {
    let harness = SwarmHarness("..", blocks: 2)
    try harness.join(0, "xx")
    harness.swarm.peers[0].flags.insert(.onParole)
    guard let piece = harness.swarm.expectedBlock(PeerKey(0), 0)?.piece.offset else { return }
    try fill(harness, piece, from: [0, 0])
    try harness.verify(piece)
    #expect(!harness.swarm.peers[0].has(.onParole))
  }

  @Test func onLoopbackOnlyTheLiarGoes() throws {
    let harness = SwarmHarness("..")
    let loopback = IPAddress(127, 0, 0, 1)
    for peer in 0..<2 {
      try harness.connect(
        peer, harness.profile(peer, endpoint: Endpoint(address: loopback, port: UInt16(1000 + peer))))
      try harness.say(peer, .haveAll)
    }
    try harness.say(0, .unchoke)
    guard let piece = harness.swarm.expectedBlock(PeerKey(0), 0)?.piece.offset else { return }
    try fill(harness, piece, from: [0, 0])
    #expect(try harness.fail(piece, digests: nil) == ["disconnect 0 the peer is banned"])
    try harness.leave(0, .banned)
    let back = harness.profile(0, endpoint: Endpoint(address: loopback, port: 4000))
    #expect(try harness.connect(0, back) == ["disconnect 0 the peer is banned"])
  }

  @Test func aVerdictAfterTheSenderLeftIsRemembered() throws {
    let harness = SwarmHarness(".")
    try harness.join(0, "x")
    try fill(harness, 0, from: [0, 0])
    try harness.leave(0)
    // Another peer has the key now; the ban hits the one before.
    try harness.connect(0, harness.profile(5))
    #expect(try harness.fail(0, digests: [1, 2]).first == "ban \(SwarmHarness.address(0))")
    #expect(harness.swarm.isConnected(PeerKey(0)))
  }

  @Test func verdictsOnUnknownPiecesAreHarmless() throws {
    let harness = SwarmHarness("..")
    try harness.join(0, "xx", unchoking: false)
    #expect(try harness.fail(1, digests: nil) == [])
    #expect(try harness.verify(9) == [])
    #expect(try harness.verify(1) == [])
    #expect(try harness.verify(1) == [])
    #expect(harness.swarm.haveCount == 1)
  }

  // MARK: Storage

  @Test func whileStorageFailsNothingMoves() throws {
    let harness = SwarmHarness("x.", blocks: 4)
    try harness.join(0, ".x")
    try harness.say(0, .interested)
    try harness.say(0, .request(harness.block(0, 0)))
    #expect(try harness.send(0, 1, 0) == .wanted)
    let words = try harness.turn { $0.storageFailed(now: harness.now) }
    #expect(
      words.sorted()
        == ["abandon 1", "cancel 0 1.1", "cancel 0 1.2", "cancel 0 1.3", "choke 0", "drop 0 0.0"])
    #expect(try harness.send(0, 1, 1) == .redundant)
    #expect(try harness.say(0, .request(harness.block(0, 1))) == ["reject 0 0.1"])
    #expect(try harness.wait(30).filter { !$0.hasPrefix("keepAlive") } == [])
    try harness.turn { $0.uploadDropped(PeerKey(0), harness.block(0, 0), now: harness.now) }
    let resumed = try harness.turn { $0.storageResumed(now: harness.now) }
    #expect(resumed.filter { $0.hasPrefix("request") }.count == 4 && resumed.contains("unchoke 0"))
  }

  @Test func lostPiecesAreFetchedAgain() throws {
    let harness = SwarmHarness("xx")
    try harness.join(0, "x.")
    let words = try harness.turn {
      $0.piecesLost([PieceIndex(0), PieceIndex(0), PieceIndex(7)], now: harness.now)
    }
    #expect(words == ["dontHave 0 0", "interested 0", "request 0 0.0", "request 0 0.1", "wantMorePeers"])
    #expect(!harness.swarm.isComplete && harness.swarm.missingCount == 1)
  }

  @Test func foundPiecesAreNotFetched() throws {
    let harness = SwarmHarness("..")
    try harness.join(0, "xx")
    let words = try harness.turn { $0.piecesFound([PieceIndex(0)], now: harness.now) }
    #expect(words.contains("abandon 0") && words.contains("cancel 0 0.0") && words.contains("cancel 0 0.1"))
    let end = try harness.turn { $0.piecesFound([PieceIndex(1)], now: harness.now) }
    #expect(end.contains("finished") && end.contains("complete"))
  }

  @Test func aDroppedPieceIsFetchedAgainAndNobodyIsBlamed() throws {
    let harness = SwarmHarness(".")
    try harness.join(0, "x")
    #expect(try harness.send(0, 0, 0) == .wanted)
    let lost = try harness.turn { $0.blockLost(PieceIndex(0), block: 0, now: harness.now) }
    #expect(lost == ["abandon 0", "cancel 0 0.1", "request 0 0.0", "request 0 0.1"])
    let dropped = try harness.turn { $0.pieceDropped(PieceIndex(0), now: harness.now) }
    #expect(dropped == ["cancel 0 0.0", "cancel 0 0.1", "request 0 0.0", "request 0 0.1"])
  }

  // MARK: Wishes

  @Test func whatIsNoLongerWantedIsCancelled() throws {
    let harness = SwarmHarness("..")
    try harness.join(0, "x.")
    #expect(try harness.send(0, 0, 0) == .wanted)
    let words = try harness.turn { $0.prioritiesChanged([.skip, .normal], now: harness.now) }
    #expect(words == ["cancel 0 0.1", "abandon 0", "notInterested 0", "wantMorePeers"])
    let back = try harness.turn { $0.prioritiesChanged(nil, now: harness.now) }
    #expect(back.prefix(3) == ["interested 0", "request 0 0.0", "request 0 0.1"])
  }

  @Test func aSelectionMayBeFinishedFromTheStart() throws {
    let harness = SwarmHarness("x.")
    #expect(
      try harness.turn { $0.prioritiesChanged([.normal, .skip], now: harness.now) }.contains("finished"))
    #expect(harness.swarm.isFinished && !harness.swarm.isComplete)
    #expect(try harness.join(0, ".x").contains("interested 0") == false)
    #expect(
      try harness.turn { $0.prioritiesChanged([.normal, .high], now: harness.now) }.first == "interested 0")
  }

  @Test func aWholePieceThatIsDeselectedMayStillArrive() throws {
    let harness = SwarmHarness("..")
    try harness.join(0, "x.")
    for block in 0..<2 { #expect(try harness.send(0, 0, block) == .wanted) }
    let words = try harness.turn { $0.prioritiesChanged([.skip, .normal], now: harness.now) }
    #expect(words == ["notInterested 0", "wantMorePeers"])
    try harness.verify(0)
    #expect(harness.swarm.has(PieceIndex(0)) && !harness.swarm.isFinished)
  }

  @Test func sequentialPiecesComeInOrder() throws {
    let harness = SwarmHarness("......", blocks: 1)
    harness.swarm.sequentialChanged(true, now: harness.now)
    let words = try harness.join(0, "xxxxxx")
    #expect(SwarmHarness.requests(words, of: 0) == ["0.0", "1.0", "2.0", "3.0"])
  }

  // MARK: Figures

  @Test func aTorrentOfNothingIsComplete() throws {
    let harness = SwarmHarness("")
    #expect(harness.swarm.isComplete && harness.swarm.isFinished)
    #expect(try harness.connect(0) == ["haveAll 0"])
    let snapshot = harness.swarm.snapshot(now: harness.now)
    #expect(snapshot.connectedSeeds == 0 && snapshot.availability == 0)
  }

  @Test func availabilityCountsCopies() throws {
    let harness = SwarmHarness("....")
    try harness.join(0, "xxxx")
    try harness.join(1, "xx..")
    try harness.join(2, "xxx.")
    #expect(harness.swarm.snapshot(now: harness.now).availability == 1.75)
    #expect(harness.swarm.snapshot(now: harness.now).connectedSeeds == 1)
  }
}
