import PeerWire
import Testing
import TorrentModel

@testable import Swarm

@Suite struct PeerRecordTests {
  static func endpoint(_ number: Int) -> Endpoint {
    Endpoint(address: IPAddress(198, 51, UInt8(number / 250), UInt8(number % 250 + 1)), port: 6881)
  }

  static func swarm(_ change: (inout SwarmConfiguration) -> Void = { _ in }) -> Swarm {
    var configuration = SwarmConfiguration(ownPeerID: SwarmHarness.peerID(100))
    change(&configuration)
    let geometry = PieceGeometry(totalLength: 1 << 20, pieceLength: 1 << 16)
    return Swarm(
      infoHash: InfoHash(Bytes20()), geometry: geometry, have: Bitfield(capacity: geometry.pieceCount),
      configuration: SwarmConfiguration.Shared(configuration), seed: 1, now: .zero)
  }

  @Test func recordsRoundTrip() {
    var random = SeededRandom(seed: 8)
    let records = (0..<500).map { number in
      PeerRecord(
        endpoint: number % 3 == 0
          ? Endpoint(address: IPAddress(high: 0x2001_0db8 << 32, low: random.next()), port: 7)
          : Self.endpoint(number),
        source: PeerSource(rawValue: UInt8(truncatingIfNeeded: random.next() & 0x7f)),
        result: PeerRecord.Result.allCases.randomElement(using: &random) ?? .failed,
        failures: UInt8(truncatingIfNeeded: random.next()), isSeed: Bool.random(using: &random))
    }
    let bytes = PeerRecord.encode(records)
    #expect(bytes.count == 1 + 500 * 21)
    #expect(PeerRecord.decode(bytes.span) == records)
    #expect(PeerRecord.decode(Array(bytes.dropLast()).span) == Array(records.dropLast()))
  }

  @Test func damageIsLeftOut() {
    #expect(PeerRecord.decode([UInt8]().span).isEmpty)
    #expect(PeerRecord.decode([2, 1, 2, 3].span).isEmpty)
    var random = SeededRandom(seed: 8)
    for _ in 0..<500 {
      let bytes =
        [1]
        + (0..<Int.random(in: 0..<200, using: &random)).map { _ in
          UInt8.random(in: .min ... .max, using: &random)
        }
      for record in PeerRecord.decode(bytes.span) { #expect(record.endpoint.isPlausiblePeer) }
    }
    let many = PeerRecord.encode((0..<3000).map { PeerRecord(endpoint: Self.endpoint($0), source: .dht) })
    #expect(PeerRecord.decode(many.span).count == PeerRecord.listLimit)
  }

  @Test func theBookSurvivesARestart() throws {
    let swarm = Self.swarm()
    swarm.peersDiscovered((0..<10).map(Self.endpoint), source: .tracker, now: .zero)
    swarm.peersDiscovered((10..<20).map(Self.endpoint), source: .dht, now: .zero)
    swarm.turnEnded(now: .zero)
    let dialled = swarm.effects.compactMap { if case .connect(let endpoint) = $0 { endpoint } else { nil } }
    #expect(dialled.count == 20)
    swarm.effects.removeAll()
    for endpoint in dialled.prefix(5) { swarm.connectFailed(endpoint, reason: .connectFailed, now: .zero) }
    let profile = PeerProfile(
      endpoint: dialled[5], peerID: SwarmHarness.peerID(1), reserved: .fast, isIncoming: false)
    swarm.peerConnected(PeerKey(0), profile, now: .zero)
    let records = swarm.peerRecords()
    #expect(records.count == 20 && records[0].endpoint == dialled[5] && records[0].result == .connected)
    #expect(Set(records.suffix(5).map(\.endpoint)) == Set(dialled.prefix(5)))
    #expect(records.suffix(5).allSatisfy { $0.result == .failed && $0.failures == 1 })
    #expect(swarm.peerRecords(limit: 3) == Array(records.prefix(3)))

    let again = Self.swarm()
    again.peersRestored(PeerRecord.decode(PeerRecord.encode(records).span), now: .zero)
    again.turnEnded(now: .zero)
    let first = again.effects.compactMap { if case .connect(let endpoint) = $0 { endpoint } else { nil } }
    #expect(Set(first) == Set(records.prefix(15).map(\.endpoint)), "those that failed come later")
    try again.checkInvariants()
    #expect(again.snapshot(now: .zero).knownSources.resume == 20)
  }

  @Test func itIsCountedWherePeersComeFrom() {
    let swarm = Self.swarm()
    let sources: [PeerSource] = [.tracker, .dht, .exchange, .local, .user, .resume]
    for (number, source) in sources.enumerated() {
      swarm.peersDiscovered([Self.endpoint(number)], source: source, now: .zero)
      // Whoever tells of it later does not count.
      swarm.peersDiscovered([Self.endpoint(number)], source: .tracker, now: .zero)
    }
    var counts = swarm.snapshot(now: .zero).knownSources
    #expect(counts.total == 6 && counts.tracker == 1 && counts.dht == 1 && counts.exchange == 1)
    for number in 0..<8 {
      let profile = PeerProfile(
        endpoint: Self.endpoint(number), peerID: SwarmHarness.peerID(UInt8(number)), reserved: .fast,
        isIncoming: number > 5)
      swarm.peerConnected(PeerKey(number), profile, now: .zero)
    }
    counts = swarm.snapshot(now: .zero).connectedSources
    #expect(counts.total == 8 && counts.incoming == 2 && counts.local == 1 && counts.user == 1)
  }

  /// A flood of peers that others merely speak of leaves room for those that trackers and the DHT name.
  @Test func hearsayFillsHalfOfTheBook() throws {
    let swarm = Self.swarm { $0.maximumKnownPeers = 100 }
    swarm.peersDiscovered((0..<500).map(Self.endpoint), source: .exchange, now: .zero)
    #expect(swarm.snapshot(now: .zero).knownPeers == 50)
    swarm.peersDiscovered((600..<700).map(Self.endpoint), source: .tracker, now: .zero)
    #expect(swarm.snapshot(now: .zero).knownPeers == 100)
    // What a tracker names too is no hearsay any more.
    swarm.peersDiscovered([Self.endpoint(0)], source: .tracker, now: .zero)
    try swarm.checkInvariants()
  }
}
