import Testing
import TorrentModel
import TrackerProtocol

@Suite struct UDPTrackerCodecTests {
  /// The layouts of BEP 15, field by field.
  @Test func requestsAreWrittenAsSpecified() {
    #expect(
      UDPTrackerRequest.connect(transaction: 0x0102_0304).encoded()
        == bytes(hex: "0000041727101980 00000000 01020304"))
    #expect(
      UDPTrackerRequest.announce(connection: 0x1122_3344_5566_7788, transaction: 9, sampleRequest).encoded()
        == bytes(
          hex: "1122334455667788 00000001 00000009 123456789abcdef123456789abcdef123456789a"
            + "2d5338303130302d6162636465666768696a6b7e 0000000000000002 0000000000000003 0000000000000001"
            + "00000002 00000000 0abcdef1 000000c8 1ae1"))
    #expect(
      UDPTrackerRequest.scrape(connection: 1, transaction: 2, [infoHash("a"), infoHash("b")]).encoded()
        == bytes(
          hex: "0000000000000001 00000002 00000002" + String(repeating: "a", count: 40)
            + String(repeating: "b", count: 40)))
    var request = sampleRequest
    request.numberWanted = nil
    request.event = .paused
    let datagram = UDPTrackerRequest.announce(connection: 0, transaction: 0, request).encoded()
    #expect(datagram.count == 98)
    #expect(Array(datagram[92..<96]) == [255, 255, 255, 255])
    #expect(Array(datagram[80..<84]) == [0, 0, 0, 0])
  }

  /// The examples of BEP 41.
  @Test func urlDataFollowsTheAnnounce() {
    func options(_ data: String) -> [UInt8] {
      Array(
        UDPTrackerRequest.announce(connection: 0, transaction: 0, sampleRequest, urlData: Array(data.utf8))
          .encoded().dropFirst(98))
    }
    #expect(options("/dir?a=b&c=d") == [2, 12] + Array("/dir?a=b&c=d".utf8))
    #expect(options("") == [])
    let long = String(repeating: "x", count: 300)
    #expect(
      options(long) == [2, 255] + Array(repeating: 0x78, count: 255) + [2, 45]
        + Array(repeating: 0x78, count: 45))
    #expect(options(String(repeating: "x", count: 5000)).count == 1020 + 8)
  }

  @Test func optionsAreReadAsFarAsTheyAreWellFormed() {
    func urlData(_ options: [UInt8]) -> String? {
      let datagram =
        UDPTrackerRequest.announce(connection: 0, transaction: 0, sampleRequest).encoded() + options
      guard case .announce(_, _, sampleRequest, _, let data)? = UDPTrackerRequest(datagram.span) else {
        return nil
      }
      return String(decoding: data, as: UTF8.self)
    }
    let dir = [2, 12] + Array("/dir?a=b&c=d".utf8)
    #expect(urlData(dir) == "/dir?a=b&c=d")
    #expect(urlData(dir + [1, 1, 0]) == "/dir?a=b&c=d")
    #expect(urlData([2, 0]) == "")
    #expect(urlData([1, 1] + dir + [2, 1, 0x78]) == "/dir?a=b&c=dx")
    #expect(urlData(dir + [0, 2, 1, 0x78]) == "/dir?a=b&c=d")
    #expect(urlData([7, 2, 9, 9] + dir) == "/dir?a=b&c=d")
    #expect(urlData(dir + [2]) == "/dir?a=b&c=d")
    #expect(urlData(dir + [2, 5, 0x78]) == "/dir?a=b&c=d")
    #expect(urlData([]) == "")
  }

  @Test func drawnRequestsRoundTrip() {
    var random = SeededRandom(seed: 15)
    for _ in 0..<1000 {
      let transaction = UInt32.random(in: .min ... .max, using: &random)
      let connection = random.next()
      let hash = InfoHash(PeerID(prefix: "", using: &random).bytes)
      var announce = AnnounceRequest(
        infoHash: hash, peerID: PeerID(prefix: "-", using: &random),
        port: .random(in: .min ... .max, using: &random),
        uploaded: .random(in: 0 ... .max, using: &random),
        downloaded: .random(in: 0 ... .max, using: &random),
        left: .random(in: 0 ... .max, using: &random),
        event: [.periodic, .started, .stopped, .completed].randomElement(using: &random)!,
        key: .random(in: .min ... .max, using: &random))
      if Bool.random(using: &random) { announce.numberWanted = .random(in: 0...0x7fff_ffff, using: &random) }
      let data: [UInt8] = (0..<Int.random(in: 0...1020, using: &random)).map { _ in
        .random(in: .min ... .max, using: &random)
      }
      let requests: [UDPTrackerRequest] = [
        .connect(transaction: transaction),
        .announce(
          connection: connection, transaction: transaction, announce,
          address: .random(in: .min ... .max, using: &random), urlData: data),
        .scrape(
          connection: connection, transaction: transaction,
          Array(repeating: hash, count: Int.random(in: 1...74, using: &random))),
      ]
      for request in requests { #expect(UDPTrackerRequest(request.encoded().span) == request) }
    }
  }

  @Test func otherDatagramsAreNoRequests() {
    let announce = UDPTrackerRequest.announce(connection: 1, transaction: 2, sampleRequest).encoded()
    for count in 0..<98 { #expect(UDPTrackerRequest(Array(announce.prefix(count)).span) == nil) }
    let scrape = UDPTrackerRequest.scrape(connection: 1, transaction: 2, [infoHash("a")]).encoded()
    for count in 0..<36 { #expect(UDPTrackerRequest(Array(scrape.prefix(count)).span) == nil) }
    #expect(
      UDPTrackerRequest((scrape + [1, 2, 3]).span) == .scrape(connection: 1, transaction: 2, [infoHash("a")]))
    let tooMany = Array(scrape.prefix(16)) + [UInt8](repeating: 0, count: 75 * 20)
    #expect(UDPTrackerRequest(tooMany.span) == nil)
    var connect = UDPTrackerRequest.connect(transaction: 2).encoded()
    for count in 0..<16 { #expect(UDPTrackerRequest(Array(connect.prefix(count)).span) == nil) }
    connect[0] = 1
    #expect(UDPTrackerRequest(connect.span) == nil)
    #expect(UDPTrackerRequest(bytes(hex: "0000041727101980 00000003 01020304").span) == nil)
    #expect(UDPTrackerRequest(bytes(hex: "0000041727101980 00000004 01020304").span) == nil)
  }

  @Test func repliesAreWrittenAndReadAsSpecified() throws {
    let v4 = Endpoint("1.2.3.4:258")!
    let v6 = Endpoint("[2001:db8::1]:259")!
    let announce = AnnounceReply(interval: .seconds(1800), peers: [v4], seeds: 2, leechers: 1)
    let cases: [(UDPTrackerReply, String, Bool)] = [
      (
        .connect(transaction: 5, connection: 0x1122_3344_5566_7788), "00000000 00000005 1122334455667788",
        true
      ),
      (
        .announce(transaction: 6, announce),
        "00000001 00000006 00000708 00000001 00000002 01020304 0102", true
      ),
      (
        .announce(
          transaction: 6, AnnounceReply(interval: .seconds(1800), peers: [v6], seeds: 2, leechers: 1)),
        "00000001 00000006 00000708 00000001 00000002 20010db8000000000000000000000001 0103", false
      ),
      (
        .scrape(
          transaction: 7,
          [
            ScrapeEntry(seeds: 1, downloaded: 2, leechers: 3),
            ScrapeEntry(seeds: 4, downloaded: 5, leechers: 6),
          ]),
        "00000002 00000007 00000001 00000002 00000003 00000004 00000005 00000006", true
      ),
      (.error(transaction: 8, message: "no"), "00000003 00000008 6e6f", true),
    ]
    for (reply, hex, isV4) in cases {
      #expect(reply.encoded(isV4: isV4) == bytes(hex: hex))
      #expect(try UDPTrackerReply.decode(bytes(hex: hex).span, isV4: isV4) == reply)
    }
    // Only the family of the datagram fits in it.
    let both = UDPTrackerReply.announce(transaction: 1, AnnounceReply(peers: [v6, v4]))
    #expect(both.encoded(isV4: true).count == 26)
    #expect(both.encoded(isV4: false).count == 38)
  }

  @Test func shortRepliesAreRefused() {
    for (hex, least) in [("00000000", 16), ("00000001", 20), ("00000002", 8), ("00000003", 8)] {
      let whole = bytes(hex: hex) + [UInt8](repeating: 1, count: 40)
      for count in 0..<least {
        #expect(throws: TrackerError.truncatedReply(length: count, needed: count < 8 ? 8 : least)) {
          try UDPTrackerReply.decode(Array(whole.prefix(count)).span, isV4: true)
        }
      }
      #expect(throws: Never.self) { try UDPTrackerReply.decode(Array(whole.prefix(least)).span, isV4: true) }
    }
    #expect(throws: TrackerError.unexpectedAction(4)) {
      try UDPTrackerReply.decode(bytes(hex: "00000004 00000000").span, isV4: true)
    }
  }

  @Test func oddLengthsAndNumbersAreTolerated() throws {
    // BEP 15: "Do not expect packets to be exactly of a certain size."
    let hex = "00000001 00000006 ffffffff ffffffff 80000000 01020304 0102 0506"
    guard case .announce(6, let reply) = try UDPTrackerReply.decode(bytes(hex: hex).span, isV4: true) else {
      Issue.record("no announce")
      return
    }
    #expect(reply.peers == [Endpoint("1.2.3.4:258")!])
    #expect(reply.interval == nil && reply.seeds == nil && reply.leechers == nil)
    guard
      case .scrape(_, let entries) = try UDPTrackerReply.decode(
        bytes(hex: "00000002 00000006 00000001 00000002 00000003 0000").span, isV4: true)
    else {
      Issue.record("no scrape")
      return
    }
    #expect(entries == [ScrapeEntry(seeds: 1, downloaded: 2, leechers: 3)])
    let zero = bytes(hex: "00000001 00000006 00000000 00000000 00000000 01020304 0000 00000000 0001")
    guard case .announce(_, let filtered) = try UDPTrackerReply.decode(zero.span, isV4: true) else {
      Issue.record("no announce")
      return
    }
    #expect(filtered.peers.isEmpty && filtered.ignoredPeers == 2)
  }

  @Test func answersFitADatagram() {
    var random = SeededRandom(seed: 1472)
    let peers = (0..<2000).map { _ in drawEndpoint(&random) }
    for isV4 in [true, false] {
      let size = UDPTrackerReply.announce(transaction: 1, AnnounceReply(peers: peers)).encoded(isV4: isV4)
        .count
      #expect(size <= 1452 && size > 1430)
    }
    let scrape = UDPTrackerReply.scrape(transaction: 1, Array(repeating: ScrapeEntry(), count: 100))
    #expect(scrape.encoded(isV4: true).count == 8 + 74 * 12)
    let message = String(repeating: "x", count: 5000)
    #expect(UDPTrackerReply.error(transaction: 1, message: message).encoded(isV4: true).count == 308)
  }

  @Test func drawnDatagramsNeverDoMoreThanBeRefused() {
    var random = SeededRandom(seed: 99)
    for _ in 0..<20_000 {
      var datagram: [UInt8] = (0..<Int.random(in: 0...150, using: &random)).map { _ in
        .random(in: .min ... .max, using: &random)
      }
      if datagram.count > 11 { for index in [0, 1, 2, 8, 9, 10] { datagram[index] = 0 } }
      if datagram.count > 11 {
        datagram[3] = .random(in: 0...4, using: &random)
        datagram[11] = .random(in: 0...4, using: &random)
      }
      _ = UDPTrackerRequest(datagram.span)
      _ = try? UDPTrackerReply.decode(datagram.span, isV4: .random(using: &random))
    }
  }
}
