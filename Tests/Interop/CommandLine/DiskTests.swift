import Foundation
import Testing

/// A disk that is full, and files that change underneath.
@Suite(.showingLogs)
struct DiskTests {
  /// A small file system inside the sandbox; gone with its namespace.
  private static func smallDisk(_ size: String, in sandbox: Sandbox) async throws -> URL {
    let path = try sandbox.directory("disk")
    try await sandbox.run("mount", ["mount", "-t", "tmpfs", "-o", "size=\(size)", "tmpfs", path.path])
    return path
  }

  @Test(
    "a full disk: 9, and on when there is room", .needs(.spate, .libtorrent, .mktorrent),
    arguments: ["sparse", "full", "none"])
  func diskFull(allocation: String) async throws {
    try await withSandbox { sandbox in
      let big = try await Prepared.make(.oneFile, pieceLength: 65_536, named: "big", in: sandbox)
      let small = try await Prepared.make(.tiny, pieceLength: 32_768, named: "small", in: sandbox)
      let seats = [Address(.v4, Role.seeder), Address(.v4, Role.second)]
      let seed = try await ScriptedPeer.start(
        .honest, big.info, of: .oneFile, in: big.source, at: seats[0], in: sandbox)
      _ = try await Libtorrent().seed(small.torrent, from: small.source, at: seats[1], in: sandbox)
      let disk = try await Self.smallDisk("8m", in: sandbox)
      // Another disk inside: where it is full, nobody gets room; the torrent on the other one must not suffer.
      let other = disk.appending(path: Tree.tiny.name)
      try await sandbox.run("folder", ["mkdir", other.path])
      try await sandbox.run("mount", ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", other.path])
      let ballast = disk.appending(path: "ballast")
      try await sandbox.run("ballast", ["dd", "if=/dev/zero", "of=\(ballast.path)", "bs=1M", "count=4"])

      // The big one does not fit; the small one is finished all the same.
      let spate = Spate(options: ["--allocation", allocation])
      let first = try spate.start(
        [big.torrent, small.torrent], into: disk, at: Address(.v4, Role.leecher), peers: seats, in: sandbox)
      #expect(try await first.exit(within: .seconds(60)) == .code(9))
      #expect(first.errors.lowercased().contains("space") || first.errors.lowercased().contains("full"))
      let document = try FinalDocument(first.output)
      #expect(document.torrents.first { $0.infohash == small.info.infohash }?.error == nil)
      #expect(document.torrents.first { $0.infohash == big.info.infohash }?.error != nil)
      try await expectSame(.tiny, in: disk, as: small.source, in: sandbox)

      try await sandbox.run("free", ["rm", ballast.path])
      let second = try spate.start(
        [big.torrent], into: disk, at: Address(.v4, Role.leecher), peers: seats, in: sandbox)
      #expect(try await second.exit(within: .seconds(60)) == .code(0))
      try await expectSame(.oneFile, in: disk, as: big.source, in: sandbox)
      let resumed = ProgressLine.all(second.errors).first { $0.state == "downloading" }?.done ?? 0
      let sums = try await seed.sums()
      if allocation != "full" { #expect(resumed > 0, "what was verified before the disk was full is lost") }
      #expect(sums.bytes <= 2 * big.tree.total, "\(sums)")
    }
  }

  /// Past the page cache and through it, the same files come out, and what was verified survives a kill.
  @Test(.needs(.spate, .libtorrent, .mktorrent), arguments: ["direct", "cached"])
  func diskWrites(way: String) async throws {
    try await withSandbox { sandbox in
      let torrent = try await Prepared.make(.oneFile, pieceLength: 262_144, in: sandbox)
      let seat = Address(.v4, Role.seeder)
      _ = try await Libtorrent().seed(torrent.torrent, from: torrent.source, at: seat, in: sandbox)
      let target = try sandbox.directory("target")
      let slow = try Spate(options: ["--disk-writes", way, "--download-limit", "1M"]).start(
        [torrent.torrent], into: target, at: Address(.v4, Role.leecher), peers: [seat], in: sandbox)
      try await eventually("a part is there") {
        ProgressLine.all(slow.errors).contains { ($0.done ?? 0) > torrent.tree.total / 3 }
      }
      try await slow.send(SIGKILL)
      try await slow.exit(within: .seconds(10))

      let counts = try sandbox.directory("counts").appending(path: "counts.json")
      try await Spate(options: ["--disk-writes", way], counters: counts).download(
        torrent.torrent, into: target, at: Address(.v4, Role.leecher), peers: [seat], in: sandbox)
      try await expectSame(.oneFile, in: target, as: torrent.source, in: sandbox)
      let document = try JSONDecoder().decode(DiskCounts.self, from: Data(contentsOf: counts))
      #expect(document.written_bytes > 0)
      #expect((document.direct_bytes > 0) == (way == "direct"), "\(document)")
    }
  }

  struct DiskCounts: Decodable {
    var written_bytes: Int
    var direct_bytes: Int
  }

  enum Damage: String, CaseIterable, Sendable {
    case removed, truncated

    func command(_ file: URL) -> [String] {
      switch self {
      case .removed: ["rm", file.path]
      case .truncated: ["truncate", "-s", "1000", file.path]
      }
    }
  }

  /// The torrent ends with 17 and names the file; it never calls what is not there complete. Run again, it mends.
  @Test(.needs(.spate, .libtorrent, .mktorrent), arguments: Damage.allCases)
  func whileDownloading(_ damage: Damage) async throws {
    try await withSandbox { sandbox in
      let torrent = try await Prepared.make(.oneFile, pieceLength: 32_768, in: sandbox)
      let seat = Address(.v4, Role.seeder)
      _ = try await ScriptedPeer.start(
        .honest, torrent.info, of: .oneFile, in: torrent.source, at: seat, in: sandbox)
      let target = try sandbox.directory("target")
      let child = try Spate(options: ["--download-limit", "1M"]).start(
        [torrent.torrent], into: target, at: Address(.v4, Role.leecher), peers: [seat], in: sandbox)
      try await eventually("a part is there") {
        ProgressLine.all(child.errors).contains { ($0.done ?? 0) > torrent.tree.total / 3 }
      }
      try await sandbox.run("damage", damage.command(target.appending(path: torrent.tree.name)))
      let status = try await child.exit(within: .seconds(60))
      #expect(status == .code(17), "\(child.errors)")
      #expect(child.errors.contains(torrent.tree.name), "the error does not name the file")

      try await Spate().download(
        torrent.torrent, into: target, at: Address(.v4, Role.leecher), peers: [seat], in: sandbox)
      try await expectSame(.oneFile, in: target, as: torrent.source, in: sandbox)
    }
  }

  /// A seed whose file goes bad sends no wrong byte, and its other torrent goes on.
  @Test(.needs(.spate, .libtorrent, .mktorrent), arguments: Damage.allCases)
  func whileSeeding(_ damage: Damage) async throws {
    try await withSandbox { sandbox in
      let bad = try await Prepared.make(.oneFile, pieceLength: 32_768, named: "bad", in: sandbox)
      let good = try await Prepared.make(.tiny, pieceLength: 32_768, named: "good", in: sandbox)
      let folder = try sandbox.directory("seeding")
      try bad.tree.write(in: folder)
      try good.tree.write(in: folder)
      let seat = Address(.v4, Role.seeder)
      let child = try sandbox.start(
        "spate-seed",
        Spate.command + [
          "seed", bad.torrent.path, good.torrent.path, "-d", folder.path, "--bind", seat.host,
          "--listen-port",
          String(seat.port), "--progress", "json",
        ])
      try await eventually("spate seeds both") {
        Set(ProgressLine.all(child.errors).filter { $0.state == "seeding" }.compactMap(\.infohash)).count == 2
      }
      try await sandbox.run("damage", damage.command(folder.appending(path: bad.tree.name)))
      // The leecher asks for what is gone; what it gets, if anything, must be right. Spate looks at an open file once a
      // second: before that, it may still serve the whole of a file whose name is gone.
      try await Task.sleep(for: .milliseconds(1100))
      let target = try sandbox.directory("target")
      let leecher = try sandbox.start(
        "libtorrent-get",
        [
          "/usr/bin/python3", Files.drivers.appending(path: "lt_client.py").path, "run", "--torrent",
          bad.torrent.path,
          "--save", target.path, "--listen", Address(.v4, Role.leecher).description, "--peer",
          seat.description,
        ])
      try await eventually(within: .seconds(40), "spate tells of the damage") {
        child.errors.contains(bad.tree.name) && child.errors.contains("error")
          || ProgressLine.all(child.errors).contains {
            $0.infohash == bad.info.infohash && $0.state == "failed"
          }
      }
      #expect(child.isRunning, "the good torrent must go on")
      #expect(!leecher.output.contains("hash_failed"), "wrong bytes were sent")
      try await Libtorrent().download(
        good.torrent, into: target, at: Address(.v4, Role.second), peers: [seat], in: sandbox)
      try await expectSame(.tiny, in: target, as: good.source, in: sandbox)
    }
  }
}
