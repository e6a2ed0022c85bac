import Foundation
import Testing
import TorrentModel

@testable import Metainfo

/// Torrents that other programs made. Info-hashes, names, sizes and files are as those programs show them.
struct KnownTorrent: CustomTestStringConvertible {
  var file: String
  var infoHash: String
  var version: TorrentVersion = .v1
  var name = "album"
  var pieceLength: Int
  var files: [(String, Int64)]
  var trackers: [[String]] = [["http://tracker.example/announce"]]
  var webSeeds = ["http://web.example/"]
  var comment: String?
  var createdBy: String? = "libtorrent 2.1.1.0"
  var creationDate: Int64? = 1_700_000_000
  var isPrivate = false
  var source: String?

  var testDescription: String { file }

  func bytes() throws -> [UInt8] { try KnownTorrent.bytes(of: file) }

  static func bytes(of file: String) throws -> [UInt8] {
    let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures")
    return Array(try Data(contentsOf: folder.appending(path: file + ".torrent")))
  }

  static let padded: [(String, Int64)] = [
    ("data/deep/three.bin", 33_333), (".pad/32203", 32_203), ("data/one.bin", 70_000), (".pad/28304", 28_304),
    ("data/two.bin", 0), ("read me.txt", 1234), (".pad/31534", 31_534), ("Ünïcödé/naïve.txt", 5),
    (".pad/32763", 32_763),
  ]

  static let all: [KnownTorrent] = [
    KnownTorrent(
      file: "mktorrent-single", infoHash: "e21d1d8ce0a1e120ea27ef025106c15c51df7c0a", name: "alone.bin",
      pieceLength: 32_768, files: [("alone.bin", 100_000)], webSeeds: [], comment: "one file",
      createdBy: "mktorrent 1.1", creationDate: nil),
    KnownTorrent(
      file: "mktorrent-multi", infoHash: "f021c00116b894183ebe74859ba0d9ed83e1cc6a", pieceLength: 65_536,
      files: [
        ("data/deep/three.bin", 33_333), ("data/one.bin", 70_000), ("data/two.bin", 0), ("read me.txt", 1234),
        ("Ünïcödé/naïve.txt", 5),
      ],
      trackers: [
        ["http://a.example/announce", "http://b.example/announce"], ["udp://c.example:80/announce"],
      ],
      webSeeds: ["http://seed.example/", "http://mirror.example/pub/"], comment: "ein Kommentar: äöü",
      createdBy: "mktorrent 1.1", creationDate: 1_795_425_538, isPrivate: true, source: "SRC"),
    KnownTorrent(
      file: "transmission-single", infoHash: "67f4b4f39f708435be730b19225c7e4eb86f6525", name: "alone.bin",
      pieceLength: 32_768, files: [("alone.bin", 100_000)], trackers: [["http://two.example/announce"]],
      webSeeds: [], createdBy: "Transmission/3.00 (bb6b5a062e)", creationDate: 1_795_425_539),
    KnownTorrent(
      file: "transmission-multi", infoHash: "84cd8e0b9c11c404e78e53ff3be9a1f905551c28", pieceLength: 32_768,
      files: [
        ("Ünïcödé/naïve.txt", 5), ("data/deep/three.bin", 33_333), ("data/one.bin", 70_000),
        ("read me.txt", 1234),
      ],
      trackers: [["udp://tracker.example:6969/announce"], ["http://two.example/announce"]], webSeeds: [],
      comment: "from transmission", createdBy: "Transmission/3.00 (bb6b5a062e)", creationDate: 1_795_425_538,
      isPrivate: true),
    KnownTorrent(
      file: "libtorrent-padded", infoHash: "d633f0eee66646783e1560a0cd414eea5e516b8a", pieceLength: 32_768,
      files: padded),
    KnownTorrent(
      file: "libtorrent-hybrid", infoHash: "2b15cf3ac3dd56275486cd26eac56a57728970ec", version: .hybrid,
      pieceLength: 32_768, files: padded),
    KnownTorrent(
      file: "libtorrent-hybrid-single", infoHash: "26c4a9d70e127f03bbfe0e20083f581965be6ccc",
      version: .hybrid,
      name: "alone.bin", pieceLength: 32_768, files: [("alone.bin", 100_000)]),
    KnownTorrent(
      file: "libtorrent-links", infoHash: "8b1d1061daa599e1bfe337624e1876975508d097", name: "links",
      pieceLength: 32_768,
      files: [(".hidden", 10), ("dir/real.txt", 40_000), ("dir/up.txt", 0), ("folder", 0), ("alias.txt", 0)]),
    KnownTorrent(
      file: "libtorrent-hybrid-links", infoHash: "9f112d5cc1a85ce39296aae68d5f22e51183bbf3", version: .hybrid,
      name: "links", pieceLength: 32_768,
      files: [
        (".hidden", 10), (".pad/32758", 32_758), ("alias.txt", 0), ("dir/real.txt", 40_000),
        (".pad/25536", 25_536),
        ("dir/up.txt", 0), ("folder", 0),
      ]),
  ]
}

@Suite struct KnownTorrentTests {
  @Test(arguments: KnownTorrent.all) func `reads other programs' torrents`(known: KnownTorrent) throws {
    let metainfo = try TorrentMetainfo.parse(known.bytes())
    let info = metainfo.info
    #expect(info.infoHash.hex == known.infoHash)
    #expect(info.version == known.version)
    #expect(info.name == known.name)
    #expect(info.geometry.pieceLength == known.pieceLength)
    #expect(info.files.map(\.path) == known.files.map(\.0))
    #expect(info.files.map(\.length) == known.files.map(\.1))
    #expect(info.isPrivate == known.isPrivate)
    #expect(info.source == known.source)
    #expect(metainfo.trackers == known.trackers)
    #expect(metainfo.webSeeds == known.webSeeds)
    #expect(metainfo.comment == known.comment)
    #expect(metainfo.createdBy == known.createdBy)
    #expect(metainfo.creationDate == known.creationDate)
    #expect(metainfo.warnings == [])
    for file in info.files { #expect(file.isPadding == file.path.hasPrefix(".pad/")) }
  }

  @Test func `reads links, attributes and nodes of libtorrent`() throws {
    let links = try TorrentMetainfo.parse(KnownTorrent.bytes(of: "libtorrent-links")).info.files
    #expect(links.map(\.symlinkText) == [nil, nil, "../.hidden", "dir", "dir/real.txt"])
    let padded = try TorrentMetainfo.parse(KnownTorrent.bytes(of: "libtorrent-padded"))
    #expect(padded.info.files[2].attributes == .executable)
    #expect(padded.nodes == [TorrentMetainfo.Node(host: "router.example", port: 6881)])
  }

  @Test func `refuses a torrent that is v2 only, and says so`() throws {
    let error = try #require(throws: MetainfoError.self) {
      try TorrentMetainfo.parse(KnownTorrent.bytes(of: "libtorrent-v2"))
    }
    #expect(error.problem == .version2Only)
    #expect(error.description.contains("v2 is not supported yet"))
    #expect(error.keyPath == "info")
  }

  @Test(arguments: KnownTorrent.all) func `damaged torrents are refused or read, and never stop the program`(
    known: KnownTorrent
  ) throws {
    let original = try known.bytes()
    var random = SeededRandom(seed: 2)
    for _ in 0..<300 {
      var bytes = original
      for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
        let place = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<4, using: &random) {
        case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
        case 1: bytes[place] = Array("0123456789idle:-".utf8)[Int.random(in: 0..<16, using: &random)]
        case 2: bytes.removeSubrange(place..<min(bytes.count, place + Int.random(in: 1...40, using: &random)))
        default: bytes.insert(contentsOf: bytes[place...].prefix(30), at: place)
        }
      }
      guard let info = try? TorrentMetainfo.parse(bytes).info else { continue }
      try checkInvariants(info)
    }
  }
}

/// What must hold of any torrent that was taken.
func checkInvariants(_ info: TorrentInfo) throws {
  #expect(info.files.totalLength == info.geometry.totalLength)
  #expect(info.pieceHashes.count == info.geometry.pieceCount * 20)
  #expect(info.files.count >= 1)
  if info.isSingleFile { #expect(info.files.map(\.path) == [info.name]) }
  var paths: Set<[UInt8]> = []
  for file in info.files where !file.isPadding {
    let isNew = paths.insert(Array(file.path.utf8)).inserted
    #expect(isNew, "\(file.path) is the path of two files")
  }
  for file in info.files where !file.isPadding {
    for component in file.components {
      #expect((1...255).contains(component.utf8.count))
      #expect(component != "." && component != "..")
      #expect(
        !component.utf8.contains {
          $0 < 0x20 || $0 == 0x7f || $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "\\")
        })
    }
    var components = file.components
    while components.popLast() != nil && !components.isEmpty {
      let isFile = paths.contains(Array(components.joined(separator: "/").utf8))
      #expect(!isFile, "\(file.path) goes through a file")
    }
    if let text = file.symlinkText {
      // Walked from the link's folder, it stays inside the torrent at every step.
      var place = Array(file.components.dropLast())
      for step in text.split(separator: "/") where step != "." {
        if step == ".." { try #require(place.popLast() != nil) } else { place.append(String(step)) }
      }
      #expect(place.joined(separator: "/") == file.symlinkTarget)
    }
  }
}
