import Bencode
import Testing
import TorrentModel

@testable import DHT

@Suite struct KRPCTests {
  let sender = Endpoint("1.2.3.4:6881")!
  static let id = "abcdefghij0123456789"
  static let other = "mnopqrstuvwxyz123456"

  /// Every packet of BEP 5.
  @Test func queriesOfTheSpecification() throws {
    let ping = try decode("d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe")
    #expect(ping.kind == .query && ping.method == .ping && ping.id == point(Self.id) && ping.complaint == nil)
    let find = try decode(
      "d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe")
    #expect(find.method == .findNode && find.target == point(Self.other) && find.complaint == nil)
    let get = try decode(
      "d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe")
    #expect(get.method == .getPeers && get.target == point(Self.other) && get.complaint == nil)
    let text =
      "d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe"
    let announce = try decode(text)
    #expect(announce.method == .announcePeer && announce.target == point(Self.other))
    #expect(announce.usesImpliedPort && announce.port == 6881 && announce.complaint == nil)
    let token = try #require(announce.token)
    #expect(KRPCMessage.copy(token, of: Array(text.utf8).span) == Array("aoeusnth".utf8))
  }

  @Test func repliesOfTheSpecification() throws {
    let pong = try decode("d1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re")
    #expect(pong.kind == .reply && pong.id == point(Self.other))
    let found = "d1:rd2:id20:0123456789abcdefghij5:nodes9:def456...e1:t2:aa1:y1:re"
    let nodes = try decode(found)
    // Nine bytes are no node.
    var count = 0
    KRPCMessage.forEachNode(nodes.nodes, isV4: true, in: Array(found.utf8).span) { _, _ in count += 1 }
    #expect(nodes.nodes?.count == 9 && count == 0)
    let text = "d1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re"
    let values = try decode(text)
    var peers: [Endpoint] = []
    values.forEachValue(in: Array(text.utf8).span) { peers.append($0) }
    #expect(peers == [Endpoint("97.120.106.101:11893")!, Endpoint("105.100.104.116:28269")!])
    let closest = try decode(
      "d1:rd2:id20:abcdefghij01234567895:nodes9:def456...5:token8:aoeusnthe1:t2:aa1:y1:re")
    #expect(closest.token?.count == 8 && closest.values == nil)
    let error = "d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee"
    let failed = try decode(error)
    #expect(failed.kind == .error)
    #expect(DHTNode.refusal(failed, Array(error.utf8).span) == (201, "A Generic Error Ocurred"))
  }

  /// Our queries are those of BEP 5, but for the transaction.
  @Test func ownQueries() {
    let header = KRPCQuery.Header(id: point(Self.id))
    let aaaa = Transaction(0x6161_6161)
    let target = point(Self.other)
    let table: [(KRPCQuery, String)] = [
      (.ping, "d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t4:aaaa1:y1:qe"),
      (
        .findNode(target),
        "d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t4:aaaa1:y1:qe"
      ),
      (
        .getPeers(target, noSeeds: false, scrape: false),
        "d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t4:aaaa1:y1:qe"
      ),
      (
        .announcePeer(target, port: 6881, impliesPort: true, isSeed: false, token: Array("aoeusnth".utf8)),
        "d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:aoeusnthe1:q13:announce_peer1:t4:aaaa1:y1:qe"
      ),
      (
        .sampleInfoHashes(target),
        "d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q17:sample_infohashes1:t4:aaaa1:y1:qe"
      ),
    ]
    for (query, expected) in table { #expect(text(query.encoded(aaaa, header)) == expected) }
    var full = header
    full.version = 0x5350_3031
    full.wantsBoth = true
    #expect(
      text(KRPCQuery.getPeers(target, noSeeds: true, scrape: true).encoded(aaaa, full))
        == "d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz1234566:noseedi1e6:scrapei1e4:wantl2:n42:n6ee1:q9:get_peers1:t4:aaaa1:v4:SP011:y1:qe"
    )
    #expect(KRPCQuery.ping.encoded(aaaa, header).count == DHTNode.challengeLength)
    full.isReadOnly = true
    let paid = text(KRPCQuery.findNode(target).encoded(aaaa, full))
    #expect(paid.utf8.count == KRPCQuery.paidLength)
    #expect(paid.contains("9:find_node2:roi1e1:t4:aaaa1:v4:SP011:y1:q1:z"))
  }

  /// What we answer to BEP 5's queries is what BEP 5 says.
  @Test func ownAnswers() {
    var configuration = DHTConfiguration.plain
    configuration.version = nil
    var lone = Lone(configuration, id: point(Self.other))
    let pong = lone.receive("d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe", from: sender)
    #expect(pong.map { text($0.bytes) } == ["d1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re"])
    #expect(pong.first?.to == sender)
  }

  /// Everything we write is canonical, and read back as it was meant.
  @Test func writtenAndReadBack() throws {
    var random = SeededRandom(seed: 5)
    let pair = KeyPair(seed: 1)
    for _ in 0..<200 {
      let target = NodeID(using: &random)
      let token = (0..<Int.random(in: 1...20, using: &random)).map { _ in
        UInt8.random(in: 0...255, using: &random)
      }
      let item = pair.item("value", salt: Bool.random(using: &random) ? "salt" : "", sequence: 3)
      let queries: [KRPCQuery] = [
        .ping, .findNode(target), .getPeers(target, noSeeds: true, scrape: false),
        .announcePeer(target, port: 1, impliesPort: false, isSeed: true, token: token),
        .get(target, sequence: 9), .put(item, expectedSequence: 2, token: token), .sampleInfoHashes(target),
      ]
      for query in queries {
        let header = KRPCQuery.Header(
          id: NodeID(using: &random), version: 0x5350_0001, isReadOnly: Bool.random(using: &random),
          wantsBoth: Bool.random(using: &random))
        let transaction = Transaction(UInt32(truncatingIfNeeded: random.next()))
        let written = query.encoded(transaction, header)
        let message = try KRPCMessage.decode(written.span)
        #expect(message.isCanonical && message.complaint == nil && message.kind == .query)
        #expect(message.id == header.id && message.isReadOnly == header.isReadOnly)
        #expect(Transaction(written.span.extracting(message.transaction.range)) == transaction)
        switch query {
        case .ping: #expect(message.method == .ping)
        case .findNode, .getPeers, .sampleInfoHashes: #expect(message.target == target)
        case .announcePeer:
          #expect(message.isSeed && message.port == 1 && !message.usesImpliedPort)
          #expect(message.token.map { KRPCMessage.copy($0, of: written.span) } == token)
        case .get: #expect(message.sequence == 9 && message.target == target)
        case .put:
          #expect(message.expectedSequence == 2 && message.sequence == 3)
          #expect(message.value.map { KRPCMessage.copy($0, of: written.span) } == item.value)
        }
      }
    }
  }

  @Test(arguments: [
    ("d1:q4:ping1:t2:aa1:y1:qe", 203), ("d1:ad2:id3:abce1:q4:ping1:t2:aa1:y1:qe", 203),
    ("d1:ad2:id20:abcdefghij0123456789e1:q9:find_node1:t2:aa1:y1:qe", 203),
    ("d1:ad2:id20:abcdefghij0123456789e1:q9:get_peers1:t2:aa1:y1:qe", 203),
    ("d1:ad2:id20:abcdefghij0123456789e1:q4:vote1:t2:aa1:y1:qe", 204),
    ("d1:ad2:id20:abcdefghij0123456789e1:q3:put1:t2:aa1:y1:qe", 203),
    (
      "d1:ad2:id20:abcdefghij01234567894:salt65:\(String(repeating: "s", count: 65))1:vi1ee1:q3:put1:t2:aa1:y1:qe",
      207
    ),
    (
      "d1:ad2:id20:abcdefghij01234567891:v998:\(String(repeating: "v", count: 998))e1:q3:put1:t2:aa1:y1:qe",
      205
    ),
    ("d1:ad2:id20:abcdefghij01234567891:vd1:bi1e1:ai1eee1:q3:put1:t2:aa1:y1:qe", 203),
    ("d1:ad2:id20:abcdefghij01234567893:seqi1e1:vi1ee1:q3:put1:t2:aa1:y1:qe", 203),
  ])
  func refusals(_ query: String, _ code: Int) throws {
    #expect(try decode(query).complaint?.code == code)
    var lone = Lone()
    lone.node.sources.prove(sender.address, 1)
    let answer = lone.receive(query, from: sender)
    let sent = try #require(answer.first).bytes
    let error = try KRPCMessage.decode(sent.span)
    #expect(error.kind == .error && error.errorCode == Int64(code))
  }

  @Test(arguments: [
    "", "d", "de", "le", "i1e", "d1:y1:qe", "d1:t0:1:y1:qe", "d1:t2:aae", "d1:t2:aa1:y1:xe",
    "d1:t2:aa1:y2:qqe",
    "d1:t2:aa1:yi1ee", "d1:t2:aa1:y1:re", "d1:rd2:id3:abce1:t2:aa1:y1:re", "d1:rle1:t2:aa1:y1:re",
    "d1:t2:aa1:y1:qeX", "d1:ad2:id20:abcdefghij0123456789", "d1:t2:aa1:t2:aa1:y1:qe",
    "d1:t33:\(String(repeating: "t", count: 33))1:y1:qe",
  ])
  func noMessages(_ datagram: String) {
    #expect(throws: KRPCError.self) { try decode(datagram) }
    var lone = Lone()
    #expect(lone.receive(datagram, from: sender).isEmpty)
    #expect(lone.node.statistics.malformedDatagrams == 1)
  }

  /// Bombs of nesting, of many values and of length cost nothing and get no answer.
  @Test func bombs() {
    var lone = Lone()
    let bombs = [
      String(repeating: "l", count: 4000), "d1:ad" + String(repeating: "1:ad", count: 900),
      "d1:al" + String(repeating: "le", count: 1000) + "e1:t2:aa1:y1:qe",
      "d1:a4000000000:", "d1:t99999999999999999999:", "d1:ti99999999999999999999e1:y1:qe",
      "d1:ad2:id20:abcdefghij01234567891:v" + String(repeating: "l", count: 100)
        + String(repeating: "e", count: 100) + "e1:q3:put1:t2:aa1:y1:qe",
      String(repeating: "d", count: 5000),
    ]
    for bomb in bombs { #expect(lone.receive(bomb, from: sender).isEmpty) }
    #expect(lone.node.statistics.malformedDatagrams == bombs.count)
  }

  /// Whatever is changed in a good message, nothing traps, and a list of values stays within its bounds.
  @Test func mutated() {
    var random = SeededRandom(seed: 11)
    let samples = [
      "d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe",
      "d1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re",
      "d2:ip6:abcdef1:rd2:id20:abcdefghij01234567895:nodes52:\(String(repeating: "n", count: 52))5:token8:aoeusnthe1:t2:aa1:y1:re",
    ].map { Array($0.utf8) }
    var lone = Lone()
    for round in 0..<20_000 {
      var sample = samples[round % samples.count]
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        let at = Int.random(in: sample.indices, using: &random)
        switch Int.random(in: 0..<3, using: &random) {
        case 0: sample[at] = UInt8.random(in: 0...255, using: &random)
        case 1: sample.remove(at: at)
        default: sample.insert(UInt8(ascii: "0") + UInt8.random(in: 0...9, using: &random), at: at)
        }
      }
      _ = lone.receive(sample, from: sender)
      guard let message = try? KRPCMessage.decode(sample.span) else { continue }
      message.forEachValue(in: sample.span) { _ in }
      KRPCMessage.forEachNode(message.nodes, isV4: true, in: sample.span) { _, _ in }
      KRPCMessage.forEachNode(message.nodes, isV4: false, in: sample.span) { _, _ in }
    }
  }
}
