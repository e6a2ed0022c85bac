import Testing
import TorrentModel

@testable import Metainfo

@Suite struct MetainfoBuilderTests {
  typealias File = MetainfoBuilder.File

  @Test func `writes a torrent of one file`() throws {
    var builder = try MetainfoBuilder(file: "one.bin", length: 20_000)
    #expect(builder.geometry == PieceGeometry(totalLength: 20_000, pieceLength: 16_384))
    let hashes = [UInt8](repeating: 0, count: 40)
    #expect(try builder.encode(pieceHashes: hashes) == Written.entries([("info", .singleFile)]).bytes)
    builder.trackers = [["http://a/"]]
    builder.webSeeds = ["http://w/"]
    builder.comment = "c"
    builder.createdBy = "b"
    builder.creationDate = 5
    builder.isPrivate = true
    builder.source = "S"
    builder.entropy = "E"
    let info: Written = [
      "entropy": "E", "length": 20_000, "name": "one.bin", "piece length": 16_384, "pieces": .zeros(40),
      "private": 1,
      "source": "S",
    ]
    let expected: Written = [
      "announce": "http://a/", "comment": "c", "created by": "b", "creation date": 5, "info": info,
      "url-list": "http://w/",
    ]
    #expect(try builder.encode(pieceHashes: hashes) == expected.bytes)
  }

  @Test func `writes tiers and several web seeds`() throws {
    var builder = try MetainfoBuilder(file: "n", length: 1)
    builder.trackers = [[], ["http://a/", "http://b/"], ["http://c/"]]
    builder.webSeeds = ["http://w/", "http://x/"]
    let metainfo = try TorrentMetainfo.parse(builder.encode(pieceHashes: [UInt8](repeating: 7, count: 20)))
    #expect(metainfo.trackers == [["http://a/", "http://b/"], ["http://c/"]])
    #expect(metainfo.webSeeds == ["http://w/", "http://x/"])
    #expect(metainfo.warnings == [])
  }

  @Test func `sorts files by the bytes of their paths`() throws {
    let paths = [["b"], ["a", "z"], ["a!"], ["a", "B"], ["é"], ["Z"], ["a", "b", "c"], ["a", "b.txt"]]
    let builder = try MetainfoBuilder(folder: "f", files: paths.map { File(components: $0, length: 1) })
    #expect(
      builder.files.map { $0.components.joined(separator: "/") } == [
        "Z", "a/B", "a/b/c", "a/b.txt", "a/z", "a!", "b", "é",
      ])
    let again = try MetainfoBuilder(
      folder: "f", files: paths.reversed().map { File(components: $0, length: 1) })
    #expect(builder.files == again.files)
  }

  static let refused: [([File], MetainfoBuilderError)] = [
    ([], .noFiles),
    ([File(components: ["a"], length: 0)], .noContent),
    ([File(components: [], length: 1)], .badName("")),
    ([File(components: [""], length: 1)], .badName("")),
    ([File(components: ["a", ".."], length: 1)], .badName("..")),
    ([File(components: ["a/b"], length: 1)], .badName("a/b")),
    ([File(components: ["a\u{0}"], length: 1)], .badName("a\u{0}")),
    (
      [File(components: [String(repeating: "x", count: 256)], length: 1)],
      .badName(String(repeating: "x", count: 256))
    ),
    ([File(components: ["a"], length: 1), File(components: ["a"], length: 2)], .pathTakenTwice("a")),
    (
      [
        File(components: ["a", "b"], length: 1), File(components: ["a"], length: 2),
        File(components: ["a!"], length: 1),
      ],
      .pathTakenTwice("a/b")
    ),
    ([File(components: ["a"], length: -1)], .badLength),
    ([File(components: ["a"], length: .max), File(components: ["b"], length: 1)], .badLength),
    ([File(components: ["a"], length: .max)], .tooManyPieces(1 << 34, limit: 1 << 22)),
  ]

  @Test(arguments: refused.indices) func `refuses what makes no torrent`(index: Int) throws {
    let (files, error) = Self.refused[index]
    #expect(throws: error) { try MetainfoBuilder(folder: "f", files: files) }
    #expect(!error.description.isEmpty)
  }

  @Test func `refuses piece lengths and hashes that do not fit`() throws {
    for length in [0, -1, 1000, 16_385, (512 << 20) + 16_384] {
      #expect(throws: MetainfoBuilderError.badPieceLength(length, limit: 512 << 20)) {
        try MetainfoBuilder(file: "n", length: 1, pieceLength: length)
      }
    }
    let builder = try MetainfoBuilder(file: "n", length: 20_000)
    #expect(throws: MetainfoBuilderError.wrongHashLength(20, expected: 40)) {
      try builder.encode(pieceHashes: [UInt8](repeating: 0, count: 20))
    }
    #expect(throws: MetainfoBuilderError.tooManyPieces((1 << 22) + 1, limit: 1 << 22)) {
      try MetainfoBuilder(file: "n", length: (1 << 36) + 1, pieceLength: 16_384)
    }
    let huge = try MetainfoBuilder(file: "n", length: 1 << 36, pieceLength: 16_384)
    #expect(throws: MetainfoBuilderError.tooLong((80 << 20) + 79, limit: 64 << 20)) {
      try huge.encode(pieceHashes: [UInt8](repeating: 0, count: 80 << 20))
    }
  }

  @Test func `tells of names that readers change`() throws {
    let files = [["ok"], ["a\\b", "x"], ["aux.c"], ["a\\b", "y\n"]].map { File(components: $0, length: 1) }
    let builder = try MetainfoBuilder(folder: "f", files: files)
    #expect(builder.namesThatChange() == ["a\\b", "y\n", "aux.c"])
    #expect(builder.namesThatChange(rules: PathRules(avoidsDeviceNames: false)) == ["a\\b", "y\n"])
  }

  static let choices: [(Int64, Int)] = [
    (0, 16 << 10), (1, 16 << 10), (32 << 20, 16 << 10), ((32 << 20) + 1, 32 << 10), (1 << 30, 512 << 10),
    (4 << 30, 2 << 20), (5 << 30, 4 << 20), (32 << 30, 16 << 20), (1 << 40, 16 << 20), (64 << 40, 16 << 20),
    ((64 << 40) + 1, 32 << 20), (1 << 51, 512 << 20), (.max, 512 << 20), (-1, 16 << 10),
  ]

  @Test(arguments: choices) func `chooses piece lengths`(total: Int64, length: Int) {
    #expect(PieceGeometry.recommendedPieceLength(forTotalLength: total) == length)
  }
}

@Suite struct MetainfoDrawnTests {
  @Test(arguments: 0..<100 as Range<UInt64>) func `what is built is read back`(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let letters = ["a", "b", "ä", "e\u{301}", "é", "文", "x.y", "A", " "]
    func name() -> String {
      (0..<Int.random(in: 1...4, using: &random)).map { _ in letters.randomElement(using: &random) ?? "" }
        .joined()
    }
    var files: [MetainfoBuilder.File] = []
    for _ in 0..<Int.random(in: 1...30, using: &random) {
      let components = (0..<Int.random(in: 0...3, using: &random)).map { _ in name() + "d" } + [name() + "f"]
      let isNew = !files.contains {
        $0.components.elementsEqual(components) { $0.utf8.elementsEqual($1.utf8) }
      }
      if isNew {
        files.append(.init(components: components, length: Int64.random(in: 0...50_000, using: &random)))
      }
    }
    files[0].length += 1
    let pieceLength = 16_384 * Int.random(in: 1...4, using: &random)
    var builder = try MetainfoBuilder(folder: name(), files: files, pieceLength: pieceLength)
    builder.isPrivate = Bool.random(using: &random)
    builder.comment = name()
    let hashes = (0..<builder.geometry.pieceCount * 20).map { _ in UInt8.random(in: 0...255, using: &random) }
    let bytes = try builder.encode(pieceHashes: hashes)
    let metainfo = try TorrentMetainfo.parse(bytes)
    let info = metainfo.info
    #expect(metainfo.warnings == [])
    #expect(info.files.map(\.components) == builder.files.map(\.components))
    #expect(info.files.map(\.length) == builder.files.map(\.length))
    #expect(info.layout == builder.layout)
    #expect(info.geometry == builder.geometry)
    #expect(Array(info.pieceHashes) == hashes)
    #expect(info.isPrivate == builder.isPrivate)
    #expect(metainfo.comment == builder.comment)
    #expect(info.name == builder.name)
    try checkInvariants(info)
  }

  @Test(arguments: 0..<200 as Range<UInt64>) func `hostile names come out safe and apart`(seed: UInt64) throws
  {
    var random = SeededRandom(seed: seed)
    let names: [[UInt8]] =
      [
        "", ".", "..", "a", "A", "b", "a.1", "a.2", "a/b", "a_b", "../a", "con", "_con", "é", "e\u{301}",
        "a\u{0}",
        String(repeating: "x", count: 255), String(repeating: "x", count: 300), ".x", "x.tar.gz", "/", "_",
      ].map { Array($0.utf8) } + [[0xff], Array("%FF".utf8), [0x61, 0xe4]]
    func path(_ most: Int) -> Written {
      .list(
        (0..<Int.random(in: 1...most, using: &random)).map { _ in
          .string(names.randomElement(using: &random) ?? [])
        })
    }
    var total = 1
    var files: [Written] = [["length": 1, "path": ["first"]]]
    for _ in 0..<Int.random(in: 1...60, using: &random) {
      switch Int.random(in: 0..<6, using: &random) {
      case 0: files.append(["attr": "l", "length": 0, "path": path(3), "symlink path": path(3)])
      case 1:
        files.append(["attr": "p", "length": 3])
        total += 3
      default:
        files.append(["length": 2, "path": path(3)])
        total += 2
      }
    }
    let rules = PathRules(
      avoidsDeviceNames: Bool.random(using: &random), foldsNames: Bool.random(using: &random))
    let info = try Written.folder(files, totalLength: total).metainfo(rules: rules).info
    try checkInvariants(info)
    let again = try Written.folder(files, totalLength: total).metainfo(rules: rules).info
    #expect(info.files.map(\.path) == again.files.map(\.path), "the same torrent gives the same paths")
    if rules.foldsNames {
      let folded = info.files.filter { !$0.isPadding }.map { $0.path.lowercased() }
      #expect(Set(folded).count == folded.count)
    }
  }
}
