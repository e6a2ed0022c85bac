import Engine
import Testing

@testable import SpateCommand

/// Files chosen by number and pattern, from torrents with padding.
@Suite struct SelectionTests {
  /// A torrent of the files named, each a byte long; `.pad` is padding.
  static func torrent(_ paths: [String], name: String = "name") throws -> TorrentInfo {
    func string(_ text: some StringProtocol) -> String { "\(text.utf8.count):\(text)" }
    let files = paths.map { path in
      let parts = path.split(separator: "/").map { string($0) }.joined()
      return "d" + (path == ".pad" ? "4:attr1:p" : "") + "6:lengthi1e4:pathl\(parts)ee"
    }
    let info =
      "d5:filesl\(files.joined())e4:name\(string(name))12:piece lengthi16384e6:pieces20:"
      + String(repeating: "x", count: 20)
      + "e"
    return try TorrentMetainfo.parse(Array("d4:info\(info)e".utf8)).info
  }

  static let paths = ["a.bin", ".pad", "b/c.txt", "b/d.bin", ".pad", "e/f/g.txt"]

  @Test(
    arguments: [
      ("", "", "", nil), ("1", "", "", [0]), ("2-3", "", "", [2, 3]), ("4,1", "", "", [0, 5]),
      ("3-", "", "", [3, 5]),
      ("", "*.bin", "", [0, 3]), ("", "", "*.bin", [2, 5]), ("", "b", "*.txt", [3]),
      ("1", "*.txt", "", [0, 2, 5]),
      ("1-4", "", "/e/**", [0, 2, 3]), ("", "name/b/*", "", [2, 3]),
    ] as [(String, String, String, Set<Int>?)])
  func selects(_ numbers: String, _ include: String, _ exclude: String, _ files: Set<Int>?) throws {
    var rules = SelectionRules()
    if !numbers.isEmpty { rules.numbers = [try #require(FileNumbers(argument: numbers))] }
    if !include.isEmpty { rules.include = [try #require(GlobPattern(argument: include))] }
    if !exclude.isEmpty { rules.exclude = [try #require(GlobPattern(argument: exclude))] }
    #expect(try rules.select(from: Self.torrent(Self.paths)) == files)
  }

  @Test(arguments: [("5", ""), ("1-5", ""), ("", "*.mkv")])
  func refuses(_ numbers: String, _ include: String) throws {
    let rules = SelectionRules(
      numbers: FileNumbers(argument: numbers).map { [$0] } ?? [],
      include: GlobPattern(argument: include).map { [$0] } ?? [])
    let failure = try #require(throws: CommandFailure.self) {
      _ = try rules.select(from: Self.torrent(Self.paths))
    }
    #expect(failure.status == .usage)
    #expect(
      failure.description.contains("4 files") && failure.description.contains("spate show"), "\(failure)")
  }

  /// Two torrents of one command never write to the same file.
  @Test func claims() throws {
    var claims = TargetClaims()
    #expect(try claims.claim(Self.torrent(["a", "b/c"])) == nil)
    #expect(try claims.claim(Self.torrent(["d", "b/e"])) == nil, "a folder may be shared")
    #expect(try claims.claim(Self.torrent(["x", "b/c"])) == "name/b/c")
    #expect(try claims.claim(Self.torrent(["a"], name: "other")) == nil)
    #expect(try claims.claim(Self.torrent(["x"], name: "OTHER")) == nil)
  }

  /// What `spate show` numbers is what `--select-file` takes.
  @Test func showNumbersFiles() throws {
    let bytes = Array(try Self.torrent(Self.paths).encoded)
    let metainfo = try TorrentMetainfo.parse(Array("d4:info".utf8) + bytes + Array("e".utf8))
    let lines = TorrentText.lines(metainfo)
    let files = lines.suffix(4).map {
      $0.split(separator: " ", omittingEmptySubsequences: true).map(String.init)
    }
    #expect(files.map(\.first) == ["1", "2", "3", "4"])
    #expect(files.map(\.last) == ["name/a.bin", "name/b/c.txt", "name/b/d.bin", "name/e/f/g.txt"])
    let document = TorrentDocument(metainfo)
    #expect(document.total == 4)
    #expect(document.files.map(\.padding) == [false, true, false, false, true, false])
  }

  @Test(
    arguments: [
      (0, "1970-01-01T00:00:00Z"), (1_700_000_000, "2023-11-14T22:13:20Z"),
      (253_402_300_799, "9999-12-31T23:59:59Z"),
      (-1, "-1 seconds after 1970"), (.max, "9223372036854775807 seconds after 1970"),
    ] as [(Int64, String)])
  func dates(_ seconds: Int64, _ text: String) { #expect(TorrentText.date(seconds) == text) }
}
