import Bencode
import Testing
import TorrentModel

@testable import DHT

@Suite struct NodeTests {
  static let hash = StrangerTests.hash

  /// The whole answer to a query of a sender that is proved.
  func answer(_ lone: inout Lone, _ query: KRPCQuery, want: String = "") throws -> (KRPCMessage, [UInt8]) {
    let sender = Endpoint("99.1.2.3:1000")!
    lone.node.sources.prove(sender.address, lone.node.seconds(lone.now))
    var header = KRPCQuery.Header(id: NodeID(for: sender.address, using: &lone.random))
    header.wantsBoth = !want.isEmpty
    let sent = lone.receive(query.encoded(Transaction(5), header), from: sender)
    let bytes = try #require(sent.first).bytes
    #expect(bytes.count <= 1400)
    let message = try KRPCMessage.decode(bytes.span)
    #expect(message.isCanonical && message.kind == .reply)
    return (message, bytes)
  }

  @Test func answers() throws {
    var lone = StrangerTests.rich()
    let (pong, _) = try answer(&lone, .ping)
    #expect(pong.id == lone.node.id(in: .v4) && pong.nodes == nil)
    let (nodes, _) = try answer(&lone, .findNode(Self.hash), want: "both")
    #expect(nodes.nodes?.count == 208 && nodes.nodes6?.count == 0 && nodes.token == nil)
    let (peers, bytes) = try answer(&lone, .getPeers(Self.hash, noSeeds: false, scrape: false))
    var values: [Endpoint] = []
    peers.forEachValue(in: bytes.span) { values.append($0) }
    #expect(values.count == 100 && Set(values).count == 100 && peers.token?.count == 8)
    #expect(peers.nodes?.count == 208)
    let (leechers, leecherBytes) = try answer(&lone, .getPeers(Self.hash, noSeeds: true, scrape: false))
    leechers.forEachValue(in: leecherBytes.span) { peer in
      let number = (peer.address.v4 - 0x2200_0000) >> 8
      #expect(number % 3 != 0)
    }
    let (scrape, scrapeBytes) = try answer(&lone, .getPeers(Self.hash, noSeeds: false, scrape: true))
    let seeds =
      BloomFilter(scrapeBytes.span.extracting(try #require(scrape.seedFilter).range))?.estimatedCount ?? 0
    let others =
      BloomFilter(scrapeBytes.span.extracting(try #require(scrape.peerFilter).range))?.estimatedCount ?? 0
    #expect(abs(seeds - 100) < 5 && abs(others - 200) < 10)
    #expect(scrape.nodes?.count == 208)
    let (item, itemBytes) = try answer(&lone, .get(Self.hash, sequence: nil))
    #expect(item.value?.count == 904 && item.token?.count == 8 && item.nodes?.count == 208)
    #expect(itemBytes.count > 1100)
    let (sample, sampleBytes) = try answer(&lone, .sampleInfoHashes(NodeID(using: &lone.random)))
    #expect(sample.samples?.count == 20 && sample.sampledCount == 1 && sample.interval ?? -1 >= 0)
    let sampled = NodeID(sampleBytes.span, at: try #require(sample.samples).range.lowerBound)
    #expect(sampled == Self.hash)
  }

  /// What others call an extension, and name a target in, is answered like find_node.
  @Test func unknownMethodWithTarget() throws {
    var lone = StrangerTests.rich()
    let sender = Endpoint("99.1.2.3:1000")!
    lone.node.sources.prove(sender.address, 1)
    let sent = lone.receive(
      "d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q4:vote1:t2:aa1:y1:qe", from: sender)
    #expect(decoded(sent.first?.bytes)?.nodes?.count == 208)
  }

  @Test func readOnly() throws {
    var configuration = DHTConfiguration.plain
    configuration.isReadOnly = true
    var lone = Lone(configuration)
    #expect(
      lone.receive("d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe", from: Endpoint("1.2.3.4:5")!)
        .isEmpty)
    lone.node.addNode(Endpoint("1.2.3.4:5")!, now: lone.now, random: &lone.random, into: &lone.actions)
    #expect(decoded(lone.sent().last?.bytes)?.isReadOnly == true)
    // It finds and announces all the same.
    let net = Net.grown(20)
    let node = net.add(configuration)
    let first = net.endpoints[0]
    net.with(node) { $0.bootstrap(from: first, now: $1, random: &$2, into: &$3) }
    net.run(.seconds(20))
    #expect(
      net.look(node, .peers(Self.hash.infoHash, announcing: .init(port: 4)), id: 1).result?.storedCount ?? 0
        >= 14)
    #expect(
      Set(net.look(3, .peers(Self.hash.infoHash), id: 2).peers.map(\.address))
        == Set(net.endpoints[node].map(\.address)))
    for other in 0..<20 {
      #expect(!net.nodes[other].contacts(in: .v4).contains { $0.endpoint == net.endpoints[node][0] })
    }
  }

  /// Nodes agree on our address: the id is changed to one that it allows, once.
  @Test func externalAddress() {
    let net = Net.grown(40)
    for node in net.nodes.indices {
      for (family, endpoint) in zip(DHTFamily.allCases, net.endpoints[node]) {
        guard let address = net.nodes[node].externalAddress(in: family) else { continue }
        #expect(address == endpoint.address)
        #expect(net.nodes[node].id(in: family)?.complies(with: endpoint.address) == true)
      }
      let changes = net.actions[node].count { if case .externalAddressChanged = $0 { true } else { false } }
      #expect(changes <= 2)
    }
    #expect(net.nodes.count { $0.externalAddress(in: .v4) != nil } >= 32)
  }

  @Test func votes() {
    var votes = AddressVotes()
    let rules = AddressRules(allowsLocal: false)
    let own = IPAddress(5, 6, 7, 8)
    // A whole /24 has one vote.
    for last in 1..<100 {
      #expect(
        votes.vote(for: own, by: Endpoint(address: IPAddress(9, 9, 9, UInt8(last)), port: 1), rules: rules)
          == nil)
    }
    for third in 10..<13 {
      #expect(
        votes.vote(for: own, by: Endpoint(address: IPAddress(9, 9, UInt8(third), 1), port: 1), rules: rules)
          == nil)
    }
    #expect(votes.vote(for: own, by: Endpoint("9.9.13.1:1")!, rules: rules) == own)
    // As many who say otherwise make it no majority.
    for third in 20..<40 {
      #expect(
        votes.vote(
          for: IPAddress(1, 1, 1, UInt8(third)),
          by: Endpoint(address: IPAddress(8, 8, UInt8(third), 1), port: 1), rules: rules) == nil)
    }
    #expect(votes.vote(for: own, by: Endpoint("9.9.14.1:1")!, rules: rules) == nil)
  }

  @Test func savedAndRestored() throws {
    let net = Net.grown(30)
    let saved = net.nodes[7].savedState(now: net.now)
    var random = SeededRandom(seed: 1)
    let again = DHTNode(.plain, saved: saved, now: net.now, random: &random)
    for family in DHTFamily.allCases {
      #expect(again.id(in: family) == net.nodes[7].id(in: family))
      #expect(Set(again.contacts(in: family)) == Set(net.nodes[7].contacts(in: family)))
      #expect(!again.isReady(in: family), "nobody has answered yet")
    }
    // It finds its way in from there alone.
    let node = net.add(saved: saved)
    net.with(node) { $0.bootstrap(from: [], now: $1, random: &$2, into: &$3) }
    net.run(.seconds(20))
    #expect(
      net.nodes[node].isReady(in: .v4) && net.nodes[node].status(now: net.now).networks[0].goodNodes > 10)
  }

  @Test func hostileState() {
    var random = SeededRandom(seed: 1)
    let samples: [[UInt8]] = [
      [], Array("de".utf8), Array("d2:id3:abc5:nodes5:abcdee".utf8),
      Array("d2:id20:abcdefghij01234567895:nodesi1ee".utf8),
      Array("le".utf8), [UInt8](repeating: 0x6c, count: 1 << 20),
      Array("d5:nodes\(26 * 2000):".utf8) + [UInt8](repeating: 7, count: 26 * 2000) + [0x65],
      Array("d5:nodes26:abcdefghij0123456789".utf8) + [127, 0, 0, 1, 0, 9] + [0x65],
    ]
    for sample in samples {
      let node = DHTNode(.plain, saved: sample, now: .zero, random: &random)
      #expect(node.contacts(in: .v4).count <= 1)
    }
  }

  /// Hosts to begin with are asked, and get no place; with nobody there they are asked again, more and more seldom.
  @Test func bootstrapHosts() throws {
    let net = Net.grown(30)
    let node = net.add()
    let hosts = net.endpoints[4]
    net.with(node) { $0.bootstrap(from: hosts, now: $1, random: &$2, into: &$3) }
    net.run(.seconds(30))
    let counts = net.nodes[node].status(now: net.now).networks.map(\.nodes)
    #expect(counts.allSatisfy { $0 >= 12 }, "\(counts)")
    #expect(!net.nodes[node].contacts(in: .v4).contains { hosts.contains($0.endpoint) })
    var lone = Lone()
    lone.node.bootstrap(
      from: [Endpoint("50.0.0.1:5")!], now: lone.now, random: &lone.random, into: &lone.actions)
    let first = lone.pass(.seconds(600)).count
    let later = lone.pass(.seconds(600)).count
    #expect(first > later && later >= 2 && first < 40)
  }

  /// While nothing at all comes in, nobody loses a place: the line is ours.
  @Test func ownLineDown() {
    let net = Net.grown(30)
    let before = net.nodes[3].status(now: net.now).networks[0].nodes
    for node in net.nodes.indices where node != 3 { net.isDown.insert(node) }
    net.run(.seconds(3600))
    #expect(net.nodes[3].status(now: net.now).networks[0].nodes >= before - 1)
    net.isDown = []
    net.run(.seconds(120))
    #expect(net.nodes[3].status(now: net.now).networks[0].goodNodes > 10)
  }

  /// Nodes that are gone leave the tables of those that stay.
  @Test func deadNodesAreReplaced() {
    let net = Net.grown(40)
    for node in stride(from: 0, to: 40, by: 2) { net.isDown.insert(node) }
    net.run(.seconds(5400))
    let gone = Set(net.isDown.map { net.endpoints[$0][0] })
    for node in stride(from: 1, to: 40, by: 2) {
      let contacts = net.nodes[node].contacts(in: .v4)
      #expect(contacts.count { gone.contains($0.endpoint) } == 0)
      #expect(contacts.count >= 15)
    }
  }

  /// A quiet node is not woken all the time.
  @Test func quiet() {
    var lone = Lone()
    var wakes = 0
    for _ in 0..<1000 {
      lone.now = max(lone.now, lone.node.nextDeadline)
      lone.node.timerFired(now: lone.now, random: &lone.random, into: &lone.actions)
      wakes += 1
      if lone.now > .seconds(3600) { break }
    }
    #expect(wakes <= 130 && lone.sent().isEmpty)
  }

  /// The first node of a network knows nobody and rests, until others come to it.
  @Test func theFirstOfANetworkLetsOthersIn() {
    var configuration = DHTConfiguration.plain
    configuration.allowsLocalAddresses = true
    var lone = Lone(configuration)
    let own = lone.node.id(in: .v4) ?? .zero
    _ = lone.pass(.seconds(100))
    // All of one address, of which only the first has to prove it.
    let others = (0..<3).map { number in
      (
        id: own.neighbor(sharing: number, using: &lone.random),
        endpoint: Endpoint(address: IPAddress(127, 0, 0, 1), port: UInt16(7000 + number))
      )
    }
    func isSearch(_ bytes: [UInt8]) -> Bool {
      decoded(bytes).map { $0.method == .findNode && $0.target == own } ?? false
    }
    var searches = 0
    for other in others {
      let query = KRPCQuery.findNode(other.id).encoded(Transaction(7), .init(id: other.id))
      var sent = lone.receive(query, from: other.endpoint)
      for _ in 0..<3 {
        for (bytes, endpoint) in sent {
          guard decoded(bytes)?.kind == .query, let who = others.first(where: { $0.endpoint == endpoint })
          else { continue }
          searches += isSearch(bytes) ? 1 : 0
          _ = lone.receive(reply(to: bytes, id: who.id, content: "5:nodes0:"), from: endpoint)
        }
        sent = lone.pass(.seconds(1))
      }
    }
    #expect(Set(lone.node.contacts(in: .v4).map(\.id)) == Set(others.map(\.id)))
    #expect(searches > 0, "it looks for its neighbours once it knows whom to ask")
  }

  /// What a node with a full table and a full table of sources holds. `perf-rooms dht.memory` measures the process.
  @Test func memory() {
    var lone = Lone()
    let own = lone.node.id(in: .v4) ?? .zero
    // Twenty buckets: a network of some millions.
    for number in 0..<240 {
      lone.node.families[0]?.table.nodeReplied(
        own.neighbor(sharing: number / 12, using: &lone.random), at: RoutingTableTests.endpoint(number),
        roundTrip: nil, now: lone.now)
    }
    for number in 0..<3000 { lone.node.sources.prove(IPAddress(v4: UInt32(0x0b00_0000 + number * 7919)), 1) }
    let table = lone.node.families[0]?.table
    #expect(table?.count == 160 && lone.node.sources.capacity == 512)
    let held =
      MemoryLayout<DHTNode>.stride + (table?.slots.capacity ?? 0) * MemoryLayout<TableNode>.stride
      + (table?.buckets.capacity ?? 0) * MemoryLayout<RoutingTable.Bucket>.stride
      + lone.node.sources.capacity * MemoryLayout<SourceTable.Source>.stride
    #expect(MemoryLayout<TableNode>.stride == 64 && MemoryLayout<SourceTable.Source>.stride == 32)
    #expect(held <= 44 << 10, "\(held) bytes")
  }
}
