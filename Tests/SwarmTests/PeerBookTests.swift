import PeerWire
import Testing
import TorrentModel

@testable import Swarm

@Suite struct PeerBookTests {
  private static func configuration(_ change: (inout SwarmConfiguration) -> Void = { _ in })
    -> SwarmConfiguration
  {
    var configuration = SwarmConfiguration(ownPeerID: PeerID(Bytes20()))
    change(&configuration)
    return configuration
  }

  private static func endpoint(_ number: Int, port: UInt16 = 6881) -> Endpoint {
    Endpoint(address: IPAddress(198, 51, UInt8(number / 250), UInt8(number % 250 + 1)), port: port)
  }

  private static func at(_ seconds: Int) -> Moment { .zero + .seconds(seconds) }

  private static func book(
    _ numbers: Range<Int>, _ change: (inout SwarmConfiguration) -> Void = { _ in }
  ) -> (PeerBook, SeededRandom) {
    var book = PeerBook(configuration(change))
    var random = SeededRandom(seed: 1)
    for number in numbers {
      _ = book.add(endpoint(number), source: .tracker, ownEndpoint: nil, random: &random, now: .zero)
    }
    return (book, random)
  }

  @Test func eachIsTriedOnce() throws {
    var (book, random) = Self.book(0..<5)
    let again = book.add(Self.endpoint(3), source: .dht, ownEndpoint: nil, random: &random, now: .zero)
    #expect(!again && book.entry(Self.endpoint(3))?.source == [.tracker, .dht])
    var seen: Set<Endpoint> = []
    while let next = book.takeCandidate(skippingSeeds: false, now: .zero) { seen.insert(next) }
    #expect(seen == Set((0..<5).map { Self.endpoint($0) }))
    #expect(book.connecting == 5)
    try book.checkInvariants()
  }

  @Test func nonsenseIsNotTakenIn() {
    var (book, random) = Self.book(0..<0)
    for text in ["1.2.3.4:0", "0.0.0.0:80", "[::]:80", "224.0.0.1:80", "[ff02::1]:80"] {
      let endpoint = Endpoint(text)
      #expect(endpoint != nil)
      guard let endpoint else { continue }
      let isNew = book.add(endpoint, source: .tracker, ownEndpoint: nil, random: &random, now: .zero)
      #expect(!isNew)
    }
  }

  @Test func aNeighbourIsKnownByItsInterfaceAndNotSaved() throws {
    var (book, random) = Self.book(0..<0)
    let plain = try #require(Endpoint("[fe80::1]:6881"))
    var ranks: Set<UInt32> = []
    for scope in 0..<3 {
      let endpoint = Endpoint(address: plain.address, port: plain.port, scope: UInt16(scope))
      let own = try #require(Endpoint("[fe80::9]:6881"))
      let isNew = book.add(endpoint, source: .local, ownEndpoint: own, random: &random, now: .zero)
      #expect(isNew && book.entry(endpoint) != nil)
      if let rank = book.entry(endpoint)?.rank { ranks.insert(rank) }
    }
    #expect(ranks.count == 1, "both ends must come to the same priority")
    #expect(book.records(limit: 10).map(\.endpoint) == [plain])
    // A ban is of the address, wherever it is seen.
    #expect(book.ban(plain.address) && book.count == 0)
    #expect(book.isBanned(Endpoint(address: plain.address, port: 1, scope: 2)))
    try book.checkInvariants()
  }

  @Test func failuresBackOffAndEnd() throws {
    var (book, random) = Self.book(0..<1)
    var now = 0
    var waits: [ClosedRange<Int>] = [60...75, 120...150, 240...300]
    while book.takeCandidate(skippingSeeds: false, now: Self.at(now)) != nil {
      book.connectFailed(Self.endpoint(0), reason: .connectFailed, random: &random, now: Self.at(now))
      let next = book.nextAttempt(skippingSeeds: false)
      guard next < .distantFuture else { break }
      let wait = Int((next - Self.at(now)).seconds)
      #expect(!waits.isEmpty && waits.removeFirst().contains(wait), "\(wait)")
      #expect(book.takeCandidate(skippingSeeds: false, now: next - .milliseconds(1)) == nil)
      now += wait + 1
    }
    #expect(waits.isEmpty && book.count == 0, "after four failures it is forgotten")
    try book.checkInvariants()
  }

  @Test func theUsersPeersAreNeverForgotten() {
    var (book, random) = Self.book(0..<1)
    _ = book.add(Self.endpoint(0), source: .user, ownEndpoint: nil, random: &random, now: .zero)
    var now = Moment.zero
    for _ in 0..<20 {
      #expect(book.takeCandidate(skippingSeeds: false, now: now) == Self.endpoint(0))
      book.connectFailed(Self.endpoint(0), reason: .connectFailed, random: &random, now: now)
      let next = book.nextAttempt(skippingSeeds: false)
      #expect(next - now <= .seconds(3600 + 900))
      now = next
    }
  }

  struct End: Sendable {
    let reason: DisconnectReason
    var wasUseful = true
    /// Seconds to the next attempt; nil if the peer is forgotten.
    let wait: ClosedRange<Int>?
  }

  @Test(arguments: [
    End(reason: .connectionLost, wait: 10...13),
    End(reason: .connectionLost, wasUseful: false, wait: 60...75),
    End(reason: .closedByPeer, wait: 60...75), End(reason: .paused, wait: 0...0),
    End(reason: .bothComplete, wait: nil), End(reason: .banned, wait: nil),
    End(reason: .replaced, wait: 3600...4500), End(reason: .protocolError, wasUseful: false, wait: 60...75),
  ])
  func theReasonDecidesWhenItIsTriedAgain(end: End) {
    var (book, random) = Self.book(0..<1)
    #expect(book.takeCandidate(skippingSeeds: false, now: .zero) == Self.endpoint(0))
    book.connected(Self.endpoint(0))
    book.disconnected(
      Self.endpoint(0), reason: end.reason, wasUseful: end.wasUseful, isSeed: false, random: &random,
      now: .zero)
    if let wait = end.wait {
      #expect(wait.contains(Int((book.nextAttempt(skippingSeeds: false) - .zero).seconds)))
    } else {
      #expect(book.count == 0)
    }
  }

  @Test func ourselvesAreNotTriedAgain() {
    var (book, random) = Self.book(0..<1)
    _ = book.takeCandidate(skippingSeeds: false, now: .zero)
    book.connectFailed(Self.endpoint(0), reason: .selfConnection, random: &random, now: .zero)
    #expect(book.nextAttempt(skippingSeeds: false) == .distantFuture)
  }

  @Test func seedsAreOfNoUseToSeeds() {
    var (book, random) = Self.book(0..<2)
    while book.takeCandidate(skippingSeeds: false, now: .zero) != nil {}
    for number in 0..<2 {
      book.connected(Self.endpoint(number))
      book.disconnected(
        Self.endpoint(number), reason: .connectionLost, wasUseful: true, isSeed: number == 0, random: &random,
        now: .zero)
    }
    #expect(book.takeCandidate(skippingSeeds: true, now: Self.at(100)) == Self.endpoint(1))
    #expect(book.takeCandidate(skippingSeeds: true, now: Self.at(100)) == nil)
    #expect(book.takeCandidate(skippingSeeds: false, now: Self.at(100)) == Self.endpoint(0))
  }

  @Test func theBookIsBounded() throws {
    var (book, random) = Self.book(0..<500) { $0.maximumKnownPeers = 100 }
    #expect(book.count == 100 && book.entry(Self.endpoint(0)) != nil, "peers that never failed stay")
    // One has failed: it makes room.
    let failed = book.takeCandidate(skippingSeeds: false, now: .zero)
    #expect(failed != nil)
    guard let failed else { return }
    book.connectFailed(failed, reason: .connectFailed, random: &random, now: .zero)
    let isNew = book.add(Self.endpoint(700), source: .tracker, ownEndpoint: nil, random: &random, now: .zero)
    #expect(isNew && book.count == 100 && book.entry(failed) == nil)
    try book.checkInvariants()
  }

  @Test func canonicalPriorityOrdersCandidates() {
    let own = Self.endpoint(240)
    var book = PeerBook(Self.configuration())
    var random = SeededRandom(seed: 1)
    let peers = (0..<20).map { Self.endpoint($0 * 11) }
    _ = book.add(peers[0], source: .tracker, ownEndpoint: own, random: &random, now: .zero)
    for peer in peers.dropFirst() {
      _ = book.add(peer, source: .tracker, ownEndpoint: nil, random: &random, now: .zero)
    }
    book.rerank(ownEndpoint: own)
    var order: [UInt32] = []
    while let next = book.takeCandidate(skippingSeeds: false, now: .zero) {
      order.append(PeerPriority.priority(own, next) ?? 0)
    }
    #expect(order.count == 20 && order == order.sorted(by: >))
  }

  @Test func bansHoldForTheAddress() throws {
    var (book, random) = Self.book(0..<3)
    let isNew = book.ban(Self.endpoint(1).address)
    let twice = book.ban(Self.endpoint(1).address)
    #expect(isNew && !twice && book.count == 2)
    #expect(book.isBanned(Self.endpoint(1, port: 9999)) && !book.isBanned(Self.endpoint(0)))
    let back = book.add(Self.endpoint(1), source: .tracker, ownEndpoint: nil, random: &random, now: .zero)
    #expect(!back)
    try book.checkInvariants()
  }

  @Test func anIPv6HostIsBannedWithItsNetwork() {
    var book = PeerBook(Self.configuration())
    let address = IPAddress(high: 0x2001_0db8_0001_0002, low: 5)
    let isNew = book.ban(address)
    #expect(isNew && book.isBanned(Endpoint(address: IPAddress(high: address.high, low: 99), port: 1)))
    #expect(!book.isBanned(Endpoint(address: IPAddress(high: address.high + 1, low: 5), port: 1)))
  }

  @Test func onLoopbackThePeerIsBannedNotTheMachine() {
    var book = PeerBook(Self.configuration())
    var random = SeededRandom(seed: 1)
    let loopback = IPAddress(127, 0, 0, 1)
    let liar = SenderTable.Sender(
      endpoint: Endpoint(address: loopback, port: 1000), peerID: PeerID(prefix: "-XX-", using: &random))
    let other = SenderTable.Sender(
      endpoint: Endpoint(address: loopback, port: 2000), peerID: PeerID(prefix: "-XX-", using: &random))
    let isNew = book.ban(loopback)
    book.ban(liar)
    #expect(!isNew && book.isBanned(liar) && !book.isBanned(other))
    #expect(book.isBanned(SenderTable.Sender(endpoint: other.endpoint, peerID: liar.peerID)))
  }
}
