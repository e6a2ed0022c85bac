import Foundation
import Testing

/// Torrent files made by one program and read by the others.
@Suite(.showingLogs)
struct TorrentFileTests {
  /// What `spate show --json` holds at least.
  struct Shown: Decodable {
    struct File: Decodable {
      let path: String
      let length: Int
      let padding: Bool
    }
    /// 1, or "hybrid".
    enum Version: Decodable, Equatable {
      case one, hybrid

      init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if let number = try? value.decode(Int.self), number == 1 {
          self = .one
        } else if try value.decode(String.self) == "hybrid" {
          self = .hybrid
        } else {
          throw DecodingError.dataCorruptedError(in: value, debugDescription: "neither 1 nor hybrid")
        }
      }
    }
    let name: String
    let infohash: String
    let piece_length: Int
    let pieces: Int
    let total: Int
    let files: [File]
    let trackers: [[String]]
    let webseeds: [String]
    let `private`: Bool
    let comment: String?
    let created_by: String?
    let creation_date: Int?
    let version: Version
  }

  @Test(
    "spate show reads what libtorrent reads", .needs(.spate, .libtorrent),
    arguments: TorrentMaker.allCases.filter { available([$0.requirement]) }, [Tree.mixed, .oneFile])
  func show(_ maker: TorrentMaker, _ tree: Tree) async throws {
    try await withSandbox { sandbox in
      let trackers = ["http://tracker.test/announce", "udp://tracker.test:6969/announce"]
      let torrent = try await Prepared.make(
        tree, by: maker, trackers: trackers, pieceLength: 32_768, in: sandbox)
      let ended = try await Spate.run(["show", torrent.torrent.path, "--json"], in: sandbox)
      #expect(ended.status == .code(0))
      let mine = try JSONDecoder().decode(Shown.self, from: Data(ended.output.utf8))
      let theirs = torrent.info
      #expect(mine.name == theirs.name)
      #expect(mine.infohash == theirs.infohash)
      #expect(mine.piece_length == theirs.piece_length)
      #expect(mine.pieces == theirs.pieces)
      #expect(mine.total == tree.total)
      #expect(mine.trackers == theirs.trackers)
      #expect(mine.webseeds == theirs.webseeds)
      #expect(mine.private == theirs.private)
      #expect(mine.created_by ?? "" == theirs.creator)
      #expect(mine.version == (theirs.v2 ? .hybrid : .one))
      // Padding files have no agreed names; real ones must agree in path, length and order.
      #expect(
        mine.files.filter { !$0.padding }.map { "\($0.path) \($0.length)" }
          == theirs.files.filter { !$0.padding }.map { "\($0.path) \($0.length)" })
      #expect(mine.files.map(\.padding) == theirs.files.map(\.padding))

      let verified = try await Spate.run(
        ["verify", torrent.torrent.path, "-d", torrent.source.path, "--json"], in: sandbox)
      #expect(verified.status == .code(0))
    }
  }

  @Test("what spate creates, the others read", .needs(.spate, .libtorrent, .aria2, .transmission))
  func create() async throws {
    try await withSandbox { sandbox in
      let source = try sandbox.directory("source")
      let content = try Tree.mixed.write(in: source)
      let torrent = sandbox.scratch.appending(path: "created.torrent")
      let ended = try await Spate.run(
        [
          "create", content.path, "-o", torrent.path, "-a", "http://a.test/announce,http://b.test/announce",
          "-a",
          "udp://c.test:1/announce", "-w", "http://web.test/files/", "-c", "A comment – with ünicode", "-p",
          "-s", "SRC",
          "-l", "65536", "-n", "another name", "--no-date",
        ], in: sandbox)
      #expect(ended.status == .code(0))

      let theirs = try await Libtorrent.show(torrent, in: sandbox)
      #expect(theirs.name == "another name")
      #expect(
        theirs.trackers.map { $0.sorted() } == [
          ["http://a.test/announce", "http://b.test/announce"], ["udp://c.test:1/announce"],
        ])
      #expect(theirs.webseeds == ["http://web.test/files/"])
      #expect(theirs.comment == "A comment – with ünicode")
      #expect(theirs.private)
      #expect(theirs.piece_length == 65_536)
      #expect(theirs.date == 0)
      #expect(theirs.total == Tree.mixed.total)
      #expect(try Data(contentsOf: torrent).range(of: Data("6:source3:SRC".utf8)) != nil)

      let shown = try await sandbox.run("transmission-show", ["/usr/bin/transmission-show", torrent.path])
      #expect(shown.contains(theirs.infohash))
      let listed = try await sandbox.run(
        "aria2-show", ["/usr/bin/aria2c", "--no-conf=true", "-S", torrent.path])
      #expect(listed.lowercased().contains(theirs.infohash))

      // The same content gives the same torrent, byte for byte, whatever the number of threads.
      let again = sandbox.scratch.appending(path: "again.torrent")
      let repeated = try await Spate.run(
        [
          "create", content.path, "-o", again.path, "-a", "http://a.test/announce,http://b.test/announce",
          "-a",
          "udp://c.test:1/announce", "-w", "http://web.test/files/", "-c", "A comment – with ünicode", "-p",
          "-s", "SRC",
          "-l", "65536", "-n", "another name", "--no-date", "-t", "1",
        ], in: sandbox)
      #expect(repeated.status == .code(0))
      #expect(try Data(contentsOf: again) == Data(contentsOf: torrent))
    }
  }

  @Test(
    "spate scrape asks other people's trackers", .needs(.spate, .libtorrent, .opentracker, .mktorrent),
    arguments: [TrackerKind.opentrackerHTTP, .opentrackerUDP, .spateHTTP6, .spateUDP6])
  func scrape(_ kind: TrackerKind) async throws {
    try await withSandbox { sandbox in
      let torrent = try await Prepared.make(
        .tiny, trackers: [kind.announce], pieceLength: 32_768, in: sandbox)
      let tracker = try await kind.start(allowing: [torrent.info.infohash], in: sandbox)
      _ = try await Libtorrent().seed(
        torrent.torrent, from: torrent.source, at: Address(kind.family, Role.seeder), in: sandbox)
      try await tracker.wait(torrent.info.infohash, seeds: 1, in: sandbox)
      let ended = try await Spate.run(["scrape", torrent.torrent.path], in: sandbox)
      #expect(ended.status == .code(0))
      #expect(ended.output.contains("1"), "\(ended.output)")
    }
  }

  /// Spate's own tracker among other people's clients.
  @Test(
    "aria2 seeds, libtorrent downloads, over spate's tracker",
    .needs(.spate, .aria2, .libtorrent, .mktorrent),
    arguments: [TrackerKind.spateHTTP, .spateUDP, .spateHTTP6])
  func tracker(_ kind: TrackerKind) async throws {
    try await transfer(.tiny, from: .aria2, to: .libtorrent, over: kind, madeBy: .mktorrent)
  }
}
