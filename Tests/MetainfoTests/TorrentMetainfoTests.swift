import Bencode
import Testing
import TorrentModel

@testable import Metainfo

@Suite struct TorrentMetainfoTests {
  static func parse(_ entries: [(String, Written)]) throws -> TorrentMetainfo {
    try TorrentMetainfo.parse(Written.entries(entries + [("info", .singleFile)]).bytes)
  }

  static let refused: [([UInt8], MetainfoError.Problem, MetainfoError.Classification)] = [
    ([], .bencode(.empty), .notBencode),
    (Array("<!DOCTYPE html>".utf8), .bencode(.unexpectedByte(UInt8(ascii: "<"))), .notBencode),
    (Array("d4:info".utf8), .bencode(.truncated), .notBencode),
    (Array("3:abc hello".utf8), .bencode(.trailingBytes(count: 6)), .notBencode),
    (Array("i1e".utf8), .wrongKind(expected: .dictionary, found: .integer), .notTorrent),
    (Array("de".utf8), .missing("info"), .notTorrent),
    (Array("d4:infolee".utf8), .wrongKind(expected: .dictionary, found: .list), .notTorrent),
    (Array("d4:infode4:infodee".utf8), .bencode(.duplicateKey), .notBencode),
    (
      Array("d4:infod".utf8) + Array("1:a".utf8) + [UInt8](repeating: UInt8(ascii: "l"), count: 70),
      .bencode(.tooDeep(limit: 64)), .notTorrent
    ),
    (
      [UInt8](repeating: UInt8(ascii: "l"), count: (64 << 20) + 1),
      .bencode(.tooLong(length: (64 << 20) + 1, limit: 64 << 20)), .notTorrent
    ),
  ]

  @Test(arguments: Self.refused.indices) func `tells what is no bencode from what is no torrent`(index: Int)
    throws
  {
    let (bytes, problem, classification) = Self.refused[index]
    let error = try #require(throws: MetainfoError.self) { try TorrentMetainfo.parse(bytes) }
    #expect(error.problem == problem)
    #expect(error.classification == classification)
    #expect(error.description.contains("at byte \(error.offset)"))
  }

  @Test func `takes no more values than the limit`() throws {
    // 2 bytes a value: 64 MiB would hold 32 million.
    var bytes = Array("l0:".utf8)
    while bytes.count < 24 << 20 + 1 { bytes += bytes.dropFirst() }
    let error = try #require(throws: MetainfoError.self) { try TorrentMetainfo.parse(bytes) }
    #expect(error.problem == .bencode(.tooManyValues(limit: 12 << 20)))
    #expect(error.classification == .notTorrent)
  }

  @Test func `bytes after the torrent are told of and left alone`() throws {
    let bytes = Written.entries([("info", .singleFile)]).bytes
    let metainfo = try TorrentMetainfo.parse(bytes + Array("\r\n".utf8))
    #expect(metainfo.warnings.map(\.kind) == [.trailingBytes(2)])
    #expect(metainfo.info.infoHash == (try TorrentMetainfo.parse(bytes).info.infoHash))
  }

  static let announces: [([(String, Written)], [[String]])] = [
    ([], []),
    ([("announce", "http://a/")], [["http://a/"]]),
    ([("announce", "")], []),
    ([("announce", "  http://a/x y\n")], [["http://a/x%20y"]]),
    ([("announce", 1)], []),
    // The list wins, whether it holds the single URL or not.
    ([("announce", "http://a/"), ("announce-list", [["http://b/"]])], [["http://b/"]]),
    (
      [("announce", "http://a/"), ("announce-list", [["http://b/", "http://a/"], ["udp://c"]])],
      [["http://b/", "http://a/"], ["udp://c"]]
    ),
    // Unless it holds nothing.
    ([("announce", "http://a/"), ("announce-list", [])], [["http://a/"]]),
    ([("announce", "http://a/"), ("announce-list", [[], [""], [" ", "\t"]])], [["http://a/"]]),
    ([("announce", "http://a/"), ("announce-list", "http://b/")], [["http://a/"]]),
    // Empty entries and tiers, repeated URLs, strings without a tier, and what is no string.
    (
      [("announce-list", [["a", "", "a"], [], ["b", "a"], ["a"], "c", ["d", 1, ["e"]], 2])],
      [["a"], ["b"], ["c"], ["d"]]
    ),
    ([("announce-list", [["a\u{0}b", "c\u{7f}", "d\u{1b}", "good"]])], [["good"]]),
    ([("announce-list", [[.string([0xff]), .text(String(repeating: "u", count: 4097)), "ok"]])], [["ok"]]),
    (
      [("announce-list", [[.text(String(repeating: "u", count: 4096))]])],
      [[String(repeating: "u", count: 4096)]]
    ),
  ]

  @Test(arguments: Self.announces.indices) func `reads trackers in tiers`(index: Int) throws {
    let (entries, trackers) = Self.announces[index]
    #expect(try Self.parse(entries).trackers == trackers)
  }

  @Test func `takes no more trackers, web seeds and nodes than the limits`() throws {
    let urls = Written.list((0..<1000).map { .text("http://\($0)/") })
    let metainfo = try Self.parse([
      ("announce-list", .list([urls, ["http://last/"]])), ("url-list", urls),
      ("nodes", .list((0..<1000).map { [.text("host\($0)"), 1] })),
    ])
    #expect(metainfo.trackers.map(\.count) == [512])
    #expect(metainfo.webSeeds.count == 256)
    #expect(metainfo.nodes.count == 128)
    #expect(
      metainfo.warnings.map(\.kind) == [
        .unsortedKeys, .rest(limit: 512), .rest(limit: 256), .rest(limit: 128),
      ])
  }

  static let webSeeds: [(Written, [String])] = [
    ("http://a/", ["http://a/"]), ("", []), ([], []), ([""], []), (1, []),
    (["http://a/", "http://b/f name", "http://a/", 3], ["http://a/", "http://b/f%20name"]),
  ]

  @Test(arguments: Self.webSeeds.indices) func `reads web seeds as a string or a list`(index: Int) throws {
    let (value, urls) = Self.webSeeds[index]
    #expect(try Self.parse([("url-list", value)]).webSeeds == urls)
    #expect(try Self.parse([("httpseeds", value)]).httpSeeds == urls)
  }

  @Test func `reads nodes`() throws {
    let nodes: Written = [
      ["router.example", 6881], ["10.0.0.1", 1], ["::1", 65_535],
      ["x", 0], ["x", 65_536], ["x", -1], ["", 1], ["a b", 1], [1, 1], ["x"], "x", [["x"], 1],
      [.text(String(repeating: "h", count: 254)), 1],
    ]
    let metainfo = try Self.parse([("nodes", nodes)])
    #expect(metainfo.nodes.map(\.host) == ["router.example", "10.0.0.1", "::1"])
    #expect(metainfo.nodes.map(\.port) == [6881, 1, 65_535])
    #expect(metainfo.warnings.filter { $0.kind == .ignored }.count == 10)
  }

  @Test func `reads texts and the date`() throws {
    let metainfo = try Self.parse([
      ("comment", "Grüße"), ("created by", "someone/1.0"), ("creation date", 1_234_567_890),
      ("encoding", "UTF-8"),
    ])
    #expect(metainfo.comment == "Grüße")
    #expect(metainfo.createdBy == "someone/1.0")
    #expect(metainfo.creationDate == 1_234_567_890)
    #expect(metainfo.encoding == "UTF-8")
    let odd = try Self.parse([
      ("comment", .string([0x61, 0xe4])), ("created by", 1), ("creation date", "now"), ("encoding", ""),
    ])
    #expect(odd.comment == "a\u{fffd}")
    #expect(odd.createdBy == nil)
    #expect(odd.creationDate == nil)
    #expect(odd.warnings.map(\.keyPath) == ["created by", "creation date"])
    #expect(try Self.parse([("comment", .string([0xe4])), ("comment.utf-8", "ä")]).comment == "ä")
  }

  @Test func `cuts long texts between letters`() throws {
    let metainfo = try Self.parse([("comment", .text("a" + String(repeating: "ä", count: 10_000)))])
    #expect(metainfo.comment == "a" + String(repeating: "ä", count: 8191))
    #expect(metainfo.warnings.map(\.kind) == [.textCut(limit: 16_384)])
  }

  @Test func `keeps a hundred warnings`() throws {
    let paths = (0..<500).map { ["../\($0)"] }
    let metainfo = try Written.folder(paths).metainfo()
    #expect(metainfo.warnings.count == 100)
    #expect(metainfo.warnings[99].keyPath == "info.files[99]")
    #expect(
      metainfo.warnings[0].description == "a name was changed to \".._0\" (at byte 16, in info.files[0])")
  }
}
