import Testing
import TorrentModel

@testable import DHT

@Suite struct RoutingTableTests {
  static let rules = AddressRules(allowsLocal: false)
  static func minutes(_ count: Int) -> Moment { .seconds(1) + .seconds(count * 60) }

  static func endpoint(_ number: Int) -> Endpoint {
    // A /16 for each, so that no rule of networks is in the way.
    Endpoint(address: IPAddress(v4: UInt32(0x0b00_0001 + number << 16)), port: 6881)
  }

  /// An id in a bucket, that does or does not comply.
  static func id(
    _ own: NodeID, bucket: Int, at endpoint: Endpoint, complying: Bool, _ random: inout SeededRandom
  ) -> NodeID {
    while true {
      let id = complying ? NodeID(for: endpoint.address, using: &random) : NodeID(using: &random)
      if own.sharedBits(with: id) == bucket, id.complies(with: endpoint.address) == complying { return id }
    }
  }

  func filled(_ random: inout SeededRandom, complying: Bool = true) -> (RoutingTable, [(NodeID, Endpoint)]) {
    var table = RoutingTable(ownID: NodeID(using: &random), rules: Self.rules, now: Self.minutes(0))
    var nodes: [(NodeID, Endpoint)] = []
    // The second bucket takes nine, which splits; the first is full.
    for number in 0..<8 {
      let endpoint = Self.endpoint(number)
      let id = Self.id(table.ownID, bucket: 0, at: endpoint, complying: complying, &random)
      nodes.append((id, endpoint))
      table.nodeReplied(id, at: endpoint, roundTrip: .milliseconds(10), now: Self.minutes(0))
    }
    let endpoint = Self.endpoint(8)
    let near = Self.id(table.ownID, bucket: 1, at: endpoint, complying: complying, &random)
    table.nodeReplied(near, at: endpoint, roundTrip: nil, now: Self.minutes(0))
    return (table, nodes)
  }

  @Test func splitsWhereWeAre() {
    var random = SeededRandom(seed: 1)
    let (table, _) = filled(&random)
    #expect(table.buckets.count == 2 && table.count == 9)
    #expect(table.buckets[0].live == 8 && table.buckets[1].live == 1)
  }

  /// A bucket of good nodes keeps them; the newcomer waits, and gets the place of the first that turns bad.
  @Test func spares() {
    var random = SeededRandom(seed: 2)
    var (table, nodes) = filled(&random)
    let endpoint = Self.endpoint(20)
    let newcomer = Self.id(table.ownID, bucket: 0, at: endpoint, complying: true, &random)
    table.nodeReplied(newcomer, at: endpoint, roundTrip: nil, now: Self.minutes(1))
    #expect(table.count == 9 && table.spareCount == 1)
    let (id, address) = nodes[3]
    table.nodeFailed(id, at: address, now: Self.minutes(2))
    #expect(table.slot(of: id) != nil, "one failure is none")
    table.nodeReplied(id, at: address, roundTrip: nil, now: Self.minutes(2))
    table.nodeFailed(id, at: address, now: Self.minutes(3))
    #expect(table.slot(of: id) != nil, "an answer in between counts")
    table.nodeFailed(id, at: address, now: Self.minutes(3))
    #expect(table.slot(of: id) == nil && table.spareCount == 0 && table.count == 9)
    #expect(table.liveSlots(0).contains { table.slots[$0].id == newcomer })
  }

  @Test func standings() throws {
    var random = SeededRandom(seed: 3)
    var (table, nodes) = filled(&random)
    let (id, endpoint) = nodes[0]
    let slot = try #require(table.slot(of: id))
    #expect(table.slots[slot].standing(Self.minutes(14)) == .good)
    #expect(table.slots[slot].standing(Self.minutes(16)) == .questionable)
    #expect(table.goodCount(Self.minutes(16)) == 0)
    // A query of its own keeps it good, from the same address only.
    let isKnown = table.nodeQueried(id, at: endpoint, now: Self.minutes(16))
    let isKnownElsewhere = table.nodeQueried(id, at: Self.endpoint(99), now: Self.minutes(30))
    #expect(isKnown && !isKnownElsewhere)
    #expect(table.slots[slot].standing(Self.minutes(20)) == .good)
    #expect(table.slots[slot].standing(Self.minutes(32)) == .questionable)
    // The one silent for longest is asked first, and not twice at once.
    let next = try #require(table.nextToPing(Self.minutes(17)))
    #expect(table.slots[next].id != id)
    table.markPinged(next)
    #expect(table.nextToPing(Self.minutes(17)) != next)
    #expect(table.nextToPing(Self.minutes(1)) == nil)
    #expect(table.nextToRefresh(Self.minutes(14), random: &random) == nil)
    let refresh = try #require(table.nextToRefresh(Self.minutes(16), random: &random))
    #expect(table.ownID.sharedBits(with: refresh.target) == refresh.bucket)
  }

  /// Ids that fit their addresses take the places of those that do not, never the other way round (BEP 42).
  @Test func complyingNodesArePreferred() {
    var random = SeededRandom(seed: 4)
    var (table, _) = filled(&random, complying: false)
    let endpoint = Self.endpoint(30)
    let honest = Self.id(table.ownID, bucket: 0, at: endpoint, complying: true, &random)
    table.nodeReplied(honest, at: endpoint, roundTrip: nil, now: Self.minutes(1))
    #expect(table.liveSlots(0).contains { table.slots[$0].id == honest })
    #expect(table.count == 9)
    var (full, _) = filled(&random)
    let other = Self.endpoint(31)
    let drawn = Self.id(full.ownID, bucket: 0, at: other, complying: false, &random)
    full.nodeReplied(drawn, at: other, roundTrip: nil, now: Self.minutes(1))
    #expect(!full.liveSlots(0).contains { full.slots[$0].id == drawn })
  }

  @Test func addressesAndSubnets() {
    var random = SeededRandom(seed: 5)
    let own = NodeID(using: &random)
    var table = RoutingTable(ownID: own, rules: Self.rules, now: Self.minutes(0))
    func offer(_ address: String, _ port: UInt16 = 6881) {
      let endpoint = Endpoint(address: IPAddress(address)!, port: port)
      table.nodeReplied(NodeID(using: &random), at: endpoint, roundTrip: nil, now: Self.minutes(0))
    }
    offer("20.0.0.1")
    offer("20.0.0.1", 6882)
    #expect(table.count == 1, "an address is one node")
    offer("20.0.0.2")
    #expect(table.count == 1, "a /24 is one node of a bucket")
    offer("20.0.1.1")
    offer("20.0.2.1")
    #expect(table.count == 2, "a /16 is two nodes of a bucket")
    // The same address with another id: the old one is gone (BEP 45).
    let renamed = NodeID(using: &random)
    table.nodeReplied(
      renamed, at: Endpoint("20.0.0.1:6881")!, roundTrip: nil, now: Self.minutes(1))
    #expect(table.count == 2 && table.slot(of: renamed) != nil)
    // The same id from another address: the first keeps it while it is good.
    table.nodeReplied(renamed, at: Endpoint("30.0.0.1:6881")!, roundTrip: nil, now: Self.minutes(1))
    #expect(table.slot(of: renamed).map { table.slots[$0].endpoint } == Endpoint("20.0.0.1:6881")!)
    table.nodeReplied(renamed, at: Endpoint("30.0.0.1:6881")!, roundTrip: nil, now: Self.minutes(20))
    #expect(table.slot(of: renamed).map { table.slots[$0].endpoint } == Endpoint("30.0.0.1:6881")!)
    table.nodeReplied(own, at: Endpoint("40.0.0.1:6881")!, roundTrip: nil, now: Self.minutes(1))
    #expect(table.slot(of: own) == nil, "we are no node of ours")
  }

  @Test func networksOfVersion6() {
    var random = SeededRandom(seed: 6)
    var table = RoutingTable(ownID: NodeID(using: &random), rules: Self.rules, now: Self.minutes(0))
    func offer(_ address: String) -> Int {
      let endpoint = Endpoint(address: IPAddress(address)!, port: 6881)
      table.nodeReplied(NodeID(using: &random), at: endpoint, roundTrip: nil, now: Self.minutes(0))
      return table.count
    }
    #expect(offer("2a00:1:2:3::1") == 1)
    #expect(offer("2a00:1:2:3:ffff::9") == 1, "a /64 is one node of a bucket")
    #expect(offer("2a00:1:2:4::1") == 2)
  }

  /// Whatever happens, the table keeps its rules, and finds what is closest.
  @Test(arguments: 1...6) func drawn(_ seed: Int) {
    var random = SeededRandom(seed: UInt64(seed))
    let own = NodeID(using: &random)
    let rules = AddressRules(allowsLocal: seed % 2 == 0)
    var table = RoutingTable(ownID: own, rules: rules, now: Self.minutes(0))
    var known: [(NodeID, Endpoint)] = []
    var now = Self.minutes(0)
    for round in 0..<4000 {
      now = now + .milliseconds(Int.random(in: 0..<2000, using: &random))
      if known.isEmpty || Int.random(in: 0..<3, using: &random) == 0 {
        let base: UInt32 = seed % 2 == 0 ? 0x0a00_0000 : 0x1400_0000
        let endpoint = Endpoint(
          address: IPAddress(v4: base | UInt32.random(in: 0..<1 << 20, using: &random)),
          port: UInt16.random(in: 1...4, using: &random))
        known.append(
          (own.neighbor(sharing: Int.random(in: 0..<45, using: &random), using: &random), endpoint))
      }
      let (id, endpoint) = known[Int.random(in: known.indices, using: &random)]
      switch Int.random(in: 0..<6, using: &random) {
      case 0...1: table.nodeReplied(id, at: endpoint, roundTrip: .milliseconds(5), now: now)
      case 2: table.nodeFailed(id, at: endpoint, now: now)
      case 3: table.nodeHeardOf(id, at: endpoint, now: now)
      case 4: _ = table.nodeQueried(id, at: endpoint, now: now)
      default: table.nodeRestored(id, at: endpoint, now: now)
      }
      if round % 50 == 0 { check(table, now, &random) }
    }
    #expect(table.buckets.count <= RoutingTable.bucketLimit)
    let moved = table.rebuilt(for: NodeID(using: &random), now: now)
    check(moved, now, &random)
  }

  private func check(_ table: RoutingTable, _ now: Moment, _ random: inout SeededRandom) {
    var ids: Set<NodeID> = []
    var live: [TableNode] = []
    for bucket in table.buckets.indices {
      let slots = Array(table.liveSlots(bucket)) + Array(table.spareSlots(bucket))
      #expect(table.liveSlots(bucket).count <= 8 && table.spareSlots(bucket).count <= 8)
      for slot in slots {
        #expect(ids.insert(table.slots[slot].id).inserted, "an id is there once")
        #expect(table.bucketIndex(table.slots[slot].id) == bucket)
      }
      let nodes = table.liveSlots(bucket).map { table.slots[$0] }
      live += nodes
      if !table.rules.allowsLocal {
        #expect(Set(nodes.map { AddressRules.subnet($0.address) }).count == nodes.count)
      }
    }
    let addresses = live.map {
      table.rules.allowsLocal ? $0.endpoint : Endpoint(address: $0.address, port: 0)
    }
    #expect(Set(addresses).count == addresses.count)
    for goodOnly in [true, false] {
      let target = Bool.random(using: &random) ? NodeID(using: &random) : table.ownID
      let closest = table.closest(to: target, goodOnly: goodOnly, now: now)
      let expected = live.filter { goodOnly ? $0.standing(now) == .good : $0.standing(now) != .bad }
        .map { $0.id ^ target }.sorted().prefix(8)
      let found = (0..<closest.count).map { table.slots[closest[$0]].id ^ target }
      #expect(found == Array(expected))
    }
  }
}
