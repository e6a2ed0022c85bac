import Foundation
import Testing

/// Peers that abuse the extension protocol (BEP 9, 10, 11), over real connections.
@Suite(.showingLogs)
struct HostilePeerTests {
  private static let bad = Address(.v4, 2)
  private static let good = Address(.v4, 3)
  private static let own = Address(.v4, 4)

  private static func peer(
    _ manner: String, _ torrent: URL, at address: Address, dialling other: Address? = nil, in sandbox: Sandbox
  ) async throws -> Child {
    let child = try sandbox.start(
      "metadata-peer",
      [
        "/usr/bin/python3", Files.drivers.appending(path: "metadata_peer.py").path, "--torrent", torrent.path,
        "--listen", address.description, "--manner", manner,
      ] + (other.map { ["--dial", $0.description] } ?? []))
    try await eventually("the peer listens") { child.output.contains("listening") }
    return child
  }

  private static func count(_ event: String, of child: Child) -> Int {
    child.output.split(separator: "\n").count { $0.contains(#""event": "\#(event)""#) }
  }

  /// The metadata has three pieces and a bit, so that more than one peer has a part in it.
  private static let manyFiles = Tree.folder(
    "many", (0..<1200).map { ("a folder with quite a long name/file number \($0)", 1) })

  private static func fetch(_ torrent: Prepared, into file: URL, in sandbox: Sandbox) throws -> Child {
    try sandbox.start(
      "spate-get",
      Spate.command + [
        "download", "--metadata-only", "-o", file.path, "magnet:?xt=urn:btih:\(torrent.info.infohash)",
        "--bind", own.host, "--listen-port", String(own.port), "--progress", "json", "--timeout", "60s",
        "--peer", bad.description,
      ])
  }

  struct Bad: Sendable, CustomTestStringConvertible {
    let manner: String
    /// Its connection is closed for what it did.
    var isClosed = false
    var testDescription: String { manner }
  }

  /// The bad one is there first and alone; when it has been met, an honest one comes to us.
  @Test(
    "the metadata comes from the honest", .needs(.spate, .libtorrent, .mktorrent),
    arguments: [
      Bad(manner: "lies", isClosed: true), Bad(manner: "claims:0"), Bad(manner: "claims:2147483648"),
      Bad(manner: "claims:33554432"), Bad(manner: "claims:1"), Bad(manner: "grows"), Bad(manner: "rejects"),
      Bad(manner: "bomb-handshake", isClosed: true), Bad(manner: "bomb-metadata", isClosed: true),
      Bad(manner: "bomb-exchange", isClosed: true), Bad(manner: "long-exchange", isClosed: true),
      Bad(manner: "flood", isClosed: true),
    ])
  func metadata(_ one: Bad) async throws {
    try await withSandbox { sandbox in
      let torrent = try await Prepared.make(Self.manyFiles, pieceLength: 32_768, in: sandbox)
      let bad = try await Self.peer(one.manner, torrent.torrent, at: Self.bad, in: sandbox)
      let saved = sandbox.scratch.appending(path: "saved.torrent")
      let child = try Self.fetch(torrent, into: saved, in: sandbox)
      try await eventually("the bad peer was met") { Self.count("handshake", of: bad) > 0 }
      if one.isClosed {
        try await eventually("the bad peer was sent away") { Self.count("closed", of: bad) > 0 }
      }
      if child.isRunning, let id = try? await child.processID() {
        let peak = try String(contentsOf: URL(filePath: "/proc/\(id)/status"), encoding: .utf8)
          .firstMatch(of: /VmHWM:\s+(\d+) kB/)
        let kilobytes = try #require(peak.flatMap { Int($0.1) })
        #expect(kilobytes < 120 << 10, "memory was taken on a stranger's word")
      }
      _ = try await Self.peer("honest", torrent.torrent, at: Self.good, dialling: Self.own, in: sandbox)
      #expect(try await child.exit(within: .seconds(70)) == .code(0), "\(child.errors.suffix(800))")
      let shown = try await Libtorrent.show(saved, in: sandbox)
      #expect(shown.infohash == torrent.info.infohash && shown.files == torrent.info.files)
    }
  }

  /// The server's rate limit ends with the peer being sent away, and nobody else notices.
  @Test("a seed survives floods", .needs(.spate, .libtorrent, .mktorrent), arguments: ["asks", "flood"])
  func floods(_ manner: String) async throws {
    try await withSandbox { sandbox in
      let torrent = try await Prepared.make(.tiny, pieceLength: 32_768, in: sandbox)
      let seed = try await Spate().seed(
        torrent.torrent, from: torrent.source, at: Self.good, in: sandbox)
      let bad = try await Self.peer(
        manner, torrent.torrent, at: Self.bad, dialling: Self.good, in: sandbox)
      try await eventually("the bad peer was sent away") { Self.count("closed", of: bad) > 0 }
      let target = try sandbox.directory("target")
      let link = "magnet:?xt=urn:btih:\(torrent.info.infohash)"
      let got = try await Spate.run(
        [
          "download", link, "-d", target.path, "--bind", Self.own.host, "--peer", Self.good.description,
          "--progress", "none",
        ], in: sandbox)
      #expect(got.status == .code(0), "\(got.errors)")
      try await expectSame(.tiny, in: target, as: torrent.source, in: sandbox)
      #expect(seed.isRunning)
    }
  }

  @Test("a private torrent is nobody's business", .needs(.spate, .libtorrent))
  func privateTorrents() async throws {
    try await withSandbox { sandbox in
      let network = DHTNetwork(sandbox: sandbox)
      let entrance = Address(.v4, 5)
      _ = try await network.serve(at: entrance)
      _ = try await network.serve(at: Address(.v4, 5, port: 7001), nodes: [entrance])
      var hashes: [String] = []
      for (number, flags) in [["--private"], []].enumerated() {
        let source = try sandbox.directory("source-\(number)")
        let content = try Tree.oneFile.write(in: source, seed: UInt64(number))
        let file = sandbox.scratch.appending(path: "\(number).torrent")
        let made = try await Spate.run(["create", content.path, "-o", file.path] + flags, in: sandbox)
        #expect(made.status == .code(0), "\(made.errors)")
        hashes.append(try await Libtorrent.show(file, in: sandbox).infohash)
        _ = try await Spate(options: DHTNetwork.entry([entrance]) + ["--dht"]).seed(
          file, from: source, at: Address(.v4, 2, port: 6881 + number), in: sandbox)
      }
      func found(_ hash: String) async throws -> String {
        try await network.ask(["peers", hash], from: Self.own, through: entrance).output
      }
      // Both were started the same way; when the one that came last is announced, the first would be.
      try await eventually("the public one is found") { try await found(hashes[1]) == "10.77.0.2:6882\n" }
      #expect(try await found(hashes[0]) == "", "a private torrent was announced")

      // Who asks a private seed learns of no extension that gives something away.
      let probe = try await Self.peer(
        "honest", sandbox.scratch.appending(path: "0.torrent"), at: Self.good, in: sandbox)
      let link = "magnet:?xt=urn:btih:\(hashes[0])"
      let child = try sandbox.start(
        "spate-get",
        Spate.command + [
          "download", link, "-d", sandbox.directory("target").path, "--bind", Self.own.host, "--peer",
          Self.good.description, "--progress", "none",
        ])
      // A link does not say that its torrent is private: who learns it later takes back what it had offered.
      try await eventually("the metadata has come") { Self.count("handshake", of: probe) > 1 }
      let last = try #require(probe.output.split(separator: "\n").last { $0.contains(#""handshake""#) })
      #expect(last.contains(#""ut_pex": 0"#) && last.contains(#""ut_metadata": 0"#), "\(last)")
      #expect(last.contains(#""size": null"#), "\(last)")
      await child.stop()
    }
  }
}
