import Engine
import Testing

@testable import SpateCommand

/// The bar: what it shows, and that it never leaves its lines.
@Suite struct BarTests {
  static func row(
    _ name: String, _ state: TorrentState = .downloading, done: Int64 = 450 << 20, total: Int64 = 1 << 30
  ) -> ProgressRow {
    ProgressRow(
      infohash: "", name: name, state: state, done: done, total: total, checked: 1 << 20, contents: total,
      down: 41 << 20,
      up: 1 << 20, peers: 12, seeds: 3, eta: 14)
  }

  static let plain = TerminalStyle(moves: true, hasColours: false, hasUnicode: true)

  static func lines(
    _ rows: [ProgressRow], columns: Int, rows height: Int = 24, style: TerminalStyle = plain,
    finished: Int = 0,
    waiting: Int = 0
  ) -> [BarLayout.Line] {
    BarLayout(columns: columns, rows: height, style: style)
      .lines(ProgressSnapshot(rows: rows, finished: finished, waiting: waiting))
  }

  @Test(arguments: [
    (
      111,
      "debian.iso  ███████████████▍···················  43.9%  0.44/1.00 GiB  ↓ 41.0 MiB/s  ↑ 1.00 MiB/s  12 (3)  14s"
    ),
    (81, "debian.iso  ████████▎··········  43.9%  0.44/1.00 GiB  ↓ 41.0 MiB/s  12 (3)  14s"),
    (60, "debian.iso  █████████▏···········  43.9%  ↓ 41.0 MiB/s  14s"),
    (40, "debian.iso  ████████▊···········  43.9%"),
    (20, "debian.iso  43.9%"),
    (8, "  43.9%"),
  ])
  func oneTorrent(_ columns: Int, _ text: String) {
    #expect(Self.lines([Self.row("debian.iso")], columns: columns).map(\.text) == [text])
  }

  @Test func plainCharacters() {
    let style = TerminalStyle(moves: true, hasColours: false, hasUnicode: false)
    #expect(
      Self.lines([Self.row("a-long-name.iso")], columns: 90, style: style).map(\.text)
        == ["a-long-name~  #####-------  43.9%  0.44/1.00 GiB  D 41.0 MiB/s  U 1.00 MiB/s  12 (3)  14s"])
  }

  @Test func severalTorrentsHaveASum() {
    let rows = [
      Self.row("first"), Self.row("second, with a longer name", .checking),
      Self.row("日本語", .seeding, done: 1 << 30),
    ]
    #expect(
      Self.lines(rows, columns: 110, finished: 2, waiting: 1).map(\.text) == [
        "first                    ███████·········  43.9%  0.44/1.00 GiB  ↓ 41.0 MiB/s  ↑ 1.00 MiB/s  12 (3)       14s",
        "second, with a longer …  ················   0.0%  0.00/1.00 GiB                                      checking",
        "日本語                   ████████████████   100%  1.00/1.00 GiB  ↓ 41.0 MiB/s  ↑ 1.00 MiB/s  12 (3)   seeding",
        "all 6: 2 done, 1 queued  ██████████······  62.6%  1.88/3.00 GiB   ↓ 123 MiB/s  ↑ 3.00 MiB/s  36 (9)        9s",
      ])
    #expect(Self.lines([], columns: 110).isEmpty)
  }

  /// More torrents than rows: busy ones are shown, in their order, and the sum says how many are not.
  @Test func moreThanTheScreenHolds() {
    let rows = (0..<50).map { number in
      var row = Self.row("t\(number)")
      row.down = number == 7 || number == 40 ? 5000 : 0
      row.up = 0
      return row
    }
    let lines = Self.lines(rows, columns: 100, rows: 6).map(\.text)
    #expect(lines.count == 4)
    #expect(lines.dropLast().map { $0.prefix { $0 != " " } } == ["t0", "t7", "t40"])
    #expect(lines.last?.hasPrefix("all 50: 47 hidden") == true)
  }

  /// Whatever the names, counts and width: no line reaches the last column, and it is as wide as it says.
  @Test func neverWraps() {
    var random = SystemRandomNumberGenerator()
    let names = [
      "", "a", "日本語のとても長い名前です", "👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦", String(repeating: "x", count: 300), "e\u{301}\u{302}",
      "tab\tand\u{1B}[2J",
    ]
    for columns in Array(1...40) + Array(stride(from: 43, through: 250, by: 9)) {
      for style in [Self.plain, TerminalStyle(moves: true, hasColours: true, hasUnicode: false)] {
        let rows = (0..<Int.random(in: 1...5, using: &random)).map { _ in
          var row = Self.row(
            names.randomElement(using: &random) ?? "",
            [.downloading, .checking, .seeding, .failed, .paused].randomElement(using: &random) ?? .opening,
            done: Int64.random(in: 0 ... .max / 8, using: &random),
            total: Int64.random(in: 0 ... .max / 8, using: &random))
          row.down = Int.random(in: 0 ... .max / 8, using: &random)
          row.peers = Int.random(in: 0...65_535, using: &random)
          row.eta = Bool.random(using: &random) ? Int.random(in: 0 ... .max, using: &random) : nil
          return row
        }
        for line in Self.lines(rows, columns: columns, style: style) {
          let bare = ["0", "1", "2", "31", "32", "36"].reduce(line.text) {
            $0.replacing("\u{1B}[\($1)m", with: "")
          }
          #expect(TextWidth.of(bare) == line.columns)
          #expect(line.columns <= max(1, columns - 1), "\(columns): \(bare)")
          #expect(!bare.contains { $0.isNewline || $0 == "\u{1B}" || $0 == "\t" })
        }
      }
    }
  }

  @Test(
    arguments: [
      (0, "··········"), (1, "▏·········"), (50, "█████·····"), (55, "█████▌····"), (100, "██████████"),
      (200, "██████████"),
      (-5, "··········"),
    ] as [(Int64, String)])
  func bars(_ done: Int64, _ text: String) {
    let bar = BarLayout.bar(done == 1 ? 2 : done, of: 100, width: 10, hasUnicode: true)
    #expect(bar.full + bar.rest == text)
    let plain = BarLayout.bar(done, of: 100, width: 10, hasUnicode: false)
    #expect((plain.full + plain.rest).count == 10)
  }

  @Test func plainLines() {
    #expect(
      PlainProgress.text(Self.row("a\u{1B}b"))
        == "a?b: 43.9%, 0.44/1.00 GiB, down 41.0 MiB/s, up 1.00 MiB/s, 12 peers (3 seeds), 14s left")
    #expect(PlainProgress.text(Self.row("a", .checking)) == "a: checking, 0.0%")
    var found = Self.row("a")
    found.sources.dht = 7
    found.sources.tracker = 4
    found.sources.exchange = 1
    #expect(PlainProgress.text(found).contains("12 peers (3 seeds; 7 DHT, 4 tracker, 1 PEX)"))
    var magnet = Self.row("a", .fetchingMetadata)
    magnet.metadata = MetadataProgress(have: 3, total: 7)
    #expect(PlainProgress.text(magnet) == "a: fetching metadata 3/7, 12 peers")
    #expect(
      PlainProgress.sum(ProgressSnapshot(rows: [Self.row("a"), Self.row("b")], finished: 1, waiting: 4))
        == "all: 2 under way, 1 done, 4 waiting, 0.88/2.00 GiB, down 82.0 MiB/s, up 2.00 MiB/s, 24 peers")
  }

  @Test func jsonLines() {
    #expect(
      JSONText.line(JSONProgress.Line("progress", Self.row("a\u{1B}")))
        == #"{"done":471859200,"down":42991616,"eta":14,"event":"progress","infohash":"","name":"a\u001b","peers":12,"seeds":3,"sources":{"dht":0,"incoming":0,"known":0,"lsd":0,"named":0,"pex":0,"tracker":0},"state":"downloading","total":1073741824,"up":1048576}"#
    )
  }
}
