import Foundation
import Testing

/// Our node among nodes of libtorrent, transmission and aria2, which know only each other.
@Suite(.showingLogs)
struct DHTTests {
  private static let entrance = Address(.v4, 2)
  private static let second = Address(.v4, 3)
  private static let third = Address(.v4, 4)
  private static let visitor = Address(.v4, 5)

  @Test("who announces is found, by us and by libtorrent", .needs(.spate, .libtorrent))
  func announces() async throws {
    try await withSandbox { sandbox in
      let network = DHTNetwork(sandbox: sandbox)
      let (theirs, ours) = (String(repeating: "1a", count: 20), String(repeating: "2b", count: 20))
      _ = try await network.serve(at: Self.entrance)
      _ = try network.libtorrent(at: Self.second, nodes: [Self.entrance], ["--announce", theirs])
      try await eventually("what libtorrent announces is found") {
        let found = try await network.ask(["peers", theirs], from: Self.visitor, through: Self.second)
        return found.output == "\(Self.second)\n"
      }
      // Now that the network has more than one node.
      let announced = try await network.ask(
        ["announce", ours, "--port", "7777", "--json"], from: Self.visitor, through: Self.entrance)
      #expect(announced.status == .code(0), "\(announced.errors)")
      let searcher = try network.libtorrent(at: Self.third, nodes: [Self.second], ["--peers", ours])
      try await eventually("what we announce is found by libtorrent") {
        searcher.output.contains("\(Self.visitor.host):7777")
      }
      let known = try await network.ask(
        ["sample", Self.second.description], from: Self.visitor, through: Self.entrance)
      #expect(known.output.contains(theirs), "\(known.errors)")
      let ping = try await network.ask(
        ["ping", Self.second.description, "--json"], from: Self.visitor, through: Self.entrance)
      #expect(ping.status == .code(0) && ping.output.contains(Self.second.description))
      let nodes = try await network.ask(["nodes", ours], from: Self.visitor, through: Self.third)
      for node in [Self.entrance, .init(.v4, 3), Self.third] {
        #expect(nodes.output.contains(node.description), "\(nodes.output)")
      }
    }
  }

  @Test("items of ours are found by libtorrent, and its by us", .needs(.spate, .libtorrent))
  func items() async throws {
    try await withSandbox { sandbox in
      let network = DHTNetwork(sandbox: sandbox)
      _ = try await network.serve(at: Self.entrance)
      _ = try network.libtorrent(at: Self.second, nodes: [Self.entrance], [])
      try await eventually("the network has two nodes") {
        try await network.ask(["nodes"], from: Self.visitor, through: Self.entrance)
          .output.split(separator: "\n").count == 2
      }
      func put(_ arguments: [String]) async throws -> String {
        let stored = try await network.ask(["put"] + arguments, from: Self.visitor, through: Self.entrance)
        #expect(stored.status == .code(0), "\(stored.errors)")
        return stored.output.trimmingCharacters(in: .whitespacesAndNewlines)
      }
      let keyFile = sandbox.scratch.appending(path: "me.key")
      let point = try await put(["immutable, from us"])
      let key = try await put(["--key-file", keyFile.path, "--salt", "ours", "first version"])
      #expect(point.count == 40 && key.count == 64)
      let again = try await put(["--key-file", keyFile.path, "--salt", "ours", "second version"])
      #expect(again == key)

      let seed = try String(contentsOf: keyFile, encoding: .utf8).trimmingCharacters(in: .newlines)
      let other = try network.libtorrent(
        at: Self.third, nodes: [Self.second],
        [
          "--get", point, "--get-key", "\(key):ours", "--put", "immutable, from libtorrent",
          "--put-key", "\(seed):\(key):theirs:mutable, from libtorrent",
        ])
      for text in ["immutable, from us", "second version"] {
        try await eventually("libtorrent gets '\(text)'") { other.output.contains(text) }
      }
      #expect(!other.output.contains("first version"), "an old item was found")
      let target = try await first("libtorrent says where its item lies") {
        other.output.firstMatch(of: /"event": "put", "target": "([0-9a-f]{40})"/).map { String($0.1) }
      }
      try await eventually(within: .seconds(60), "we get the immutable item") {
        try await network.ask(["get", target], from: Self.visitor, through: Self.entrance).output
          == "immutable, from libtorrent\n"
      }
      try await eventually(within: .seconds(60), "we get the mutable item") {
        try await network.ask(
          ["get", "--key", key, "--salt", "theirs"], from: Self.visitor, through: Self.second
        ).output == "mutable, from libtorrent\n"
      }
    }
  }

  private static func magnet(_ torrent: Prepared) -> String {
    "magnet:?xt=urn:btih:\(torrent.info.infohash)"
  }

  @Test(
    "a link without trackers is enough, whoever seeds", .needs(.spate, .libtorrent, .mktorrent),
    arguments: ClientKind.allCases.filter { available([$0.requirement]) })
  func fromOthers(_ kind: ClientKind) async throws {
    try await withSandbox { sandbox in
      let network = DHTNetwork(sandbox: sandbox)
      let torrent = try await Prepared.make(.oneFile, pieceLength: 32_768, in: sandbox)
      _ = try await network.serve(at: Self.entrance)
      try await network.serveMore(for: kind, behind: Self.entrance)
      _ = try await network.start(
        kind, torrent, in: torrent.source, seeding: true, at: Self.second, node: Self.entrance)
      let target = try sandbox.directory("target")
      let ended = try await Spate.run(
        [
          "download", Self.magnet(torrent), "-d", target.path, "--bind", Self.third.host, "--listen-port",
          String(Self.third.port), "--progress", "json", "--json",
        ] + network.spate(at: Self.third, node: Self.entrance).options, within: .seconds(100), in: sandbox)
      #expect(ended.status == .code(0), "\(ended.errors.suffix(800))")
      #expect(
        ended.errors.contains(/"dht":[1-9]/) || ended.errors.contains(/"incoming":[1-9]/),
        "the peer was found in the DHT, or found us there")
      try await expectSame(.oneFile, in: target, as: torrent.source, in: sandbox)
    }
  }

  @Test(
    "others find us in the DHT", .needs(.spate, .libtorrent, .mktorrent),
    arguments: ClientKind.allCases.filter { available([$0.requirement]) })
  func toOthers(_ kind: ClientKind) async throws {
    try await withSandbox { sandbox in
      let network = DHTNetwork(sandbox: sandbox)
      let torrent = try await Prepared.make(.oneFile, pieceLength: 32_768, in: sandbox)
      // The one node that leads in is none of ours.
      _ = try network.libtorrent(at: Self.entrance, nodes: [], [])
      try await network.serveMore(for: kind, behind: Self.entrance)
      _ = try await network.spate(at: Self.second, node: Self.entrance).seed(
        torrent.torrent, from: torrent.source, at: Self.second, in: sandbox)
      let target = try sandbox.directory("target")
      let child = try await network.start(
        kind, torrent, in: target, seeding: false, at: Self.third, node: Self.entrance)
      let source = try Data(contentsOf: torrent.content)
      let got = target.appending(path: torrent.content.lastPathComponent)
      try await eventually(within: .seconds(100), every: .milliseconds(200), "\(kind) has it all") {
        (try? Data(contentsOf: got)) == source
      }
      await child.stop(within: .seconds(20))
    }
  }
}
