import Foundation
import Testing

/// Ctrl-C, TERM and KILL.
@Suite(.showingLogs)
struct InterruptTests {
  /// A tracker that takes connections and never answers: leaving must not wait for it.
  private static func startSilentTracker(in sandbox: Sandbox) async throws -> String {
    let script =
      "import socket,time; s=socket.create_server(('10.77.0.1',7000)); print('listening',flush=True); "
      + "k=[]\nwhile True: k.append(s.accept())"
    let child = try sandbox.start("silent-tracker", ["/usr/bin/python3", "-c", script])
    try await eventually("the silent tracker listens") { child.output.contains("listening") }
    return "http://10.77.0.1:7000/announce"
  }

  @Test(
    "ends within 5 s, keeps what it has, and goes on later", .needs(.spate, .libtorrent, .mktorrent),
    arguments: [SIGINT, SIGTERM])
  func interrupt(signal: Int32) async throws {
    try await withSandbox { sandbox in
      let silent = try await Self.startSilentTracker(in: sandbox)
      let torrent = try await Prepared.make(.oneFile, trackers: [silent], pieceLength: 32_768, in: sandbox)
      let seat = Address(.v4, Role.seeder)
      let firstSeed = try await ScriptedPeer.start(
        .honest, torrent.info, of: .oneFile, in: torrent.source, at: seat, in: sandbox)
      let target = try sandbox.directory("target")
      let spate = Spate(options: ["--download-limit", "2M"])
      let first = try spate.start(
        [torrent.torrent], into: target, at: Address(.v4, Role.leecher), peers: [seat], in: sandbox)
      try await eventually("half of it is there") {
        ProgressLine.all(first.errors).contains { ($0.done ?? 0) > torrent.tree.total / 3 }
      }
      let asked = ContinuousClock.now
      try await first.send(signal)
      #expect(try await first.exit(within: .seconds(20)) == .code(7))
      #expect(ContinuousClock.now - asked < .seconds(5) * patience)
      let kept = try #require(ProgressLine.all(first.errors).compactMap(\.done).last)
      let document = try FinalDocument(first.output)
      #expect(document.torrents.first?.files.first?.done ?? 0 >= kept)

      _ = try await firstSeed.sums()
      let seed = try await ScriptedPeer.start(
        .honest, torrent.info, of: .oneFile, in: torrent.source, at: seat, in: sandbox)
      let second = try spate.start(
        [torrent.torrent], into: target, at: Address(.v4, Role.leecher), peers: [seat], in: sandbox)
      #expect(try await second.exit(within: .seconds(60)) == .code(0))
      try await expectSame(.oneFile, in: target, as: torrent.source, in: sandbox)
      let resumed = try #require(ProgressLine.all(second.errors).first { $0.state == "downloading" }?.done)
      #expect(resumed >= kept, "verified bytes were lost")
      let sums = try await seed.sums()
      // Blocks under way when the signal came are asked for again; verified ones are not.
      #expect(sums.bytes <= torrent.tree.total - resumed, "\(sums)")
    }
  }

  @Test(
    "a seed ends well on Ctrl-C, and says stopped to its tracker",
    .needs(.spate, .libtorrent, .opentracker, .mktorrent))
  func seed() async throws {
    try await withSandbox { sandbox in
      let kind = TrackerKind.opentrackerHTTP
      let torrent = try await Prepared.make(
        .tiny, trackers: [kind.announce], pieceLength: 32_768, in: sandbox)
      let tracker = try await kind.start(allowing: [torrent.info.infohash], in: sandbox)
      let child = try await Spate().seed(
        torrent.torrent, from: torrent.source, at: Address(.v4, Role.seeder), in: sandbox)
      try await tracker.wait(torrent.info.infohash, seeds: 1, in: sandbox)
      try await child.send(SIGINT)
      #expect(try await child.exit(within: .seconds(20)) == .code(0))
      let counts = try await sandbox.run(
        "scrape",
        [
          "/usr/bin/python3", Files.drivers.appending(path: "scrape.py").path, tracker.scrape,
          torrent.info.infohash,
        ])
      #expect(!counts.contains(#""complete": 1"#), "the tracker still lists it: \(counts)")
    }
  }

  /// SIGKILL at drawn moments, more than twenty times, then to the end: no wrong byte, nothing that was verified and
  /// recorded is lost or fetched again.
  @Test(.needs(.spate, .libtorrent, .mktorrent), arguments: [(32_768, "auto"), (262_144, "direct")])
  func kill(pieceLength: Int, writes: String) async throws {
    try await withSandbox { sandbox in
      let tree = Tree.folder(
        "killed", [("a", 19_000_001), ("b/c", 15_000_000), ("d", 3_333_333), ("e", 0), ("f", 77)])
      let torrent = try await Prepared.make(tree, pieceLength: pieceLength, in: sandbox)
      let seat = Address(.v4, Role.seeder)
      let seed = try await ScriptedPeer.start(
        .honest, torrent.info, of: tree, in: torrent.source, at: seat, in: sandbox)
      let target = try sandbox.directory("target")
      let rate = 2 << 20
      let spate = Spate(options: ["--download-limit", "2M", "--progress", "json", "--disk-writes", writes])
      var random = SplitMix(state: UInt64(pieceLength))
      var kills = 0
      var before = 0
      var isComplete = false
      while kills < 22 && !isComplete {
        let child = try spate.start(
          [torrent.torrent], into: target, at: Address(.v4, Role.leecher), peers: [seat], in: sandbox)
        let start = try await first("spate downloads") { () -> Int? in
          if child.status != nil { return -1 }
          return ProgressLine.all(child.errors).first { $0.state == "downloading" || $0.state == "seeding" }?
            .done
        }
        #expect(start >= before, "a restart lost verified bytes that were recorded")
        before = max(before, start)
        // A drawn moment, not a wait for something: the point of the test is that it may be any.
        try await Task.sleep(for: .milliseconds(Int.random(in: 0...450, using: &random)))
        isComplete = child.status != nil
        try await child.send(SIGKILL)
        try await child.exit(within: .seconds(10))
        kills += 1
      }
      #expect(kills > 20, "it was complete before it could be killed often enough")
      try await Spate().download(
        torrent.torrent, into: target, at: Address(.v4, Role.leecher), peers: [seat], in: sandbox)
      try await expectSame(tree, in: target, as: torrent.source, in: sandbox)
      let sums = try await seed.sums()
      // A kill may cost what was under way and not yet on the disk: at most what arrives between two turns of the disk,
      // far from what was downloaded in all. Written pieces are found again by checking, recorded or not.
      let allowance = kills * (rate / 2 + 4 * pieceLength)
      #expect(sums.bytes - tree.total <= allowance, "\(sums)")
    }
  }
}
