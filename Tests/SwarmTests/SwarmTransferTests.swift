import PeerWire
import Testing
import TorrentModel

@testable import Swarm

/// Blocks in both directions.
@Suite struct SwarmTransferTests {
  // MARK: Asking

  @Test func aPieceComesIn() throws {
    let harness = SwarmHarness(".")
    let words = try harness.join(0, "x")
    #expect(words == ["haveNone 0", "interested 0", "request 0 0.0", "request 0 0.1"])
    #expect(harness.swarm.expectedBlock(PeerKey(0), 1) == harness.block(0, 1))
    #expect(harness.swarm.expectedBlock(PeerKey(0), 2) == nil)
    #expect(try harness.send(0, 0, 0) == .wanted)
    #expect(try harness.send(0, 0, 1) == .wanted)
    #expect(harness.swarm.snapshot(now: harness.now).openPieces == 1)
    #expect(
      try harness.verify(0)
        == ["notInterested 0", "finished", "disconnect 0 neither side needs anything", "complete"])
    let hasPicker = harness.swarm.picker != nil
    #expect(!hasPicker, "nothing is left to pick")
  }

  @Test func nothingIsAskedOfWhoChokesUs() throws {
    let harness = SwarmHarness("...")
    #expect(try harness.join(0, "xxx", unchoking: false) == ["haveNone 0", "interested 0"])
    #expect(try harness.say(0, .unchoke).count == 4)
  }

  @Test func chokingReturnsTheBlocks() throws {
    let harness = SwarmHarness(".")
    try harness.join(0, "x", fast: false)
    try harness.join(1, "x", fast: false, unchoking: false)
    try harness.say(0, .choke)
    #expect(try harness.say(1, .unchoke) == ["request 1 0.0", "request 1 0.1"])
    // What was on its way when the choke was sent comes late, and is good.
    #expect(try harness.send(0, 0, 0) == .wanted)
    #expect(harness.last == ["cancel 1 0.0"])
    // The cancel crossed the block.
    #expect(try harness.send(1, 0, 0) == .redundant)
    #expect(try harness.send(1, 0, 1) == .wanted)
  }

  @Test func withTheFastExtensionRequestsOutliveTheChoke() throws {
    let harness = SwarmHarness(".")
    try harness.join(0, "x")
    try harness.say(0, .choke)
    // They are given to others, but may be answered, still.
    #expect(try harness.join(1, "x").contains("request 1 0.0"))
    #expect(try harness.say(0, .reject(harness.block(0, 0))) == [])
    #expect(try harness.send(0, 0, 1) == .wanted)
    #expect(harness.last == ["cancel 1 0.1"])
    // A peer that keeps to the protocol answers the cancel with a rejection.
    #expect(try harness.say(1, .reject(harness.block(0, 1))) == [])
    #expect(harness.swarm.peers[1].strikes == 0)
  }

  @Test func aRejectedBlockIsAskedOfOthers() throws {
    let harness = SwarmHarness(".")
    try harness.join(0, "x")
    try harness.join(1, "x")
    // The peer is left alone for a second, so that it does not go on for ever.
    #expect(try harness.say(0, .reject(harness.block(0, 0))) == ["request 1 0.0"])
    #expect(try harness.say(0, .reject(harness.block(0, 1))) == ["request 1 0.1"])
    #expect(harness.swarm.peers[0].requests.holdUntil > harness.now)
  }

  @Test func peersThatLeaveReturnTheirBlocks() throws {
    let harness = SwarmHarness(".")
    try harness.join(0, "x")
    try harness.join(1, "x")
    #expect(try harness.send(0, 0, 0) == .wanted)
    let words = try harness.turn {
      $0.peerDisconnected(PeerKey(0), reason: .connectionLost, now: harness.now)
    }
    #expect(words == ["request 1 0.1", "wantMorePeers"])
  }

  @Test func silenceMakesOthersStepIn() throws {
    let harness = SwarmHarness("...")
    try harness.join(0, "x..")
    try harness.join(1, "xxx")
    // Peer 1 has asked for what is left; only piece 0 hangs on peer 0.
    for piece in [1, 2] {
      for block in 0..<2 { _ = try harness.send(1, piece, block) }
      try harness.verify(piece)
    }
    let words = try harness.wait(5)
    // It is late: peer 1 helps before anybody is taken for snubbing.
    #expect(SwarmHarness.requests(words, of: 1) == ["0.0"] || SwarmHarness.requests(words, of: 1) == ["0.1"])
    let later = try harness.wait(70)
    #expect(harness.swarm.peers[0].has(.snubbed))
    #expect(SwarmHarness.requests(later, of: 1).count >= 1)
    // It wakes up: what it sends is taken.
    #expect(try harness.send(0, 0, 0) == .wanted)
    #expect(!harness.swarm.peers[0].has(.snubbed))
  }

  @Test func blocksNobodyAskedForAreToleratedForAWhile() throws {
    let harness = SwarmHarness("..")
    try harness.join(0, "x.")
    var verdicts: Set<String> = []
    var last: [String] = []
    for _ in 0..<100 {
      verdicts.insert("\(try harness.send(0, 1, 0))")
      last += harness.last
    }
    #expect(
      verdicts == ["unrequested", "redundant"], "after the connection is closed, blocks are just dropped")
    #expect(last == ["disconnect 0 blocks that were not requested"])
  }

  @Test func blocksThatAreNoneAreNotTaken() throws {
    let harness = SwarmHarness("..")
    try harness.join(0, "xx")
    for block in [
      BlockRequest(piece: PieceIndex(9), begin: 0, length: 16384),
      BlockRequest(piece: PieceIndex(0), begin: 1, length: 16384),
      BlockRequest(piece: PieceIndex(0), begin: 0, length: 100),
      BlockRequest(piece: PieceIndex(0), begin: .max, length: .max),
    ] {
      let verdict = harness.swarm.blockArrived(PeerKey(0), block, now: harness.now)
      #expect(verdict == .unrequested)
    }
  }

  @Test func allowedPiecesAreAskedForInSpiteOfTheChoke() throws {
    let harness = SwarmHarness("....")
    try harness.join(0, "xx.x", unchoking: false)
    #expect(try harness.say(0, .allowedFast(PieceIndex(2))) == [])
    #expect(try harness.say(0, .allowedFast(PieceIndex(1))) == ["request 0 1.0", "request 0 1.1"])
    // A rejection ends the permission.
    #expect(try harness.say(0, .reject(harness.block(1, 0))) == [])
    #expect(try harness.say(0, .allowedFast(PieceIndex(99))) == [])
  }

  @Test func aSuggestedPieceIsAskedForFirst() throws {
    for piece in 0..<6 {
      let harness = SwarmHarness("......", seed: UInt64(piece))
      try harness.join(0, "xxxxxx", unchoking: false)
      try harness.say(0, .suggest(PieceIndex(piece)))
      try harness.say(0, .suggest(PieceIndex(77)))
      #expect(try harness.say(0, .unchoke).first == "request 0 \(piece).0")
    }
  }

  // MARK: Sharing

  @Test func onePeerGetsALongQueueManyShareTheBudget() throws {
    let one = SwarmHarness(String(repeating: ".", count: 200), blocks: 8)
    one.swarm.openBlockBudget = 600
    try one.join(0, String(repeating: "x", count: 200))
    try pull(one, peers: 1, blocks: 1000)
    #expect(one.swarm.snapshot(now: one.now).requestedBlocks > 200)

    let many = SwarmHarness(String(repeating: ".", count: 200), blocks: 8)
    many.swarm.openBlockBudget = 320
    for peer in 0..<40 { try many.join(peer, String(repeating: "x", count: 200)) }
    try pull(many, peers: 40, blocks: 800)
    let queues = many.swarm.peerSnapshots(now: many.now).map { $0.requestedBlocks }
    #expect(queues.reduce(0, +) <= 320)
    #expect((queues.min() ?? 0) >= 1 && (queues.max() ?? 0) <= 16, "\(queues)")
  }

  /// Every peer sends the next block it was asked for, in turn, a millisecond each.
  private func pull(_ harness: SwarmHarness, peers: Int, blocks: Int) throws {
    var arrived: [Int: Int] = [:]
    for number in 0..<blocks {
      try harness.wait(0.001)
      guard let next = harness.swarm.expectedBlock(PeerKey(number % peers), 0) else { continue }
      let piece = next.piece.offset
      #expect(try harness.send(number % peers, piece, next.blockOffset) == .wanted)
      arrived[piece, default: 0] += 1
      if arrived[piece] == harness.geometry.blockCount(of: next.piece) { try harness.verify(piece) }
    }
  }

  @Test func aPeersLimitIsKept() throws {
    let harness = SwarmHarness(String(repeating: ".", count: 50), blocks: 4)
    try harness.join(0, String(repeating: "x", count: 50), unchoking: false)
    var handshake = ExtendedHandshake()
    handshake.requestQueueLength = 3
    try harness.turn { $0.extendedHandshakeReceived(PeerKey(0), handshake, now: harness.now) }
    #expect(try harness.say(0, .unchoke).count == 3)
    try pull(harness, peers: 1, blocks: 40)
    #expect(harness.swarm.peerSnapshots(now: harness.now)[0].requestedBlocks == 3)
  }

  // MARK: Serving

  private func serving(fast: Bool = true) throws -> SwarmHarness {
    let harness = SwarmHarness("xx.", blocks: 64)
    try harness.join(0, "..x", fast: fast)
    #expect(try harness.say(0, .interested) == ["unchoke 0"])
    return harness
  }

  @Test func requestsAreServedAFewAtATime() throws {
    let harness = try serving()
    for block in 0..<20 {
      harness.swarm.messageReceived(PeerKey(0), .request(harness.block(0, block)), now: harness.now)
    }
    #expect(try harness.turn() == (0..<4).map { "block 0 0.\($0)" })
    // One goes out, another follows.
    let words = try harness.turn { $0.uploadFinished(PeerKey(0), harness.block(0, 0), now: harness.now) }
    #expect(words == ["block 0 0.4"])
    #expect(harness.swarm.peerSnapshots(now: harness.now)[0].uploadQueue == 19)
  }

  @Test func theUploadBudgetIsSharedInTurn() throws {
    let harness = SwarmHarness("xx.", blocks: 64)
    harness.swarm.uploadBlockBudget = 6
    for peer in 0..<3 {
      try harness.join(peer, "..x")
      try harness.say(peer, .interested)
    }
    for peer in 0..<3 {
      for block in 0..<9 {
        harness.swarm.messageReceived(PeerKey(peer), .request(harness.block(0, block)), now: harness.now)
      }
    }
    _ = try harness.turn()
    var served: [Int: Int] = [:]
    for _ in 0..<27 {
      guard let (peer, block) = harness.uploads.first(where: { upload in upload.peer >= 0 }) else { break }
      served[peer, default: 0] += 1
      try finish(harness, peer, block)
      #expect(harness.swarm.uploadsInFlight <= 6)
    }
    #expect(served == [0: 9, 1: 9, 2: 9])
  }

  private func finish(_ harness: SwarmHarness, _ peer: Int, _ block: BlockRequest) throws {
    harness.forget(peer, block)
    try harness.turn { $0.uploadFinished(PeerKey(peer), block, now: harness.now) }
  }

  @Test func whatIsCancelledInTimeIsNotSent() throws {
    let harness = try serving()
    for block in 0..<6 {
      harness.swarm.messageReceived(PeerKey(0), .request(harness.block(0, block)), now: harness.now)
    }
    try harness.turn()
    // One waits here, one is with the driver.
    #expect(try harness.say(0, .cancel(harness.block(0, 5))) == ["reject 0 0.5"])
    #expect(try harness.say(0, .cancel(harness.block(0, 1))) == ["drop 0 0.1"])
    #expect(try harness.say(0, .cancel(harness.block(1, 1))) == [])
    let words = try harness.turn { $0.uploadDropped(PeerKey(0), harness.block(0, 1), now: harness.now) }
    #expect(words == ["reject 0 0.1", "block 0 0.4"])
  }

  @Test(arguments: [true, false]) func aChokeEndsWhatWaits(fast: Bool) throws {
    let harness = try serving(fast: fast)
    for block in 0..<6 {
      harness.swarm.messageReceived(PeerKey(0), .request(harness.block(0, block)), now: harness.now)
    }
    try harness.turn()
    let words = try harness.turn { $0.choke(PeerKey(0), now: harness.now) }
    let rejects = fast ? ["reject 0 0.5", "reject 0 0.4"] : []
    #expect(words == ["choke 0"] + rejects + (0..<4).map { "drop 0 0.\($0)" })
    // What comes now is answered with no.
    #expect(try harness.say(0, .request(harness.block(0, 9))) == (fast ? ["reject 0 0.9"] : []))
  }

  @Test func requestsOutOfBoundsEndTheConnection() throws {
    for (piece, begin, length) in [
      (0, 0, 0), (0, 0, 200_000), (0, 64 * 16384 - 1, 2), (9, 0, 16384), (0, -1, 16384),
    ] {
      let harness = try serving()
      let request = BlockRequest(
        piece: PieceIndex(piece), begin: UInt32(truncatingIfNeeded: begin), length: UInt32(length))
      #expect(
        try harness.say(0, .request(request)) == ["disconnect 0 requests out of bounds or too many at once"])
    }
  }

  @Test func oddRequestsAreServed() throws {
    let harness = try serving()
    let request = BlockRequest(piece: PieceIndex(0), begin: 5, length: 100_000)
    #expect(try harness.say(0, .request(request)).count == 1)
    #expect(harness.swarm.uploadsInFlight == 7)
  }

  @Test func piecesWeLackAreRefusedThenTheConnectionEnds() throws {
    let harness = try serving()
    #expect(try harness.say(0, .request(harness.block(2, 0))) == ["reject 0 2.0"])
    var words: [String] = []
    for _ in 0..<100 { words += try harness.say(0, .request(harness.block(2, 0))) }
    #expect(words.last == "disconnect 0 requests out of bounds or too many at once")
  }

  @Test func thereIsALimitOnRequests() throws {
    let harness = try serving()
    harness.swarm.uploadBlockBudget = 0
    var words: [String] = []
    for number in 0..<(Limits.incomingRequests + 3) {
      words += try harness.say(0, .request(harness.block(0, number % 64)))
    }
    #expect(words == ["reject 0 0.16", "reject 0 0.17", "reject 0 0.18"])
  }

  @Test func newcomersAreGivenAllowedPieces() throws {
    let harness = SwarmHarness(String(repeating: "x", count: 30)) { configuration in
      configuration.allowedFastCount = 3
      configuration.uploadSlots = .fixed(0)
      configuration.sha1 = { _ in Bytes20((0..<20).map { UInt8($0) }) ?? Bytes20() }
    }
    let words = try harness.join(0, String(repeating: ".", count: 30))
    let allowed = words.compactMap { Int($0.split(separator: " ").last ?? "") }
    #expect(words.count { $0.hasPrefix("allowedFast 0") } == 3)
    guard let piece = allowed.last else { return }
    #expect(try harness.say(0, .interested) == [])
    #expect(try harness.say(0, .request(harness.block(piece, 0))) == ["block 0 \(piece).0"])
    let other = (0..<30).first { !allowed.contains($0) } ?? 0
    #expect(try harness.say(0, .request(harness.block(other, 0))) == ["reject 0 \(other).0"])
    // With pieces of its own it has to earn the rest.
    for piece in 0..<3 { try harness.say(0, .have(PieceIndex(piece + 10))) }
    #expect(try harness.say(0, .request(harness.block(piece, 1))) == ["reject 0 \(piece).1"])
  }

  @Test func cachedPiecesAreSuggested() throws {
    let harness = try serving()
    try harness.join(1, "x..")
    try harness.say(1, .interested)
    let words = try harness.turn { $0.pieceCached(PieceIndex(0), now: harness.now + .seconds(10)) }
    #expect(words == ["suggest 0 0"])
    #expect(try harness.turn { $0.pieceCached(PieceIndex(0), now: harness.now + .seconds(11)) } == [])
  }

  // MARK: Choking

  @Test func slotsAreFilledAtOnceAndReassignedInRounds() throws {
    let harness = SwarmHarness("x.") { $0.uploadSlots = .fixed(2) }
    for peer in 0..<4 {
      try harness.join(peer, ".x", unchoking: false)
      let words = try harness.say(peer, .interested)
      #expect(words.contains("unchoke \(peer)") == (peer < 2))
    }
    // One of them gives something; the other's slot is the optimistic one.
    harness.swarm.payloadReceived(PeerKey(3), 100_000, now: harness.now)
    let words = try harness.wait(45)
    #expect(words.contains("unchoke 3"))
    #expect(harness.swarm.peers.count { !$0.has(.choked) } == 2)
    #expect(!harness.swarm.peers[3].has(.choked))
    // When one goes, its slot is free at once.
    #expect(try harness.say(3, .notInterested).contains { $0.hasPrefix("unchoke") })
  }
}
