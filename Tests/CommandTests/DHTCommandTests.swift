import Engine
import Foundation
import Logging
import Testing

@testable import SpateCommand

/// `spate dht`: what it takes, what it refuses, and how results look.
@Suite struct DHTCommandTests {
  static let hash = "c12fe1c06bba254a9dc9f519b335aa7c1367a88a"
  static let key = String(repeating: "ab", count: 32)

  private func parse<Command>(_ arguments: String..., as type: Command.Type) throws -> Command {
    guard case .command(let command) = try CommandLineTool.parse(["dht"] + arguments) else {
      throw CommandFailure(.other, "no command")
    }
    return try #require(command as? Command)
  }

  @Test func commands() throws {
    #expect(try parse("ping", "[::1]:7", as: DHTPing.self).node.description == "[::1]:7")
    #expect(try parse("nodes", as: DHTNodes.self).target == nil)
    #expect(try parse("nodes", Self.hash, as: DHTNodes.self).target?.id.hex == Self.hash)
    #expect(try parse("peers", Self.hash, "--count", as: DHTPeers.self).count)
    let announce = try parse("announce", Self.hash, "--port", "6881", "--seed", as: DHTAnnounce.self)
    #expect(announce.port.port == 6881 && announce.seed)
    let get = try parse("get", "--key", Self.key, "--salt", "été", as: DHTGet.self)
    #expect(get.key?.bytes == [UInt8](repeating: 0xab, count: 32) && get.salt?.bytes == Array("été".utf8))
    let put = try parse(
      "put", "--key-file", "k", "--seq", "9223372036854775807", "--cas", "0", "x", as: DHTPut.self)
    #expect(put.seq?.value == .max && put.cas?.value == 0 && put.value == "x")
    #expect(try parse("put", "-", as: DHTPut.self).value == "-")
    #expect(try parse("sample", as: DHTSample.self).node == nil)
    let serve = try parse(
      "serve", "--dht-node", "a:1", "--dht-node", "b:2", "--no-public-nodes", "--dht-port", "0",
      as: DHTServe.self)
    #expect(serve.network.dhtNode.map(\.description) == ["a:1", "b:2"])
    #expect(serve.network.publicNodes == false && serve.network.dhtPort?.port == 0)
    let stats = try parse("stats", "--timeout", "5s", "--bind", "lo", "--json", as: DHTStats.self)
    #expect(stats.question.timeout?.seconds == 5 && stats.question.network.bind == "lo")
  }

  @Test(arguments: [
    [], ["none"], ["ping"], ["ping", "host"], ["ping", "host:0"], ["nodes", "12"], ["peers"],
    ["announce", hash], ["announce", hash, "--port", "70000"], ["get"], ["get", "zz"], ["get", hash + "0"],
    ["get", hash, "--key", key], ["get", hash, "--salt", "x"], ["get", "--key", "abcd"],
    ["get", "--key", key, "--salt", String(repeating: "x", count: 65)], ["put"],
    ["put", "x", "--salt", "y"], ["put", "x", "--seq", "1"], ["put", "x", "--cas", "1"],
    ["put", "--torrent", hash], ["put", "x", "--torrent", hash, "--key-file", "k"],
    ["put", "--bencode", "--torrent", hash, "--key-file", "k"],
    ["put", "x", "--key-file", "k", "--seq", "-1"],
    ["serve", "--dht-node", "::1:6881"], ["serve", "--max-queries", "0"], ["stats", "--timeout", "soon"],
  ])
  func refusals(_ arguments: [String]) throws {
    let failure = try #require(throws: CommandFailure.self) {
      // Help is asked for by nothing here.
      if case .text(let text) = try CommandLineTool.parse(["dht"] + arguments) {
        Issue.record("\(arguments) printed \(text)")
      }
    }
    #expect(failure.status == .usage)
    #expect(failure.description.contains("spate dht"), "\(failure)")
  }

  @Test func options() throws {
    let layers = SettingsLayers(
      command: "dht",
      environment: [
        "SPATE_DHT_NODE": "n.example:1 [2001:db8::1]:2", "SPATE_PUBLIC_NODES": "no", "SPATE_DHT_PORT": "99",
        "XDG_STATE_HOME": "/state",
      ], file: nil)
    let options = try parse("stats", as: DHTStats.self).question.network.options(layers)
    #expect(options.nodes == ["n.example:1", "[2001:db8::1]:2"] && !options.usesPublicNodes)
    #expect(options.port == 99 && options.stateFile == "/state/spate/dht.state")
    let plain = SettingsLayers(command: "dht", environment: ["HOME": "/home/me"], file: nil)
    let own = try parse("stats", "--dht-node", "m:3", as: DHTStats.self).question.network.options(plain)
    #expect(own.nodes == ["m:3"] && own.usesPublicNodes && own.port == nil)
    #expect(own.stateFile == "/home/me/.local/state/spate/dht.state")
  }

  @Test(arguments: [
    ("5:hello", "hello"), ("6:a\u{1B}[31m", "a?[31m"), ("3:a\nb", "a\nb"), ("i-5e", "-5"), ("0:", ""),
    ("l1:ai2eli3eee", #"["a", 2, [3]]"#), ("d1:a3:\"x\\1:bdee", #"{"a": "\"x\\", "b": {}}"#),
  ])
  func values(_ value: String, _ line: String) {
    #expect(DHTItemDocument.line(DHTItem(value: Array(value.utf8))) == line)
  }

  @Test func bytesThatAreNoText() {
    let item = DHTItem(value: DHTItem.encoded(string: [0xff, 0x00, 0x7f]))
    #expect(DHTItemDocument.line(item) == "<ff007f>")
    let document = JSONText.line(DHTItemDocument(item, nodes: 3))
    #expect(document.contains(#""text":null"#) && document.contains(#""value":"333aff007f""#))
    #expect(document.contains(#""nodes":3"#) && document.contains(#""public_key":null"#))
  }

  @Test func itemsOfAKey() throws {
    let keys = try DHTKeyPair(seed: [UInt8](repeating: 1, count: 32))
    let infoHash = try #require(InfoHash(hex: Self.hash))
    let item = try keys.item(DHTItem.torrentPointer(to: infoHash), salt: [0x66], sequence: 4)
    let document = JSONText.line(DHTItemDocument(item))
    for part in [
      #""sequence":4"#, #""salt":"66""#, #""torrent":"\#(Self.hash)""#,
      #""public_key":"\#(HexText.of(keys.publicKey))""#,
    ] {
      #expect(document.contains(part), "\(document)")
    }
  }

  /// Made once, for its owner only; what is none is refused.
  @Test func keyFiles() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("spate-\(UUID().uuidString)")
      .path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let path = folder + "/key"
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let made = try DHTKeyFile.load(path, logger)
    let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
    #expect(mode == 0o600)
    #expect(try DHTKeyFile.load(path, logger).publicKey == made.publicKey)
    let other = folder + "/other"
    for text in ["", "abcd\n", String(repeating: "g", count: 64), Self.key + "00"] {
      try text.write(toFile: other, atomically: true, encoding: .utf8)
      let failure = #expect(throws: CommandFailure.self) { try DHTKeyFile.load(other, logger) }
      #expect(failure?.status == .usage)
    }
    let nowhere = #expect(throws: CommandFailure.self) { try DHTKeyFile.load(folder + "/no/key", logger) }
    #expect(nowhere?.status == .fileInputOutput)
  }

  @Test(arguments: [
    (DHTFailure.noNodes, CommandStatus.network), (.timedOut, .timedOut), (.notFound, .other),
    (.notANode("x"), .usage), (.notAnItem(.valueTooLong(2000)), .usage),
    (.notStored(reason: "full (202)"), .other),
    (.cannotResolve("h", reason: "r"), .network), (.cannotBind("b"), .other),
  ])
  func exitCodes(_ failure: DHTFailure, _ status: CommandStatus) {
    let shown = CommandFailure(failure)
    #expect(shown.status == status)
    #expect(shown.description.hasPrefix(failure.description))
  }

  @Test func hexadecimalDigits() {
    #expect(HexText.bytes("00fFaB") == [0, 255, 171])
    for text in ["0", "0g", "é0", " 00", "00 "] { #expect(HexText.bytes(text) == nil) }
  }

  @Test func torrents() async throws {
    let infoHash = try #require(InfoHash(hex: Self.hash))
    #expect(try await DHTTorrent.infoHash(Self.hash, certificateFile: nil) == infoHash)
    let link = "magnet:?xt=urn:btih:\(Self.hash)&dn=x"
    #expect(try await DHTTorrent.infoHash(link, certificateFile: nil) == infoHash)
    // A private torrent is not announced (BEP 27).
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("spate-\(UUID().uuidString)")
      .path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try Data(repeating: 7, count: 1000).write(to: URL(fileURLWithPath: folder + "/file"))
    var options = TorrentCreator.Options()
    options.isPrivate = true
    let bytes = try await TorrentCreator.create(path: folder + "/file", options: options).bytes
    try Data(bytes).write(to: URL(fileURLWithPath: folder + "/t.torrent"))
    let path = folder + "/t.torrent"
    _ = try await DHTTorrent.infoHash(path, certificateFile: nil)
    let failure = await #expect(throws: CommandFailure.self) {
      try await DHTTorrent.infoHash(path, isAnnounced: true, certificateFile: nil)
    }
    #expect(failure?.status == .usage && failure?.description.contains("private") == true)
  }
}
