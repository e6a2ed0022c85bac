import Testing
import TorrentModel

@testable import DHT

/// What strangers can do to us, and to others by way of us.
@Suite struct StrangerTests {
  static let hash = NodeID(hex: "1234567890abcdef1234567890abcdef12345678")!

  /// A node with a full table, peers and items.
  static func rich(_ configuration: DHTConfiguration = .plain, seed: UInt64 = 1) -> Lone {
    var lone = Lone(configuration, seed: seed)
    guard let own = lone.node.id(in: .v4) else { return lone }
    for number in 0..<200 {
      let endpoint = RoutingTableTests.endpoint(number)
      let id = own.neighbor(sharing: number / 12, using: &lone.random)
      lone.node.families[0]?.table.nodeReplied(id, at: endpoint, roundTrip: .milliseconds(9), now: lone.now)
    }
    for number in 0..<300 {
      let peer = Endpoint(address: IPAddress(v4: 0x2200_0000 + UInt32(number) << 8), port: 99)
      _ = lone.node.peers.announce(
        hash, peer, isSeed: number % 3 == 0, bits: .init(hash: sha1(peer.address.compactBytes.span)),
        ownID: own,
        now: lone.now)
    }
    let item = DHTItem(value: Array("900:".utf8) + [UInt8](repeating: 1, count: 900))
    try? lone.node.items.put(item, at: hash, expecting: nil, ownID: own, now: lone.now)
    return lone
  }

  static func queries(_ id: NodeID, readOnly: Bool = false, version: UInt32? = 0x4c54_0201) -> [[UInt8]] {
    let header = KRPCQuery.Header(id: id, version: version, isReadOnly: readOnly)
    let all: [KRPCQuery] = [
      .ping, .findNode(hash), .getPeers(hash, noSeeds: false, scrape: false),
      .getPeers(hash, noSeeds: false, scrape: true), .get(hash, sequence: nil), .sampleInfoHashes(hash),
      .announcePeer(hash, port: 1, impliesPort: false, isSeed: false, token: [1, 2, 3, 4]),
      .put(DHTItem(value: [0x69, 0x31, 0x65]), expectedSequence: nil, token: [1, 2, 3, 4]),
    ]
    return all.map { $0.encoded(Transaction(5), header) }
      + [
        "d1:ad2:id3:abce1:q4:ping1:t1:a1:y1:qe", "d1:q4:ping1:t1:a1:y1:qe",
        "d1:ad2:id20:abcdefghij0123456789e1:q1:x1:t1:a1:y1:qe", "d1:t1:a1:y1:qe",
      ].map { Array($0.utf8) }
  }

  /// A spoofed source never gets more bytes than it sent: any queries, in any order, from a few addresses that never
  /// answer.
  @Test(arguments: 1...8) func reflection(_ seed: Int) {
    var lone = Self.rich(seed: UInt64(seed))
    var random = SeededRandom(seed: UInt64(seed))
    let victims = (0..<6).map { _ in Net.publicV4(&random) }
    var received: [IPAddress: Int] = [:]
    var sent: [IPAddress: Int] = [:]
    let samples = Self.queries(NodeID(using: &random)) + Self.queries(NodeID(using: &random), readOnly: true)
    var answered = 0
    for _ in 0..<1500 {
      var victim = victims[Int.random(in: victims.indices, using: &random)]
      victim.port = UInt16.random(in: 1...3, using: &random)
      let query = samples[Int.random(in: samples.indices, using: &random)]
      received[victim.address, default: 0] += query.count
      var out = lone.receive(query, from: victim)
      if Int.random(in: 0..<10, using: &random) == 0 {
        out += lone.pass(.milliseconds(Int.random(in: 0..<20_000, using: &random)))
      }
      for (bytes, to) in out where victims.contains(where: { $0.address == to.address }) {
        sent[to.address, default: 0] += bytes.count
        answered += 1
      }
      for victim in victims {
        #expect(sent[victim.address, default: 0] <= received[victim.address, default: 0])
      }
    }
    #expect(answered > 200, "and yet there are answers")
    #expect(lone.node.statistics.challengesSent > 50)
    #expect(
      lone.node.families[0]?.table.nextToPing(lone.now).map { slot in
        victims.contains { $0.address == lone.node.families[0]?.table.slots[slot].address }
      } != true)
  }

  /// Who proves itself gets the whole answer to what it asked, and from then on at once.
  @Test func proof() throws {
    var lone = Self.rich()
    let sender = Endpoint("99.1.2.3:1000")!
    let id = NodeID(for: sender.address, using: &lone.random)
    let query = KRPCQuery.getPeers(NodeID(using: &lone.random), noSeeds: false, scrape: false).encoded(
      Transaction(5), .init(id: id))
    let first = lone.receive(query, from: sender)
    let challenge = try #require(first.first)
    #expect(first.count == 1 && challenge.to == sender)
    #expect(decoded(challenge.bytes)?.method == .ping)
    // Others cannot answer for it, nor it with another number.
    let right = reply(to: challenge.bytes, id: id)
    #expect(lone.receive(right, from: Endpoint("99.1.2.3:1001")!).isEmpty)
    #expect(lone.receive(right, from: Endpoint("99.1.2.4:1000")!).isEmpty)
    var wrong = right
    wrong[wrong.count - 8] ^= 1
    #expect(lone.receive(wrong, from: sender).isEmpty)
    #expect(lone.node.statistics.unsolicitedReplies == 3)
    let answer = try #require(lone.receive(right, from: sender).first)
    let message = try KRPCMessage.decode(answer.bytes.span)
    #expect(message.kind == .reply && message.nodes?.count == 8 * 26 && message.token?.count == 8)
    #expect(message.observed == sender && message.isCanonical)
    #expect(lone.node.families[0]?.table.slot(of: id) != nil, "and it is a node of ours")
    let again = lone.receive(query, from: sender)
    #expect(again.count == 1 && again.first?.bytes.count ?? 0 > 300)
    // The proof wears off.
    _ = lone.pass(.seconds(16 * 60))
    #expect(lone.receive(query, from: sender).first?.bytes.count ?? 0 <= query.count)
  }

  /// A sender that cannot be asked gets short answers: in turn with challenges, or at once if it says so (BEP 43).
  @Test func shortAnswers() throws {
    var lone = Self.rich()
    let sender = Endpoint("99.1.2.3:1000")!
    let id = NodeID(for: sender.address, using: &lone.random)
    let query = KRPCQuery.getPeers(Self.hash, noSeeds: false, scrape: false)
    // As others write it: ours would be long enough for the whole answer.
    var closed = query.encoded(Transaction(5), .init(id: id, version: 0x4c54_0201))
    closed.replaceSubrange(closed.count - 25..<closed.count - 25, with: Array("2:roi1e".utf8))
    #expect(decoded(closed)?.isReadOnly == true && decoded(closed)?.isCanonical == true)
    let answer = try #require(lone.receive(closed, from: sender).first)
    let message = try KRPCMessage.decode(answer.bytes.span)
    #expect(message.kind == .reply && message.token != nil && answer.bytes.count <= closed.count)
    // With the token it announces, and that is its proof.
    let token = KRPCMessage.copy(try #require(message.token), of: answer.bytes.span)
    let announce = KRPCQuery.announcePeer(Self.hash, port: 9, impliesPort: false, isSeed: false, token: token)
    let acknowledged = lone.receive(
      announce.encoded(Transaction(6), .init(id: id, isReadOnly: true)), from: sender)
    #expect(decoded(acknowledged.first?.bytes)?.kind == .reply)
    #expect(lone.receive(closed, from: sender).first?.bytes.count ?? 0 > 600)
    #expect(lone.node.families[0]?.table.slot(of: id) == nil, "a read-only node gets no place")

    // What we send ourselves where we cannot be asked is paid for in advance.
    let own = query.encoded(Transaction(5), .init(id: id, isReadOnly: true))
    let paid = lone.receive(own, from: Endpoint("97.1.2.3:1000")!)
    #expect(own.count == 424 && decoded(paid.first?.bytes)?.nodes?.count ?? 0 >= 3 * 26)
    let other = Endpoint("98.1.2.3:1000")!
    let open = query.encoded(Transaction(5), .init(id: NodeID(using: &lone.random)))
    let kinds = (0..<4).map { _ in
      lone.receive(open, from: other).first.flatMap { try? KRPCMessage.decode($0.bytes.span).kind }
    }
    #expect(kinds == [.query, .reply, .query, .reply])
  }

  @Test func unsolicitedReplies() throws {
    var lone = Lone()
    let target = Endpoint("50.0.0.1:5")!
    lone.node.ping(target, as: LookupID(1), now: lone.now, random: &lone.random, into: &lone.actions)
    let query = try #require(lone.sent().last)
    let id = NodeID(for: target.address, using: &lone.random)
    let right = reply(to: query.bytes, id: id, content: "5:nodes26:\(String(repeating: "n", count: 26))")
    #expect(lone.receive(right, from: Endpoint("50.0.0.2:5")!).isEmpty)
    #expect(lone.receive(right, from: Endpoint("50.0.0.1:6")!).isEmpty)
    #expect(lone.receive("d1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re", from: target).isEmpty)
    #expect(lone.receive("d1:rd2:id20:mnopqrstuvwxyz123456e1:t4:aaaa1:y1:re", from: target).isEmpty)
    #expect(lone.receive("d1:eli201e1:xe1:t4:aaaa1:y1:ee", from: target).isEmpty)
    #expect(lone.node.statistics.unsolicitedReplies == 5)
    #expect(lone.node.families[0]?.table.count == 0)
    _ = lone.receive(right, from: target)
    #expect(lone.node.families[0]?.table.count == 1 && lone.node.statistics.repliesReceived == 1)
    _ = lone.receive(right, from: target)
    #expect(lone.node.statistics.unsolicitedReplies == 6, "an answer counts once")
    let ends = lone.actions.count { if case .queryFinished = $0 { true } else { false } }
    #expect(ends == 1)
  }

  @Test func tokens() throws {
    var random = SeededRandom(seed: 1)
    var mint = TokenMint(sha1: sha1, now: .zero, random: &random)
    let address = IPAddress(1, 2, 3, 4)
    func bytes(_ token: UInt64) -> [UInt8] {
      (0..<8).map { UInt8(truncatingIfNeeded: token >> UInt64(56 - 8 * $0)) }
    }
    let token = bytes(mint.token(for: address, Self.hash))
    func isTaken(_ token: [UInt8], _ address: IPAddress, _ target: NodeID) -> Bool {
      mint.accepts(token.span, from: address, target)
    }
    #expect(isTaken(token, address, Self.hash))
    #expect(!isTaken(token, IPAddress(1, 2, 3, 5), Self.hash))
    #expect(!isTaken(token, address, NodeID(using: &random)))
    #expect(!isTaken([], address, Self.hash) && !isTaken(Array(token.dropLast()), address, Self.hash))
    for bit in 0..<64 {
      var forged = token
      forged[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(!isTaken(forged, address, Self.hash))
    }
    mint.rotate(now: .seconds(299), random: &random)
    #expect(bytes(mint.token(for: address, Self.hash)) == token)
    mint.rotate(now: .seconds(301), random: &random)
    #expect(bytes(mint.token(for: address, Self.hash)) != token)
    #expect(isTaken(token, address, Self.hash), "the last secret's are taken")
    mint.rotate(now: .seconds(602), random: &random)
    #expect(!isTaken(token, address, Self.hash))
    let last = bytes(mint.token(for: address, Self.hash))
    mint.rotate(now: .seconds(5000), random: &random)
    #expect(!isTaken(last, address, Self.hash), "after a pause all are too old")
  }

  /// Announces and puts with forged tokens leave nothing behind.
  @Test func forgedTokens() {
    var lone = Lone()
    var random = SeededRandom(seed: 3)
    for round in 0..<3000 {
      if round % 1000 == 0 { _ = lone.pass(.seconds(1)) }
      let sender = Net.publicV4(&random)
      let id = NodeID(using: &random)
      let token = (0..<8).map { _ in UInt8.random(in: 0...255, using: &random) }
      let queries: [KRPCQuery] = [
        .announcePeer(id, port: 1, impliesPort: false, isSeed: false, token: token),
        .put(DHTItem(value: [0x69, 0x31, 0x65]), expectedSequence: nil, token: token),
      ]
      for query in queries { _ = lone.receive(query.encoded(Transaction(1), .init(id: id)), from: sender) }
    }
    let status = lone.node.status(now: lone.now)
    #expect(status.storedPeers == 0 && status.storedItems == 0 && status.storedTorrents == 0)
    #expect(status.statistics.badTokens == 6000)
    #expect(lone.node.sources.capacity <= 512 && lone.node.held.count <= 64)
  }

  /// Several clients may be behind one address, and none of them can fill a torrent.
  @Test func peersAtOneAddress() {
    var random = SeededRandom(seed: 5)
    var store = PeerStore(limits: .init(torrents: 2, peersPerTorrent: 6, peers: 100, lifetime: .seconds(60)))
    let bits = BloomFilter.Bits(hash: Bytes20())
    func announce(_ last: UInt8, _ port: UInt16, at seconds: Double) -> Bool {
      store.announce(
        Self.hash, Endpoint(address: IPAddress(9, 9, 9, last), port: port), isSeed: false, bits: bits,
        ownID: .zero, now: .seconds(seconds))
    }
    func ports(_ last: UInt8) -> [UInt16] {
      var ports: [UInt16] = []
      store.forEachPeer(at: 0, isV4: true, limit: 100, noSeeds: false, random: &random) { peer in
        if peer.address == IPAddress(9, 9, 9, last) { ports.append(peer.port) }
      }
      return ports.sorted()
    }
    for port in 1...4 { #expect(announce(1, UInt16(port), at: Double(port))) }
    #expect(announce(1, 2, at: 5))
    #expect(ports(1) == [1, 2, 3, 4] && store.peerCount == 4)
    // The oldest makes room, of the same address only.
    #expect(announce(1, 9, at: 6))
    #expect(ports(1) == [2, 3, 4, 9])
    #expect(announce(2, 1, at: 7) && announce(3, 1, at: 7))
    // Now the torrent is full: an address that is there keeps its share.
    #expect(!store.accepts(Self.hash, at: 0, from: IPAddress(9, 9, 9, 4)) && !announce(4, 1, at: 8))
    #expect(store.accepts(Self.hash, at: 0, from: IPAddress(9, 9, 9, 2)) && announce(2, 7, at: 8))
    #expect(ports(2) == [7] && store.peerCount == 6)
  }

  /// What is stored is bounded, and what is nearest to us stays.
  @Test func storageFloods() throws {
    var configuration = DHTConfiguration.plain
    configuration.maximumTorrents = 40
    configuration.maximumPeersPerTorrent = 10
    configuration.maximumStoredPeers = 200
    configuration.maximumItems = 30
    var lone = Lone(configuration)
    let own = try #require(lone.node.id(in: .v4))
    var random = SeededRandom(seed: 5)
    func announce(_ hash: NodeID, _ sender: Endpoint, port: Int) -> KRPCMessage? {
      let token = lone.node.mint.token(for: sender.address, hash)
      let bytes = (0..<8).map { UInt8(truncatingIfNeeded: token >> UInt64(56 - 8 * $0)) }
      let query = KRPCQuery.announcePeer(
        hash, port: UInt16(port), impliesPort: false, isSeed: false, token: bytes)
      return lone.receive(query.encoded(Transaction(1), .init(id: hash)), from: sender).last
        .flatMap { try? KRPCMessage.decode($0.bytes.span) }
    }
    let nearest = own.neighbor(sharing: 30, using: &random)
    #expect(announce(nearest, Net.publicV4(&random), port: 1)?.kind == .reply)
    for _ in 0..<500 { _ = announce(NodeID(using: &random), Net.publicV4(&random), port: 1) }
    #expect(lone.node.peers.torrentCount == 40 && lone.node.peers.place(of: nearest) != nil)
    for _ in 0..<50 { _ = announce(nearest, Net.publicV4(&random), port: 1) }
    let place = try #require(lone.node.peers.place(of: nearest))
    #expect(lone.node.peers.peerCount(at: place, isV4: true) == 10)
    // No token where there is no room (BEP 33), unless the asker is stored already.
    let stranger = Net.publicV4(&random)
    #expect(!lone.node.peers.accepts(nearest, at: place, from: stranger.address))
    #expect(announce(nearest, stranger, port: 1)?.errorCode == 202)
    #expect(announce(nearest, stranger, port: 0)?.errorCode == 203, "no port is no peer")
    for _ in 0..<500 {
      _ = announce(own.neighbor(sharing: 12, using: &random), Net.publicV4(&random), port: 1)
    }
    for _ in 0..<40 {
      for _ in 0..<10 {
        _ = announce(own.neighbor(sharing: 31, using: &random), Net.publicV4(&random), port: 1)
      }
    }
    #expect(lone.node.peers.peerCount <= 200 && lone.node.peers.torrentCount == 40)
    for number in 0..<200 {
      let item = DHTItem(value: Array("i\(number)e".utf8))
      try? lone.node.items.put(item, at: item.target(sha1: sha1), expecting: nil, ownID: own, now: lone.now)
    }
    #expect(lone.node.items.count == 30)
    _ = lone.pass(.seconds(46 * 60))
    #expect(
      lone.node.peers.peerCount == 0 && lone.node.peers.torrentCount == 0 && lone.node.items.count == 30)
    _ = lone.pass(.seconds(76 * 60))
    #expect(lone.node.items.count == 0)
  }

  @Test func rates() {
    var configuration = DHTConfiguration.plain
    configuration.queriesPerSecondAndAddress = 2
    configuration.queryBurstPerAddress = 10
    configuration.queriesPerSecond = 50
    var lone = Lone(configuration)
    let ping = Array("d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe".utf8)
    let sender = Endpoint("1.2.3.4:6881")!
    func answers(_ count: Int, _ sender: Endpoint) -> Int {
      (0..<count).count { _ in !lone.receive(ping, from: sender).isEmpty }
    }
    #expect(answers(40, sender) == 10)
    #expect(answers(1, Endpoint("1.2.3.5:6881")!) == 1, "others are served")
    _ = lone.pass(.seconds(1))
    #expect(answers(40, sender) == 2)
    _ = lone.pass(.seconds(2))
    var random = SeededRandom(seed: 2)
    #expect((0..<200).count { _ in answers(1, Net.publicV4(&random)) == 1 } == 50)
    #expect(lone.node.statistics.limitedQueries > 200)
  }

  /// The table of sources stays in its bounds, and those that proved themselves outlast a flood of strangers.
  @Test func floodOfSources() {
    var table = SourceTable(limit: 256, rate: 10, burst: 10, salt: 7)
    var random = SeededRandom(seed: 9)
    let friends = (0..<40).map { _ in Net.publicV4(&random).address }
    for friend in friends { table.prove(friend, 1) }
    for second in 1..<200 {
      for _ in 0..<100 {
        _ = table.queryArrived(
          from: Net.publicV4(&random).address, bytes: 100, now: UInt32(second), isLimited: true)
      }
    }
    #expect(table.capacity == 256)
    #expect(friends.count { table.isProved($0, 200) } >= 38)
    #expect(!friends.contains { table.isProved($0, 1000) })
  }
}
