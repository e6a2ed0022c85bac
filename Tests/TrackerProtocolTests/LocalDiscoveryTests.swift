import Testing
import TorrentModel
import TrackerProtocol

@Suite struct LocalAnnounceTests {
  static let hash = InfoHash(hex: "c12fe1c06bba254a9dc9f519b335aa7c1367a88a")!

  func decode(_ text: String) throws(LocalAnnounceError) -> LocalAnnounce {
    try LocalAnnounce.decode(Array(text.utf8).span)
  }

  @Test func theFormOfTheProposal() throws {
    let announce = LocalAnnounce(port: 6881, infoHashes: [Self.hash], cookie: Array("abc".utf8))
    let text =
      "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\nInfohash: \(Self.hash)\r\ncookie: abc\r\n\r\n\r\n"
    #expect(String(decoding: announce.encoded(for: .v4), as: UTF8.self) == text)
    #expect(
      String(decoding: announce.encoded(for: .v6), as: UTF8.self)
        == text.replacing("239.192.152.143:6771", with: "[ff15::efc0:988f]:6771"))
    #expect(try decode(text) == announce)
    #expect(
      LocalAnnounce.Group.v6.endpoint.address.isMulticast
        && LocalAnnounce.Group.v4.endpoint.address.isMulticast)
  }

  /// As other clients write them.
  @Test func otherFormsAreRead() throws {
    let libtorrent =
      "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\n"
      + "Infohash: \(Self.hash)\r\ncookie: 1a2b3c\r\n\r\n\r\n"
    #expect(
      try decode(libtorrent)
        == LocalAnnounce(port: 6881, infoHashes: [Self.hash], cookie: Array("1a2b3c".utf8)))
    let upper = Self.hash.hex.uppercased()
    #expect(
      try decode("BT-SEARCH * HTTP/1.0\nPORT:1\nINFOHASH:\(upper)\nX-New: y\n\n").infoHashes == [Self.hash])
    // A truncated one without the empty line at the end.
    #expect(try decode("BT-SEARCH * HTTP/1.1\r\nPort: 65535\r\nInfohash: \(Self.hash)\r\n").port == 65535)
    let several = (0..<3).map { "Infohash: \(Self.hash.hex.dropLast())\($0)\r\n" }.joined()
    #expect(
      try decode("BT-SEARCH * HTTP/1.1\r\nPort: 5\r\n\(several)Infohash: bad\r\n\(several)\r\n").infoHashes
        .count == 3)
  }

  @Test(
    arguments: [
      ("", .notAnAnnounce), ("GET / HTTP/1.1\r\n\r\n", .notAnAnnounce),
      ("BT-SEARCH * HTTP/1.1", .notAnAnnounce),
      ("BT-SEARCH * HTTP/1.1\r\n\r\n", .badPort), ("BT-SEARCH * HTTP/1.1\r\nPort: 0\r\n\r\n", .badPort),
      ("BT-SEARCH * HTTP/1.1\r\nPort: 65536\r\n\r\n", .badPort),
      ("BT-SEARCH * HTTP/1.1\r\nPort: +5\r\n\r\n", .badPort),
      ("BT-SEARCH * HTTP/1.1\r\nPort: 123456\r\n\r\n", .badPort),
      ("BT-SEARCH * HTTP/1.1\r\nPort:\r\n\r\n", .badPort),
      ("BT-SEARCH * HTTP/1.1\r\nPort: 5\r\n\r\n", .noInfoHash),
      ("BT-SEARCH * HTTP/1.1\r\nPort: 5\r\nInfohash: 12\r\n\r\n", .noInfoHash),
      ("BT-SEARCH * HTTP/1.1\r\nPort: 5\r\n\r\nInfohash: \(hash)\r\n", .noInfoHash),
      ("BT-SEARCH * HTTP/1.1\r\nPort 5\r\n\r\n", .malformedHeader(offset: 22)),
      (String(repeating: "x", count: 2049), .tooLong(limit: 2048)),
    ] as [(String, LocalAnnounceError)])
  func nonsenseIsRefused(text: String, error: LocalAnnounceError) {
    #expect(throws: error) { try decode(text) }
    #expect(!error.description.isEmpty)
  }

  @Test func theLongestAnnounceFitsADatagram() throws {
    let hashes = (0..<LocalAnnounce.infoHashLimit).map { number in
      var bytes = Bytes20()
      bytes[0] = UInt8(number)
      return InfoHash(bytes)
    }
    let cookie = [UInt8](repeating: UInt8(ascii: "c"), count: LocalAnnounce.cookieLengthLimit)
    let announce = LocalAnnounce(port: 65535, infoHashes: hashes, cookie: cookie)
    for group in LocalAnnounce.Group.allCases {
      let bytes = announce.encoded(for: group)
      #expect(bytes.count <= 1400 && bytes.count > 1250)
      #expect(try LocalAnnounce.decode(bytes.span) == announce)
    }
  }

  @Test func drawnDamageNeverTraps() {
    var random = SeededRandom(seed: 14)
    let whole = LocalAnnounce(port: 6881, infoHashes: [Self.hash], cookie: Array("abc".utf8)).encoded(
      for: .v4)
    for _ in 0..<20_000 {
      var damaged = Array(whole.prefix(Int.random(in: 0...whole.count, using: &random)))
      for _ in 0..<3 where !damaged.isEmpty {
        damaged[Int.random(in: 0..<damaged.count, using: &random)] = .random(
          in: .min ... .max, using: &random)
      }
      if let announce = try? LocalAnnounce.decode(damaged.span) {
        #expect(announce.port > 0 && !announce.infoHashes.isEmpty)
      }
    }
  }
}

@Suite struct LocalDiscoveryTests {
  static let neighbour = Endpoint("192.168.1.7:6771")!

  static func hash(_ number: Int) -> InfoHash {
    var bytes = Bytes20()
    bytes[0] = UInt8(number >> 8)
    bytes[1] = UInt8(number & 255)
    return InfoHash(bytes)
  }

  static func make(port: UInt16 = 6881) -> LocalDiscovery {
    var random = SeededRandom(seed: 1)
    return LocalDiscovery(port: port, cookie: LocalDiscovery.makeCookie(using: &random))
  }

  /// All announces of some time, with when they went.
  static func run(_ discovery: inout LocalDiscovery, from start: Moment, seconds: Int) -> [(
    at: Moment, LocalAnnounce
  )] {
    var announces: [(at: Moment, LocalAnnounce)] = []
    let end = start + .seconds(seconds)
    while discovery.nextDeadline <= end {
      let now = max(start, discovery.nextDeadline)
      guard let announce = discovery.tick(now: now) else {
        Issue.record("a deadline without an announce")
        break
      }
      announces.append((now, announce))
    }
    return announces
  }

  @Test func aTorrentIsAnnouncedSoonAndEveryFiveMinutes() {
    var discovery = Self.make()
    #expect(discovery.nextDeadline == .distantFuture)
    discovery.added(Self.hash(1), isPrivate: false, now: .zero)
    discovery.added(Self.hash(2), isPrivate: true, now: .zero)
    discovery.added(Self.hash(1), isPrivate: false, now: .zero)
    let announces = Self.run(&discovery, from: .zero, seconds: 1000)
    #expect(announces.map { $0.at.nanoseconds / 1_000_000 } == [500, 300_500, 600_500, 900_500])
    #expect(announces.allSatisfy { $0.1.infoHashes == [Self.hash(1)] && $0.1.port == 6881 })
    discovery.removed(Self.hash(1))
    #expect(discovery.nextDeadline == .distantFuture && discovery.tick(now: .zero + .seconds(5000)) == nil)
  }

  @Test func manyGoTogetherAndNoMoreThanOneMessageAMinute() {
    var discovery = Self.make()
    for number in 0..<100 { discovery.added(Self.hash(number), isPrivate: false, now: .zero) }
    let announces = Self.run(&discovery, from: .zero, seconds: 299)
    #expect(zip(announces, announces.dropFirst()).allSatisfy { $1.at - $0.at >= .seconds(60) })
    #expect(Set(announces.flatMap(\.1.infoHashes)).count == 100, "all are announced within five minutes")
    #expect(announces.allSatisfy { $0.1.infoHashes.count <= LocalAnnounce.infoHashLimit })
    // What comes later waits for its turn, and not for longer.
    let last = announces.last?.at ?? .zero
    discovery.added(Self.hash(500), isPrivate: false, now: last + .seconds(1))
    let next = Self.run(&discovery, from: last + .seconds(1), seconds: 121)
    #expect(next.contains { $0.1.infoHashes.contains(Self.hash(500)) })
  }

  /// More than fit in five minutes take longer, in turn.
  @Test func thousandsTakeTurns() {
    var discovery = Self.make()
    for number in 0..<1000 { discovery.added(Self.hash(number), isPrivate: false, now: .zero) }
    let announces = Self.run(&discovery, from: .zero, seconds: 60 * (1000 / LocalAnnounce.infoHashLimit + 1))
    #expect(Set(announces.flatMap(\.1.infoHashes)).count == 1000)
  }

  @Test func aNewPortIsToldSoon() {
    var discovery = Self.make(port: 0)
    discovery.added(Self.hash(1), isPrivate: false, now: .zero)
    #expect(discovery.nextDeadline == .distantFuture && discovery.tick(now: .zero + .seconds(10)) == nil)
    discovery.port = 7000
    #expect(discovery.tick(now: .zero + .seconds(10))?.port == 7000)
    discovery.port = 7001
    #expect(discovery.tick(now: .zero + .seconds(20)) == nil)
    #expect(discovery.tick(now: .zero + .seconds(70))?.port == 7001)
  }

  @Test func neighboursAreFound() {
    var discovery = Self.make()
    discovery.added(Self.hash(1), isPrivate: false, now: .zero)
    discovery.added(Self.hash(2), isPrivate: true, now: .zero)
    let bytes = LocalAnnounce(
      port: 5000, infoHashes: (0..<5).map(Self.hash), cookie: Array("other".utf8)
    ).encoded(for: .v4)
    let found = discovery.datagramArrived(bytes.span, from: Self.neighbour, now: .zero)
    #expect(found == [.init(infoHash: Self.hash(1), endpoint: Endpoint("192.168.1.7:5000")!)])
    // Our own voice.
    let own = discovery.tick(now: .zero + .seconds(1))?.encoded(for: .v4) ?? []
    #expect(discovery.datagramArrived(own.span, from: Self.neighbour, now: .zero).isEmpty)
    #expect(discovery.datagramArrived([1, 2, 3].span, from: Self.neighbour, now: .zero).isEmpty)
  }

  @Test func floodsAreIgnored() {
    var discovery = Self.make()
    discovery.added(Self.hash(1), isPrivate: false, now: .zero)
    let bytes = LocalAnnounce(port: 5000, infoHashes: [Self.hash(1)]).encoded(for: .v4)
    let taken = (0..<1000).count { _ in
      !discovery.datagramArrived(bytes.span, from: Self.neighbour, now: .zero).isEmpty
    }
    #expect(taken == 20)
    let later = Moment.zero + .seconds(100)
    #expect(
      (0..<1000).count { _ in !discovery.datagramArrived(bytes.span, from: Self.neighbour, now: later).isEmpty
      } == 10)
    // Any number of forged neighbours takes no more memory, and real ones are heard again after a while.
    for number in 0..<5000 {
      let forged = Endpoint(address: IPAddress(v4: 0x0a00_0000 + UInt32(number)), port: 6771)
      _ = discovery.datagramArrived(bytes.span, from: forged, now: later)
    }
    let newcomer = Endpoint("192.168.1.9:6771")!
    #expect(discovery.datagramArrived(bytes.span, from: newcomer, now: later).isEmpty)
    #expect(!discovery.datagramArrived(bytes.span, from: newcomer, now: later + .seconds(300)).isEmpty)
  }
}
