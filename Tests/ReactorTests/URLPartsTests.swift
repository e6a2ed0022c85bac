import Reactor
import Testing

@Suite struct URLPartsTests {
  struct Row: Sendable {
    var text: String
    var scheme = URLParts.Scheme.http
    var host: String
    var port: UInt16 = 80
    var target: String
    var authority: String
    var userInfo: String?
  }

  static let rows: [Row] = [
    Row(text: "http://example.org", host: "example.org", target: "/", authority: "example.org"),
    Row(
      text: "HTTP://Example.ORG:80/Announce?a=%20&b", host: "example.org", target: "/Announce?a=%20&b",
      authority: "example.org"),
    Row(
      text: "https://tracker.example:8443/x#part", scheme: .https, host: "tracker.example", port: 8443,
      target: "/x",
      authority: "tracker.example:8443"),
    Row(
      text: "http://[2001:DB8::1]:6969/announce", host: "2001:db8::1", port: 6969, target: "/announce",
      authority: "[2001:db8::1]:6969"),
    Row(text: "http://[::1]", host: "::1", target: "/", authority: "[::1]"),
    Row(text: "http://10.0.0.1:/a", host: "10.0.0.1", target: "/a", authority: "10.0.0.1"),
    Row(
      text: "http://example.org?passkey=1", host: "example.org", target: "/?passkey=1",
      authority: "example.org"),
    Row(
      text: "http://me:p%40ss@example.org/", host: "example.org", target: "/", authority: "example.org",
      userInfo: "me:p@ss"),
    Row(
      text: "http://a@b@example.org/@", host: "example.org", target: "/@", authority: "example.org",
      userInfo: "a@b"),
    Row(text: "http://example.org/ü", host: "example.org", target: "/%C3%BC", authority: "example.org"),
  ]

  @Test(arguments: rows)
  func takesApart(_ row: Row) throws {
    let url = try URLParts(parsing: row.text)
    #expect(url.scheme == row.scheme)
    #expect(url.host == row.host)
    #expect(url.port == row.port)
    #expect(url.target == row.target)
    #expect(url.authority == row.authority)
    #expect(url.userInfo == row.userInfo.map { Array($0.utf8) })
    // What is printed means the same, but for the password, which is not printed.
    var again = try URLParts(parsing: url.description)
    again.userInfo = url.userInfo
    #expect(again == url)
  }

  static let refused: [(String, URLError)] = [
    ("", .noScheme), ("example.org/a", .noScheme), ("//example.org/", .noScheme), ("1http://x/", .noScheme),
    ("udp://tracker:80/announce", .unsupportedScheme("udp")),
    ("file:///etc/passwd", .unsupportedScheme("file")),
    ("http:example.org", .invalidHost), ("http:///path", .invalidHost), ("http://", .invalidHost),
    ("http://exa mple/", .invalidCharacter), ("http://example.org/a\nHost: b", .invalidCharacter),
    ("http://example.org/\u{7f}", .invalidCharacter), ("http://example.org/\0", .invalidCharacter),
    ("http://bücher.example/", .invalidHost), ("http://ex%61mple/", .invalidHost),
    ("http://[::1/", .invalidHost),
    ("http://[::1]x/", .invalidHost), ("http://[1.2.3.4]/", .invalidHost), ("http://user@/", .invalidHost),
    ("http://example.org:0/", .invalidPort), ("http://example.org:65536/", .invalidPort),
    ("http://example.org:8a/", .invalidPort), ("http://example.org:80:80/", .invalidPort),
    ("http://" + String(repeating: "a", count: 254) + "/", .invalidHost),
    ("http://a/" + String(repeating: "a", count: 20_000), .tooLong),
  ]

  @Test(arguments: refused)
  func refuses(_ text: String, _ wanted: URLError) {
    let error = #expect(throws: URLError.self) { try URLParts(parsing: text) }
    #expect(error == wanted)
    #expect(error?.description.isEmpty == false)
  }

  static let relative: [(String, String)] = [
    ("https://other.example/x", "https://other.example/x"),
    ("//other.example:81/x", "http://other.example:81/x"),
    ("/x", "http://base.example/x"), ("x", "http://base.example/a/b/x"), ("./x", "http://base.example/a/b/x"),
    ("../x", "http://base.example/a/x"), ("../../../../x", "http://base.example/x"),
    ("..", "http://base.example/a/"),
    (".", "http://base.example/a/b/"), ("?r=1", "http://base.example/a/b/c?r=1"),
    ("", "http://base.example/a/b/c?q=1"),
    ("x?y=../z", "http://base.example/a/b/x?y=../z"), ("#f", "http://base.example/a/b/c?q=1"),
    ("/x:y", "http://base.example/x:y"), ("x/y:z", "http://base.example/a/b/x/y:z"),
  ]

  @Test(arguments: relative)
  func resolvesRedirects(_ location: String, _ wanted: String) throws {
    let base = try URLParts(parsing: "http://base.example/a/b/c?q=1")
    #expect(try base.resolving(location).description == wanted)
  }

  @Test func resolvingKeepsToWhatCanBeFetched() throws {
    let base = try URLParts(parsing: "http://me:secret@base.example/")
    #expect(throws: URLError.unsupportedScheme("file")) { try base.resolving("file:///etc/passwd") }
    #expect(throws: URLError.invalidCharacter) { try base.resolving("/a b") }
    #expect(throws: URLError.invalidHost) { try base.resolving("//") }
    // The password stays with its own server, whoever sends us elsewhere.
    #expect(try base.resolving("/x").userInfo == Array("me:secret".utf8))
    #expect(try base.resolving("http://other.example/").userInfo == nil)
    #expect(try base.resolving("//base.example/").userInfo == nil)
    #expect(!base.description.contains("secret"))
    #expect(base.hasSameOrigin(as: try base.resolving("/x")))
    #expect(!base.hasSameOrigin(as: try base.resolving("https://base.example/")))
  }

  @Test func pathAndQuery() throws {
    let url = try URLParts(parsing: "http://h/announce?a=1?b")
    #expect(url.path == "/announce")
    #expect(url.query == "a=1?b")
    #expect(try URLParts(parsing: "http://h/scrape").query == nil)
  }
}
