import Foundation
import Testing

/// What was found out about a magnet link survives the end of the process, however it ends.
@Suite(.showingLogs)
struct RestartTests {
  private static let tracker = TrackerKind.spateHTTP
  private static let other = Address(.v4, Role.seeder)
  private static let late = Address(.v4, Role.second)
  private static let own = Address(.v4, Role.leecher)

  /// Where the second run is: nobody who met the first can look for it there.
  private static let elsewhere = Address(.v4, 5)

  /// A `spate download` that remembers in a folder of its own, and finds peers only as `options` say.
  private static func download(
    _ source: String, into folder: URL, at seat: Address, _ options: [String], in sandbox: Sandbox
  ) throws -> Child {
    try sandbox.start(
      "spate-get",
      Spate.command + [
        "download", source, "-d", folder.path, "--bind", seat.host, "--listen-port", String(seat.port),
        "--progress", "json", "--json", "--no-pex",
      ] + options,
      environment: ["XDG_STATE_HOME": sandbox.directory("state").path])
  }

  /// What is remembered: names of files.
  private static func remembered(in sandbox: Sandbox) throws -> [String] {
    let folder = try sandbox.directory("state").appending(path: "spate/resume").path
    return (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
  }

  /// Ended by a signal, with all that it had time to remember.
  private static func end(_ child: Child, by signal: Int32, within limit: Duration = .seconds(20))
    async throws
  {
    try await child.send(signal)
    try await child.exit(within: limit)
  }

  /// How a process ends.
  private static let signals = [SIGTERM, SIGKILL]

  @Test("the metadata", .needs(.spate, .libtorrent, .mktorrent), arguments: signals)
  func metadata(_ signal: Int32) async throws {
    try await withSandbox { sandbox in
      let torrent = try await Prepared.make(.oneFile, pieceLength: 32_768, in: sandbox)
      let link = "magnet:?xt=urn:btih:\(torrent.info.infohash)"
      let target = try sandbox.directory("target")
      let seed = try await Libtorrent(options: ["--upload-limit", "200000"]).seed(
        torrent.torrent, from: torrent.source, at: Self.other, in: sandbox)
      let first = try Self.download(
        link, into: target, at: Self.own, ["--peer", Self.other.description], in: sandbox)
      try await eventually("the download has begun") {
        ProgressLine.all(first.errors).contains { ($0.done ?? 0) > 0 }
      }
      try await Self.end(first, by: signal)
      await seed.stop()
      // This one knows of no extension, so it has no metadata to offer.
      let plain = try await ScriptedPeer.start(
        .honest, torrent.info, of: .oneFile, in: torrent.source, at: Self.late, in: sandbox)
      let second = try Self.download(
        link, into: target, at: Self.elsewhere, ["--peer", Self.late.description], in: sandbox)
      #expect(try await second.exit(within: .seconds(60)) == .code(0), "\(second.errors.suffix(800))")
      #expect(!ProgressLine.all(second.errors).contains { $0.state == "metadata" })
      try await expectSame(.oneFile, in: target, as: torrent.source, in: sandbox)
      let sums = try await plain.sums()
      #expect(sums.bytes < torrent.tree.total, "what had come before came again")
    }
  }

  /// The first run ends while it has peers and no metadata: the peer, which its tracker named, has none either.
  @Test(
    "peers found before the metadata", .needs(.spate, .libtorrent, .mktorrent), arguments: signals)
  func peersOfALink(_ signal: Int32) async throws {
    try await withSandbox { sandbox in
      let torrent = try await Prepared.make(
        .tiny, trackers: [Self.tracker.announce], pieceLength: 32_768, in: sandbox)
      let tracker = try await Self.tracker.start(allowing: [torrent.info.infohash], in: sandbox)
      let link = "magnet:?xt=urn:btih:\(torrent.info.infohash)"
      let seat = Self.other
      let waiting = try sandbox.start(
        "spate-waits",
        Spate.command + [
          "download", "\(link)&tr=\(Self.tracker.announce)", "-d", sandbox.directory("other").path, "--bind",
          seat.host, "--listen-port", String(seat.port), "--progress", "none",
        ])
      try await tracker.wait(torrent.info.infohash, peers: 1, in: sandbox)
      let target = try sandbox.directory("target")
      let first = try Self.download(
        "\(link)&tr=\(Self.tracker.announce)", into: target, at: Self.own, [], in: sandbox)
      try await eventually("the tracker's peer is met") {
        ProgressLine.all(first.errors).contains { $0.state == "metadata" && ($0.peers ?? 0) > 0 }
      }
      if signal == SIGKILL {
        try await eventually("peers are remembered") {
          try Self.remembered(in: sandbox).contains("\(torrent.info.infohash).peers")
        }
      }
      try await Self.end(first, by: signal)
      await waiting.stop()
      _ = try await Libtorrent().seed(torrent.torrent, from: torrent.source, at: seat, in: sandbox)
      let second = try Self.download(link, into: target, at: Self.elsewhere, [], in: sandbox)
      #expect(try await second.exit(within: .seconds(60)) == .code(0), "\(second.errors.suffix(800))")
      try await expectSame(.tiny, in: target, as: torrent.source, in: sandbox)
    }
  }

  /// The metadata has come and nothing else has: the one peer gives the metadata, but unchokes nobody for a while.
  @Test(
    "peers of a link whose metadata has just come", .needs(.spate, .transmission, .libtorrent, .mktorrent),
    arguments: signals)
  func peersBehindTheMetadata(_ signal: Int32) async throws {
    try await withSandbox { sandbox in
      let torrent = try await Prepared.make(
        .tiny, trackers: [Self.tracker.announce], pieceLength: 32_768, in: sandbox)
      let tracker = try await Self.tracker.start(allowing: [torrent.info.infohash], in: sandbox)
      let link = "magnet:?xt=urn:btih:\(torrent.info.infohash)"
      _ = try await Transmission().seed(
        torrent.torrent, from: torrent.source, at: Self.other, in: sandbox)
      try await tracker.wait(torrent.info.infohash, seeds: 1, in: sandbox)
      let target = try sandbox.directory("target")
      let first = try Self.download(
        "\(link)&tr=\(Self.tracker.announce)", into: target, at: Self.own, [], in: sandbox)
      try await eventually(every: .milliseconds(2), "the metadata is here") {
        try Self.remembered(in: sandbox).contains("\(torrent.info.infohash).torrent")
      }
      try await Self.end(first, by: signal)
      await tracker.child.stop()
      let second = try Self.download(link, into: target, at: Self.elsewhere, [], in: sandbox)
      #expect(try await second.exit(within: .seconds(60)) == .code(0), "\(second.errors.suffix(800))")
      try await expectSame(.tiny, in: target, as: torrent.source, in: sandbox)
    }
  }

  /// The second run of a torrent asks no tracker.
  @Test("peers of a torrent", .needs(.spate, .libtorrent, .mktorrent), arguments: signals)
  func peersOfATorrent(_ signal: Int32) async throws {
    try await withSandbox { sandbox in
      let torrent = try await Prepared.make(
        .oneFile, trackers: [Self.tracker.announce], pieceLength: 32_768, in: sandbox)
      let tracker = try await Self.tracker.start(allowing: [torrent.info.infohash], in: sandbox)
      _ = try await Libtorrent(options: ["--upload-limit", "200000"]).seed(
        torrent.torrent, from: torrent.source, at: Self.other, in: sandbox)
      try await tracker.wait(torrent.info.infohash, seeds: 1, in: sandbox)
      let target = try sandbox.directory("target")
      let first = try Self.download(torrent.torrent.path, into: target, at: Self.own, [], in: sandbox)
      try await eventually("the download has begun") {
        ProgressLine.all(first.errors).contains { ($0.done ?? 0) > 0 }
      }
      if signal == SIGKILL {
        try await eventually("a record is written") {
          try Self.remembered(in: sandbox).contains { $0.hasSuffix(".resume") }
        }
      }
      try await Self.end(first, by: signal)
      let second = try Self.download(
        torrent.torrent.path, into: target, at: Self.elsewhere, ["--no-tracker"], in: sandbox)
      #expect(try await second.exit(within: .seconds(90)) == .code(0), "\(second.errors.suffix(800))")
      #expect(second.errors.contains(#""known":1"#), "the peer was known from before")
      try await expectSame(.oneFile, in: target, as: torrent.source, in: sandbox)
    }
  }
}
