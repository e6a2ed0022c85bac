import BlockPool
import Glibc
import Hashing
@testable import Storage
import Testing
import TorrentModel

/// What is known of a torrent after the process ended, cleanly or not.
@Suite struct ResumeTests {
  static let sample = Sample(
    [("t/one", 200_000, .regular), ("t/two", 300_000, .regular), ("t/three", 150_000, .regular)],
    pieceLength: 65536)
  static var count: Int { sample.geometry.pieceCount }

  /// A finished download, saved, in a folder that outlives the disk that made it.
  func finished(_ folder: TemporaryFolder, pieces: [Int]? = nil, userData: [UInt8] = [1, 2, 3]) throws {
    let bench = try Bench(ResumeTests.sample, folder: folder)
    try bench.open()
    let chosen = pieces ?? Array(0..<ResumeTests.count)
    try bench.post(ResumeTests.sample.blocks.filter { chosen.contains($0.piece.offset) })
    try bench.waitVerified(chosen.count)
    try bench.save(Bitfield(capacity: ResumeTests.count, chosen), userData: userData)
    try bench.close()
    bench.finish()
  }

  @Test func aRecordOfUnchangedFilesIsTrusted() throws {
    let folder = TemporaryFolder()
    try finished(folder, pieces: [0, 1, 2, 7, 9])
    let bench = try Bench(ResumeTests.sample, folder: folder)
    let result = try bench.open()
    #expect(result.verified == Bitfield(capacity: 10, [0, 1, 2, 7, 9]))
    #expect(result.unchecked.isEmpty && result.userData == [1, 2, 3] && result.recordProblem == nil)
    bench.finish()
  }

  struct Change: Sendable, CustomStringConvertible {
    var description: String
    var apply: @Sendable (String) -> Void
    /// Pieces that stay trusted, and those that must be looked at. File two has pieces 3 to 7, three 7 to 9.
    var verified: [Int]
    var unchecked: [Int]
  }

  static let changes = [
    Change(
      description: "touched", apply: { utimes($0 + "/t/two", nil) }, verified: [0, 1, 2, 8, 9],
      unchecked: [3, 4, 5, 6, 7]),
    Change(
      description: "byte changed", apply: { flipByte(at: 5, of: $0 + "/t/three") }, verified: Array(0...6),
      unchecked: [7, 8, 9]),
    Change(
      description: "removed", apply: { unlink($0 + "/t/two") }, verified: [0, 1, 2, 8, 9], unchecked: []),
    Change(
      description: "cut", apply: { truncate($0 + "/t/two", 100_000) }, verified: [0, 1, 2, 8, 9],
      unchecked: [3]),
    Change(
      description: "grown", apply: { truncate($0 + "/t/one", 300_000) }, verified: Array(4...9),
      unchecked: [0, 1, 2, 3]),
    Change(
      description: "all gone", apply: { removeTree($0 + "/t") }, verified: [], unchecked: []),
    Change(
      description: "a folder in a file's place",
      apply: {
        unlink($0 + "/t/three")
        mkdir($0 + "/t/three", 0o755)
      }, verified: Array(0...6), unchecked: []),
  ]

  @Test(arguments: changes)
  func aChangedFileIsLookedAtAgainAndOnlyThat(_ change: Change) throws {
    let folder = TemporaryFolder()
    try finished(folder)
    change.apply(folder.path + "/data")
    let bench = try Bench(ResumeTests.sample, folder: folder)
    // Without creating anything: some of these refuse otherwise.
    let result = try bench.open(OpenOptions(createsFiles: false))
    #expect(result.verified == Bitfield(capacity: 10, change.verified))
    #expect(result.unchecked == Bitfield(capacity: 10, change.unchecked))
    // Whatever a check then finds is what the bytes say.
    if !result.unchecked.isEmpty {
      let found = try bench.check(result.unchecked)
      #expect(found.checked == result.unchecked)
      for piece in 0..<10 where found.verified[PieceIndex(piece)] {
        #expect(change.description != "byte changed" || piece != 7)
      }
    }
    bench.finish()
  }

  @Test func everyDamageToARecordIsNoticed() throws {
    let folder = TemporaryFolder()
    try finished(folder)
    let path = try #require(folder.recordPath)
    let good = try #require(readWhole(path))
    #expect(try ResumeRecord.read(at: path)?.verified.isFull == true)
    for offset in good.indices {
      var bad = good
      bad[offset] ^= 1 << UInt8(offset % 8)
      #expect(throws: ResumeRecord.Problem.self) { try ResumeRecord(decoding: bad) }
    }
    for length in 0..<good.count {
      #expect(throws: ResumeRecord.Problem.self) { try ResumeRecord(decoding: Array(good[..<length])) }
    }
    #expect(throws: ResumeRecord.Problem.corrupt) { try ResumeRecord(decoding: good + [0]) }

    // And then nothing is trusted, but everything can be found again.
    writeWhole(Array(good.dropLast(3)), to: path)
    let bench = try Bench(ResumeTests.sample, folder: folder)
    let result = try bench.open()
    #expect(result.recordProblem == .corrupt && result.verified.isEmpty && result.unchecked.isFull)
    #expect(try bench.check(result.unchecked).verified.isFull)
    bench.finish()
  }

  /// A record whose checksum is right but whose fields are not: what a hostile writer could make.
  @Test func fieldsAreBoundedBehindARightChecksum() throws {
    let folder = TemporaryFolder()
    try finished(folder)
    let good = try #require(readWhole(folder.recordPath ?? ""))
    func forged(_ change: (inout [UInt8]) -> Void) -> [UInt8] {
      var body = Array(good.dropLast(20))
      change(&body)
      return body + SHA1.digest(of: body.span).bytes
    }
    #expect(throws: Never.self) { try ResumeRecord(decoding: forged { _ in }) }
    #expect(throws: ResumeRecord.Problem.unknownVersion(9)) {
      try ResumeRecord(decoding: forged { $0[8] = 9 })
    }
    #expect(throws: ResumeRecord.Problem.notARecord) { try ResumeRecord(decoding: forged { $0[0] = 0 }) }
    // Total length, piece length, number of files, length of the root: all ones, and zero.
    for (at, size) in [(30, 8), (38, 4), (42, 4), (46, 4)] {
      for value: UInt8 in [0xff, 0x7f] {
        let bytes = forged { body in for i in 0..<size { body[at + i] = value } }
        #expect(throws: ResumeRecord.Problem.corrupt) { try ResumeRecord(decoding: bytes) }
      }
    }
    #expect(throws: ResumeRecord.Problem.corrupt) {
      try ResumeRecord(decoding: forged { body in for i in 38..<42 { body[i] = 0 } })
    }
    #expect(throws: ResumeRecord.Problem.corrupt) { try ResumeRecord(decoding: forged { $0.removeLast() }) }
    #expect(throws: ResumeRecord.Problem.corrupt) { try ResumeRecord(decoding: forged { $0.append(7) }) }
  }

  @Test func drawnRecordsComeBack() throws {
    var random = SeededRandom(seed: 4)
    for _ in 0..<200 {
      let pieceLength = Int.random(in: 1...1 << 20, using: &random)
      let total = Int64.random(in: 0...Int64(pieceLength) * 500, using: &random)
      let geometry = PieceGeometry(totalLength: total, pieceLength: pieceLength)
      var verified = Bitfield(capacity: geometry.pieceCount)
      for piece in 0..<geometry.pieceCount where Bool.random(using: &random) {
        verified.insert(PieceIndex(piece))
      }
      let stamps = (0...Int.random(in: 0...20, using: &random)).map { _ in
        FileStamp(
          size: Int64.random(in: -1 ... .max, using: &random),
          modified: Int64.random(in: .min ... .max, using: &random))
      }
      let record = ResumeRecord(
        infoHash: InfoHash(hex: String(repeating: "ab", count: 20))!, geometry: geometry, root: "/dir/ärger",
        verified: verified, userData: drawnBytes(Int.random(in: 0...99, using: &random), seed: 8),
        stamps: stamps)
      let back = try ResumeRecord(decoding: record.encoded())
      #expect(back.infoHash == record.infoHash && back.geometry == geometry && back.root == record.root)
      #expect(back.verified == verified && back.userData == record.userData && back.stamps == stamps)
    }
  }

  @Test func aRecordOfAnotherTorrentIsRefused() throws {
    let folder = TemporaryFolder()
    try finished(folder)
    let other = Sample(
      [("t/one", 200_000, .regular), ("t/two", 450_000, .regular)], pieceLength: 65536, seed: 44)
    let bench = try Bench(other, folder: folder)
    let foreign = try #require(folder.recordPath)
    #expect(foreign != bench.recordPath, "each has a record of its own")
    writeWhole(try #require(readWhole(foreign)), to: bench.recordPath)
    let result = try bench.open()
    #expect(result.recordProblem == .otherTorrent && result.verified.isEmpty)
    bench.finish()
  }

  /// The process dies without a save after more was written: what was recorded is found again, nothing wrong is trusted.
  @Test(arguments: 0..<8)
  func deathWithoutSavingLosesNoRecordedPiece(_ seed: Int) throws {
    let folder = TemporaryFolder()
    var random = SeededRandom(seed: UInt64(seed))
    let order = Array(0..<10).shuffled(using: &random)
    let saved = Array(order[..<4])
    do {
      let bench = try Bench(ResumeTests.sample, folder: folder)
      try bench.open()
      try bench.post(ResumeTests.sample.blocks.filter { saved.contains($0.piece.offset) })
      try bench.waitVerified(4)
      try bench.save(Bitfield(capacity: 10, saved))
      // More pieces, some of them cut off in the middle, then nothing.
      let more = ResumeTests.sample.blocks.filter { !saved.contains($0.piece.offset) }.shuffled(
        using: &random)
      try bench.post(Array(more.prefix(more.count / 2)))
      bench.disk.shutdown()
    }
    let bench = try Bench(ResumeTests.sample, folder: folder)
    let result = try bench.open()
    let found = try bench.check(result.unchecked)
    var have = result.verified
    have.formUnion(found.verified)
    for piece in saved { #expect(have[PieceIndex(piece)]) }
    have.forEach { piece in
      // The bytes themselves, piece by piece.
      let start = Int(ResumeTests.sample.geometry.start(of: piece))
      let length = ResumeTests.sample.geometry.length(of: piece)
      #expect(
        contentsOnDisk(bench, start, length) == Array(ResumeTests.sample.contents[start..<start + length]))
    }
    try bench.post(ResumeTests.sample.blocks.filter { !have[$0.piece] })
    try bench.waitVerified(10 - have.count)
    bench.expectFiles()
    bench.finish()
  }

  func contentsOnDisk(_ bench: Bench, _ start: Int, _ length: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    for span in bench.sample.layout.spans(from: Int64(start), length: Int64(length)) {
      let file = readWhole("\(bench.root)/\(bench.sample.files[span.file].path)") ?? []
      guard file.count >= Int(span.offset + span.length) else { return [] }
      bytes += file[Int(span.offset)..<Int(span.offset + span.length)]
    }
    return bytes
  }

  @Test func aRecordThatCannotBeWrittenFailsTheSaveOnly() throws {
    let faults = FaultyFileSystem()
    let bench = try Bench(ResumeTests.sample, fileSystem: faults)
    try bench.open()
    try bench.post((0..<4).map { (PieceIndex(0), $0) })
    try bench.waitVerified(1)
    faults.set(.writeBytes) { _ in ENOSPC }
    bench.disk.submit(bench.storage, .save(verified: Bitfield(capacity: 10, [0]), userData: []))
    let failure = try bench.port.wait { if case .operationFailed(let failure) = $0 { failure } else { nil } }
    #expect(failure.operation == .save && failure.cause == .diskFull)
    #expect(!exists(bench.recordPath) && !exists(bench.recordPath + ".new"))
    faults.set(.writeBytes, nil)
    try bench.post((0..<4).map { (PieceIndex(1), $0) })
    try bench.waitVerified(1)
    try bench.save(Bitfield(capacity: 10, [0, 1]))
    #expect(try ResumeRecord.read(at: bench.recordPath)?.verified.count == 2)
    bench.finish()
  }

  @Test func aSyncThatFailsStopsTheTorrentAndWritesNoRecord() throws {
    let faults = FaultyFileSystem()
    let bench = try Bench(ResumeTests.sample, fileSystem: faults)
    try bench.open()
    try bench.post((0..<4).map { (PieceIndex(0), $0) })
    try bench.waitVerified(1)
    faults.set(.sync) { _ in EIO }
    bench.disk.submit(bench.storage, .save(verified: Bitfield(capacity: 10, [0]), userData: []))
    let failure = try bench.port.wait { if case .operationFailed(let failure) = $0 { failure } else { nil } }
    #expect(failure.operation == .sync && failure.cause == .inputOutput)
    try bench.port.wait { if case .failed(failure) = $0 { () } else { nil } }
    #expect(!exists(bench.recordPath))
    bench.finish()
  }

  /// The order of things a record rests on: every file written to is synced before the record is renamed into place.
  @Test func recordsNameOnlyWhatWasSynced() throws {
    let faults = FaultyFileSystem()
    let bench = try Bench(ResumeTests.sample, fileSystem: faults)
    try bench.open()
    try bench.post(ResumeTests.sample.blocks)
    try bench.waitVerified(10)
    let syncsBefore = FaultTests.Stall()
    faults.set(.rename) { [syncs = Syncs(faults)] name in
      // Three files and the record's own.
      if name == "resume", syncs.count < 4 { syncsBefore.isOn.store(false, ordering: .relaxed) }
      return 0
    }
    try bench.save(bench.full)
    #expect(faults.count(of: .rename) == 1 && syncsBefore.isOn.load(ordering: .relaxed))
    // The folder of the record last.
    #expect(faults.count(of: .sync) == 5)
    // Nothing was written since: only the record and its folder.
    try bench.save(bench.full)
    #expect(faults.count(of: .sync) == 7)
    faults.set(.rename, nil)
    bench.finish()
  }

  struct Syncs: Sendable {
    let faults: FaultyFileSystem
    init(_ faults: FaultyFileSystem) { self.faults = faults }
    var count: Int { faults.count(of: .sync) }
  }

  /// Pieces found by a check may have been left by a process that never synced them.
  @Test func checkedFilesAreSyncedBeforeTheyAreRecorded() throws {
    let folder = TemporaryFolder()
    mkdirIfNeeded(folder.path + "/data")
    ResumeTests.sample.writeFiles(below: folder.path + "/data")
    let faults = FaultyFileSystem()
    let bench = try Bench(ResumeTests.sample, folder: folder, fileSystem: faults)
    let result = try bench.open()
    #expect(result.unchecked.isFull && result.verified.isEmpty)
    #expect(try bench.check(nil).verified.isFull)
    try bench.save(bench.full)
    #expect(faults.count(of: .sync) == 5)
    bench.finish()
    let again = try Bench(ResumeTests.sample, folder: folder)
    #expect(try again.open().verified.isFull)
    again.finish()
  }

  /// A file that somebody changes while it is not being written to must not be blessed by the next save.
  @Test func aSaveDoesNotBlessOthersChanges() throws {
    let folder = TemporaryFolder()
    do {
      let bench = try Bench(ResumeTests.sample, folder: folder)
      try bench.open()
      try bench.post(ResumeTests.sample.blocks)
      try bench.waitVerified(10)
      try bench.save(bench.full)
      flipByte(at: 77, of: bench.root + "/t/two")
      try bench.save(bench.full)
      bench.finish()
    }
    let bench = try Bench(ResumeTests.sample, folder: folder)
    let result = try bench.open()
    #expect(result.unchecked == Bitfield(capacity: 10, [3, 4, 5, 6, 7]))
    #expect(try bench.check(result.unchecked).verified == Bitfield(capacity: 10, [4, 5, 6, 7]))
    bench.finish()
  }
}
