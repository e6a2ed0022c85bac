import Testing
import TorrentModel

@testable import Swarm

/// Swarms that no tracker holds together.
@Suite struct ExtensionSimulationTests {
  /// One node knows all; everybody else learns of the others from peers alone.
  @Test func twoHundredPeersFillByExchange() {
    var scenario = Scenario(name: "peer exchange")
    scenario.seeds = 1
    scenario.leechers = 199
    scenario.isIntroducedByOne = true
    scenario.exchangesPeers = true
    scenario.endsWhenFilled = true
    scenario.pieces = 150
    scenario.bandwidth = 60_000...200_000
    scenario.checkEvery = 197
    SwarmSimulationTests.run(scenario, seeds: 1) { world in
      let filled = world.nodes.compactMap(\.filledAt).sorted()
      #expect(filled.count == 200, "\(200 - filled.count) nodes never had enough peers")
      #expect(
        (filled.last ?? .distantFuture) < .zero + .seconds(120),
        "the last had them at \(String(describing: filled.last))")
      for node in world.nodes.dropFirst() {
        let sources = node.swarm.snapshot(now: world.now).knownSources
        #expect(sources.tracker <= 1)
      }
      if SwarmSimulationTests.isVerbose {
        print(
          "filled: median \(filled[filled.count / 2].nanoseconds / 1_000_000) ms, last \((filled.last?.nanoseconds ?? 0) / 1_000_000) ms"
        )
      }
    }
  }

  /// Three have the metadata; it spreads from peer to peer, although a tenth of all give out a wrong one, or claim another
  /// length.
  @Test func metadataSpreadsAmongLiars() {
    var scenario = Scenario(name: "metadata among liars")
    scenario.seeds = 3
    scenario.leechers = 77
    scenario.metadataLength = 100_000
    scenario.metadataLiars = 8
    scenario.pieces = 24
    scenario.checkEvery = 31
    scenario.breakEvery = 2
    SwarmSimulationTests.run(scenario, seeds: 3) { world in
      let honest = world.nodes.filter { !$0.isSeed && $0.fault == .none }
      let times = honest.compactMap(\.metadataAt).sorted()
      #expect(times.count == honest.count)
      let bans = honest.reduce(0) { $0 + $1.banned.count }
      #expect(bans > 0, "nobody was convicted")
      if SwarmSimulationTests.isVerbose {
        print(
          "metadata: median \(times[times.count / 2].nanoseconds / 1_000_000) ms, last \((times.last?.nanoseconds ?? 0) / 1_000_000) ms, bans \(bans)"
        )
      }
    }
  }

  /// Everything at once: a magnet link, one peer to begin with.
  @Test func aMagnetLinkAndOnePeer() {
    var scenario = Scenario(name: "a magnet link and one peer")
    scenario.seeds = 1
    scenario.leechers = 59
    scenario.isIntroducedByOne = true
    scenario.exchangesPeers = true
    scenario.metadataLength = 50_000
    scenario.pieces = 30
    scenario.checkEvery = 31
    SwarmSimulationTests.run(scenario, seeds: 2) { world in
      #expect(world.nodes.dropFirst().allSatisfy { $0.metadataAt != nil })
    }
  }

  @Test func withoutTheFastExtension() {
    var scenario = Scenario(name: "metadata without the fast extension")
    scenario.seeds = 1
    scenario.leechers = 9
    scenario.metadataLength = 20_000
    scenario.withoutFast = true
    scenario.breakEvery = 3
    SwarmSimulationTests.run(scenario, seeds: 5)
  }
}
