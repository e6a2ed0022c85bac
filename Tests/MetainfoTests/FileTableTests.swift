import Testing

@testable import Metainfo

@Suite struct FileTableTests {
  static func paths(_ paths: [[String]], rules: PathRules = .standard) throws -> [String] {
    try Written.folder(paths).metainfo(rules: rules).info.files.map(\.path)
  }

  static let tables: [([[String]], [String])] = [
    ([["a"], ["b"]], ["a", "b"]),
    ([["d", "a"], ["d", "e", "a"], ["a"]], ["d/a", "d/e/a", "a"]),
    // The same name again and again.
    ([["a.txt"], ["a.txt"], ["a.txt"]], ["a.txt", "a.1.txt", "a.2.txt"]),
    ([["a"], ["a"]], ["a", "a.1"]),
    ([[".x"], [".x"]], [".x", ".x.1"]),
    ([["d", "a.b.c"], ["d", "a.b.c"]], ["d/a.b.c", "d/a.b.1.c"]),
    // A number that is taken is passed over, by whoever has it.
    ([["a.1"], ["a"], ["a"]], ["a.1", "a", "a.2"]),
    ([["a"], ["a"], ["a.1"]], ["a", "a.1", "a.1.1"]),
    // A folder keeps its name, before and after.
    ([["a"], ["a", "b"]], ["a.1", "a/b"]),
    ([["a", "b"], ["a"]], ["a/b", "a.1"]),
    ([["a.1", "x"], ["a"], ["a", "y"]], ["a.1/x", "a.2", "a/y"]),
    // Different bytes, one safe name.
    ([["a/b"], ["a_b"], ["a\\b"]], ["a_b", "a_b.1", "a_b.2"]),
    ([["..", "x"], [".", "x"], ["", "x"]], ["_/x", "_/x.1", "_/x.2"]),
    ([["con", "f"], ["_con", "f"]], ["_con/f", "_con/f.1"]),
    // Case and normalisation make different names.
    ([["A"], ["a"]], ["A", "a"]),
    ([["\u{e9}"], ["e\u{301}"]], ["\u{e9}", "e\u{301}"]),
  ]

  @Test(arguments: tables) func `gives every file a path of its own`(paths: [[String]], expected: [String])
    throws
  {
    #expect(try Self.paths(paths).map { Array($0.utf8) } == expected.map { Array($0.utf8) })
  }

  static let folded: [([[String]], [String])] = [
    ([["A"], ["a"]], ["A", "a.1"]),
    ([["\u{e9}"], ["e\u{301}"]], ["\u{e9}", "e\u{301}.1"]),
    ([["Dir", "x"], ["dir", "X"], ["DIR", "y"]], ["Dir/x", "Dir/X.1", "Dir/y"]),
    ([["a"], ["A", "b"]], ["a.1", "A/b"]),
    ([["É.txt"], ["e\u{301}.TXT"]], ["É.txt", "e\u{301}.1.TXT"]),
  ]

  @Test(arguments: folded)
  func `folds case and normalisation on request`(paths: [[String]], expected: [String]) throws {
    let found = try Self.paths(paths, rules: PathRules(foldsNames: true))
    #expect(found.map { Array($0.utf8) } == expected.map { Array($0.utf8) })
  }

  @Test func `numbered names are not too long either`() throws {
    let long = String(repeating: "x", count: 251) + ".mkv"
    let found = try Self.paths([[long], [long], [long]])
    #expect(found[0] == long)
    #expect(found[1] == String(repeating: "x", count: 243) + ".1.mkv")
    #expect(found[2] == String(repeating: "x", count: 243) + ".2.mkv")
  }

  @Test func `thousands of names that need numbers take no squared time`() throws {
    // Names that differ only where numbered ones are cut share their numbers.
    var paths: [[String]] = []
    let stem = String(repeating: "s", count: 247)
    for index in 0..<4_000 {
      let name = stem + String(10_000_000 + index).suffix(8)
      paths.append([name])
      paths.append([name])
    }
    for _ in 0..<4_000 { paths.append(["same"]) }
    let found = try Self.paths(paths)
    #expect(Set(found).count == paths.count)
    #expect(found.last == "same.3999")
    #expect(found[7_999] == stem + ".4000")
  }

  @Test func `looks into lengths, offsets and attributes`() throws {
    let info = Written.folder(
      [
        ["attr": "x", "length": 10_000, "path": ["bin", "tool"]],
        ["attr": "p", "length": 6_384, "path": [".pad", "6384"]],
        ["attr": "hq", "length": 5, "path": [".rc"]],
        ["length": 0, "path": ["empty"]],
        ["attr": "p", "length": 16_379],
        ["length": 16, "path": ["_____padding_file_0_if you see this file"]],
        ["length": 7, "path": ["last"]],
      ], totalLength: 32_791)
    let files = try info.metainfo().info.files
    #expect(files.map(\.path) == ["bin/tool", ".pad/6384", ".rc", "empty", ".pad/16379", ".pad/16", "last"])
    #expect(files.map(\.name) == ["tool", "6384", ".rc", "empty", "16379", "16", "last"])
    #expect(files.map(\.length) == [10_000, 6_384, 5, 0, 16_379, 16, 7])
    #expect(files.map(\.offset) == [0, 10_000, 16_384, 16_389, 16_389, 32_768, 32_784])
    #expect(files.map(\.isPadding) == [false, true, false, false, true, true, false])
    #expect(files[0].attributes == .executable)
    #expect(files[2].attributes == .hidden)
    #expect(files.totalLength == 32_791)
    #expect(files.layout.file(at: 16_400) == 4)
    #expect(files[0].components == ["bin", "tool"])
  }

  @Test func `padding takes no names from files`() throws {
    let info = Written.folder(
      [
        ["attr": "p", "length": 1, "path": ["x"]], ["length": 1, "path": ["x"]],
        ["length": 1, "path": [".pad"]],
        ["attr": "p", "length": 1, "path": ["x"]],
      ], totalLength: 4)
    #expect(try info.metainfo().info.files.map(\.path) == [".pad/1", "x", ".pad", ".pad/1"])
  }
}

@Suite struct SymlinkTests {
  static func link(_ path: [String], to target: [String]?) -> Written {
    let entries: [(String, Written)] = [
      ("attr", "l"), ("length", 0), ("path", .list(path.map { .text($0) })),
    ]
    guard let target else { return .entries(entries) }
    return .entries(entries + [("symlink path", .list(target.map { .text($0) }))])
  }

  static func files(_ links: Written...) throws -> FileTable {
    let plain: [Written] = [
      ["length": 1, "path": ["file"]], ["length": 1, "path": ["d", "e", "deep"]],
      ["length": 1, "path": ["d", "f"]],
    ]
    return try Written.folder(plain + links, totalLength: 3).metainfo().info.files
  }

  static let kept: [([String], [String], String, String)] = [
    (["l"], ["file"], "file", "file"),
    (["l"], ["d"], "d", "d"),
    (["l"], ["d", "e", "deep"], "d/e/deep", "d/e/deep"),
    (["d", "l"], ["file"], "file", "../file"),
    (["d", "l"], ["d", "f"], "d/f", "f"),
    (["d", "e", "l"], ["d", "f"], "d/f", "../f"),
    (["d", "e", "l"], ["d", "e"], "d/e", "."),
    (["d", "e", "l"], ["d"], "d", ".."),
    (["x", "y", "l"], ["d", "e", "deep"], "d/e/deep", "../../d/e/deep"),
  ]

  @Test(arguments: kept)
  func `leads to files and folders of the torrent`(
    path: [String], to: [String], target: String, text: String
  ) throws {
    let files = try Self.files(Self.link(path, to: to))
    #expect(files[3].attributes == .symlink)
    #expect(files[3].symlinkTarget == target)
    #expect(files[3].symlinkText == text)
    #expect(files[0].symlinkTarget == nil)
  }

  static let refused: [[String]?] = [
    nil, [], ["nothing"], ["..", "file"], ["d", "..", "..", "etc"], ["/etc/passwd"], ["d", "e", "deep", "x"],
    ["l"],
    ["file", ""], [""], ["."],
  ]

  @Test(arguments: refused) func `never leads outside, into nothing or in a circle`(target: [String]?) throws
  {
    let files = try Self.files(Self.link(["l"], to: target))
    #expect(files[3].attributes == [])
    #expect(files[3].symlinkTarget == nil)
    #expect(files[3].symlinkText == nil)
    #expect(files[3].length == 0)
  }

  @Test func `links in a circle are plain files, and what leads to them`() throws {
    let files = try Self.files(
      Self.link(["a"], to: ["b"]), Self.link(["b"], to: ["c"]), Self.link(["c"], to: ["a"]),
      Self.link(["z"], to: ["a"]), Self.link(["x", "y"], to: ["x", "y"]))
    #expect(files[3...].map(\.symlinkTarget) == [nil, nil, nil, nil, nil])
    #expect(files[3...].map(\.attributes) == [[], [], [], [], []])
  }

  @Test func `a link may lead through links`() throws {
    // As a framework of macOS is laid out; the second target is meant from the link's own folder.
    let plain: [Written] = [["length": 1, "path": ["Versions", "A", "Headers", "a.h"]]]
    let links = [
      Self.link(["Headers"], to: ["Versions", "Current", "Headers"]),
      Self.link(["Versions", "Current"], to: ["A"]),
      Self.link(["chain"], to: ["Headers"]),
      Self.link(["file"], to: ["chain", "a.h"]),
      Self.link(["past"], to: ["file", "a.h"]),
    ]
    let files = try Written.folder(plain + links, totalLength: 1).metainfo().info.files
    #expect(
      files[1...].map(\.symlinkText) == [
        "Versions/A/Headers", "A", "Versions/A/Headers", "Versions/A/Headers/a.h", nil,
      ])
  }

  @Test func `a path from the torrent's folder goes before one from the link's`() throws {
    let both = try Self.files(Self.link(["d", "l"], to: ["f"]), ["length": 0, "path": ["f"]])
    #expect(both[3].symlinkText == "../f")
    let one = try Self.files(Self.link(["d", "l"], to: ["f"]))
    #expect(one[3].symlinkText == "f")
  }

  @Test func `a long row of links ends`() throws {
    let plain: [Written] = [["length": 1, "path": ["0"]]]
    func row(_ count: Int) throws -> [String?] {
      let links = (1...count).map { Self.link([String($0)], to: [String($0 - 1)]) }
      return try Written.folder(plain + links.reversed(), totalLength: 1).metainfo().info.files.dropFirst()
        .map(\.symlinkTarget)
    }
    #expect(try row(40) == [String?](repeating: "0", count: 40))
    // The first to be looked at lie too far from the end.
    let long = try row(10_000)
    #expect(long.count == 10_000)
    #expect(long.last == "0")
  }

  @Test func `follows the names that files were given`() throws {
    let files = try Self.files(Self.link(["l"], to: ["a/b"]), ["length": 0, "path": ["a/b"]])
    #expect(files[3].symlinkTarget == "a_b")
    // Nothing goes through a link: with a path through it, it is a folder, and the link has another name.
    let through = try Self.files(Self.link(["l"], to: ["d"]), ["length": 0, "path": ["l", "x"]])
    #expect(through[3...].map(\.path) == ["l.1", "l/x"])
  }

  @Test func `a link with bytes of its own is a plain file`() throws {
    let info = Written.folder(
      [
        ["length": 1, "path": ["file"]],
        ["attr": "l", "length": 1, "path": ["l"], "symlink path": ["file"]],
      ], totalLength: 2)
    let metainfo = try info.metainfo()
    #expect(metainfo.info.files[1].attributes == [])
    #expect(metainfo.info.files[1].length == 1)
    #expect(metainfo.warnings.map(\.kind) == [.symlinkMadePlain])
  }

  @Test func `a link need not say that it is empty`() throws {
    let info = Written.folder(
      [["length": 1, "path": ["file"]], ["attr": "l", "path": ["l"], "symlink path": ["file"]]],
      totalLength: 1)
    #expect(try info.metainfo().info.files[1].symlinkText == "file")
  }
}
