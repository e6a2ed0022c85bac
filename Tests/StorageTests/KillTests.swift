import BlockPool
import Glibc
@testable import Storage
import Testing
import TorrentModel

/// The process is killed at drawn moments; the next one finds every recorded piece, and nothing wrong.
@Suite(.serialized) struct KillTests {
  static let sample = Sample(
    [("one", 700_000, .regular), ("two", 900_000, .regular), ("three", 400_000, .regular)],
    pieceLength: 65536, seed: 21)
  static let folder = "/tmp/spate-kill-\(getuid())"

  /// What the process that will be killed does: download whatever is missing, saving all the time.
  static func downloadUntilKilled() throws {
    let kept = TemporaryFolder(keeping: folder)
    let bench = try Bench(sample, workers: 2, folder: kept)
    let opened = try bench.open()
    var have = opened.verified
    if !opened.unchecked.isEmpty { have.formUnion(try bench.check(opened.unchecked).verified) }
    var random = SystemRandomNumberGenerator()
    let microseconds = UInt32.random(in: 0..<60_000, using: &random)
    _ = Thread(name: "killer") {
      usleep(microseconds)
      kill(getpid(), SIGKILL)
    }
    for piece in (0..<sample.geometry.pieceCount).shuffled() where !have[PieceIndex(piece)] {
      try bench.post(sample.blocks.filter { $0.piece.offset == piece })
      try bench.waitVerified(1)
      have.insert(PieceIndex(piece))
      bench.disk.submit(bench.storage, .save(verified: have, userData: []))
      usleep(1000)
    }
    while true { pause() }
  }

  @Test func killedAgainAndAgain() async throws {
    removeTree(KillTests.folder)
    mkdirIfNeeded(KillTests.folder)
    defer { removeTree(KillTests.folder) }
    var recorded = Bitfield(capacity: KillTests.sample.geometry.pieceCount)
    for _ in 0..<20 {
      await #expect(processExitsWith: .signal(SIGKILL)) { try KillTests.downloadUntilKilled() }
      // What the last record names has to be there now, and what it names more than the one before.
      if let path = TemporaryFolder.recordPath(in: KillTests.folder),
        let record = try ResumeRecord.read(at: path)
      {
        #expect(!recorded.hasAny(notIn: record.verified), "a record never forgets")
        recorded = record.verified
      }
      let bench = try Bench(KillTests.sample, folder: TemporaryFolder(keeping: KillTests.folder))
      let opened = try bench.open(OpenOptions(createsFiles: false))
      let real = try bench.check().verified
      #expect(!recorded.hasAny(notIn: real), "a recorded piece was lost")
      #expect(!opened.verified.hasAny(notIn: real), "a wrong byte was called good")
      #expect(
        !recorded.hasAny(
          notIn: {
            var union = opened.verified; union.formUnion(opened.unchecked); return union
          }()))
      bench.finish()
    }
    #expect(recorded.count > 0)
    let bench = try Bench(KillTests.sample, folder: TemporaryFolder(keeping: KillTests.folder))
    let opened = try bench.open()
    var have = opened.verified
    if !opened.unchecked.isEmpty { have.formUnion(try bench.check(opened.unchecked).verified) }
    try bench.post(KillTests.sample.blocks.filter { !have[$0.piece] })
    try bench.waitVerified(have.capacity - have.count)
    bench.expectFiles()
    bench.finish()
  }
}
