import Testing
import TorrentModel
import TrackerProtocol

@Suite struct TrackerURLTests {
  @Test(arguments: [
    ("http://tracker.example.org/announce", "http", "tracker.example.org", 80, "/announce", nil),
    ("https://tracker.example.org/announce", "https", "tracker.example.org", 443, "/announce", nil),
    ("udp://tracker.example.org:1337", "udp", "tracker.example.org", 1337, "", nil),
    ("udp://tracker.example.org", "udp", "tracker.example.org", 80, "", nil),
    (
      "HTTP://Tracker.Example.ORG:8080/Announce?PassKey=AbC", "http", "tracker.example.org", 8080,
      "/Announce", "PassKey=AbC"
    ),
    ("http://10.0.0.1:6969/announce", "http", "10.0.0.1", 6969, "/announce", nil),
    ("udp://[2001:DB8::1]:6969/announce", "udp", "[2001:db8::1]", 6969, "/announce", nil),
    ("http://[::1]/announce?a=b&c=d", "http", "[::1]", 80, "/announce", "a=b&c=d"),
    ("http://h?x", "http", "h", 80, "", "x"),
    ("http://h/?", "http", "h", 80, "/", ""),
    ("http://h:/a", "http", "h", 80, "/a", nil),
    ("  http://h/announce\r\n", "http", "h", 80, "/announce", nil),
    ("http://h/a#fragment?x", "http", "h", 80, "/a", nil),
    ("http://user:pass@h:81/a@b", "http", "h", 81, "/a@b", nil),
    ("http://h/über", "http", "h", 80, "/%C3%BCber", nil),
    ("http://a_b-c.d./announce", "http", "a_b-c.d.", 80, "/announce", nil),
    ("http://[::ffff:1.2.3.4]:1/a", "http", "1.2.3.4", 1, "/a", nil),
  ])
  func urlsAreTakenApart(
    text: String, scheme: String, host: String, port: Int, path: String, query: String?
  ) throws {
    let url = try TrackerURL(text)
    #expect(url.scheme.rawValue == scheme)
    #expect(url.hostText == host)
    #expect(url.port == UInt16(port))
    #expect(url.path == path)
    #expect(url.query == query)
    #expect(url.pathAndQuery == path + (query.map { "?\($0)" } ?? ""))
    // What was taken apart once is taken apart the same way again.
    #expect(try TrackerURL(url.text) == url)
  }

  @Test(arguments: [
    ("", TrackerURLError.empty), (" \n", .empty),
    ("tracker.example.org/announce", .notAURL), ("//h/announce", .notAURL), ("http:/h", .notAURL),
    ("://h", .notAURL),
    ("wss://h/announce", .unsupportedScheme("wss")), ("file:///etc/passwd", .unsupportedScheme("file")),
    ("ws\u{1b}://h", .unsupportedScheme("ws?")), ("dht://h", .unsupportedScheme("dht")),
    ("http://", .missingHost), ("http:///announce", .missingHost), ("http://:80/announce", .missingHost),
    ("http://user@/announce", .missingHost), ("http://?x", .missingHost),
    ("http://a b/announce", .badHost), ("http://a%20b/announce", .badHost),
    ("http://bücher.example/a", .badHost),
    ("http://a..b/", .badHost), ("http://.a/", .badHost), ("http://[::1/a", .badHost),
    ("http://[1.2.3.4]/a", .badHost),
    ("http://[::1]x/a", .badHost), ("http://[fe80::1%25eth0]/a", .badHost), ("http://h\0/", .badHost),
    ("http://127.1/announce", .badHost), ("http://0x7f.0.0.1/a", .badHost), ("http://2130706433/a", .badHost),
    ("http://0x7f000001/a", .badHost), ("http://127.0.0.01/a", .badHost), ("http://1.2.3.4.5/a", .badHost),
    ("http://1.2.3.256/a", .badHost), ("http://0177.0.0.1./a", .badHost),
    ("http://h:0/", .badPort), ("http://h:65536/", .badPort), ("http://h:+80/", .badPort),
    ("http://h:8x/", .badPort),
    ("http://h:999999/", .badPort), ("http://::1/announce", .missingHost),
    ("http://h/a b", .badCharacter(0x20, offset: 10)),
    ("http://h/a\r\nHost: x", .badCharacter(0x0d, offset: 10)),
    ("http://h/\u{7f}", .badCharacter(0x7f, offset: 9)), ("http://h/?\0", .badCharacter(0, offset: 10)),
    ("http://u\nser@h/", .badCharacter(0x0a, offset: 8)),
  ])
  func othersAreRefusedByName(text: String, error: TrackerURLError) {
    #expect(throws: error) { try TrackerURL(text) }
    #expect(!error.description.isEmpty)
    #expect(error.description.unicodeScalars.allSatisfy { $0.value >= 0x20 })
  }

  @Test func lengthIsBounded() throws {
    let prefix = "http://h/"
    let fits = prefix + String(repeating: "a", count: TrackerURL.lengthLimit - prefix.utf8.count)
    #expect(try TrackerURL(fits).text == fits)
    #expect(throws: TrackerURLError.tooLong(limit: 2048)) { try TrackerURL(fits + "a") }
    // Escaping may make it longer than it came.
    #expect(throws: TrackerURLError.tooLong(limit: 2048)) {
      try TrackerURL(prefix + String(repeating: "é", count: 900))
    }
    #expect(throws: TrackerURLError.badHost) {
      try TrackerURL("http://\(String(repeating: "a", count: 64)).b/")
    }
    let longName = Array(repeating: "abcdefghi", count: 26).joined(separator: ".")
    #expect(throws: TrackerURLError.badHost) { try TrackerURL("http://\(longName)/") }
  }

  @Test func hostsAreNamesOrAddresses() throws {
    #expect(try TrackerURL("http://localhost/").host == .name("localhost"))
    #expect(try TrackerURL("http://1.2.3.4/").host == .address(IPAddress(1, 2, 3, 4)))
    #expect(try TrackerURL("http://[2001:db8::1]/").host == .address(IPAddress("2001:db8::1")!))
    #expect(throws: TrackerURLError.badHost) { try TrackerURL("http://1.2.3.4./") }
  }

  @Test(arguments: [
    ("http://127.0.0.1/announce", true), ("http://127.0.0.1/x/announce?key=1", true),
    ("http://127.0.0.1/scrape", true), ("udp://127.0.0.1:1/announce", true),
    ("http://127.0.0.1/myannounce", true),
    ("http://127.0.0.1/", false), ("http://127.0.0.1", false), ("http://127.0.0.1/admin?x=/announce", false),
    ("http://127.0.0.1/announce/delete", false), ("udp://127.0.0.1:53", false),
    ("http://127.0.0.1/announce%00", false),
    ("http://127.0.0.1/Announce", false),
  ])
  func pathsOfTrackersAreToldFromOthers(text: String, isPlausible: Bool) throws {
    #expect(try TrackerURL(text).isPlausibleForLocalAddress == isPlausible)
  }

  /// The conversions that BEP 48 and the convention before it give.
  @Test(arguments: [
    ("http://e.com/announce", "http://e.com/scrape"), ("http://e.com/x/announce", "http://e.com/x/scrape"),
    ("http://e.com/announce.php", "http://e.com/scrape.php"), ("http://e.com/a", nil),
    ("http://e.com/announce?x2%0644", "http://e.com/scrape?x2%0644"),
    ("http://e.com/announce?x=2/4", "http://e.com/scrape?x=2/4"),
    ("http://e.com/x%064announce", nil), ("http://e.com", nil), ("http://e.com/announce/x", nil),
    ("https://announce.e.com:81/announce", "https://announce.e.com:81/scrape"),
    ("http://u:p@e.com/announce", "http://u:p@e.com/scrape"), ("udp://e.com:80", "udp://e.com:80"),
  ])
  func scrapeURLsAreDerived(text: String, scrape: String?) throws {
    #expect(try TrackerURL(text).scrapeURL?.text == scrape)
  }

  @Test func requestTargetsHoldTheParametersOfBothSides() throws {
    #expect(try TrackerURL("http://h").requestTarget("a=1") == "/?a=1")
    #expect(try TrackerURL("http://h/announce").requestTarget("a=1") == "/announce?a=1")
    #expect(try TrackerURL("http://h/announce?").requestTarget("a=1") == "/announce?a=1")
    #expect(try TrackerURL("http://h/announce?k=2").requestTarget("a=1") == "/announce?k=2&a=1")
    #expect(try TrackerURL("http://h/announce?k=2").requestTarget("") == "/announce?k=2")
  }

  @Test func secretsDoNotShow() throws {
    let url = try TrackerURL("http://us%40er:p%3ass@h:81/0123456789abcdef/announce?key=secret")
    #expect(url.origin == "http://h:81")
    #expect(url.description == "http://h:81/0123456789abcdef/announce?key=secret")
    #expect(url.basicAuthorization == "Basic dXNAZXI6cDpzcw==")
    #expect(try TrackerURL("http://h/").basicAuthorization == nil)
    #expect(try TrackerURL("http://a@h/").basicAuthorization == "Basic YQ==")
    #expect(try TrackerURL("http://abc@h/").basicAuthorization == "Basic YWJj")
  }

  @Test func drawnTextNeverDoesMoreThanBeRefused() {
    var random = SeededRandom(seed: 3986)
    let parts = [
      "http", "udp", "://", "[", "]", "::1", "@", ":", "80", "/", "?", "#", ".", "h", "é", "%", "\n",
      "announce", "0x1", "1.2.3.4",
    ]
    var taken = 0
    for _ in 0..<20_000 {
      var text = Bool.random(using: &random) ? "http://h" : ""
      for _ in 0..<Int.random(in: 0...8, using: &random) { text += parts.randomElement(using: &random)! }
      guard let url = try? TrackerURL(text) else { continue }
      taken += 1
      #expect((try? TrackerURL(url.text)) == url)
      #expect(url.text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f })
      _ = (url.host, url.scrapeURL, url.basicAuthorization, url.requestTarget("x"))
    }
    #expect(taken > 1000)
  }
}
