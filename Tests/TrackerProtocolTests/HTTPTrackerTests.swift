import Testing
import TorrentModel
import TrackerProtocol

@Suite struct HTTPTrackerRequestTests {
  @Test func anAnnounceIsWrittenAsItAlwaysWas() {
    #expect(
      sampleRequest.httpParameters
        == "info_hash=%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A&peer_id=-S80100-abcdefghijk~&port=6881"
        + "&uploaded=1&downloaded=2&left=3&key=0ABCDEF1&event=started&numwant=200&compact=1&no_peer_id=1")
    var request = sampleRequest
    request.event = .periodic
    request.numberWanted = nil
    request.trackerID = Array("a&b=c d".utf8)
    request.ipv6 = IPAddress("2001:db8::1")
    #expect(
      request.httpParameters.hasSuffix(
        "&left=3&key=0ABCDEF1&compact=1&no_peer_id=1&trackerid=a%26b%3Dc%20d&ipv6=2001%3Adb8%3A%3A1"))
  }

  @Test func aScrapeNamesEveryTorrent() {
    #expect(ScrapeRequest.httpParameters([]) == "")
    #expect(
      ScrapeRequest.httpParameters([infoHash("6"), infoHash("7")])
        == "info_hash=ffffffffffffffffffff&info_hash=wwwwwwwwwwwwwwwwwwww")
  }

  /// What one side writes, the other reads.
  @Test func drawnAnnouncesRoundTrip() throws {
    var random = SeededRandom(seed: 3)
    for _ in 0..<1000 {
      var request = AnnounceRequest(
        infoHash: InfoHash(PeerID(prefix: "", using: &random).bytes),
        peerID: PeerID(prefix: "-", using: &random),
        port: .random(in: .min ... .max, using: &random), uploaded: .random(in: 0 ... .max, using: &random),
        downloaded: .random(in: 0 ... .max, using: &random), left: .random(in: 0 ... .max, using: &random),
        event: [.periodic, .started, .stopped, .completed, .paused].randomElement(using: &random)!,
        key: .random(in: .min ... .max, using: &random))
      if Bool.random(using: &random) { request.numberWanted = .random(in: 0...10_000, using: &random) }
      if Bool.random(using: &random) {
        request.trackerID = (0..<10).map { _ in .random(in: .min ... .max, using: &random) }
      }
      if Bool.random(using: &random) { request.ipv4 = IPAddress(1, 2, 3, 4) }
      if Bool.random(using: &random) { request.ipv6 = IPAddress("2001:db8::1") }
      let query = try AnnounceQuery(Array(request.httpParameters.utf8).span)
      #expect(query.request == request)
      #expect(query.isCompact && query.omitsPeerIDs && query.claimedAddress == nil)
    }
  }
}

@Suite struct TrackerQueryTests {
  static let valid = "info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbbbbbb&port=6881"

  func announce(_ text: String) throws(TrackerQueryError) -> AnnounceQuery {
    try AnnounceQuery(Array(text.utf8).span)
  }

  @Test func theExampleOfTheSpecificationIsRead() throws {
    // BEP 23.
    let query = try announce(
      "peer_id=aaaaaaaaaaaaaaaaaaaa&info_hash=aaaaaaaaaaaaaaaaaaaa&port=6881&left=0&downloaded=100&uploaded=0&compact=1"
    )
    #expect(
      query.request.infoHash == infoHash("6")
        || query.request.infoHash.bytes.bytes == Array(repeating: 0x61, count: 20))
    #expect(query.request.port == 6881 && query.request.left == 0 && query.request.downloaded == 100)
    #expect(query.isCompact && !query.omitsPeerIDs)
  }

  @Test func whatIsNotSaidHasItsDefault() throws {
    let query = try announce(Self.valid)
    #expect(query.request.left == .max && query.request.uploaded == 0 && query.request.event == .periodic)
    #expect(query.request.numberWanted == nil && query.isCompact && !query.omitsPeerIDs)
    #expect(
      try announce(Self.valid + "&compact=0&no_peer_id=1&ip=1.2.3.4&numwant=-1&event=").isCompact == false)
    #expect(try announce(Self.valid + "&ip=10.0.0.1").claimedAddress == IPAddress(10, 0, 0, 1))
    #expect(try announce(Self.valid + "&ip=example.org").claimedAddress == nil)
    #expect(
      try announce(Self.valid + "&ipv4=a&ipv4=1.2.3.4&ipv4=5.6.7.8").request.ipv4 == IPAddress(1, 2, 3, 4))
    #expect(try announce(Self.valid + "&ipv4=2001:db8::1").request.ipv4 == nil)
    #expect(try announce(Self.valid + "&event=weird").request.event == .periodic)
    #expect(try announce(Self.valid + "&&&x&=&y=").request.port == 6881)
    #expect(try announce(Self.valid + "&left=99999999999999999999999").request.left == .max)
    #expect(
      try announce(Self.valid + "&key=zz top").request.key
        == announce(Self.valid + "&key=zz%20top").request.key)
  }

  static let tooLong = valid + String(repeating: "&a=b", count: 200)
  static let refused: [(String, TrackerQueryError)] = [
    ("", .missing("info_hash")), ("port=1", .missing("info_hash")),
    ("info_hash=aaaaaaaaaaaaaaaaaaaa", .missing("peer_id")),
    ("info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbbbbbb", .missing("port")),
    ("info_hash=aaa&peer_id=bbbbbbbbbbbbbbbbbbbb&port=1", .malformed("info_hash")),
    ("info_hash=aaaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbbbbbb&port=1", .malformed("info_hash")),
    ("info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=b&port=1", .malformed("peer_id")),
    ("\(valid)&port=1", .repeated("port")),
    ("\(valid)&info_hash=cccccccccccccccccccc", .repeated("info_hash")),
    ("info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbbbbbb&port=65536", .malformed("port")),
    ("info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbbbbbb&port=-1", .malformed("port")),
    ("info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbbbbbb&port=", .malformed("port")),
    ("\(valid)&left=-1", .malformed("left")), ("\(valid)&left=1.5", .malformed("left")),
    ("\(valid)&numwant=many", .malformed("numwant")), ("\(valid)&x=%", .malformed("query")),
    ("\(valid)&x=%2", .malformed("query")), ("\(valid)&x=%zz", .malformed("query")),
    (tooLong, .malformed("query")),
  ]

  @Test(arguments: refused)
  func whatIsMissingOrWrongIsNamed(text: String, error: TrackerQueryError) {
    #expect(throws: error) { try announce(text) }
    #expect(!error.description.isEmpty)
  }

  @Test func scrapesNameAtLeastOneTorrent() throws {
    #expect(
      try ScrapeQuery(Array("info_hash=ffffffffffffffffffff&x=y&info_hash=wwwwwwwwwwwwwwwwwwww".utf8).span)
        .infoHashes
        == [infoHash("6"), infoHash("7")])
    #expect(throws: TrackerQueryError.missing("info_hash")) { try ScrapeQuery([UInt8]().span) }
    #expect(throws: TrackerQueryError.malformed("info_hash")) {
      try ScrapeQuery(Array("info_hash=f".utf8).span)
    }
    let many = Array(repeating: "info_hash=ffffffffffffffffffff", count: 75)
    #expect(throws: TrackerQueryError.tooManyInfoHashes(limit: 74)) {
      try ScrapeQuery(Array(many.joined(separator: "&").utf8).span)
    }
    #expect(try ScrapeQuery(Array(many.dropLast().joined(separator: "&").utf8).span).infoHashes.count == 74)
  }

  @Test func drawnQueriesNeverDoMoreThanBeRefused() {
    var random = SeededRandom(seed: 48)
    for _ in 0..<10_000 {
      var text = Array((Self.valid + "&left=1&event=started&compact=1").utf8)
      for _ in 0..<Int.random(in: 1...5, using: &random) {
        text[Int.random(in: 0..<text.count, using: &random)] = .random(in: .min ... .max, using: &random)
      }
      _ = try? AnnounceQuery(text.span)
      _ = try? ScrapeQuery(text.span)
    }
  }
}

@Suite struct HTTPTrackerReplyTests {
  func decode(_ text: String) throws(TrackerError) -> AnnounceReply {
    try AnnounceReply.decode(http: Array(text.utf8).span)
  }

  @Test func theExampleOfTheSpecificationIsRead() throws {
    // BEP 7, with letters for bytes.
    let reply = try decode("d8:intervali1800e5:peers6:iiiipp6:peers618:iiiiiiiiiiiiiiiippe")
    #expect(reply.interval == .seconds(1800))
    #expect(
      reply.peers == [
        Endpoint(address: IPAddress(0x69, 0x69, 0x69, 0x69), port: 0x7070),
        Endpoint(address: IPAddress(high: 0x6969_6969_6969_6969, low: 0x6969_6969_6969_6969), port: 0x7070),
      ])
  }

  @Test func dictionariesOfPeersAreRead() throws {
    let reply = try decode(
      "d8:completei3e10:downloadedi7e10:incompletei4e8:intervali60e12:min intervali30e5:peersl"
        + "d2:ip7:1.2.3.47:peer id20:aaaaaaaaaaaaaaaaaaaa4:porti6881ee" + "d2:ip11:2001:db8::14:porti1ee"
        + "d2:ip11:example.org4:porti6881ee" + "d2:ip7:1.2.3.44:porti0ee" + "d2:ip7:1.2.3.44:porti65536ee"
        + "d2:ip7:1.2.3.4e" + "d4:porti5ee" + "i5e" + "d2:ip7:0.0.0.04:porti5ee"
        + "d2:ip9:224.0.0.14:porti5ee"
        + "e10:tracker id3:abce")
    #expect(reply.peers == [Endpoint("1.2.3.4:6881")!, Endpoint("[2001:db8::1]:1")!])
    #expect(reply.ignoredPeers == 8)
    #expect(reply.seeds == 3 && reply.leechers == 4 && reply.downloaded == 7)
    #expect(reply.interval == .seconds(60) && reply.minimumInterval == .seconds(30))
    #expect(reply.trackerID == Array("abc".utf8))
  }

  @Test func nothingNeedsToBeSaid() throws {
    #expect(try decode("de") == AnnounceReply())
    #expect(try decode("d8:intervali0e5:peers0:e\n") == AnnounceReply())
    #expect(try decode("d8:intervali-5e12:min intervali-1e8:completei-1e5:peerslee") == AnnounceReply())
    #expect(try decode("d8:interval4:18005:peers0:10:tracker idi5e15:warning messagei1ee") == AnnounceReply())
    #expect(try decode("d8:intervali9223372036854775807ee").interval == .seconds(86400 * 365))
  }

  @Test func textsOfTrackersAreMadePrintable() throws {
    #expect(try decode("d15:warning message8:a\u{1b}[31m\nbe").warning == "a?[31m?b")
    let long = String(repeating: "x", count: 1000)
    #expect(try decode("d15:warning message1000:\(long)e").warning?.count == 301)
    #expect(throws: TrackerError.failure(reason: "a?b", retry: nil)) {
      try decode("d14:failure reason3:a\nbe")
    }
    #expect(try decode("d10:tracker id1000:\(long)e").trackerID == nil)
  }

  @Test func theExternalAddressIsRead() throws {
    #expect(try decode("d11:external ip4:ABCDe").externalAddress == IPAddress(65, 66, 67, 68))
    #expect(
      try decode("d11:external ip16:ABCDABCDABCDABCDe").externalAddress
        == IPAddress(high: 0x4142_4344_4142_4344, low: 0x4142_4344_4142_4344))
    #expect(try decode("d11:external ip5:ABCDEe").externalAddress == nil)
    #expect(try decode("d11:external ip0:e").externalAddress == nil)
  }

  @Test(arguments: [
    ("d14:failure reason3:whye", TrackerError.failure(reason: "why", retry: nil)),
    ("d14:failure reason3:why8:retry in1:5e", .failure(reason: "why", retry: .after(.minutes(5)))),
    ("d14:failure reason3:why8:retry ini5ee", .failure(reason: "why", retry: .after(.minutes(5)))),
    ("d14:failure reason3:why8:retry in5:nevere", .failure(reason: "why", retry: .never)),
    ("d14:failure reason3:why8:retry in1:0e", .failure(reason: "why", retry: nil)),
    ("d14:failure reason3:why8:retry in4:soone", .failure(reason: "why", retry: nil)),
    ("d14:failure reason3:why12:min intervali90ee", .failure(reason: "why", retry: .after(.seconds(90)))),
    ("d14:failure reason0:e", .failure(reason: "", retry: nil)),
    ("d14:failure reasoni5ee", .failure(reason: "", retry: nil)),
    ("i5e", .notADictionary), ("le", .notADictionary), ("0:", .notADictionary),
    ("d5:peers5:abcdee", .malformedPeers), ("d5:peersi5ee", .malformedPeers),
    ("d5:peersdee", .malformedPeers),
    ("d6:peers66:abcdefe", .malformedPeers), ("d6:peers6lee", .malformedPeers),
  ])
  func refusalsAndNonsenseHaveTheirReason(text: String, error: TrackerError) {
    #expect(throws: error) { try decode(text) }
    #expect(!error.description.isEmpty)
  }

  @Test(arguments: [
    "", "<html>404</html>", "d8:interval", "d8:intervali1800e5:peers600:aae", "d1:ai1e1:ai2ee",
  ])
  func whatIsNotBencodeIsRefused(text: String) {
    do throws(TrackerError) {
      _ = try decode(text)
      Issue.record("taken: \(text)")
    } catch {
      guard case .notBencode = error else {
        Issue.record("\(error)")
        return
      }
      #expect(error.description.hasPrefix("the tracker's answer is not bencode"))
    }
  }

  @Test func sizesAreBounded() throws {
    let many = 6000
    let reply = try decode("d5:peers\(many * 6):\(String(repeating: "ABCDEF", count: many))e")
    #expect(reply.peers.count == Limits.peersPerAnnounce)
    #expect(reply.ignoredPeers == many - Limits.peersPerAnnounce)
    let long = [UInt8](repeating: 0x61, count: Limits.trackerReplyLength + 1)
    #expect(throws: TrackerError.replyTooLong) { try AnnounceReply.decode(http: long.span) }
    #expect(throws: TrackerError.replyTooLong) { try ScrapeEntry.decode(http: long.span, for: []) }
    let deep = String(repeating: "l", count: 100) + String(repeating: "e", count: 100)
    #expect(throws: TrackerError.self) { try decode("d1:a\(deep)e") }
  }

  @Test(arguments: [true, false]) func drawnAnswersRoundTrip(isCompact: Bool) throws {
    var random = SeededRandom(seed: 23)
    for _ in 0..<300 {
      var reply = AnnounceReply(interval: .seconds(Int.random(in: 1...10_000, using: &random)))
      if Bool.random(using: &random) {
        reply.minimumInterval = .seconds(Int.random(in: 0...100, using: &random))
      }
      if Bool.random(using: &random) { reply.seeds = .random(in: 0...Int.max, using: &random) }
      if Bool.random(using: &random) { reply.leechers = .random(in: 0...Int.max, using: &random) }
      if Bool.random(using: &random) { reply.downloaded = .random(in: 0...Int.max, using: &random) }
      if Bool.random(using: &random) { reply.trackerID = [1, 2, 3] }
      if Bool.random(using: &random) { reply.warning = "be careful" }
      if Bool.random(using: &random) { reply.externalAddress = drawEndpoint(&random).address }
      let peers = (0..<Int.random(in: 0...30, using: &random)).map { _ in drawEndpoint(&random) }
      // The compact form has the families apart.
      reply.peers = isCompact ? peers.filter(\.address.isV4) + peers.filter { !$0.address.isV4 } : peers
      let ids = Bool.random(using: &random) ? peers.map { _ in PeerID(prefix: "-", using: &random) } : []
      let body = isCompact ? HTTPTrackerAnswer.compact(reply) : HTTPTrackerAnswer.list(reply, peerIDs: ids)
      #expect(try AnnounceReply.decode(http: body.span) == reply)
    }
  }

  @Test func drawnDamageToAnAnswerNeverDoesMoreThanRefuseIt() {
    var random = SeededRandom(seed: 31)
    let whole = Array(
      "d8:completei3e11:external ip4:abcd10:incompletei4e8:intervali60e5:peersld2:ip7:1.2.3.44:porti6881eee15:warning message2:hie"
        .utf8)
    for _ in 0..<20_000 {
      var damaged = whole
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        damaged[Int.random(in: 0..<damaged.count, using: &random)] = .random(
          in: .min ... .max, using: &random)
      }
      _ = try? AnnounceReply.decode(http: damaged.span)
      _ = try? ScrapeEntry.decode(http: damaged.span, for: [infoHash("a")])
    }
    for count in 0..<whole.count {
      #expect(throws: TrackerError.self) { try AnnounceReply.decode(http: Array(whole.prefix(count)).span) }
    }
  }

  @Test func theTrackersSideOfRefusals() throws {
    #expect(String(decoding: HTTPTrackerAnswer.failure("no"), as: UTF8.self) == "d14:failure reason2:noe")
    #expect(
      String(decoding: HTTPTrackerAnswer.failure("no", retry: .never), as: UTF8.self)
        == "d14:failure reason2:no8:retry in5:nevere")
    #expect(throws: TrackerError.failure(reason: "no", retry: .after(.minutes(2)))) {
      try AnnounceReply.decode(http: HTTPTrackerAnswer.failure("no", retry: .after(.seconds(61))).span)
    }
  }
}

@Suite struct HTTPScrapeTests {
  @Test func theExampleOfTheSpecificationIsRead() throws {
    // BEP 48.
    let body =
      "d5:filesd20:xxxxxxxxxxxxxxxxxxxxd8:completei11e10:downloadedi13772e10:incompletei19ee"
      + "20:yyyyyyyyyyyyyyyyyyyyd8:completei21e10:downloadedi206e10:incompletei20eeee"
    let x = InfoHash(Bytes20(repeatElement(UInt8(ascii: "x"), count: 20))!)
    let y = InfoHash(Bytes20(repeatElement(UInt8(ascii: "y"), count: 20))!)
    let entries = try ScrapeEntry.decode(http: Array(body.utf8).span, for: [y, infoHash("0"), x])
    #expect(
      entries == [
        ScrapeEntry(seeds: 21, downloaded: 206, leechers: 20), nil,
        ScrapeEntry(seeds: 11, downloaded: 13772, leechers: 19),
      ])
    let again = HTTPTrackerAnswer.scrape([
      (y, ScrapeEntry(seeds: 21, downloaded: 206, leechers: 20)),
      (x, ScrapeEntry(seeds: 11, downloaded: 13772, leechers: 19)),
      (x, ScrapeEntry(seeds: 12)),
    ])
    #expect(String(decoding: again, as: UTF8.self) == body)
  }

  @Test func partsMayBeMissing() throws {
    let body = "d5:filesd20:xxxxxxxxxxxxxxxxxxxxd8:completei-1e11:downloadersi2eeee"
    let x = InfoHash(Bytes20(repeatElement(UInt8(ascii: "x"), count: 20))!)
    #expect(try ScrapeEntry.decode(http: Array(body.utf8).span, for: [x]) == [ScrapeEntry(downloaders: 2)])
    for text in ["de", "d5:filesi5ee", "d5:fileslee"] {
      #expect(throws: TrackerError.malformedScrape) {
        try ScrapeEntry.decode(http: Array(text.utf8).span, for: [x])
      }
    }
    #expect(throws: TrackerError.failure(reason: "no", retry: nil)) {
      try ScrapeEntry.decode(http: Array("d14:failure reason2:noe".utf8).span, for: [x])
    }
  }
}
