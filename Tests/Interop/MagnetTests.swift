import Foundation
import Testing

/// Magnet links: the metadata comes from other people's clients, and they get it from us (BEP 9).
@Suite(.showingLogs)
struct MagnetTests {
  private static let kind = TrackerKind.spateHTTP

  private static func magnet(_ torrent: Prepared, in sandbox: Sandbox) async throws -> String {
    let printed = try await Spate.run(["magnet", torrent.torrent.path], in: sandbox)
    #expect(printed.status == .code(0), "\(printed.errors)")
    return printed.output.trimmingCharacters(in: .whitespacesAndNewlines)
  }

  @Test(
    "a link is all that is needed, whoever seeds", .needs(.spate, .libtorrent, .mktorrent),
    arguments: ClientKind.allCases.filter { available([$0.requirement]) })
  func fromOthers(_ kind: ClientKind) async throws {
    try await withSandbox { sandbox in
      let torrent = try await Prepared.make(
        .mixed, trackers: [Self.kind.announce], pieceLength: 32_768, in: sandbox)
      let tracker = try await Self.kind.start(allowing: [torrent.info.infohash], in: sandbox)
      _ = try await kind.client(trusting: nil).seed(
        torrent.torrent, from: torrent.source, at: Address(.v4, Role.seeder), in: sandbox)
      try await tracker.wait(torrent.info.infohash, seeds: 1, in: sandbox)
      let link = try await Self.magnet(torrent, in: sandbox)
      let target = try sandbox.directory("target")
      let seat = Address(.v4, Role.leecher)
      let ended = try await Spate.run(
        [
          "download", link, "-d", target.path, "--bind", seat.host, "--listen-port", String(seat.port),
          "--progress", "json", "--json",
        ], in: sandbox)
      #expect(ended.status == .code(0), "\(ended.errors.suffix(500))")
      #expect(ProgressLine.all(ended.errors).contains { $0.state == "metadata" })
      try await expectSame(.mixed, in: target, as: torrent.source, in: sandbox)
    }
  }

  @Test("fields that make no sense are told of, and no more", .needs(.spate))
  func warnings() async throws {
    try await withSandbox { sandbox in
      let hash = String(repeating: "ab", count: 20)
      let ended = try await Spate.run(
        [
          "download", "magnet:?xt=urn:btih:\(hash)&x.pe=nohost&tr=", "--bind",
          Address(.v4, Role.leecher).host, "--timeout", "1s", "--progress", "none",
        ], in: sandbox)
      #expect(ended.status == .code(6), "\(ended.errors)")
      #expect(ended.errors.contains(#""x.pe""#) && ended.errors.contains(#""tr""#), "\(ended.errors)")
    }
  }

  @Test(
    "a torrent is saved, and its files are listed, without a download",
    .needs(.spate, .libtorrent, .mktorrent))
  func metadataOnly() async throws {
    try await withSandbox { sandbox in
      let torrent = try await Prepared.make(.mixed, pieceLength: 32_768, in: sandbox)
      let seat = Address(.v4, Role.seeder)
      _ = try await Libtorrent().seed(torrent.torrent, from: torrent.source, at: seat, in: sandbox)
      let link = try await Self.magnet(torrent, in: sandbox)
      let target = try sandbox.directory("target")
      let saved = target.appending(path: "saved.torrent")
      let common = [
        link, "-d", target.path, "--bind", Address(.v4, Role.leecher).host, "--peer", seat.description,
        "--progress", "none",
      ]
      let first = try await Spate.run(
        ["download", "--metadata-only", "-o", saved.path] + common, in: sandbox)
      #expect(first.status == .code(0), "\(first.errors)")
      let shown = try await Spate.run(["show", saved.path, "--json"], in: sandbox)
      #expect(shown.output.contains(torrent.info.infohash))
      let listed = try await Spate.run(["download", "-S"] + common, in: sandbox)
      #expect(listed.status == .code(0) && listed.output.contains(torrent.info.infohash), "\(listed.errors)")
      let names = try FileManager.default.contentsOfDirectory(atPath: target.path)
      #expect(names == ["saved.torrent"], "something was downloaded")
    }
  }

  @Test(
    "libtorrent and aria2 get the metadata from us", .needs(.spate, .libtorrent, .aria2, .mktorrent),
    arguments: [ClientKind.aria2, .libtorrent])
  func toOthers(_ kind: ClientKind) async throws {
    try await withSandbox { sandbox in
      let torrent = try await Prepared.make(
        .oneFile, trackers: [Self.kind.announce], pieceLength: 32_768, in: sandbox)
      let tracker = try await Self.kind.start(allowing: [torrent.info.infohash], in: sandbox)
      _ = try await Spate().seed(
        torrent.torrent, from: torrent.source, at: Address(.v4, Role.seeder), in: sandbox)
      try await tracker.wait(torrent.info.infohash, seeds: 1, in: sandbox)
      let link = try await Self.magnet(torrent, in: sandbox)
      let target = try sandbox.directory("target")
      let seat = Address(.v4, Role.leecher)
      switch kind {
      case .aria2:
        try await sandbox.run(
          "aria2-magnet",
          [
            "/usr/bin/aria2c", "--no-conf=true", "--enable-dht=false", "--enable-dht6=false",
            "--bt-enable-lpd=false", "--async-dns=false", "--file-allocation=none", "--seed-time=0",
            "--interface=\(seat.host)", "--listen-port=\(seat.port)", "--dir=\(target.path)",
            "--disable-ipv6=true", link,
          ], within: .seconds(60))
      default:
        let script = """
          import libtorrent as lt, sys, time
          s = lt.session({'listen_interfaces': '\(seat.description)', 'enable_dht': False, 'enable_lsd': False,
            'enable_upnp': False, 'enable_natpmp': False, 'allow_multiple_connections_per_ip': True})
          p = lt.parse_magnet_uri(sys.argv[1]); p.save_path = sys.argv[2]
          h = s.add_torrent(p)
          for _ in range(600):
            if h.status().is_seeding: sys.exit(0)
            time.sleep(0.1)
          sys.exit(1)
          """
        try await sandbox.run(
          "libtorrent-magnet", ["/usr/bin/python3", "-c", script, link, target.path], within: .seconds(70))
      }
      try await expectSame(.oneFile, in: target, as: torrent.source, in: sandbox)
    }
  }
}
