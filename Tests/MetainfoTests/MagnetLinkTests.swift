import Hashing
import Metainfo
import Testing
import TorrentModel

@Suite struct MagnetLinkTests {
  static let hex = "c12fe1c06bba254a9dc9f519b335aa7c1367a88a"
  static let hash = InfoHash(hex: hex)!
  static let other = InfoHash(hex: "0123456789abcdef0123456789abcdef01234567")!
  static let multihash = "1220" + String(repeating: "ab", count: 32)
  static let key = "8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e"

  func parse(_ fields: String) throws(MagnetError) -> MagnetLink {
    try MagnetLink(parsing: "magnet:?\(fields)")
  }

  @Test func aLinkWithEverything() throws {
    let link = try parse(
      "xt=urn:btih:\(Self.hex)&xt=urn:btmh:\(Self.multihash)&dn=a+b%20%26%20c&xl=1234"
        + "&tr=udp%3A%2F%2Ftracker.example%3A80%2Fannounce&tr=http%3A%2F%2Fb%2Fann%3Fk%3D1%2B2"
        + "&ws=https%3A%2F%2Fw%2Fdir%2F&x.pe=1.2.3.4:6881&x.pe=%5B2001%3Adb8%3A%3A1%5D%3A80&x.pe=host.example:9"
        + "&so=0,2,4,6-8&foo=bar&kt=words")
    #expect(link.infoHashes == [Self.hash])
    #expect(link.version2Hash == [UInt8](repeating: 0xab, count: 32))
    #expect(link.name == "a b & c" && link.length == 1234)
    #expect(link.trackers == [["udp://tracker.example:80/announce"], ["http://b/ann?k=1+2"]])
    #expect(link.webSeeds == ["https://w/dir/"])
    #expect(link.peers.map(\.description) == ["1.2.3.4:6881", "[2001:db8::1]:80", "host.example:9"])
    #expect(link.peers.map(\.endpoint) == [Endpoint("1.2.3.4:6881"), Endpoint("[2001:db8::1]:80"), nil])
    #expect(link.selection == [0...0, 2...2, 4...4, 6...8])
    #expect(link.warnings.isEmpty)
  }

  @Test(arguments: [
    "xt=urn:btih:\(hex)", "xt=urn:btih:\(hex.uppercased())", "XT=URN:BTIH:\(hex)",
    "xt=urn%3Abtih%3A\(hex)", "dn=x&xt=urn:btih:\(hex)", "&&xt=urn:btih:\(hex)&",
    "xt=urn:btih:yex6dqdlxisuvhoj6um3gnnkpqjwpkek", "xt.1=urn:btih:YEX6DQDLXISUVHOJ6UM3GNNKPQJWPKEK",
    "xt=urn:sha1:ABC&xt=urn:btih:\(hex)", "amp;dn=x&amp;xt=urn:btih:\(hex)",
  ])
  func formsOfAnInfoHash(fields: String) throws {
    #expect(try parse(fields).infoHashes == [Self.hash])
  }

  @Test func severalTorrents() throws {
    let link = try parse("xt.1=urn:btih:\(Self.hex)&xt.2=urn:btih:\(Self.other)&xt.3=urn:btih:\(Self.hex)")
    #expect(link.infoHashes == [Self.hash, Self.other] && link.infoHash == Self.hash)
    #expect(link.description == "magnet:?xt.1=urn:btih:\(Self.hex)&xt.2=urn:btih:\(Self.other)")
  }

  @Test func tiers() throws {
    let plain = try parse("xt=urn:btih:\(Self.hex)&tr=http://a/&tr=http://b/&tr=http://a/")
    #expect(plain.trackers == [["http://a/"], ["http://b/"]])
    let numbered = try parse(
      "xt=urn:btih:\(Self.hex)&tr.2=http://c/&tr.1=http://a/&tr.2=http://d/&tr.1=http://b/&tr=http://e/")
    #expect(numbered.trackers == [["http://e/"], ["http://a/", "http://b/"], ["http://c/", "http://d/"]])
    #expect(try MagnetLink(parsing: numbered.description) == numbered)
  }

  @Test func mutableTorrents() throws {
    let link = try parse("xs=urn:btpk:\(Self.key)&s=6e")
    #expect(link.infoHashes.isEmpty && link.infoHash == nil)
    #expect(link.mutableTorrent?.publicKey.first == 0x85 && link.mutableTorrent?.salt == [0x6e])
    #expect(link.description == "magnet:?xs=urn:btpk:\(Self.key)&s=6e")
    #expect(try parse("xs=http://x/y.torrent&xt=urn:btih:\(Self.hex)").mutableTorrent == nil)
  }

  @Test(
    arguments: [
      ("xt=urn:btih:\(hex)0", .malformedInfoHash, "xt"), ("xt.7=urn:btih:abc", .malformedInfoHash, "xt.7"),
      ("xt=urn:btih:\(hex.dropLast())g", .malformedInfoHash, "xt"),
      ("xt=urn:btih:yex6dqdlxisuvhoj6um3gnnkpqjwpke1", .malformedInfoHash, "xt"),
      ("xt=urn:btih:", .malformedInfoHash, "xt"), ("xt=urn:btih:%zz", .malformedEscape, "xt"),
      ("xt=urn:btih:%4", .malformedEscape, "xt"), ("xt=urn:btmh:\(multihash)", .version2Only, "xt"),
      ("xt=urn:btih:\(hex)&xt=urn:btmh:1220ab", .malformedMultihash, "xt"),
      ("xt=urn:btmh:1114\(hex)", .unknownMultihash, "xt"), ("xt=urn:btmh:", .malformedMultihash, "xt"),
      ("", .namesNoTorrent, "xt"), ("dn=x", .namesNoTorrent, "xt"), ("xt", .namesNoTorrent, "xt"),
      ("xt=urn:sha1:ABC", .namesNoTorrent, "xt"), ("xs=urn:btpk:abcd", .malformedPublicKey, "xs"),
      ("xs=urn:btpk:\(key)&s=6", .malformedSalt, "s"),
      ("xs=urn:btpk:\(key)&s=\(String(repeating: "ab", count: 65))", .malformedSalt, "s"),
      ("xt=urn:btih:\(hex)&so=", .malformedSelection, "so"),
      ("xt=urn:btih:\(hex)&so=1,", .malformedSelection, "so"),
      ("xt=urn:btih:\(hex)&so=3-1", .malformedSelection, "so"),
      ("xt=urn:btih:\(hex)&so=1-2-3", .malformedSelection, "so"),
      ("xt=urn:btih:\(hex)&so=-1", .malformedSelection, "so"),
      ("xt=urn:btih:\(hex)&so=a", .malformedSelection, "so"),
      ("xt=urn:btih:\(hex)&so=99999999999999999999", .malformedSelection, "so"),
      ("xt=urn:btih:\(hex)&so=0-1048576", .selectionTooLarge(limit: 1 << 20), "so"),
    ] as [(String, MagnetError.Problem, String)])
  func errorsNameTheField(fields: String, problem: MagnetError.Problem, field: String) {
    do throws(MagnetError) {
      _ = try parse(fields)
      Issue.record("taken: \(fields)")
    } catch {
      #expect(error.problem == problem && error.field == field)
      #expect(error.description.contains("\"\(field)\""))
    }
  }

  @Test(
    arguments: [
      ("dn=", .malformedText, "dn"), ("dn=%f", .malformedEscape, "dn"), ("xl=-1", .malformedLength, "xl"),
      ("xl=9223372036854775808", .malformedLength, "xl"), ("xl=", .malformedLength, "xl"),
      ("tr=", .malformedText, "tr"),
      ("tr.3=http%3A%2F%2Fa%0d%0ab", .malformedText, "tr.3"), ("ws=%ff%fe", .malformedText, "ws"),
      ("tr=http://a b", .malformedText, "tr"), ("x.pe=1.2.3.4", .malformedPeer, "x.pe"),
      ("x.pe=1.2.3.4:0", .malformedPeer, "x.pe"), ("x.pe=1.2.3.4:65536", .malformedPeer, "x.pe"),
      ("x.pe=2001:db8::1:80", .malformedPeer, "x.pe"), ("x.pe=[2001:db8::1]", .malformedPeer, "x.pe"),
      ("x.pe=:80", .malformedPeer, "x.pe"), ("x.pe=a..b:80", .malformedPeer, "x.pe"),
      ("x.pe=1.2.3:80", .malformedPeer, "x.pe"),
      ("x.pe=a:+8", .malformedPeer, "x.pe"), ("x.pe=224.0.0.1:8", .malformedPeer, "x.pe"),
      ("x.pe.2=0x7f:1", .malformedPeer, "x.pe.2"),
    ] as [(String, MagnetError.Problem, String)])
  func hintsThatMakeNoSenseAreLeftAside(field: String, problem: MagnetError.Problem, name: String) throws {
    let link = try parse("xt=urn:btih:\(Self.hex)&\(field)&dn=good&xl=5&tr=http://good/&x.pe=good:5")
    #expect(link.warnings == [MagnetError(problem, field: name)])
    #expect(link.trackers == [["http://good/"]] && link.length == 5 && link.name == "good")
    #expect(link.peers.map(\.description) == ["good:5"])
  }

  @Test func whatIsNoMagnetLinkIsCalledThat() {
    for text in [
      "", "magnet", "magnet:", "magnet?xt=urn:btih:\(Self.hex)", "http://x/?xt=urn:btih:\(Self.hex)",
      Self.hex,
    ] {
      #expect(throws: MagnetError(.notAMagnetLink)) { try MagnetLink(parsing: text) }
    }
    #expect(
      MagnetLink.isMagnetLink("MAGNET:?x") && !MagnetLink.isMagnetLink("magne")
        && !MagnetLink.isMagnetLink("/tmp/a"))
    #expect((try? MagnetLink(parsing: "  Magnet:?xt=urn:btih:\(Self.hex)\r\n"))?.infoHash == Self.hash)
  }

  @Test func everythingIsBounded() throws {
    let base = "xt=urn:btih:\(Self.hex)"
    #expect(throws: MagnetError(.tooLong(limit: 64 << 10))) {
      try parse("\(base)&dn=\(String(repeating: "x", count: 64 << 10))")
    }
    let long = try parse(
      "\(base)&dn=\(String(repeating: "x", count: 5000))&tr=\(String(repeating: "y", count: 5000))")
    #expect((long.name?.utf8.count ?? 0) < 1100 && long.trackers.isEmpty && long.warnings.count == 1)
    let trackers = try parse(base + (0..<2000).map { "&tr=u://\($0)" }.joined())
    #expect(
      trackers.trackers.count == 512 && trackers.warnings == [MagnetError(.tooMany(limit: 512), field: "tr")])
    let peers = try parse(base + (1..<2000).map { "&x.pe=h:\($0)" }.joined())
    #expect(peers.peers.count == 256 && peers.warnings.count == 1)
    #expect(throws: MagnetError.self) {
      try parse(base + "&so=" + (0..<20_000).map { _ in "1" }.joined(separator: ","))
    }
    let hashes = try parse(
      (100..<200).map { "xt=urn:btih:\(Self.hex.dropLast(3))\($0)" }.joined(separator: "&"))
    #expect(hashes.infoHashes.count == 64 && hashes.warnings.count == 1)
    let noisy = try parse(base + (0..<3000).map { "&xl.\($0)=x" }.joined())
    #expect(noisy.warnings.count == 100)
  }

  @Test func namesAreMadePrintable() throws {
    #expect(try parse("xt=urn:btih:\(Self.hex)&dn=%1b%5b2J%e2%80%aex%0a").name == "?[2J?x?")
  }

  @Test func rangesAreMerged() throws {
    let link = try parse("xt=urn:btih:\(Self.hex)&so=5,0-2,3,9-12,10,5&so=20")
    #expect(link.selection == [0...3, 5...5, 9...12, 20...20])
    #expect(link.description.hasSuffix("&so=0-3,5,9-12,20"))
  }

  /// What is printed is read again as the same.
  @Test func drawnLinksRoundTrip() throws {
    var random = SeededRandom(seed: 53)
    let letters = Array("abcXYZ0189 -._~&=%+?#/é漢")
    func text() -> String {
      String(
        (0..<Int.random(in: 1...20, using: &random)).map { _ in letters.randomElement(using: &random) ?? "x" }
      )
    }
    for _ in 0..<500 {
      var link = MagnetLink(infoHashes: [Bool.random(using: &random) ? Self.hash : Self.other])
      if Bool.random(using: &random) { link.name = text() }
      if Bool.random(using: &random) { link.length = Int64.random(in: 0 ... .max, using: &random) }
      if Bool.random(using: &random) {
        link.mutableTorrent = .init(
          publicKey: [UInt8](repeating: 7, count: 32), salt: Array(text().utf8.prefix(64)))
      }
      for tier in 0..<Int.random(in: 0...3, using: &random) {
        link.trackers.append(
          (0..<Int.random(in: 1...2, using: &random)).map {
            "http://\(tier).\($0)/\(text().replacing(" ", with: "_"))"
          })
      }
      link.webSeeds = (0..<Int.random(in: 0...2, using: &random)).map { "https://w/\($0)" }
      if Bool.random(using: &random) { link.selection = [3...5, 9...9] }
      #expect(try MagnetLink(parsing: link.description) == link, "\(link)")
    }
  }

  @Test func drawnDamageNeverTraps() {
    var random = SeededRandom(seed: 9)
    let whole = Array(
      "magnet:?xt=urn:btih:\(Self.hex)&dn=a%20b&tr.1=http%3A%2F%2Fa&x.pe=[::1]:5&so=1,3-5&xl=9&xs=urn:btpk:\(Self.key)&s=6e"
        .utf8)
    for _ in 0..<20_000 {
      var damaged = whole
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        damaged[Int.random(in: 8..<damaged.count, using: &random)] = .random(
          in: .min ... .max, using: &random)
      }
      guard var link = try? MagnetLink(parsing: String(decoding: damaged, as: UTF8.self)) else { continue }
      // Warnings are about the text, not about the link.
      let printed = link.description
      link = (try? MagnetLink(parsing: printed)) ?? MagnetLink()
      #expect(link.description == printed)
    }
  }
}

@Suite struct FetchedMetainfoTests {
  @Test func aTorrentOfFetchedMetadata() throws {
    let info = Written.singleFile.bytes
    let hash = try TorrentInfo.parse(info).infoHash
    let magnet = try MagnetLink(
      parsing: "magnet:?xt=urn:btih:\(hash)&tr=http://a/announce&tr=udp://b:1&ws=http://w/&dn=other")
    let metainfo = try TorrentMetainfo(info: info, infoHash: hash, magnet: magnet)
    #expect(metainfo.info.infoHash == hash && Array(metainfo.info.encoded) == info)
    #expect(
      metainfo.trackers == [["http://a/announce"], ["udp://b:1"]] && metainfo.webSeeds == ["http://w/"])
    #expect(metainfo.warnings.isEmpty)
    let file = metainfo.encoded()
    let again = try TorrentMetainfo.parse(file)
    #expect(again.info.infoHash == hash && again.trackers == metainfo.trackers && again.encoded() == file)
    let printed = MagnetLink(again)
    #expect(
      printed.description
        == "magnet:?xt=urn:btih:\(hash)&dn=one.bin&xl=20000&tr=http%3A%2F%2Fa%2Fannounce&tr=udp%3A%2F%2Fb%3A1&ws=http%3A%2F%2Fw%2F"
    )
  }

  @Test func otherMetadataIsRefused() throws {
    let magnet = MagnetLink(infoHashes: [MagnetLinkTests.hash])
    do throws(MetainfoError) {
      _ = try TorrentMetainfo(info: Written.singleFile.bytes, infoHash: MagnetLinkTests.hash, magnet: magnet)
      Issue.record("taken")
    } catch {
      #expect(error.problem == .infoHashMismatch)
    }
  }

  /// The right hash does not make it a torrent.
  @Test(arguments: ["de", "d4:name1:xe", "le", "i5e", "xyz", "d12:piece lengthi16384ee"])
  func metadataMayBeNoTorrent(text: String) throws {
    let info = Array(text.utf8)
    let hash = InfoHash(try #require(Bytes20(SHA1.digest(of: info.span).bytes)))
    #expect(throws: MetainfoError.self) {
      try TorrentMetainfo(info: info, infoHash: hash, magnet: MagnetLink(infoHashes: [hash]))
    }
  }

  @Test func everythingAroundTheInfoDictionaryIsKept() throws {
    let original = Written.entries([
      ("announce", "http://a/"), ("announce-list", [["http://a/", "http://b/"], ["http://c/"]]),
      ("comment", "hello"), ("created by", "me"), ("creation date", 5), ("encoding", "UTF-8"),
      ("httpseeds", ["http://h/"]), ("info", Written.singleFile), ("nodes", [["node.example", 6881]]),
      ("url-list", ["http://w/"]),
    ]).bytes
    #expect(try TorrentMetainfo.parse(original).encoded() == original)
  }
}
