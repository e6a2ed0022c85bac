import Testing
import TorrentModel
import TrackerProtocol

@testable import TrackerServer

@Suite struct SwarmTableTests {
  static let torrent = InfoHash(Bytes20([UInt8](repeating: 7, count: 20)) ?? Bytes20())

  static func peer(_ number: Int) -> PeerID {
    var bytes = Bytes20()
    bytes[0] = UInt8(number >> 8 & 255)
    bytes[1] = UInt8(number & 255)
    return PeerID(bytes)
  }

  static func request(
    _ number: Int, left: Int64 = 1, _ event: AnnounceEvent = .periodic, key: UInt32 = 1
  ) -> AnnounceRequest {
    AnnounceRequest(infoHash: torrent, peerID: peer(number), port: 6881, left: left, event: event, key: key)
  }

  static func endpoint(_ number: Int, v6: Bool = false) -> Endpoint {
    let address =
      v6
      ? IPAddress(high: 0x2001_0db8 << 32, low: UInt64(number)) : IPAddress(v4: 0x0a00_0000 + UInt32(number))
    return Endpoint(address: address, port: 6881)
  }

  @Test func peersComeAndGo() throws {
    var table = SwarmTable()
    var random = SeededRandom(seed: 1)
    func announce(_ request: AnnounceRequest, _ number: Int, at seconds: Int = 0) throws -> Int {
      try table.announce(
        request, from: Self.endpoint(number), wanted: 50, onlySameFamily: false,
        now: .zero + .seconds(seconds),
        random: &random
      ).peers.count
    }
    #expect(try announce(Self.request(1, .started), 1) == 0)
    #expect(try announce(Self.request(2, left: 0, .started), 2) == 1)
    #expect(try announce(Self.request(3, left: 0, .started), 3) == 2, "it may have a magnet link only")
    #expect(try announce(Self.request(3, left: 0), 3) == 1, "a seed is told of the leecher only")
    #expect(table.counts(of: Self.torrent) == ScrapeEntry(seeds: 2, downloaded: 0, leechers: 1))
    #expect(try announce(Self.request(1, left: 0, .completed), 1) == 0)
    #expect(table.counts(of: Self.torrent) == ScrapeEntry(seeds: 3, downloaded: 1, leechers: 0))
    #expect(try announce(Self.request(2, left: 0, .stopped), 2) == 0)
    #expect(try announce(Self.request(9, .stopped), 9) == 0, "nobody knew it")
    #expect(table.counts(of: Self.torrent) == ScrapeEntry(seeds: 2, downloaded: 1, leechers: 0))
    #expect(try announce(Self.request(3, left: 0), 3, at: 100) == 0)
    table.expire(before: .zero + .seconds(50))
    #expect(table.counts(of: Self.torrent) == ScrapeEntry(seeds: 1, downloaded: 1, leechers: 0))
    #expect(table.peerCount == 1 && table.seedCount == 1)
    table.expire(before: .zero + .seconds(500))
    #expect(table.torrentCount == 0 && table.peerCount == 0 && table.seedCount == 0)
  }

  @Test func nobodyTakesAnothersPlace() throws {
    var table = SwarmTable()
    var random = SeededRandom(seed: 1)
    _ = try table.announce(
      Self.request(1, key: 5), from: Self.endpoint(1), wanted: 0, onlySameFamily: false, now: .zero,
      random: &random)
    #expect(throws: SwarmTable.Refusal.keyMismatch) {
      try table.announce(
        Self.request(1, .stopped, key: 6), from: Self.endpoint(2), wanted: 0, onlySameFamily: false,
        now: .zero,
        random: &random)
    }
    // The same peer from another address.
    _ = try table.announce(
      Self.request(1, key: 5), from: Self.endpoint(2), wanted: 0, onlySameFamily: false, now: .zero,
      random: &random)
    #expect(table.peerCount == 1)
  }

  @Test func bothFamiliesAreOnePeerInTwoPlaces() throws {
    var table = SwarmTable()
    var random = SeededRandom(seed: 1)
    for v6 in [false, true] {
      _ = try table.announce(
        Self.request(1), from: Self.endpoint(1, v6: v6), wanted: 9, onlySameFamily: false, now: .zero,
        random: &random)
    }
    func found(onlySameFamily: Bool) throws -> Int {
      try table.announce(
        Self.request(2), from: Self.endpoint(2), wanted: 9, onlySameFamily: onlySameFamily, now: .zero,
        random: &random
      ).peers.count
    }
    #expect(try found(onlySameFamily: false) == 2)
    #expect(try found(onlySameFamily: true) == 1)
  }

  @Test func limitsHold() throws {
    var limits = SwarmTable.Limits()
    limits.torrents = 2
    limits.peersPerTorrent = 10
    limits.peers = 15
    limits.peersPerReply = 4
    var table = SwarmTable(limits: limits)
    var random = SeededRandom(seed: 1)
    var refused = 0
    for torrent in 0..<3 {
      for number in 0..<12 {
        var request = Self.request(number)
        request.infoHash = InfoHash(Bytes20([UInt8](repeating: UInt8(torrent), count: 20)) ?? Bytes20())
        do {
          let found = try table.announce(
            request, from: Self.endpoint(number), wanted: 100, onlySameFamily: false, now: .zero,
            random: &random)
          #expect(found.peers.count == min(4, number))
        } catch { refused += 1 }
      }
    }
    #expect(table.torrentCount == 2 && table.peerCount == 15 && refused == 36 - 15)
  }

  /// Over many announces everybody is told of everybody, about equally often.
  @Test func samplesAreFair() throws {
    var table = SwarmTable()
    var random = SeededRandom(seed: 3)
    var seen = [Int](repeating: 0, count: 101)
    for round in 0..<40 {
      for number in 0...100 {
        let found = try table.announce(
          Self.request(number), from: Self.endpoint(number), wanted: 10, onlySameFamily: false, now: .zero,
          random: &random)
        guard round > 0 else { continue }
        #expect(Set(found.peers.map(\.peerID)).count == 10)
        for peer in found.peers { seen[Int(peer.endpoint.address.v4 & 0xff)] += 1 }
      }
    }
    #expect(seen.allSatisfy { (200...600).contains($0) }, "\(seen)")
  }

  @Test func connectionIDsAreOfOnePlaceAndTime() {
    var random = SeededRandom(seed: 9)
    let ids = ConnectionIDs(using: &random)
    let now = Moment.zero + .seconds(90)
    let id = ids.id(for: Self.endpoint(1), now: now)
    #expect(ids.isValid(id, for: Self.endpoint(1), now: now + .seconds(60)))
    #expect(!ids.isValid(id, for: Self.endpoint(1), now: now + .seconds(121)))
    #expect(!ids.isValid(id, for: Self.endpoint(2), now: now))
    #expect(!ids.isValid(id &+ 1, for: Self.endpoint(1), now: now))
    #expect(!ConnectionIDs(using: &random).isValid(id, for: Self.endpoint(1), now: now))
  }
}
