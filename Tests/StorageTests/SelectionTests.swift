import BlockPool
import Glibc
@testable import Storage
import Testing
import TorrentModel

/// Files that are not wanted, links, programs, allocation: what is made on the disk and what is not.
@Suite struct SelectionTests {
  /// Four files, no bound of which is that of a piece.
  static let sample = Sample(
    [
      ("d/a", 100_000, .regular), ("d/b", 400_000, .executable), ("d/c", 5_000, .regular),
      ("d/d", 100_000, .regular),
    ],
    pieceLength: 65536)
  /// a: 0–1, b: 1–7, c: 7, d: 7–9.
  static func pieces(of files: [Int]) -> Set<Int> {
    Set(files.flatMap { sample.layout.pieces(of: $0, in: sample.geometry) })
  }

  var partName: String { ".\(SelectionTests.sample.infoHash.hex).parts" }

  func download(_ bench: Bench, _ pieces: Set<Int>) throws {
    try bench.post(bench.sample.blocks.filter { pieces.contains($0.piece.offset) })
    try bench.waitVerified(pieces.count)
  }

  func verifiedPieces(_ bench: Bench) throws -> Set<Int> {
    var found: Set<Int> = []
    try bench.check().verified.forEach { found.insert($0.offset) }
    return found
  }

  @Test func unwantedFilesAreNotMadeButTheirShareIsKept() throws {
    let bench = try Bench(SelectionTests.sample, wanted: [true, false, false, false])
    try bench.open()
    try download(bench, [0, 1])
    #expect(Set(listFolder(bench.root + "/d")) == ["a"])
    #expect(Set(listFolder(bench.root)) == ["d", partName])
    #expect(readWhole(bench.root + "/d/a") == bench.sample.contents(ofFile: 0))
    // The boundary piece can be read and checked whole.
    #expect(try verifiedPieces(bench) == [0, 1])
    let id = try #require(bench.pool.take())
    bench.disk.submit(bench.storage, .read(BlockRead(token: 1, offset: 98_304, length: 16384, block: id)))
    try bench.port.wait { if case .blocksRead = $0 { () } else { nil } }
    bench.pool.withBytes(of: id) { bytes in
      bytes.withUnsafeBytes { #expect(Array($0) == Array(bench.sample.contents[98_304..<98_304 + 16384])) }
    }
    bench.pool.release(id)
    bench.finish()
  }

  @Test func theShareMovesWhenAFileBecomesWanted() throws {
    let folder = TemporaryFolder()
    do {
      let bench = try Bench(SelectionTests.sample, folder: folder, wanted: [true, false, false, true])
      try bench.open()
      try download(bench, SelectionTests.pieces(of: [0, 3]))
      #expect(Set(listFolder(bench.root + "/d")) == ["a", "d"])
      bench.disk.submit(bench.storage, .setWanted([true, true, false, true]))
      try bench.port.wait { if case .wantedChanged = $0 { () } else { nil } }
      #expect(Set(listFolder(bench.root + "/d")) == ["a", "b", "d"])
      #expect(exists(bench.root + "/" + partName), "file c still has its share there")
      #expect(try verifiedPieces(bench) == SelectionTests.pieces(of: [0, 3]))
      var known = Bitfield(capacity: 10)
      for piece in SelectionTests.pieces(of: [0, 3]) { known.insert(PieceIndex(piece)) }
      try bench.save(known)
      bench.finish()
    }
    // Another run, with the rest wanted as well.
    let bench = try Bench(SelectionTests.sample, folder: folder)
    let result = try bench.open()
    // Piece 7 has bytes of c, which moved just now: to be looked at again. The others are trusted.
    var kept = Set(0..<10).filter { result.verified[PieceIndex($0)] }
    #expect(kept == SelectionTests.pieces(of: [0, 3]).subtracting([7]))
    #expect(result.unchecked == Bitfield(capacity: 10, [7]))
    #expect(Set(listFolder(bench.root)) == ["d"], "nothing is left in the part file")
    #expect(try bench.check(result.unchecked).verified == result.unchecked)
    kept.insert(7)
    try download(bench, Set(0..<10).subtracting(kept))
    bench.expectFiles()
    var status = stat()
    stat(bench.root + "/d/b", &status)
    #expect(status.st_mode & 0o100 != 0)
    bench.finish()
  }

  @Test func aPartFileIsTrustedAcrossRunsAndNotWhenItChanged() throws {
    let folder = TemporaryFolder()
    do {
      let bench = try Bench(SelectionTests.sample, folder: folder, wanted: [true, false, false, false])
      try bench.open()
      try download(bench, [0, 1])
      try bench.save(Bitfield(capacity: 10, [0, 1]))
      bench.finish()
    }
    for isChanged in [false, true] {
      let bench = try Bench(SelectionTests.sample, folder: folder, wanted: [true, false, false, false])
      if isChanged { utimes(bench.root + "/" + partName, nil) }
      let result = try bench.open()
      #expect(result.verified == Bitfield(capacity: 10, isChanged ? [0] : [0, 1]))
      #expect(result.unchecked == Bitfield(capacity: 10, isChanged ? [1] : []))
      if isChanged { #expect(try bench.check(result.unchecked).verified == result.unchecked) }
      bench.finish()
    }
  }

  @Test func aForeignOrDamagedPartFileIsNoHarm() throws {
    let lengths = [20_000, 100_000, 3_000_000]
    for junk in [[], Array("SPATEPRT".utf8)] + lengths.map({ [UInt8](repeating: 0xff, count: $0) }) {
      let folder = TemporaryFolder()
      mkdirIfNeeded(folder.path + "/data")
      writeWhole(junk, to: "\(folder.path)/data/\(partName)")
      let bench = try Bench(SelectionTests.sample, folder: folder, wanted: [true, false, false, false])
      try bench.open()
      try download(bench, [0, 1])
      #expect(try verifiedPieces(bench) == [0, 1])
      // What was longer than what we put there is not missing.
      try bench.save(Bitfield(capacity: 10, [0, 1]))
      bench.finish()
    }
  }

  @Test func drawnSelectionsEndInTheSameFiles() throws {
    var random = SeededRandom(seed: 12)
    for _ in 0..<12 {
      let sample = Sample(
        (0..<9).map { ("f\($0)", Int.random(in: 0...90_000, using: &random), .regular) }, pieceLength: 32768)
      let bench = try Bench(sample, workers: 2, wanted: (0..<9).map { _ in Bool.random(using: &random) })
      try bench.open()
      var missing = sample.blocks.map(\.piece.offset).reduce(into: Set<Int>()) { $0.insert($1) }
      while true {
        let wanted = bench.storage.map.wanted
        let files = (0..<9).filter { wanted[$0] }
        let next = Set(files.flatMap { sample.layout.pieces(of: $0, in: sample.geometry) }).intersection(
          missing)
        let some = Set(next.shuffled(using: &random).prefix(max(1, next.count / 2)))
        try bench.post(sample.blocks.filter { some.contains($0.piece.offset) })
        try bench.waitVerified(some.count)
        missing.subtract(some)
        var found: Set<Int> = []
        try bench.check().verified.forEach { found.insert($0.offset) }
        #expect(found.isDisjoint(with: missing))
        #expect(found.count + missing.count == sample.geometry.pieceCount)
        if missing.isEmpty { break }
        var changed = (0..<9).map { _ in Int.random(in: 0..<3, using: &random) > 0 }
        if next.isEmpty { changed = [Bool](repeating: true, count: 9) }
        bench.disk.submit(bench.storage, .setWanted(changed))
        try bench.port.wait { if case .wantedChanged = $0 { () } else { nil } }
      }
      bench.disk.submit(bench.storage, .setWanted([Bool](repeating: true, count: 9)))
      try bench.port.wait { if case .wantedChanged = $0 { () } else { nil } }
      for (number, file) in sample.files.enumerated() where sample.layout.length(of: number) > 0 {
        #expect(readWhole("\(bench.root)/\(file.path)") == sample.contents(ofFile: number))
      }
      #expect(!listFolder(bench.root).contains { $0.hasPrefix(".") })
      bench.finish()
    }
  }

  @Test func emptyFilesAndLinksAreMadeWhenTheyBecomeWanted() throws {
    let sample = Sample(
      [("a", 100, .regular), ("empty", 0, .regular), ("link", 0, .symlink(text: "a"))], pieceLength: 16384)
    let bench = try Bench(sample, wanted: [true, false, false])
    try bench.open()
    #expect(listFolder(bench.root).isEmpty)
    bench.disk.submit(bench.storage, .setWanted([true, true, true]))
    try bench.port.wait { if case .wantedChanged = $0 { () } else { nil } }
    #expect(Set(listFolder(bench.root)) == ["empty", "link"])
    bench.finish()
  }

  @Test func linksProgramsEmptyFilesAndPadding() throws {
    let sample = Sample(
      [
        ("t/x/prog", 20_000, .executable), ("t/.pad/1", 12_768, .padding), ("t/empty", 0, .regular),
        ("t/emptyprog", 0, .executable), ("t/y/link", 0, .symlink(text: "../x/prog")),
        ("t/z", 5_000, .regular),
      ], pieceLength: 32768)
    let bench = try Bench(sample)
    try bench.open()
    #expect(readWhole(bench.root + "/t/empty") == [])
    let folder = try RealFileSystem().openFolder(bench.root, creating: false)
    #expect(try RealFileSystem().readLink("t/y/link", below: folder) == "../x/prog")
    close(folder)
    try bench.post(sample.blocks)
    try bench.waitVerified(2)
    bench.expectFiles()
    #expect(!exists(bench.root + "/t/.pad"))
    #expect(access(bench.root + "/t/x/prog", X_OK) == 0 && access(bench.root + "/t/emptyprog", X_OK) == 0)
    #expect(access(bench.root + "/t/z", X_OK) != 0)
    // Again: what is there already is fine.
    try bench.open()
    bench.finish()
  }

  @Test func aLinkInTheWayIsNotWrittenThrough() throws {
    let folder = TemporaryFolder()
    let outside = folder.path + "/outside"
    mkdirIfNeeded(outside)
    writeWhole([9, 9, 9], to: outside + "/victim")
    for linksFolder in [true, false] {
      let root = folder.path + "/data"
      removeTree(root)
      mkdirIfNeeded(root)
      if linksFolder {
        symlink(outside, root + "/d")
      } else {
        mkdirIfNeeded(root + "/d")
        symlink(outside + "/victim", root + "/d/a")
      }
      let bench = try Bench(SelectionTests.sample, folder: folder)
      try bench.open(OpenOptions())
      try bench.post(bench.sample.blocks.filter { $0.piece.offset == 0 })
      let failure = try bench.port.wait { if case .failed(let failure) = $0 { failure } else { nil } }
      #expect(failure.cause == .symbolicLink && failure.path == root + "/d/a")
      #expect(Set(listFolder(outside)) == ["victim"] && readWhole(outside + "/victim") == [9, 9, 9])
      bench.finish()
    }
  }

  @Test func aLinkedRootAndLinkedFilesCanBeSeeded() throws {
    let folder = TemporaryFolder()
    let elsewhere = folder.path + "/elsewhere"
    mkdirIfNeeded(elsewhere)
    let sample = SelectionTests.sample
    sample.writeFiles(below: elsewhere)
    // The root is a link (the user's own), and a file below it as well (as cross-seeding tools make them).
    let real = folder.path + "/real"
    mkdirIfNeeded(real)
    symlink(real, folder.path + "/data")
    mkdirIfNeeded(real + "/d")
    for name in ["a", "b", "c", "d"] { symlink("\(elsewhere)/d/\(name)", "\(real)/d/\(name)") }
    let bench = try Bench(sample, folder: folder)
    let result = try bench.open()
    #expect(try bench.check(result.unchecked).verified.isFull)
    bench.finish()
  }

  @Test(arguments: [FileAllocation.ahead, .sparse, .full, .none])
  func allocationModes(_ mode: FileAllocation) throws {
    let sample = Sample([("a", 40 << 20, .regular), ("b", 3 << 20, .regular)], pieceLength: 1 << 20, seed: 6)
    let bench = try Bench(sample, allocation: mode, wanted: [true, true])
    try bench.open()
    func look(_ name: String) -> (size: Int, allocated: Int)? {
      var status = stat()
      guard stat("\(bench.root)/\(name)", &status) == 0 else { return nil }
      return (Int(status.st_size), Int(status.st_blocks) * 512)
    }
    if mode == .full {
      #expect(look("a")?.size == 40 << 20 && look("b")?.size == 3 << 20)
    } else {
      #expect(look("a") == nil && look("b") == nil)
    }
    try bench.post(sample.blocks.filter { $0.piece.offset == 2 })
    try bench.waitVerified(1)
    let size = try #require(look("a")?.size)
    switch mode {
    case .ahead, .none: #expect(size == 3 << 20)
    case .sparse, .full: #expect(size == 40 << 20)
    }
    try bench.post(sample.blocks.filter { $0.piece.offset != 2 })
    try bench.waitVerified(42)
    bench.expectFiles()
    bench.finish()
  }

  @Test func somethingLongerInAFilesPlaceIsCut() throws {
    let folder = TemporaryFolder()
    mkdirIfNeeded(folder.path + "/data")
    mkdirIfNeeded(folder.path + "/data/d")
    writeWhole([UInt8](repeating: 7, count: 150_000), to: folder.path + "/data/d/a")
    let bench = try Bench(SelectionTests.sample, folder: folder)
    let result = try bench.open()
    // Pieces of other files are not there; the second of this one has bytes of the next.
    #expect(result.unchecked == Bitfield(capacity: 10, [0]))
    #expect(try bench.check(result.unchecked).verified.isEmpty)
    try bench.post(bench.sample.blocks)
    try bench.waitVerified(10)
    bench.expectFiles()
    bench.finish()
  }
}
