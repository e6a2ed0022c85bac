import PeerWire
import Testing
import TorrentModel

@testable import Swarm

@Suite struct MetadataFetchTests {
  static let seven = 6 * Metadata.pieceLength + 1000

  @Test(arguments: [1, 16_383, 16_384, 16_385, seven, 40 * 16_384])
  func onePeerIsEnough(length: Int) {
    var harness = MetadataHarness(length: length)
    _ = harness.join(.honest)
    harness.run()
    #expect(harness.result == harness.metadata && harness.fetch.isComplete)
    #expect(harness.peers[0].mostOpen <= 4)
    #expect(harness.fetch.nextDeadline == .distantFuture && harness.fetch.progress == nil)
  }

  @Test func piecesAreSpreadOverPeers() {
    var harness = MetadataHarness(length: 64 * Metadata.pieceLength)
    for _ in 0..<16 { _ = harness.join(.honest) }
    harness.run()
    #expect(harness.result == harness.metadata)
    #expect(harness.peers.allSatisfy { $0.served >= 2 }, "\(harness.peers.map(\.served))")
    #expect(harness.peers.reduce(0) { $0 + $1.served } < 64 + 24)
  }

  @Test func progressIsCounted() throws {
    var harness = MetadataHarness(length: Self.seven) { $0.requestsPerPeer = 1 }
    #expect(harness.fetch.progress == nil)
    let key = harness.join(.silent)
    for piece in 0..<7 {
      let progress = try #require(harness.fetch.progress)
      #expect(progress == (piece, 7))
      let range = try #require(Metadata.range(ofPiece: piece, length: Self.seven))
      harness.fetch.dataArrived(
        from: key, piece: piece, totalLength: nil, bytes: Array(harness.metadata[range]), now: harness.now)
      harness.carryOut()
    }
    #expect(harness.result == harness.metadata)
  }

  @Test func thoseThatGiveNothingDoNotHoldItUp() {
    var harness = MetadataHarness(length: Self.seven)
    for _ in 0..<5 { _ = harness.join(.silent) }
    for _ in 0..<5 { _ = harness.join(.rejects) }
    harness.run(seconds: 60)
    #expect(harness.result == nil)
    _ = harness.join(.honest)
    harness.run(seconds: 60)
    #expect(harness.result == harness.metadata)
    #expect(harness.banned.isEmpty && harness.disconnected.isEmpty)
  }

  /// A peer that refused, or was silent, may have it later.
  @Test func whoRefusedIsAskedAgain() {
    for behaviour in [MetadataHarness.Behaviour.rejects, .silent] {
      var harness = MetadataHarness(length: Self.seven)
      let key = harness.join(behaviour)
      harness.run(seconds: 100)
      #expect(harness.result == nil)
      harness.peers[key.offset].behaviour = .honest
      harness.run(seconds: 1300)
      #expect(harness.result == harness.metadata)
    }
  }

  @Test func lateAnswersCount() {
    var harness = MetadataHarness(length: Self.seven)
    _ = harness.join(.late(.seconds(12)))
    harness.run(seconds: 300)
    #expect(harness.result == harness.metadata)
    #expect(harness.disconnected.isEmpty)
  }

  @Test func peersComeAndGo() {
    var harness = MetadataHarness(length: 30 * Metadata.pieceLength)
    for _ in 0..<10 {
      let key = harness.join(.late(.seconds(2)))
      harness.run(seconds: 1)
      harness.leave(key)
    }
    #expect(harness.result == nil)
    _ = harness.join(.honest)
    harness.run()
    #expect(harness.result == harness.metadata)
  }

  // MARK: Liars

  @Test func aLoneLiarIsConvictedAtOnce() {
    var harness = MetadataHarness(length: Self.seven)
    _ = harness.join(.lies)
    harness.run(seconds: 60)
    #expect(harness.result == nil && harness.banned == [MetadataHarness.endpoint(0)])
    _ = harness.join(.honest)
    harness.run(seconds: 60)
    #expect(harness.result == harness.metadata)
  }

  /// Whoever mixed wrong pieces in is found, and nobody else.
  @Test(arguments: 1...20)
  func liarsAmongOthersAreFound(seed: UInt64) {
    var harness = MetadataHarness(length: Self.seven + Int(seed) * 3000, seed: seed)
    var random = SeededRandom(seed: seed)
    var honest = 0
    for _ in 0..<12 {
      switch random.next() % 4 {
      case 0: _ = harness.join(.lies)
      case 1: _ = harness.join(.liesAbout([Int(random.next() % 7)]))
      default:
        honest += 1
        _ = harness.join(.honest)
      }
    }
    guard honest > 0 else { return }
    harness.run(seconds: 120)
    #expect(harness.result == harness.metadata)
    #expect(Set(harness.banned).isSubset(of: harness.liars))
    // Each wrong piece was somebody's.
    let served = harness.peers.filter { peer in
      if case .lies = peer.behaviour { return peer.served > 0 } else { return false }
    }
    #expect(Set(served.map(\.endpoint)).isSubset(of: Set(harness.banned)))
  }

  @Test func manyLiarsAndOneHonestPeer() {
    var harness = MetadataHarness(length: Self.seven)
    for _ in 0..<60 { _ = harness.join(.lies) }
    _ = harness.join(.honest)
    harness.run(seconds: 120)
    #expect(harness.result == harness.metadata)
    #expect(!harness.banned.contains(MetadataHarness.endpoint(60)))
  }

  @Test func aLiarThatLeftIsConvictedAllTheSame() {
    var harness = MetadataHarness(length: Self.seven)
    let liar = harness.join(.lies)
    harness.run(seconds: 0)
    while harness.peers[liar.offset].served == 0 { harness.run(seconds: 1) }
    // Its pieces are in the mixture already, or it was alone and is convicted.
    harness.leave(liar)
    _ = harness.join(.honest)
    harness.run(seconds: 60)
    #expect(harness.result == harness.metadata)
    #expect(harness.banned == [MetadataHarness.endpoint(0)])
  }

  // MARK: Lengths

  @Test func whatMostClaimIsFetchedAndOthersBesideIt() {
    var harness = MetadataHarness(length: Self.seven)
    for index in 0..<20 { _ = harness.join(.lies, length: Self.seven + 1 + index % 4) }
    for _ in 0..<3 { _ = harness.join(.honest) }
    harness.run(seconds: 60)
    #expect(harness.result == harness.metadata)
    #expect(Set(harness.banned).isSubset(of: harness.liars))
  }

  @Test(arguments: [0, -1, Limits.metadataLength + 1, 1 << 31, Int.max])
  func impossibleLengthsAreNotBelieved(length: Int) {
    var harness = MetadataHarness(length: Self.seven)
    _ = harness.join(.silent, length: length)
    #expect(harness.fetch.progress == nil && harness.fetch.nextDeadline == .distantFuture)
  }

  /// A crowd claims as much as it may, and gives all of it slowly; memory stays within what is written.
  @Test func memoryIsBounded() {
    let limit = 4 << 20
    var harness = MetadataHarness(length: Self.seven) { $0.lengthLimit = limit }
    for index in 0..<40 { _ = harness.join(.honest, length: limit - index / 2) }
    for index in 0..<100 { _ = harness.join(.honest, length: 300_000 + index) }
    harness.run(seconds: 20)
    #expect(harness.greatestHeld > limit / 2 && harness.greatestHeld <= 2 * limit + limit / 2)
    _ = harness.join(.honest)
    harness.run(seconds: 60)
    #expect(harness.result == harness.metadata)
  }

  @Test func manyClaimsOfOneAddressAreOne() {
    var harness = MetadataHarness(length: Self.seven) { $0.lengthLimit = 300_000 }
    let address = IPAddress(192, 0, 2, 1)
    for port in 1...50 {
      _ = harness.join(.silent, length: 290_000, at: Endpoint(address: address, port: UInt16(port)))
    }
    for _ in 0..<2 { _ = harness.join(.honest) }
    #expect(harness.fetch.groups.first?.length == Self.seven && harness.fetch.groups.first?.votes == 2)
    harness.run(seconds: 10)
    #expect(harness.result == harness.metadata)
  }

  @Test func theLengthDoesNotChange() {
    var harness = MetadataHarness(length: Self.seven)
    let first = harness.join(.silent)
    harness.fetch.offered(by: first, at: harness.peers[0].endpoint, length: Self.seven, now: .zero)
    harness.carryOut()
    #expect(harness.disconnected.isEmpty)
    harness.fetch.offered(by: first, at: harness.peers[0].endpoint, length: Self.seven + 1, now: .zero)
    harness.carryOut()
    #expect(harness.disconnected == [first: .lengthChanged])
    let second = harness.join(.silent)
    harness.fetch.dataArrived(
      from: second, piece: 0, totalLength: 5, bytes: [UInt8](repeating: 0, count: 16_384), now: .zero)
    harness.carryOut()
    #expect(harness.disconnected[second] == .lengthChanged)
  }

  @Test func piecesOfTheWrongLengthAreRefused() {
    for (piece, count) in [(0, 16_383), (6, 999), (6, 16_384)] {
      var harness = MetadataHarness(length: Self.seven) { $0.requestsPerPeer = 7 }
      let key = harness.join(.silent)
      harness.fetch.dataArrived(
        from: key, piece: piece, totalLength: nil, bytes: [UInt8](repeating: 0, count: count), now: .zero)
      harness.carryOut()
      #expect(harness.disconnected[key] == .wrongLength)
    }
  }

  @Test func piecesNobodyAskedForEndTheConnection() {
    var harness = MetadataHarness(length: 40 * Metadata.pieceLength)
    let key = harness.join(.silent)
    for count in 1...20 where harness.disconnected.isEmpty {
      let whole = [UInt8](repeating: 0, count: Metadata.pieceLength)
      harness.fetch.dataArrived(from: key, piece: 39, totalLength: nil, bytes: whole, now: .zero)
      harness.carryOut()
      #expect(harness.disconnected.isEmpty == (count <= MetadataFetch.strikeLimit))
    }
    #expect(harness.disconnected[key] == .unrequested)
    // Of strangers nothing counts, and rejections of what was not asked for do nothing.
    harness.fetch.dataArrived(from: PeerKey(500), piece: 0, totalLength: nil, bytes: [1], now: .zero)
    harness.fetch.rejected(by: PeerKey(500), piece: 0, now: .zero)
    #expect(harness.fetch.actions.isEmpty)
  }

  /// Any order of events leaves the machine able to go on.
  @Test(arguments: 1...40)
  func drawnSequencesEndWell(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var harness = MetadataHarness(length: Int(random.next() % 200_000) + 1, seed: seed)
    var keys: [PeerKey] = []
    for _ in 0..<60 where harness.result == nil {
      switch random.next() % 7 {
      case 0: keys.append(harness.join(.honest, length: Int(random.next() % 300_000)))
      case 1: keys.append(harness.join(.lies))
      case 2: keys.append(harness.join(.silent))
      case 3: keys.append(harness.join(.rejects))
      case 4: if let key = keys.randomElement(using: &random) { harness.leave(key) }
      case 5:
        if let key = keys.randomElement(using: &random), !harness.peers[key.offset].isGone {
          let piece = Int(random.next() % 14)
          harness.fetch.dataArrived(
            from: key, piece: piece, totalLength: nil,
            bytes: [UInt8](repeating: 1, count: Int(random.next() % 17_000)), now: harness.now)
          harness.carryOut()
        }
      default: harness.run(seconds: Int(random.next() % 40))
      }
    }
    _ = harness.join(.honest)
    harness.run(seconds: 3000)
    #expect(harness.result == harness.metadata)
  }
}

@Suite struct MetadataServerTests {
  @Test func anHonestPeerGetsEverything() {
    var server = MetadataServer(length: 100 * Metadata.pieceLength - 5, isPrivate: false, now: .zero)
    #expect(server.offeredLength == 100 * Metadata.pieceLength - 5)
    for piece in 0..<100 { #expect(server.requested(by: PeerKey(0), piece: piece, now: .zero) == .data) }
    #expect(server.requested(by: PeerKey(0), piece: 100, now: .zero) == .reject)
  }

  @Test func nobodyGetsItOverAndOver() {
    var server = MetadataServer(length: 16_384, isPrivate: false, now: .zero)
    var given = 0
    var last = MetadataServer.Answer.data
    for _ in 0..<1000 {
      last = server.requested(by: PeerKey(3), piece: 0, now: .zero)
      if last == .data { given += 1 }
    }
    #expect(given == 10 && last == .disconnect)
    // Time brings some more, and another peer, or the next one under the key, has its own.
    #expect(server.requested(by: PeerKey(3), piece: 0, now: .zero + .seconds(60)) == .data)
    #expect(server.requested(by: PeerKey(0), piece: 0, now: .zero) == .data)
    server.peerLeft(PeerKey(3))
    #expect(server.requested(by: PeerKey(3), piece: 0, now: .zero) == .data)
  }

  @Test func allTogetherGetNoMoreThanTheRate() {
    var server = MetadataServer(
      length: 1 << 20, isPrivate: false, bytesPerSecond: 1 << 20, now: .zero)
    var given = 0
    for second in 0..<10 {
      for key in 0..<50 {
        for piece in 0..<8
        where server.requested(by: PeerKey(key), piece: piece, now: .zero + .seconds(second)) == .data {
          given += 1
        }
      }
    }
    // A quarter of a second's worth may be saved up.
    #expect((9 * 16...10 * 64).contains(given), "\(given)")
  }

  @Test func nothingIsGivenOfWhatIsNotHereOrPrivate() {
    for var server in [
      MetadataServer(length: nil, isPrivate: false, now: .zero),
      MetadataServer(length: 1000, isPrivate: true, now: .zero),
    ] {
      #expect(server.offeredLength == nil)
      #expect(server.requested(by: PeerKey(0), piece: 0, now: .zero) == .reject)
    }
  }
}
