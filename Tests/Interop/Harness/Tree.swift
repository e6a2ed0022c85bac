import Foundation
import Testing

/// The files of one torrent, with bytes drawn from a seed.
struct Tree: Sendable, CustomTestStringConvertible {
  struct File: Sendable {
    var path: String
    var length: Int
  }

  /// The torrent's name: of the file itself, or of the folder.
  let name: String
  /// Empty for a single-file torrent.
  let files: [File]
  let singleLength: Int

  private init(name: String, files: [File], singleLength: Int) {
    self.name = name
    self.files = files
    self.singleLength = singleLength
  }

  static func single(_ name: String, _ length: Int) -> Tree {
    Tree(name: name, files: [], singleLength: length)
  }
  static func folder(_ name: String, _ files: [(String, Int)]) -> Tree {
    Tree(name: name, files: files.map { File(path: $0.0, length: $0.1) }, singleLength: 0)
  }

  var isSingle: Bool { files.isEmpty }
  var total: Int { isSingle ? singleLength : files.reduce(0) { $0 + $1.length } }
  var testDescription: String { name }

  /// One file of no round length.
  static let oneFile = single("one file – größe.bin", 5 << 20 | 137)
  /// Sizes on both sides of every boundary, an empty file, deep folders, names in several scripts.
  static let mixed = folder(
    "mixed ✓ tree",
    [
      ("a.bin", 1_500_003), ("b/empty", 0), ("b/one byte", 1), ("b/just under", 16_383), ("b/block", 16_384),
      ("b/just over", 16_385), ("c/d/e/f/deep.dat", 700_001), ("żółć/日本語/ファイル.txt", 70_000),
      ("zz last, with 'quotes' & more.bin", 333_333),
    ])
  /// Many files smaller than a piece.
  static let manySmall = folder(
    "many-small", (0..<120).map { ("dir\($0 % 7)/file \($0).dat", ($0 * 7919) % 40_000) })
  /// For small quick checks.
  static let tiny = folder("tiny", [("x", 100_000), ("sub/y", 50_001)])

  /// Writes the files below `folder` and gives the path of the torrent's content there.
  @discardableResult
  func write(in folder: URL, seed: UInt64 = 1) throws -> URL {
    var random = SplitMix(state: seed)
    let root = folder.appending(path: name)
    if isSingle {
      try random.bytes(singleLength).write(to: root)
      return root
    }
    for file in files {
      let path = root.appending(path: file.path)
      try FileManager.default.createDirectory(
        at: path.deletingLastPathComponent(), withIntermediateDirectories: true)
      try random.bytes(file.length).write(to: path)
    }
    return root
  }

  /// All bytes in torrent order, for a peer that serves from one file.
  func joined(in folder: URL, order: [String]) throws -> Data {
    let root = folder.appending(path: name)
    if isSingle { return try Data(contentsOf: root) }
    return try order.reduce(into: Data()) { $0 += try Data(contentsOf: folder.appending(path: $1)) }
  }
}

/// The seeded generator of the fixtures (Steele, Lea and Flood, "Fast splittable pseudorandom number generators").
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  mutating func bytes(_ count: Int) -> Data {
    var words = [UInt64]()
    words.reserveCapacity(count / 8 + 1)
    for _ in 0..<(count + 7) / 8 { words.append(next()) }
    return unsafe words.withUnsafeBytes { unsafe Data($0.prefix(count)) }
  }
}

/// SHA-256 of every file below a folder, made by coreutils: nothing of the code under test takes part.
struct Digests: Equatable, Sendable {
  var files: [String: String]

  static func of(_ folder: URL, in sandbox: Sandbox) async throws -> Digests {
    let script = "find . -type f -print0 | sort -z | xargs -0 -r sha256sum -z --"
    let output = try await sandbox.run("sha256sum", ["/bin/sh", "-c", script], directory: folder)
    var files: [String: String] = [:]
    for line in output.split(separator: "\0") {
      let parts = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2 else { continue }
      files[String(parts[1].dropFirst(" ./".count))] = String(parts[0])
    }
    return Digests(files: files)
  }

  /// What differs, one line a file.
  func differences(from other: Digests) -> [String] {
    Set(files.keys).union(other.files.keys).sorted().compactMap { path in
      switch (files[path], other.files[path]) {
      case (nil, _): "\(path): missing"
      case (_, nil): "\(path): unexpected"
      case (let a, let b): a == b ? nil : "\(path): other bytes"
      }
    }
  }
}

/// The digest of no bytes: some clients do not create empty files.
let digestOfNothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/// Expects the torrent's content below `got` to equal the one below `source`, file by file and byte by byte.
func expectSame(
  _ tree: Tree, in got: URL, as source: URL, ignoringEmpty: Bool = false, in sandbox: Sandbox,
  sourceLocation: SourceLocation = #_sourceLocation
) async throws {
  func digests(_ folder: URL) async throws -> Digests {
    var all = try await Digests.of(folder, in: sandbox)
    all.files = all.files.filter { $0.key == tree.name || $0.key.hasPrefix(tree.name + "/") }
    if ignoringEmpty { all.files = all.files.filter { $0.value != digestOfNothing } }
    return all
  }
  let want = try await digests(source)
  #expect(!want.files.isEmpty, "the source is empty", sourceLocation: sourceLocation)
  let differences = try await digests(got).differences(from: want)
  #expect(differences.isEmpty, sourceLocation: sourceLocation)
}
