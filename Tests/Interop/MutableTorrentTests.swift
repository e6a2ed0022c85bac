import Foundation
import Testing

/// Links to whatever a key names at present (BEP 46): who publishes stores an info-hash in the DHT, signed, and whoever has
/// the link finds it, the metadata and the contents there.
@Suite(.showingLogs)
struct MutableTorrentTests {
  private static let entrance = Address(.v4, 2)
  private static let publisher = Address(.v4, 3)
  private static let reader = Address(.v4, 4)
  private static let visitor = Address(.v4, 5)

  /// A DHT of four nodes, all ours.
  private static func network(in sandbox: Sandbox) async throws -> DHTNetwork {
    let network = DHTNetwork(sandbox: sandbox)
    _ = try await network.serve(at: entrance)
    for number in 1...3 {
      _ = try await network.serve(at: Address(.v4, 6, port: 7000 + number), nodes: [entrance])
    }
    return network
  }

  private static func put(
    _ arguments: [String], key: URL, in network: DHTNetwork
  ) async throws -> String {
    let stored = try await network.ask(
      ["put", "--key-file", key.path] + arguments, from: visitor, through: entrance)
    #expect(stored.status == .code(0), "\(stored.errors)")
    return stored.output.trimmingCharacters(in: .whitespacesAndNewlines)
  }

  private static func download(
    _ link: String, into folder: URL, _ options: [String] = [], in network: DHTNetwork
  ) async throws -> Spate.Finished {
    try await Spate.run(
      [
        "download", link, "-d", folder.path, "--bind", reader.host, "--listen-port", String(reader.port),
        "--progress", "json", "--json",
      ] + network.spate(at: reader, node: entrance).options + options, in: network.sandbox)
  }

  @Test(
    "a key leads to its torrent, to the next one, and by salt to others",
    .needs(.spate, .mktorrent, .libtorrent))
  func resolves() async throws {
    try await withSandbox { sandbox in
      let network = try await Self.network(in: sandbox)
      let key = sandbox.scratch.appending(path: "publisher.key")
      let first = try await Prepared.make(.tiny, pieceLength: 32_768, named: "first", in: sandbox)
      let second = try await Prepared.make(
        .tiny, pieceLength: 32_768, named: "second", seed: 2, in: sandbox)
      let salted = try await Prepared.make(.oneFile, pieceLength: 32_768, named: "salted", in: sandbox)
      for (number, torrent) in [first, second, salted].enumerated() {
        let seat = Address(.v4, Self.publisher.number, port: 6881 + number)
        _ = try await network.spate(at: seat, node: Self.entrance).seed(
          torrent.torrent, from: torrent.source, at: seat, in: sandbox)
      }
      func arrives(_ torrent: Prepared, by link: String, as name: String) async throws {
        let target = try sandbox.directory(name)
        let ended = try await Self.download(link, into: target, in: network)
        #expect(ended.status == .code(0), "\(ended.errors.suffix(800))")
        #expect(try ended.document().torrents.map(\.infohash) == [torrent.info.infohash])
        try await expectSame(torrent.tree, in: target, as: torrent.source, in: sandbox)
      }

      let link = try await Self.put(["--torrent", first.info.infohash], key: key, in: network)
      #expect(link.wholeMatch(of: /magnet:\?xs=urn:btpk:[0-9a-f]{64}/) != nil, "\(link)")
      try await arrives(first, by: link, as: "got-first")
      let withSalt = try await Self.put(
        ["--torrent", salted.torrent.path, "--salt", "größe"], key: key, in: network)
      #expect(withSalt == link + "&s=6772c3b6c39f65", "\(withSalt)")
      try await arrives(salted, by: withSalt, as: "got-salted")
      // The same link, the next torrent.
      #expect(try await Self.put(["--torrent", second.info.infohash], key: key, in: network) == link)
      try await arrives(second, by: link, as: "got-second")
    }
  }

  @Test("a key that leads nowhere is told of", .needs(.spate))
  func refusals() async throws {
    try await withSandbox { sandbox in
      let network = try await Self.network(in: sandbox)
      let key = sandbox.scratch.appending(path: "publisher.key")
      let target = try sandbox.directory("target")
      let text = try await Self.put(["no torrent"], key: key, in: network)
      let cases = [
        ("magnet:?xs=urn:btpk:\(text)", [], "names no torrent"),
        ("magnet:?xs=urn:btpk:\(text)&s=00", [], "no node has the item"),
        ("magnet:?xs=urn:btpk:\(text)", ["--no-dht"], "DHT is not in use"),
      ]
      for (link, options, reason) in cases {
        let ended = try await Self.download(link, into: target, options, in: network)
        #expect(ended.status != .code(0) && ended.errors.contains(reason), "\(link): \(ended.errors)")
      }
    }
  }
}
