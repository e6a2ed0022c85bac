import Testing

@testable import SpateCommand

/// What options take, and what they refuse.
@Suite struct ValueTests {
  @Test(arguments: [
    ("0", 0), ("1", 1), ("500", 500), ("1K", 1024), ("1k", 1024), ("64KiB", 65_536), ("64kb", 65_536),
    ("3Ki", 3072),
    ("1.5M", 3 << 19), ("2G", 2 << 30), ("0.5G", 1 << 29), ("1T", 1 << 40), ("10B", 10), ("0.1K", 102),
    ("9223372036854775807", Int.max), ("8388607T", 8_388_607 << 40), ("1.9999999999K", 2047),
  ])
  func sizes(_ text: String, _ bytes: Int) {
    #expect(ByteCount(argument: text)?.bytes == bytes)
    #expect(ByteRate(argument: text + "/s")?.bytesPerSecond == bytes)
  }

  @Test(arguments: [
    "", "K", "many", "-1", "+1", "1.5", "1.5B", "1..5K", "1.K", ".5K", "1KK", "1iB", "iB", "B", "1 K", "0x10",
    "1e3", "١K",
    "9223372036854775808", "8388608T", "99999999999999999999G", "NaN", "inf",
  ])
  func noSizes(_ text: String) {
    #expect(ByteCount(argument: text) == nil)
    #expect(ByteRate(argument: text) == nil)
  }

  @Test func noLimitIsZero() {
    #expect(ByteRate(argument: "0")?.limit == nil)
    #expect(ByteRate(argument: "1")?.limit == 1)
  }

  @Test(arguments: [
    ("30", 30.0), ("30s", 30), ("0", 0), ("1.5m", 90), ("5m", 300), ("2h", 7200), ("1d", 86_400),
    ("1h30m", 5400),
    ("1d2h3m4s", 93_784), ("0.25", 0.25),
  ])
  func times(_ text: String, _ seconds: Double) {
    #expect(TimeSpan(argument: text)?.seconds == seconds)
  }

  @Test(arguments: [
    "", "s", "m5", "5x", "-5", "1h30", "30m1h", "5m5m", "1 h", "inf", "nan", "1e9", "999999999999d", "1..5s",
    "1,5m",
  ])
  func noTimes(_ text: String) { #expect(TimeSpan(argument: text) == nil) }

  @Test(arguments: [
    ("14", 1 << 14), ("18", 1 << 18), ("29", 1 << 29), ("65536", 65_536), ("16K", 1 << 14), ("256k", 1 << 18),
    ("48K", 48 << 10), ("1.5M", 3 << 19), ("512M", 1 << 29),
  ])
  func pieceLengths(_ text: String, _ bytes: Int) { #expect(PieceLength(argument: text)?.bytes == bytes) }

  @Test(arguments: ["", "0", "13", "30", "12345x", "10000", "8K", "17K", "513M", "1G", "-18"])
  func noPieceLengths(_ text: String) { #expect(PieceLength(argument: text) == nil) }

  @Test(
    arguments: [
      ("1", [1...1]), ("1-5,8", [1...5, 8...8]), ("3-3", [3...3]), ("12-", [12...Int.max]),
      ("8,1-2", [8...8, 1...2]),
    ] as [(String, [ClosedRange<Int>])])
  func fileNumbers(_ text: String, _ ranges: [ClosedRange<Int>]) {
    #expect(FileNumbers(argument: text)?.ranges == ranges)
  }

  @Test(arguments: [
    "", "0", "9-1", "-3", "1,", ",1", "1,,2", "a", "1-b", "1-2-3", "1 2", "+1", "99999999999999999999",
  ])
  func noFileNumbers(_ text: String) { #expect(FileNumbers(argument: text) == nil) }

  @Test func fileNumbersKnowTheirEnd() {
    #expect(FileNumbers(argument: "1-5,8")?.firstNumber(above: 8) == nil)
    #expect(FileNumbers(argument: "1-5,8")?.firstNumber(above: 7) == 8)
    #expect(FileNumbers(argument: "2-9")?.firstNumber(above: 4) == 9)
    #expect(FileNumbers(argument: "2-")?.firstNumber(above: 4) == nil)
    #expect(FileNumbers(argument: "5-")?.firstNumber(above: 4) == 5)
  }

  @Test(arguments: [
    ("192.0.2.1:6881", "192.0.2.1", 6881), ("[2001:db8::1]:1", "2001:db8::1", 1),
    ("[::1]:65535", "::1", 65_535),
    ("host.example:80", "host.example", 80), ("localhost:7", "localhost", 7),
    ("größe.example:7", "größe.example", 7),
    ("[::ffff:192.0.2.1]:5", "::ffff:192.0.2.1", 5),
  ])
  func peers(_ text: String, _ host: String, _ port: Int) {
    let peer = PeerAddress(argument: text)
    #expect(peer?.host == host)
    #expect(peer?.port == UInt16(port))
  }

  @Test func numericPeersNeedNoLookup() {
    #expect(PeerAddress(argument: "[2001:db8::1]:1")?.endpoint?.description == "[2001:db8::1]:1")
    #expect(PeerAddress(argument: "192.0.2.1:6881")?.endpoint?.description == "192.0.2.1:6881")
    #expect(PeerAddress(argument: "localhost:1")?.endpoint == nil)
  }

  @Test(arguments: [
    "", "nowhere", ":1", "host:", "host:0", "host:65536", "host:+1", "::1:6881", "[::1]", "[::1]6881",
    "[::1:1",
    "[192.0.2.1]:1", "[name]:1", "a b:1", "host:1x", "a/b:1",
  ])
  func noPeers(_ text: String) { #expect(PeerAddress(argument: text) == nil) }

  @Test(arguments: [("0", 0), ("65535", 65_535)]) func ports(_ text: String, _ port: Int) {
    #expect(PortNumber(argument: text)?.value == port)
  }

  @Test(arguments: ["", "-1", "65536", "70000", "x", "+80"]) func noPorts(_ text: String) {
    #expect(PortNumber(argument: text) == nil)
  }

  @Test(arguments: ["", "-1", "1,5", "nan", "inf", "x", "1.5.2"]) func noRatios(_ text: String) {
    #expect(Ratio(argument: text) == nil)
  }

  @Test(
    arguments: [
      ("udp://a:1/announce", ["udp://a:1/announce"]),
      ("http://a/x,http://b/x", ["http://a/x", "http://b/x"]),
      ("http://a/x?c=1,2,udp://b:1", ["http://a/x?c=1,2", "udp://b:1"]), ("wss://a,b", ["wss://a,b"]),
    ] as [(String, [String])])
  func urlLists(_ text: String, _ urls: [String]) throws {
    #expect(try URLList.split(text, option: "-a") == urls)
  }

  @Test(arguments: ["", ",", "tracker", "//a", "http:/a", "http://", "1http://a", ",http://a", "http://a b"])
  func noURLLists(_ text: String) {
    #expect(throws: CommandFailure.self) { try URLList.split(text, option: "-a") }
  }

  /// Every refusal of an option tells what is wanted.
  @Test(arguments: [
    (["download", "x", "--download-limit", "many"], "bytes per second"),
    (["download", "x", "--peer", "a"], "HOST:PORT"),
    (["download", "x", "--select-file", "9-1"], "1-5,8"),
    (["create", "x", "-l", "12345x"], "multiple of 16K"),
    (["download", "x", "--timeout", "soon"], "a time such as"),
    (["tracker", "--port", "70000"], "0 to 65535"),
    (["download", "x", "--progress", "loudly"], "plain"),
    (["download", "x", "--allocation", "maybe"], "sparse"),
    (["download", "x", "--disk-writes", "maybe"], "cached"),
    (["download"], "<source>"), ([], "spate --help"), (["frobnicate"], "frobnicate"), (["show"], "<torrent>"),
  ])
  func refusals(_ arguments: [String], _ word: String) throws {
    let failure = try #require(throws: CommandFailure.self) { _ = try CommandLineTool.parse(arguments) }
    #expect(failure.status == .usage)
    #expect(failure.description.contains(word), "\(failure)")
    #expect(!failure.description.contains("\n"))
  }
}
