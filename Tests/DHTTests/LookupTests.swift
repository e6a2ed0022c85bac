import Testing
import TorrentModel

@testable import DHT

@Suite struct LookupTests {
  static let hash = InfoHash(hex: "1234567890abcdef1234567890abcdef12345678")!

  @Test func announceAndFind() throws {
    let net = Net.grown(60)
    for node in net.nodes.indices {
      #expect(net.nodes[node].isReady(in: .v4) && net.nodes[node].isReady(in: .v6))
    }
    let announced = net.look(
      17, .peers(Self.hash, announcing: .init(port: 7000, isSeed: true), scraping: true), id: 1)
    let result = try #require(announced.result)
    #expect(result.outcome == .completed && result.storedCount >= 14 && result.peerCount == 0)
    #expect(result.refusal == nil)
    let found = net.look(42, .peers(Self.hash, scraping: true), id: 2)
    let own = net.endpoints[17].map { Endpoint(address: $0.address, port: 7000) }
    #expect(Set(found.peers) == Set(own))
    #expect(found.peers.count == 2, "each is reported once")
    #expect(found.result?.scrape == ScrapeEstimate(seeds: 2, peers: 0))
    // The closest nodes that a lookup ends with are the closest there are.
    for family in DHTFamily.allCases {
      let all = net.nodes.indices.filter { $0 != 42 }.compactMap { net.nodes[$0].id(in: family) }
      let closest = all.sorted { $0 ^ NodeID(Self.hash) < $1 ^ NodeID(Self.hash) }
      let reported = Set(found.result!.closest.map(\.id))
      #expect(reported.isSuperset(of: closest.prefix(5)))
    }
  }

  @Test func implicitPort() throws {
    let net = Net.grown(20)
    _ = net.look(3, .peers(Self.hash, announcing: .init(port: 9, usesImpliedPort: true)), id: 1)
    let found = net.look(5, .peers(Self.hash), id: 2)
    #expect(Set(found.peers) == Set(net.endpoints[3]))
  }

  @Test func immutableItems() throws {
    let net = Net.grown(40)
    let item = DHTItem(value: Array("11:hello world".utf8))
    let put = net.look(4, .put(item), id: 1)
    #expect(put.result?.storedCount ?? 0 >= 14)
    let got = net.look(31, .immutableItem(item.target(sha1: sha1)), id: 2)
    #expect(got.items == [item] && got.result?.item == item)
    #expect(got.result?.copies ?? 0 > 8)
    let none = net.look(31, .immutableItem(NodeID(Self.hash)), id: 3)
    #expect(none.items.isEmpty && none.result?.outcome == .completed && none.result?.copies == 0)
  }

  @Test func mutableItems() throws {
    let net = Net.grown(40)
    let pair = KeyPair(seed: 3)
    let first = pair.item("first", salt: "s", sequence: 1)
    #expect(net.look(4, .put(first), id: 1).result?.storedCount ?? 0 >= 14)
    let goal = LookupGoal.mutableItem(publicKey: pair.publicKey, salt: Array("s".utf8))
    #expect(net.look(9, goal, id: 2).result?.item == first)
    // A newer one takes its place; an old one does not come back; one that expects the wrong one is refused.
    let second = pair.item("second", salt: "s", sequence: 2)
    #expect(net.look(5, .put(second, expecting: 1), id: 3).result?.refusal == nil)
    #expect(net.look(9, goal, id: 4).result?.item == second)
    let old = net.look(4, .put(first), id: 5)
    #expect(old.result?.refusal?.code == 302 && old.items == [second])
    // Whoever has it already is told only of newer ones.
    let known = LookupGoal.mutableItem(publicKey: pair.publicKey, salt: Array("s".utf8), newerThan: 2)
    let nothing = net.look(9, known, id: 8)
    #expect(nothing.items.isEmpty && nothing.result?.outcome == .completed)
    // The same again, by whoever has it, keeps it alive.
    #expect(net.look(12, .put(second), id: 9).result?.refusal == nil)
    let third = pair.item("third", salt: "s", sequence: 3)
    #expect(net.look(4, .put(third, expecting: 1), id: 6).result?.refusal?.code == 301)
  }

  /// When a copy need not be put again (BEP 44).
  @Test func wellStored() {
    let net = Net.grown(10)
    let item = KeyPair(seed: 5).item("value", sequence: 1)
    let goal = LookupGoal.mutableItem(publicKey: KeyPair(seed: 5).publicKey)
    #expect(net.look(1, .put(item), id: 1).result?.storedCount ?? 0 > 8)
    // The node that has put it is one of the closest, and has it not.
    #expect(net.look(7, goal, id: 2).result?.isWellStored == false)
    _ = net.look(2, .put(item), id: 3)
    let result = net.look(7, goal, id: 4).result
    #expect(result?.isWellStored == true && result?.copies ?? 0 > 8)
  }

  @Test func samples() throws {
    let net = Net.grown(30)
    var random = SeededRandom(seed: 4)
    var hashes: Set<InfoHash> = []
    for id in 0..<10 {
      let hash = NodeID(using: &random).infoHash
      hashes.insert(hash)
      _ = net.look(id, .peers(hash, announcing: .init(port: 1)), id: UInt64(id))
    }
    net.with(20) {
      $0.startLookup(.samples(toward: NodeID(Self.hash)), as: LookupID(99), now: $1, random: &$2, into: &$3)
    }
    net.run(.seconds(20))
    var seen: Set<InfoHash> = []
    for case .samplesFound(LookupID(99), let samples) in net.actions[20] {
      seen.formUnion(samples.samples)
      #expect(samples.count >= samples.samples.count && samples.interval <= .seconds(300))
    }
    #expect(!seen.isEmpty && seen.isSubset(of: hashes))
    let target = net.endpoints[2][0]
    net.with(20) {
      $0.sample(target, toward: NodeID(Self.hash), as: LookupID(100), now: $1, random: &$2, into: &$3)
    }
    net.run(.seconds(20))
    #expect(
      net.actions[20].contains {
        if case .queryFinished(LookupID(100), .replied(let contact, _)) = $0 {
          contact.endpoint == target
        } else {
          false
        }
      })
  }

  @Test func pings() {
    let net = Net.grown(3)
    let there = net.endpoints[1][0]
    net.with(2) { $0.ping(there, as: LookupID(1), now: $1, random: &$2, into: &$3) }
    net.with(2) { $0.ping(Endpoint("9.9.9.9:9")!, as: LookupID(2), now: $1, random: &$2, into: &$3) }
    net.with(2) { $0.ping(Endpoint("127.0.0.1:9")!, as: LookupID(3), now: $1, random: &$2, into: &$3) }
    net.run(.seconds(20))
    var ends: [UInt64: DirectResult] = [:]
    for case .queryFinished(let id, let result) in net.actions[2] { ends[id.rawValue] = result }
    #expect(ends.count == 3 && ends[2] == .timedOut && ends[3] == .timedOut)
    guard case .replied(let contact, let roundTrip)? = ends[1] else {
      Issue.record("no answer")
      return
    }
    #expect(contact.id == net.nodes[1].id(in: .v4) && roundTrip == .milliseconds(60))
  }

  /// A third of all datagrams lost, and a fifth of the nodes silent: peers are still found.
  @Test(arguments: 1...5) func lossAndSilence(_ seed: Int) {
    let net = Net.grown(60, seed: UInt64(seed))
    for node in stride(from: 2, to: 60, by: 5) { net.isDown.insert(node) }
    net.loss = 0.3
    let announced = net.look(0, .peers(Self.hash, announcing: .init(port: 1)), id: 1)
    #expect(announced.result?.storedCount ?? 0 > 4)
    let found = net.look(1, .peers(Self.hash), id: 2)
    #expect(found.peers.map(\.port).contains(1))
  }

  @Test func withoutAnybody() {
    let net = Net()
    net.add()
    #expect(net.look(0, .peers(Self.hash), id: 1).result?.outcome == .noNodes)
    // A bootstrap host that never answers.
    net.with(0) { $0.bootstrap(from: [Endpoint("9.9.9.9:9")!], now: $1, random: &$2, into: &$3) }
    #expect(net.look(0, .peers(Self.hash), id: 2).result?.outcome == .noNodes)
    #expect(!net.nodes[0].isReady(in: .v4))
  }

  @Test func manyLookupsWait() {
    var configuration = DHTConfiguration.plain
    configuration.maximumLookups = 2
    configuration.maximumQueuedLookups = 3
    let net = Net.grown(10)
    let node = net.add(configuration)
    let first = net.endpoints[0]
    net.with(node) { $0.bootstrap(from: first, now: $1, random: &$2, into: &$3) }
    net.run(.seconds(5))
    net.with(node) { machine, now, random, actions in
      for id in 0..<8 {
        machine.startLookup(
          .nodes(NodeID(Self.hash)), as: LookupID(UInt64(id)), now: now, random: &random, into: &actions)
      }
      machine.cancelLookup(LookupID(1), now: now, random: &random, into: &actions)
      machine.cancelLookup(LookupID(4), now: now, random: &random, into: &actions)
    }
    net.run(.seconds(20))
    var ends: [UInt64: LookupResult.Outcome] = [:]
    for case .lookupFinished(let id, let result) in net.actions[node] {
      #expect(ends.updateValue(result.outcome, forKey: id.rawValue) == nil, "ended twice")
    }
    #expect(ends.count == 8)
    #expect(ends[1] == .cancelled && ends[4] == .cancelled)
    #expect(ends.values.count { $0 == .queueFull } == 3)
    #expect(ends.values.count { $0 == .completed } == 3)
    #expect(net.nodes[node].lookups.isEmpty && net.nodes[node].queue.isEmpty)
  }

  /// Loopback: many nodes at one address, each with a port.
  @Test func localNetwork() {
    var configuration = DHTConfiguration.plain
    configuration.allowsLocalAddresses = true
    configuration.usesV6 = false
    let net = Net()
    for port in 0..<50 {
      net.add(configuration, at: Endpoint(address: IPAddress(127, 0, 0, 1), port: UInt16(4000 + port)))
      if port > 0 {
        let other = Endpoint(address: IPAddress(127, 0, 0, 1), port: UInt16(4000 + port - 1))
        net.with(port) { $0.addNode(other, now: $1, random: &$2, into: &$3) }
      }
      net.run(.milliseconds(100))
    }
    net.run(.seconds(60))
    #expect(net.look(7, .peers(Self.hash, announcing: .init(port: 1)), id: 1).result?.storedCount ?? 0 >= 8)
    let found = net.look(33, .peers(Self.hash), id: 2)
    #expect(found.peers == [Endpoint("127.0.0.1:1")!])
  }
}
