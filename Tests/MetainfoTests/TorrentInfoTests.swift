import Bencode
import Testing
import TorrentModel

@testable import Metainfo

@Suite struct TorrentInfoTests {
  @Test func `reads a torrent of one file`() throws {
    let metainfo = try Written.singleFile.metainfo()
    let info = metainfo.info
    #expect(info.name == "one.bin")
    #expect(info.isSingleFile)
    #expect(info.geometry == PieceGeometry(totalLength: 20_000, pieceLength: 16_384))
    #expect(info.files.map(\.path) == ["one.bin"])
    #expect(info.downloadPath(ofFile: 0) == "one.bin")
    #expect(info.version == .v1)
    #expect(!info.isPrivate)
    #expect(info.source == nil)
    #expect(Array(info.encoded) == Written.singleFile.bytes)
    #expect(metainfo.warnings == [])
  }

  @Test func `reads a torrent of several files`() throws {
    let written = Written.folder([["a"], ["d", "b"]]).with(["private": 1, "source": "HERE"])
    let info = try written.metainfo().info
    #expect(!info.isSingleFile)
    #expect(info.isPrivate)
    #expect(info.source == "HERE")
    #expect((0..<2).map(info.downloadPath(ofFile:)) == ["folder/a", "folder/d/b"])
  }

  @Test func `finds piece hashes`() throws {
    let hashes = (0..<60).map { UInt8($0) }
    let info = try Written.singleFile.with(["length": 40_000, "pieces": .string(hashes)]).metainfo().info
    for piece in 0..<3 {
      #expect(info.pieceHash(PieceIndex(piece)).bytes == Array(hashes[piece * 20..<piece * 20 + 20]))
    }
    #expect(Array(info.pieceHashes) == hashes)
  }

  @Test func `keeps unknown keys and their place for the info-hash`() throws {
    // Digests of exactly these bytes, as sha1sum prints them.
    let extra = Written.singleFile.with(["x_cross_seed": "mktorrent", "zz": ["deep": [1, "2"]]])
    let moved: Written = .entries([
      ("pieces", .zeros(20)), ("piece length", 16_384), ("name", "n"), ("length", 1),
    ])
    #expect(try extra.metainfo().info.infoHash.hex == "21dee7d35425262536f56645fa1c82febd192746")
    let unsorted = try moved.metainfo()
    #expect(unsorted.info.infoHash.hex == "9271918f5f2b0a454b78f3e76ddfb2d60c5f2ef8")
    #expect(unsorted.warnings.map(\.kind) == [.unsortedKeys])
  }

  @Test func `prefers names that are marked as UTF-8`() throws {
    let info = try Written.singleFile.with(["name": .string([0xe4]), "name.utf-8": "ä"]).metainfo().info
    #expect(info.name == "ä")
    #expect(info.files[0].path == "ä")
    let files: [Written] = [
      ["length": 1, "path": [.string([0xe4])], "path.utf-8": ["ä"]],
      // Not usable: empty, no UTF-8, not strings, no list.
      ["length": 1, "path": ["b"], "path.utf-8": []],
      ["length": 1, "path": ["c"], "path.utf-8": [.string([0xff])]],
      ["length": 1, "path": ["d"], "path.utf-8": [1]],
      ["length": 1, "path": ["e"], "path.utf-8": "f"],
    ]
    let folder = try Written.folder(files, totalLength: 5).metainfo().info
    #expect(folder.files.map(\.path) == ["ä", "b", "c", "d", "e"])
    let fallen = try Written.singleFile.with(["name.utf-8": .string([0xff])]).metainfo().info
    #expect(fallen.name == "one.bin")
  }

  @Test func `names that are no UTF-8 stay apart`() throws {
    let files: [Written] = [
      ["length": 1, "path": [.string([0x83, 0x65])]], ["length": 1, "path": [.string([0x83, 0x66])]],
      ["length": 1, "path": ["%83e"]],
    ]
    let metainfo = try Written.folder(files, totalLength: 3).metainfo()
    #expect(metainfo.info.files.map(\.path) == ["%83e", "%83f", "%83e.1"])
    #expect(
      metainfo.warnings.map(\.kind) == [
        .nameChanged(to: "%83e"), .nameChanged(to: "%83f"), .nameChanged(to: "%83e.1"),
      ])
    #expect(metainfo.warnings.map(\.keyPath) == ["info.files[0]", "info.files[1]", "info.files[2]"])
  }

  @Test func `a torrent without a name is called by its info-hash`() throws {
    let info = try Written.singleFile.with(["name": ""]).metainfo().info
    #expect(info.name == info.infoHash.hex)
    #expect(info.files[0].path == info.infoHash.hex)
  }

  @Test func `names of torrents are safe`() throws {
    for (raw, name) in [("../../etc", ".._.._etc"), ("..", "_"), ("/abs", "_abs"), ("con", "_con")] {
      #expect(try Written.folder([["a"]]).with(["name": .text(raw)]).metainfo().info.name == name)
    }
  }

  @Test(arguments: [1, 1000, 10_000, 16_384, 1_572_864, 512 << 20])
  func `takes piece lengths that real torrents have`(length: Int) throws {
    let total = length * 2 + 1
    let info = try Written.singleFile.with([
      "length": .integer(Int64(total)), "piece length": .integer(Int64(length)), "pieces": .zeros(60),
    ]).metainfo().info
    #expect(info.geometry == PieceGeometry(totalLength: Int64(total), pieceLength: length))
  }

  static let privateValues: [(Written, Bool)] = [
    (1, true), (0, false), (2, true), ("1", true), ("0", false), ([], false),
  ]

  @Test(arguments: Self.privateValues.indices) func `is private when it says so`(index: Int) throws {
    let (value, isPrivate) = Self.privateValues[index]
    #expect(try Written.singleFile.with(["private": value]).metainfo().info.isPrivate == isPrivate)
  }

  @Test func `takes length and files where they agree`() throws {
    let info = try Written.folder([["a"], ["b"]]).with(["length": 2]).metainfo().info
    #expect(info.files.count == 2)
  }

  @Test func `reads a dictionary that came by itself`() throws {
    let bytes = Written.singleFile.bytes
    let info = try TorrentInfo.parse(bytes)
    #expect(info.infoHash == (try Written.singleFile.metainfo().info.infoHash))
    #expect(throws: MetainfoError(.bencode(.trailingBytes(count: 1)), offset: bytes.count, keyPath: "")) {
      try TorrentInfo.parse(bytes + [0])
    }
    #expect(throws: MetainfoError(.wrongKind(expected: .dictionary, found: .list), offset: 0, keyPath: "")) {
      try TorrentInfo.parse(Array("le".utf8))
    }
    #expect(throws: MetainfoError(.missing("piece length"), offset: 0, keyPath: "")) {
      try TorrentInfo.parse(Array("de".utf8))
    }
  }
}

@Suite struct RefusedInfoTests {
  typealias Case = (Written, MetainfoError.Problem, String)

  static let single: [Case] = [
    (Written.singleFile.with(["name": nil]), .missing("name"), "info"),
    (Written.singleFile.with(["name": 1]), .wrongKind(expected: .string, found: .integer), "info.name"),
    (
      Written.singleFile.with(["name": .text(String(repeating: "n", count: 3073))]),
      .pathTooLong(limit: 3072),
      "info.name"
    ),
    (Written.singleFile.with(["length": nil]), .missing("length"), "info"),
    (Written.singleFile.with(["length": "1"]), .wrongKind(expected: .integer, found: .string), "info.length"),
    (Written.singleFile.with(["length": -1]), .negativeLength(-1), "info.length"),
    (Written.singleFile.with(["length": 0, "pieces": ""]), .noContent, "info"),
    (Written.singleFile.with(["piece length": nil]), .missing("piece length"), "info"),
    (
      Written.singleFile.with(["piece length": 0]), .pieceLengthOutOfRange(0, limit: 512 << 20),
      "info.piece length"
    ),
    (
      Written.singleFile.with(["piece length": -16_384]), .pieceLengthOutOfRange(-16_384, limit: 512 << 20),
      "info.piece length"
    ),
    (
      Written.singleFile.with(["piece length": .integer((512 << 20) + 1)]),
      .pieceLengthOutOfRange((512 << 20) + 1, limit: 512 << 20), "info.piece length"
    ),
    (Written.singleFile.with(["pieces": nil]), .missing("pieces"), "info"),
    (Written.singleFile.with(["pieces": ["x"]]), .wrongKind(expected: .string, found: .list), "info.pieces"),
    (Written.singleFile.with(["pieces": .zeros(39)]), .brokenPieceHashes(length: 39), "info.pieces"),
    (Written.singleFile.with(["pieces": .zeros(20)]), .wrongPieceCount(hashes: 1, pieces: 2), "info.pieces"),
    (Written.singleFile.with(["pieces": .zeros(60)]), .wrongPieceCount(hashes: 3, pieces: 2), "info.pieces"),
    (Written.singleFile.with(["pieces": ""]), .wrongPieceCount(hashes: 0, pieces: 2), "info.pieces"),
    (
      Written.singleFile.with(["length": .integer(.max), "piece length": 1]),
      .tooManyPieces(.max, limit: 1 << 22), "info"
    ),
    (
      Written.singleFile.with(["length": .integer((1 << 36) + 1)]),
      .tooManyPieces((1 << 22) + 1, limit: 1 << 22), "info"
    ),
    (Written.singleFile.with(["pieces": nil, "meta version": 2, "file tree": [:]]), .version2Only, "info"),
    (Written.singleFile.with(["pieces": nil, "file tree": [:]]), .version2Only, "info"),
    (Written.singleFile.with(["meta version": 3]), .unknownVersion(3), "info.meta version"),
  ]

  static let folders: [Case] = [
    (Written.folder([]), .noFiles, "info.files"),
    (Written.singleFile.with(["files": [], "length": nil]), .noFiles, "info.files"),
    (Written.singleFile.with(["files": "x"]), .wrongKind(expected: .list, found: .string), "info.files"),
    (Written.folder([["a"]]).with(["length": 2]), .lengthAndFilesDisagree, "info.length"),
    (
      Written.folder([1], totalLength: 1), .wrongKind(expected: .dictionary, found: .integer), "info.files[0]"
    ),
    (Written.folder([["path": ["a"]]], totalLength: 1), .missing("length"), "info.files[0]"),
    (
      Written.folder([["length": 1, "path": ["a"]], ["length": 1]], totalLength: 2), .missing("path"),
      "info.files[1]"
    ),
    (
      Written.folder([["length": 1, "path": "a"]], totalLength: 1),
      .wrongKind(expected: .list, found: .string),
      "info.files[0].path"
    ),
    (Written.folder([["length": 1, "path": []]], totalLength: 1), .emptyPath, "info.files[0].path"),
    (
      Written.folder([["length": 1, "path": ["a", 2]]], totalLength: 1),
      .wrongKind(expected: .string, found: .integer), "info.files[0].path[1]"
    ),
    (
      Written.folder([["length": -5, "path": ["a"]]], totalLength: 1), .negativeLength(-5),
      "info.files[0].length"
    ),
    (
      Written.folder([["length": -5, "attr": "p"]], totalLength: 1), .negativeLength(-5),
      "info.files[0].length"
    ),
    (
      Written.folder(
        [["length": .integer(.max), "path": ["a"]], ["length": 1, "path": ["b"]]], totalLength: 1),
      .totalLengthOverflows, "info.files[1].length"
    ),
    (Written.folder([["length": 0, "path": ["a"]]], totalLength: 0), .noContent, "info"),
    (
      Written.folder([["length": 0, "path": ["a"]], ["attr": "p", "length": 5]], totalLength: 5), .noContent,
      "info"
    ),
    (
      Written.folder([[String(repeating: "d", count: 3073)]]), .pathTooLong(limit: 3072), "info.files[0].path"
    ),
    (
      Written.folder([[String](repeating: "d", count: 129)]), .pathTooDeep(limit: 128), "info.files[0].path"
    ),
    (
      Written.folder([[String](repeating: String(repeating: "d", count: 200), count: 16)]),
      .pathTooLong(limit: 3072),
      "info.files[0].path"
    ),
  ]

  @Test(arguments: 0..<(Self.single + Self.folders).count) func `says what is wrong and where`(index: Int)
    throws
  {
    let (written, problem, keyPath) = (Self.single + Self.folders)[index]
    let error = try #require(throws: MetainfoError.self) { try written.metainfo() }
    #expect(error.problem == problem)
    #expect(error.keyPath == keyPath)
    #expect(error.classification == .notTorrent)
    #expect(error.offset > 0)
    #expect(error.description.contains("at byte \(error.offset), in \(keyPath)"))
  }

  @Test func `a path of the greatest length is taken`() throws {
    _ = try Written.folder([[String](repeating: "d", count: 128)]).metainfo()
    // 15 × 201 + 57 = 3072, a slash after each name counted.
    let path = [String](repeating: String(repeating: "d", count: 200), count: 15)
    _ = try Written.folder([path + [String(repeating: "e", count: 56)]]).metainfo()
    #expect(throws: MetainfoError.self) {
      try Written.folder([path + [String(repeating: "e", count: 57)]]).metainfo()
    }
  }

  @Test func `refuses one file too many`() throws {
    #expect(Limits.fileCount == 1 << 20)
    let bytes = Written.folder([["a"], ["b"], ["c"]]).bytes
    for limit in [3, 2] {
      var parser = BencodeParser(limits: .metainfo)
      var warnings = WarningList()
      var error: MetainfoError?
      do throws(MetainfoError) {
        let info = try parser.parseMetainfo(bytes.span)
        var reader = FileListReader(rules: .standard, fileLimit: limit)
        _ = try reader.read(info, name: "folder", &warnings)
      } catch let refusal {
        error = refusal
      }
      #expect(error?.problem == (limit == 3 ? nil : .tooManyFiles(limit: 2)))
      #expect(error?.keyPath == (limit == 3 ? nil : "files[2]"))
    }
  }
}
