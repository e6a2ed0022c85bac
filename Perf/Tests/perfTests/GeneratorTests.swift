import Foundation
import Testing

@testable import perf

/// The load generator against itself: what it serves must be what it asks for, whatever the shape of the torrent.
@Suite(.serialized)
struct GeneratorTests {
  private let load: String
  private let folder: String

  init() throws {
    // Tests are a bundle or an executable beside the generator, depending on the toolchain.
    let built = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().path
    let candidates = [built, try Home().built].map { $0 + "/perf-load" }
    load = try #require(candidates.first { FileManager.default.isExecutableFile(atPath: $0) })
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("perf-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  }

  private func make(size: Int, piece: Int, files: Int = 1) throws -> String {
    let torrent = folder + "/t.torrent"
    try Child.run(
      [
        load, "make", "--out", torrent, "--size", "\(size)", "--piece", "\(piece)", "--files", "\(files)",
      ], name: "make", seconds: 60)
    return torrent
  }

  private func number(_ line: OutputLine, _ key: String) throws -> Int { Int(try #require(line.number(key))) }

  /// Sizes that are no multiple of anything, pieces that are no multiple of a block, one block, many files.
  @Test(arguments: [
    (5_000_000, 16384, 1), (5_000_001, 10_000, 1), (3_000_000, 1_500_000, 1), (1, 16384, 1),
    (70_000, 65536, 7),
    (33_000_000, 1 << 20, 100), (16384, 16384, 1),
  ])
  func everyBlockArrivesRight(_ size: Int, _ piece: Int, _ files: Int) throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let torrent = try make(size: size, piece: piece, files: files)
    for extra in [[], ["--no-fast"]] {
      let port = "\(Int.random(in: 20000..<32000))"
      let seeds = try Child(
        Command(
          arguments: [load, "seed", "--torrent", torrent, "--peers", "3", "--listen", port, "--limit", "60"]
            + extra),
        name: "seeds")
      try seeds.waitForEvent("started", seconds: 10)
      let leechers = try Child(
        Command(arguments: [
          load, "leech", "--torrent", torrent, "--peers", "3", "--connect", "127.0.0.1:\(port)", "--depth",
          "5",
          "--sample", "1", "--repeat", "2", "--limit", "60",
        ]), name: "leechers")
      let got = try leechers.report()
      #expect(try leechers.waitForExit(seconds: 10).code == 0)
      seeds.closeInput()
      let sent = try seeds.report()
      #expect(try number(got, "bytes_received") == size * 2)
      #expect(try number(got, "bad_blocks") == 0)
      #expect(try number(got, "unasked_blocks") == 0)
      #expect(try number(sent, "bytes_sent") == size * 2)
      #expect(try seeds.waitForExit(seconds: 10).code == 0)
    }
  }

  @Test func dataOnDiskIsVerified() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let torrent = try make(size: 3_000_000, piece: 65536, files: 3)
    let data = folder + "/data"
    try Child.run([load, "write", "--torrent", torrent, "--dir", data], name: "write", seconds: 30)
    try Child.run([load, "verify", "--torrent", torrent, "--dir", data], name: "verify", seconds: 30)
    // One bit of one file turned: it must be found.
    let file = try #require(
      FileManager.default.enumerator(atPath: data)?.allObjects.compactMap { $0 as? String }
        .first { $0.contains("/f") })
    let handle = try #require(FileHandle(forUpdatingAtPath: "\(data)/\(file)"))
    try handle.seek(toOffset: 4321)
    let byte = try #require(try handle.read(upToCount: 1)?.first)
    try handle.seek(toOffset: 4321)
    try handle.write(contentsOf: Data([byte ^ 4]))
    try handle.close()
    #expect(throws: Failure.self) {
      try Child.run([load, "verify", "--torrent", torrent, "--dir", data], name: "verify", seconds: 30)
    }
  }

  @Test func nonsenseIsRefused() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let broken = folder + "/broken.torrent"
    for text in [
      "", "d", "4:info", "d4:infod6:lengthi5e4:name1:x12:piece lengthi16384e6:pieces0:ee",
      "d4:info99999999999:ee",
    ] {
      try text.write(toFile: broken, atomically: true, encoding: .utf8)
      let child = try Child(
        Command(arguments: [load, "verify", "--torrent", broken, "--dir", folder]), name: "verify")
      #expect(try child.waitForExit(seconds: 10).code == 64)
    }
  }
}
