import PeerWire
import Testing
import TorrentModel

@Suite struct PeerExchangeTests {
  func endpoint(_ number: Int, isV4: Bool = true) -> Endpoint {
    Endpoint(
      address: isV4
        ? IPAddress(203, 0, UInt8(number / 250), UInt8(number % 250 + 1))
        : IPAddress(high: 0x2001_0db8_0000_0000, low: UInt64(number + 1)), port: UInt16(6881 + number))
  }

  func compact(_ endpoints: [Endpoint]) -> [UInt8] {
    var bytes: [UInt8] = []
    for endpoint in endpoints { endpoint.appendCompact(to: &bytes) }
    return bytes
  }

  func entry(_ key: String, _ value: [UInt8]) -> [UInt8] {
    Array("\(key.utf8.count):\(key)\(value.count):".utf8) + value
  }

  func decode(_ entries: [[UInt8]]) throws(PeerProtocolError) -> PeerExchange.Message {
    try PeerExchange.decode((Array("d".utf8) + entries.flatMap { $0 } + Array("e".utf8)).span)
  }

  @Test func aKnownMessage() throws {
    let message = PeerExchange.Message(
      added: [
        .init(Endpoint("1.2.3.4:6881")!, flags: [.reachable, .uploadOnly]),
        .init(Endpoint("[2001:db8::1]:80")!, flags: .supportsUTP),
      ], dropped: [Endpoint("5.6.7.8:257")!])
    let expected =
      Array("d5:added6:".utf8) + [1, 2, 3, 4, 0x1a, 0xe1] + Array("7:added.f1:".utf8) + [0x12]
      + Array("6:added618:".utf8) + [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 80]
      + Array("8:added6.f1:".utf8) + [4] + Array("7:dropped6:".utf8) + [5, 6, 7, 8, 1, 1] + Array("e".utf8)
    #expect(PeerExchange.encode(message) == expected)
    #expect(try PeerExchange.decode(expected.span) == message)
    var output: [UInt8] = []
    PeerExchange.append(message, remoteID: PeerExchange.registration.localID, to: &output)
    #expect(
      try step(output) == .message(.extended(id: 3, payload: expected), length: expected.count + 6))
  }

  @Test func drawnMessagesRoundTrip() throws {
    var random = SeededRandom(seed: 11)
    for _ in 0..<300 {
      var numbers = Array(0..<200)
      numbers.shuffle(using: &random)
      let added = numbers.prefix(Int.random(in: 0...50, using: &random)).map {
        PeerExchange.Contact(endpoint($0), flags: .init(rawValue: .random(in: 0...31, using: &random)))
      }
      let added6 = added.count < 50 ? [PeerExchange.Contact(endpoint(7, isV4: false))] : []
      let dropped = numbers.suffix(Int.random(in: 0...50, using: &random)).map { endpoint($0) }
      let message = PeerExchange.Message(added: added + added6, dropped: dropped)
      #expect(try PeerExchange.decode(PeerExchange.encode(message).span) == message)
    }
  }

  @Test func noMoreThanFiftyAreTaken() throws {
    let many = (0..<400).map { endpoint($0) }
    let many6 = (0..<400).map { endpoint($0, isV4: false) }
    var message = try decode([
      entry("added", compact(many)), entry("dropped", compact(Array(many.reversed()))),
    ])
    #expect(message.added.map(\.endpoint) == Array(many.prefix(50)))
    #expect(message.dropped.count == 50 && message.ignoredCount == 700)
    // Neither family keeps the other out.
    message = try decode([entry("added", compact(many)), entry("added6", compact(many6))])
    #expect(message.added.count { $0.endpoint.address.isV4 } == 25)
    #expect(message.added.count { !$0.endpoint.address.isV4 } == 25)
    message = try decode([entry("added6", compact(many6))])
    #expect(message.added.count == 50)
  }

  @Test func whatIsNobodysAddressIsLeftAside() throws {
    let bad = [
      "0.0.0.0:1", "1.2.3.4:0", "224.0.0.1:80", "239.192.152.143:6771", "255.255.255.255:80", "0.1.2.3:9",
    ]
    let bad6 = ["[::]:80", "[ff02::1]:80", "[2001:db8::1]:0"]
    let message = try decode([
      entry("added", compact((bad + ["1.2.3.4:5", "1.2.3.4:5"]).map { Endpoint($0)! })),
      entry("added6", compact(bad6.map { Endpoint($0)! })),
    ])
    #expect(message.added == [.init(Endpoint("1.2.3.4:5")!)])
    #expect(message.ignoredCount == bad.count + bad6.count + 1)
    // What was added is not dropped at once.
    let both = try decode([entry("added", compact([endpoint(1)])), entry("dropped", compact([endpoint(1)]))])
    #expect(both.added.count == 1 && both.dropped.isEmpty)
  }

  @Test func flagsMayBeMissing() throws {
    let message = try decode([entry("added", compact([endpoint(1), endpoint(2)])), entry("added.f", [2])])
    #expect(message.added.map(\.flags) == [.uploadOnly, []])
    #expect(try decode([entry("unknown", [1])]).isEmpty)
  }

  @Test func nonsenseIsRefused() {
    for text in [
      "", "le", "d5:addedi1ee", "d5:added5:abcdee", "d6:added65:abcdee", "d7:dropped7:abcdefge", "d5:added",
    ] {
      #expect(throws: PeerProtocolError.self) { try PeerExchange.decode(Array(text.utf8).span) }
    }
    let deep = String(repeating: "l", count: 100) + String(repeating: "e", count: 100)
    #expect(throws: PeerProtocolError.self) { try PeerExchange.decode(Array("d1:a\(deep)e".utf8).span) }
    let wide = String(repeating: "0:", count: 1000)
    #expect(throws: PeerProtocolError.self) { try PeerExchange.decode(Array("d1:al\(wide)ee".utf8).span) }
  }
}
