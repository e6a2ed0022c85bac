import Foundation
import PeerWire
import Testing
import TorrentModel

@testable import Swarm

/// Whole swarms of the real client in a virtual world.
///
/// A run that fails names its seed; `SPATE_SIM_SEED=7 swift test --filter Simulation` runs every scenario with that seed alone.
@Suite struct SwarmSimulationTests {
  static let onlySeed = ProcessInfo.processInfo.environment["SPATE_SIM_SEED"].flatMap { UInt64($0) }

  /// `SPATE_SIM_VERBOSE=1` prints what each run came to.
  static let isVerbose = ProcessInfo.processInfo.environment["SPATE_SIM_VERBOSE"] != nil

  /// Runs the scenario with some seeds; each to the end, and until nothing is left.
  static func run(_ scenario: Scenario, seeds: Int, check: (World) throws -> Void = { _ in }) {
    for seed in onlySeed.map({ $0...$0 }) ?? 1...UInt64(seeds) {
      let world = World(scenario, seed: seed)
      do {
        try world.run()
        try check(world)
        try world.end()
        if isVerbose { print("\(scenario.name), seed \(seed): \(world.summary)") }
      } catch {
        Issue.record("\(scenario.name): \(error). Run it again with SPATE_SIM_SEED=\(seed)")
      }
    }
  }

  @Test func twoPeers() {
    Self.run(Scenario(name: "two peers"), seeds: 20)
  }

  @Test func twoPeersWithoutTheFastExtension() {
    var scenario = Scenario(name: "two peers without the fast extension")
    scenario.withoutFast = true
    scenario.breakEvery = 4
    Self.run(scenario, seeds: 20)
  }

  @Test func twentyPeers() {
    var scenario = Scenario(name: "twenty peers")
    scenario.leechers = 19
    scenario.breakEvery = 2
    Self.run(scenario, seeds: 6)
  }

  @Test func twentyPeersWithFaults() {
    var scenario = Scenario(name: "twenty peers with faults")
    scenario.leechers = 19
    scenario.liars = 2
    scenario.snubbers = 2
    scenario.chokers = 2
    scenario.slow = 1
    scenario.failingDisks = 2
    scenario.breakEvery = 3
    Self.run(scenario, seeds: 6)
  }

  @Test func twoHundredPeers() {
    var scenario = Scenario(name: "two hundred peers")
    scenario.seeds = 2
    scenario.leechers = 198
    scenario.checkEvery = 61
    scenario.breakEvery = 0.5
    Self.run(scenario, seeds: 1)
  }
}
