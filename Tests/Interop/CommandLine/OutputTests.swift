import Foundation
import Testing

/// What the command line prints, where, and in which shape.
@Suite(.showingLogs)
struct OutputTests {
  /// Two torrents from one libtorrent seed each, for downloads that need no tracker.
  private func withSeeds(
    _ trees: [Tree], uploadLimit: Int? = nil, _ body: (Sandbox, [Prepared], [Address]) async throws -> Void
  ) async throws {
    try await withSandbox { sandbox in
      var torrents: [Prepared] = []
      var seats: [Address] = []
      for (number, tree) in trees.enumerated() {
        let torrent = try await Prepared.make(
          tree, pieceLength: 32_768, named: "torrent\(number)", seed: UInt64(number + 1), in: sandbox)
        let seat = Address(.v4, Role.seeder + 2 * number)
        _ = try await Libtorrent(options: uploadLimit.map { ["--upload-limit", String($0)] } ?? [])
          .seed(torrent.torrent, from: torrent.source, at: seat, in: sandbox)
        torrents.append(torrent)
        seats.append(seat)
      }
      try await body(sandbox, torrents, seats)
    }
  }

  @Test(
    "--json is one document on stdout, --progress json lines on stderr",
    .needs(.spate, .libtorrent, .mktorrent))
  func documentAndLines() async throws {
    try await withSeeds([.mixed, .tiny], uploadLimit: 2_000_000) { sandbox, torrents, seats in
      let target = try sandbox.directory("target")
      let child = try Spate().start(
        torrents.map(\.torrent), into: target, at: Address(.v4, Role.leecher), peers: seats, in: sandbox)
      #expect(try await child.exit(within: .seconds(90)) == .code(0))

      let document = try FinalDocument(child.output)
      #expect(document.torrents.count == 2)
      for torrent in torrents {
        let told = try #require(document.torrents.first { $0.infohash == torrent.info.infohash })
        #expect(told.name == torrent.tree.name)
        #expect(told.error == nil)
        #expect(told.seconds > 0)
        #expect(told.bytes_down >= torrent.tree.total)
        let files = told.files.map { "\($0.path) \($0.length) \($0.done)" }.sorted()
        #expect(files == torrent.info.files.map { "\($0.path) \($0.length) \($0.length)" }.sorted())
        try await expectSame(torrent.tree, in: target, as: torrent.source, in: sandbox)
      }

      // Every line is an object; nothing else is on standard error.
      let lines = child.errors.split(separator: "\n")
      let progress = ProgressLine.all(child.errors)
      #expect(progress.count == lines.count)
      for torrent in torrents {
        let mine = progress.filter { $0.infohash == torrent.info.infohash }
        #expect(mine.contains { $0.state == "downloading" })
        #expect(mine.last?.done == torrent.tree.total)
        #expect(mine.allSatisfy { $0.total == torrent.tree.total && $0.name == torrent.tree.name })
        let done = mine.compactMap(\.done)
        #expect(done == done.sorted(), "progress went backwards")
      }
    }
  }

  struct Mode: Sendable, CustomTestStringConvertible {
    let options: [String]
    let isTerminal: Bool
    let environment: [String: String]
    /// Whether the stream for progress shows anything, moves the cursor, and has colours.
    let shows: Bool
    let moves: Bool
    let colours: Bool
    var testDescription: String {
      "\(options.joined(separator: " "))\(isTerminal ? " on a terminal" : "") \(environment)"
    }
  }

  @Test(
    .needs(.spate, .libtorrent, .mktorrent),
    arguments: [
      Mode(options: [], isTerminal: false, environment: [:], shows: true, moves: false, colours: false),
      Mode(
        options: ["--progress", "none"], isTerminal: false, environment: [:], shows: false, moves: false,
        colours: false),
      Mode(options: ["-q"], isTerminal: false, environment: [:], shows: false, moves: false, colours: false),
      Mode(
        options: ["--progress", "plain"], isTerminal: true, environment: [:], shows: true, moves: false,
        colours: false),
      Mode(options: [], isTerminal: true, environment: [:], shows: true, moves: true, colours: true),
      Mode(
        options: [], isTerminal: true, environment: ["NO_COLOR": "1"], shows: true, moves: true,
        colours: false),
      Mode(
        options: [], isTerminal: true, environment: ["TERM": "dumb"], shows: true, moves: false,
        colours: false),
    ])
  func progress(_ mode: Mode) async throws {
    try await withSeeds([.tiny], uploadLimit: 60_000) { sandbox, torrents, seats in
      let command =
        try Spate.command + [
          "download", torrents[0].torrent.path, "-d", sandbox.directory("target").path, "--bind",
          Address(.v4, Role.leecher).host, "--peer", seats[0].description,
        ] + mode.options
      // `script` gives the program a terminal and passes on what it writes there.
      let quoted = command.map { "'\($0)'" }.joined(separator: " ")
      let terminal = ["/usr/bin/script", "-qefc", quoted, "/dev/null"]
      let child = try sandbox.start(
        "spate", mode.isTerminal ? terminal : command,
        environment: ["TERM": "xterm-256color"].merging(mode.environment) { $1 })
      #expect(try await child.exit(within: .seconds(90)) == .code(0))
      // A terminal has one stream for both.
      let text = mode.isTerminal ? child.output : child.errors
      #expect(mode.shows == text.contains("tiny"), "\(text.suffix(400))")
      let escapes = text.split(separator: "\u{1B}[").dropFirst()
      let colours = escapes.contains {
        $0.prefix { $0.isNumber || $0 == ";" }.isEmpty == false && $0.first { $0.isLetter } == "m"
      }
      #expect(colours == mode.colours)
      let moves =
        text.replacing("\r\n", with: "\n").contains("\r")
        || escapes.contains { "ABGJKH".contains($0.first { $0.isLetter } ?? " ") }
      #expect(moves == mode.moves)
    }
  }

  /// Not the hidden file that keeps the share of unwanted files in boundary pieces.
  private static func isOfTorrent(_ path: String) -> Bool {
    !(path.hasPrefix(".") && path.hasSuffix(".parts"))
  }

  @Test("-, -i, -j and selections", .needs(.spate, .libtorrent, .mktorrent)) func sources() async throws {
    try await withSeeds([.mixed, .tiny]) { sandbox, torrents, seats in
      let network =
        ["--bind", Address(.v4, Role.leecher).host] + seats.flatMap { ["--peer", $0.description] }
      // From standard input, two of the files, by number.
      let some = try sandbox.directory("some")
      let ended = try await Spate.run(
        ["download", "-", "-d", some.path, "--select-file", "1,5-6", "--json"] + network,
        input: torrents[0].torrent, in: sandbox)
      #expect(ended.status == .code(0))
      let got = try await Digests.of(some, in: sandbox)
      let want = try await Digests.of(torrents[0].source, in: sandbox)
      let selected = [1, 5, 6].map { torrents[0].info.files[$0 - 1].path }
      #expect(Set(got.files.keys.filter(Self.isOfTorrent)) == Set(selected))
      for path in selected { #expect(got.files[path] == want.files[path], "\(path)") }

      // From a list, one after the other.
      let list = sandbox.scratch.appending(path: "list")
      try Data(torrents.map { $0.torrent.path + "\n" }.joined().utf8).write(to: list)
      let both = try sandbox.directory("both")
      let listed = try await Spate.run(
        ["download", "-i", list.path, "-j", "1", "-d", both.path, "--json"] + network, in: sandbox)
      #expect(listed.status == .code(0))
      for torrent in torrents {
        try await expectSame(torrent.tree, in: both, as: torrent.source, in: sandbox)
      }

      // By pattern.
      let patterns = try sandbox.directory("patterns")
      let matched = try await Spate.run(
        [
          "download", torrents[0].torrent.path, "-d", patterns.path, "--include", "*.bin", "--exclude",
          "*zz*",
        ] + network,
        in: sandbox)
      #expect(matched.status == .code(0))
      let found = try await Digests.of(patterns, in: sandbox).files.keys.filter(Self.isOfTorrent)
      #expect(Set(found) == ["\(Tree.mixed.name)/a.bin"])
    }
  }
}
