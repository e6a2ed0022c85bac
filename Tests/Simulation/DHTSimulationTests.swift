import Foundation
import Testing
import TorrentModel

@testable import DHT

/// The DHT at size. Figures are printed; `SPATE_SIM_SEED=7` runs with that seed.
@Suite(.serialized) struct DHTSimulationTests {
  static let seed = ProcessInfo.processInfo.environment["SPATE_SIM_SEED"].flatMap { UInt64($0) } ?? 1
  static let scale = ProcessInfo.processInfo.environment["SPATE_SIM_DHT_LOOKUPS"].flatMap { Int($0) } ?? 1000

  struct Figures {
    var count = 0
    var found = 0
    var queries = 0
    var hops = 0
    var maximumHops = 0
    var stored = 0
    var announces = 0

    mutating func note(_ result: LookupResult) {
      queries += result.queries
      hops += result.hops
      maximumHops = max(maximumHops, result.hops)
      count += 1
    }
  }

  /// 10,000 nodes, a tenth of the datagrams lost, a fifth of the nodes silent or lying, 3 % of all leaving and others
  /// coming a minute: what is announced is found.
  @Test func tenThousandNodes() {
    let count = 10_000
    let world = DHTWorld(seed: Self.seed)
    world.loss = 0.1
    let before = DHTWorld.residentBytes
    for index in 0..<count { world.add(index % 10 == 3 ? .silent : index % 10 == 7 ? .lying : .honest) }
    world.warm(0..<count)
    let perNode = (DHTWorld.residentBytes - before) / count
    // Churn: every virtual second.
    let churn: (DHTWorld) -> Void = { world in
      for _ in 0..<count * 3 / 100 / 60 {
        let leaver = world.drawHonest()
        if !world.engaged.contains(leaver) { world.takeDown(leaver) }
        world.join()
      }
    }
    world.run(.seconds(45), every: churn)
    var figures = Figures()
    announceAndFind(world, hashes: Self.scale / 10, seekers: 10, &figures, churn: churn)
    let health = self.health(world)
    let after = (DHTWorld.residentBytes - before) / world.nodes.count
    print(
      "DHT, 10,000 nodes, seed \(Self.seed): \(figures.found) of \(figures.count) lookups found the peer; "
        + "\(Self.mean(figures.queries, figures.count)) queries and \(Self.mean(figures.hops, figures.count)) hops a lookup "
        + "(at most \(figures.maximumHops)), \(Self.mean(figures.stored, figures.announces)) nodes took an announce; "
        + "tables: \(health); memory a node: \(perNode) bytes warm, \(after) at the end; \(world.datagrams) datagrams"
    )
    #expect(Double(figures.found) >= 0.995 * Double(figures.count))
    #expect(perNode <= 64 << 10 && after <= 64 << 10)
  }

  private static func mean(_ sum: Int, _ count: Int) -> String {
    String(format: "%.1f", Double(sum) / Double(max(1, count)))
  }

  private func announceAndFind(
    _ world: DHTWorld, hashes: Int, seekers: Int, _ figures: inout Figures, targets: [InfoHash] = [],
    churn: ((DHTWorld) -> Void)? = nil
  ) {
    var random = SeededRandom(seed: Self.seed &+ 1)
    let targets = targets.isEmpty ? (0..<hashes).map { _ in NodeID(using: &random).infoHash } : targets
    var announcers: [Int] = []
    for (index, target) in targets.enumerated() {
      let node = world.drawHonest()
      announcers.append(node)
      world.engaged.insert(node)
      world.with(node) {
        $0.startLookup(
          .peers(target, announcing: .init(port: 7)), as: LookupID(UInt64(index)), now: $1, random: &$2,
          into: &$3)
      }
      if index % 20 == 19 { world.run(.seconds(1), every: churn) }
    }
    world.run(.seconds(12), every: churn)
    for index in targets.indices {
      figures.stored += world.results[LookupID(UInt64(index))]?.storedCount ?? 0
      figures.announces += 1
    }
    var id = UInt64(1 << 20)
    for target in targets {
      for _ in 0..<seekers {
        id += 1
        let node = world.drawHonest()
        world.engaged.insert(node)
        world.with(node) {
          $0.startLookup(.peers(target), as: LookupID(id), now: $1, random: &$2, into: &$3)
        }
      }
      if id % 50 == 0 { world.run(.milliseconds(500), every: churn) }
    }
    world.run(.seconds(20), every: churn)
    id = UInt64(1 << 20)
    for (index, _) in targets.enumerated() {
      let own = Endpoint(address: world.endpoints[announcers[index]].address, port: 7)
      for _ in 0..<seekers {
        id += 1
        guard let result = world.results[LookupID(id)] else {
          Issue.record("a lookup has not ended")
          continue
        }
        figures.note(result)
        if world.found[LookupID(id)]?.contains(own) ?? false { figures.found += 1 }
      }
    }
  }

  /// Of the nodes in the tables of nodes that are up, how many are up and honest.
  private func health(_ world: DHTWorld) -> String {
    var entries = 0
    var dead = 0
    var lying = 0
    var tables = 0
    var byEndpoint: [Endpoint: Int] = [:]
    for (node, endpoint) in world.endpoints.enumerated() where world.isUp[node] {
      byEndpoint[endpoint] = node
    }
    for node in stride(from: 0, to: world.nodes.count, by: 10)
    where world.isUp[node] && world.conducts[node] == .honest {
      tables += 1
      world.nodes[node].families[0]?.table.forEachLive { entry in
        entries += 1
        guard let other = byEndpoint[entry.endpoint], world.conducts[other] != .silent else {
          return dead += 1
        }
        if world.conducts[other] == .lying { lying += 1 }
      }
    }
    return "\(Self.mean(entries, tables)) nodes, \(Self.mean(100 * dead, entries)) % of them gone or silent, "
      + "\(Self.mean(100 * lying, entries)) % liars"
  }

  /// Somebody owns a whole /16 and sits, with one node in each /24 and ids that BEP 42 allows there, nearer to the target
  /// than anybody else; the tables around the target know them all.
  @Test func eclipse() {
    let count = 2000
    let world = DHTWorld(seed: Self.seed)
    world.loss = 0.02
    for _ in 0..<count { world.add(.honest) }
    world.warm(0..<count)
    var random = SeededRandom(seed: Self.seed &+ 9)
    var figures = Figures()
    for round in 0..<5 {
      let target = NodeID(using: &random)
      world.accomplices = []
      for third in 0..<256 {
        let (address, id) = Self.nearest(to: target, UInt8(60 + round), 17, UInt8(third), &random)
        world.accomplices.append(world.add(.eclipsing, at: address, id: id))
      }
      let honest = (0..<count).sorted { world.id($0) ^ target < world.id($1) ^ target }
      let nearest = world.accomplices.count { world.id($0) ^ target < world.id(honest[7]) ^ target }
      #expect(nearest > 32, "the attack is one")
      for node in honest.prefix(200) {
        for accomplice in world.accomplices {
          let (id, endpoint, now) = (world.id(accomplice), world.endpoints[accomplice], world.now)
          world.nodes[node].families[0]?.table.nodeReplied(
            id, at: endpoint, roundTrip: .milliseconds(50), now: now)
        }
      }
      world.results = [:]
      world.found = [:]
      announceAndFind(world, hashes: 1, seekers: 40, &figures, targets: [target.infoHash])
    }
    print(
      "DHT, eclipse from one /16, seed \(Self.seed): \(figures.found) of \(figures.count) lookups found the peer; "
        + "\(Self.mean(figures.queries, figures.count)) queries a lookup"
    )
    #expect(Double(figures.found) >= 0.95 * Double(figures.count))
  }

  /// The address in a /24 whose ids come nearest to a target, and the nearest id.
  private static func nearest(
    to target: NodeID, _ first: UInt8, _ second: UInt8, _ third: UInt8, _ random: inout SeededRandom
  ) -> (IPAddress, NodeID) {
    var best: (IPAddress, NodeID)?
    for fourth in 0..<256 {
      let address = IPAddress(first, second, third, UInt8(fourth))
      let id = NodeID(for: address, using: &random)
      // The first 21 bits are the address's; the rest is free but for three at the end.
      let near = NodeID(
        id.a & 0xffff_f800_0000_0000 | target.a & 0x7ff_ffff_ffff, target.b, target.c & ~7 | id.c & 7)
      if let known = best, known.1 ^ target < near ^ target { continue }
      best = (address, near)
    }
    return best ?? (IPAddress(first, second, third, 1), target)
  }
}
