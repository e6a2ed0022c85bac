import Foundation
import Reactor
import Synchronization
import Testing

@testable import Engine

/// Nodes that know only each other, over loopback.
@Suite(.serialized) struct DHTClientTests {
  static func options(_ nodes: [Endpoint] = [], state: String? = nil) -> DHTOptions {
    var options = DHTOptions()
    options.nodes = nodes.map(\.description)
    options.usesPublicNodes = false
    options.stateFile = state
    return options
  }

  /// Nodes of which all but the first begin with the first.
  struct Network {
    var nodes: [DHTClient] = []

    var hub: Endpoint { nodes[0].localAddresses[0] }

    init(_ count: Int = 3) async throws {
      for number in 0..<count {
        nodes.append(
          try await .start(DHTClientTests.options(number == 0 ? [] : [hub]), bind: "127.0.0.1"))
      }
      let nodes = nodes
      // Whoever is to store something must have been let in.
      try await DHTClientTests.until { try await nodes[0].table().count == count - 1 }
    }

    func stop() async {
      for node in nodes { await node.shutdown() }
    }
  }

  static func until(_ condition: () async throws -> Bool) async throws {
    for _ in 0..<500 {
      if try await condition() { return }
      try await Task.sleep(for: .milliseconds(20))
    }
    Issue.record("it did not come to pass within ten seconds")
  }

  /// What is said when something does not succeed; nil when it does.
  static func failure(_ body: () async throws -> Void) async -> String? {
    do {
      try await body()
      return nil
    } catch {
      return (error as? DHTFailure)?.description ?? "another error: \(error)"
    }
  }

  static func hash(_ digits: String) throws -> InfoHash {
    try #require(InfoHash(hex: digits + String(repeating: "0", count: 40 - digits.count)))
  }

  static func text(_ value: String) -> [UInt8] { Array("\(value.utf8.count):\(value)".utf8) }

  @Test func whoAnnouncesIsFound() async throws {
    let network = try await Network()
    let infoHash = try Self.hash("c0ffee")
    await #expect(throws: Never.self) {
      #expect(try await network.nodes[2].peers(of: infoHash).isEmpty)
      let stored = try await network.nodes[1].announce(infoHash, port: 6881, isSeed: true)
      #expect(stored.storedCount >= 1)
      try await network.nodes[0].announce(infoHash, port: 6882)
    }
    let found = Gathered<Endpoint>()
    let result = try await network.nodes[2].findPeers(of: infoHash, isCounting: true) { found.append($0) }
    #expect(
      Set(found.elements.map(\.description)) == ["127.0.0.1:6881", "127.0.0.1:6882"],
      "each once: \(found.elements)")
    #expect(found.elements.count == 2)
    #expect(result.peerCount == 2)
    // Both are at one address, which is what filters count (BEP 33).
    #expect(result.scrape?.seeds == 1)
    let samples = try await network.nodes[2].sample(network.hub, toward: NodeID(infoHash))
    #expect(samples.samples == [infoHash])
    #expect(samples.count == 1)
    let heard = try await network.nodes[1].samples(toward: NodeID(infoHash))
    #expect(Set(heard.flatMap(\.samples)) == [infoHash])
    await network.stop()
  }

  @Test func immutableItemsAreStoredAndFound() async throws {
    let network = try await Network()
    let long = Self.text(String(repeating: "x", count: 900))
    let stored = try await network.nodes[1].put(long)
    #expect(stored.count == 2)
    #expect(try await network.nodes[2].item(at: stored.target).value == long)
    let elsewhere = NodeID(try Self.hash("dead"))
    await #expect(throws: DHTFailure.self) { try await network.nodes[2].item(at: elsewhere) }
    for value in ["i1", "d1:b1:x1:a1:ye", ""] {
      #expect(
        await Self.failure { _ = try await network.nodes[1].put(Array(value.utf8)) }
          == "the value is not canonical bencode", "'\(value)'")
    }
    await network.stop()
  }

  @Test func mutableItemsAreReplacedInOrder() async throws {
    let network = try await Network()
    let keys = try DHTKeyPair.generate()
    let salt = Array("list".utf8)
    let first = try await network.nodes[1].put(Self.text("one"), as: keys, salt: salt)
    #expect(first.item.mutable?.sequence == 1)
    let second = try await network.nodes[2].put(Self.text("two"), as: keys, salt: salt)
    #expect(second.item.mutable?.sequence == 2, "one more than what is there")
    #expect(first.target == second.target)
    let found = try await network.nodes[0].item(ofPublicKey: keys.publicKey, salt: salt)
    #expect(found.value == Self.text("two"))
    #expect(found == second.item)
    // Without the salt it is another place.
    #expect(
      await Self.failure { _ = try await network.nodes[0].item(ofPublicKey: keys.publicKey) }
        == "no node has the item")
    // What is older or not expected is refused.
    let refusal302 = await Self.failure {
      _ = try await network.nodes[2].put(Self.text("old"), as: keys, salt: salt, sequence: 1)
    }
    #expect(refusal302?.hasSuffix("(302)") == true, "an older item was stored: \(refusal302 ?? "stored")")
    let refusal301 = await Self.failure {
      _ = try await network.nodes[2].put(Self.text("cas"), as: keys, salt: salt, sequence: 9, replacing: 1)
    }
    #expect(
      refusal301?.hasSuffix("(301)") == true,
      "an item was stored in place of one that was not expected: \(refusal301 ?? "stored")")
    _ = try await network.nodes[2].put(Self.text("cas"), as: keys, salt: salt, sequence: 9, replacing: 2)
    #expect(
      try await network.nodes[0].item(ofPublicKey: keys.publicKey, salt: salt).mutable?.sequence == 9)
    await network.stop()
  }

  @Test func keysNameTorrents() async throws {
    let network = try await Network()
    let keys = try DHTKeyPair(seed: [UInt8](repeating: 7, count: 32))
    let infoHash = try Self.hash("f00d")
    _ = try await network.nodes[1].put(DHTItem.torrentPointer(to: infoHash), as: keys)
    #expect(try await network.nodes[2].resolve(mutable: keys.publicKey) == infoHash)
    _ = try await network.nodes[1].put(Self.text("words"), as: keys)
    #expect(
      await Self.failure { _ = try await network.nodes[2].resolve(mutable: keys.publicKey) }
        == "the item names no torrent")
    await network.stop()
  }

  @Test func nodesAnswerPings() async throws {
    let network = try await Network(2)
    let (contact, time) = try await network.nodes[1].ping(network.hub)
    #expect(contact.id == (try await network.nodes[0].status())?.networks.first?.id)
    #expect(time >= 0)
    #expect(try await network.nodes[1].nodes(closestTo: contact.id).closest.first == contact)
    let deaf = Endpoint(address: IPAddress(127, 0, 0, 1), port: 9)
    #expect(
      await Self.failure { _ = try await network.nodes[1].ping(deaf, within: 0.3) }
        == "the node does not answer")
    await network.stop()
    #expect(
      await Self.failure { _ = try await network.nodes[1].ping(network.hub) } == "the node was shut down")
  }

  /// A read-only node asks, is not asked, and gets no place in tables (BEP 43).
  @Test func readOnlyNodesAskOnly() async throws {
    let network = try await Network()
    let infoHash = try Self.hash("beef")
    try await network.nodes[1].announce(infoHash, port: 6881)
    var options = Self.options([network.hub])
    options.isReadOnly = true
    let reader = try await DHTClient.start(options, bind: "127.0.0.1")
    #expect(try await reader.peers(of: infoHash).map(\.port) == [6881])
    // What it cannot prove itself for, it pays for.
    let keys = try DHTKeyPair.generate()
    let long = Self.text(String(repeating: "x", count: DHTItem.valueLimit - 4))
    _ = try await reader.put(long, as: keys, salt: Array(repeating: 7, count: DHTItem.saltLimit))
    #expect(
      try await reader.item(ofPublicKey: keys.publicKey, salt: Array(repeating: 7, count: DHTItem.saltLimit))
        .value == long)
    #expect(
      await Self.failure { _ = try await network.nodes[1].ping(reader.localAddresses[0], within: 0.5) }
        == "the node does not answer")
    let table = try await network.nodes[0].table()
    #expect(!table.map(\.endpoint).contains(reader.localAddresses[0]))
    await reader.shutdown()
    await network.stop()
  }

  @Test func withoutANodeThereIsNoNetwork() async throws {
    let alone = try await DHTClient.start(Self.options(), bind: "127.0.0.1")
    let infoHash = try Self.hash("aa")
    #expect(
      await Self.failure { _ = try await alone.peers(of: infoHash, within: 0.2) }
        == "no node of the DHT answers")
    // A task that is given up ends at once, whatever time it had.
    let task = Task { try await alone.peers(of: infoHash, within: 3600) }
    try await Task.sleep(for: .milliseconds(20))
    task.cancel()
    await #expect(throws: DHTFailure.self) { try await task.value }
    // So does one whose node goes away.
    let other = Task { try await alone.peers(of: infoHash, within: 3600) }
    try await Task.sleep(for: .milliseconds(20))
    await alone.shutdown()
    await #expect(throws: DHTFailure.self) { try await other.value }
  }

  @Test func whatCannotBeUsedIsRefused() async throws {
    for node in ["", "host", "host:", "host:0", "host:65536", "[::1:6881", "::1:6881", "a b:1", "host:+1"] {
      var options = Self.options()
      options.nodes = [node]
      #expect(
        await Self.failure { _ = try await DHTClient.start(options, bind: "127.0.0.1") }
          == "'\(node)' is not of the form HOST:PORT")
    }
    await #expect(throws: DHTFailure.self) { try await DHTClient.start(Self.options(), bind: "192.0.2.1") }
    let first = try await DHTClient.start(Self.options(), bind: "127.0.0.1")
    var taken = Self.options()
    taken.port = first.port
    await #expect(throws: DHTFailure.self) { try await DHTClient.start(taken, bind: "127.0.0.1") }
    await first.shutdown()
  }

  /// Id and table come back, and only one at a time has them.
  @Test func theTableIsKept() async throws {
    let scratch = try TransferTests.Scratch()
    let state = scratch.path + "/deep/dht.state"
    let network = try await Network()
    let before = try await DHTClient.start(Self.options([network.hub], state: state), bind: "127.0.0.1")
    _ = try await before.nodes(closestTo: NodeID(try Self.hash("1")))
    let id = try #require(try await before.status()?.networks.first?.id)
    await before.shutdown()
    #expect(FileManager.default.fileExists(atPath: state))

    let after = try await DHTClient.start(Self.options(state: state), bind: "127.0.0.1")
    let found = try await after.nodes(closestTo: NodeID(try Self.hash("1"))).closest
    #expect(found.contains { $0.endpoint == network.hub }, "the way in was in the file")
    #expect(try await after.status()?.networks.first?.id == id)

    let second = try await DHTClient.start(Self.options(state: state), bind: "127.0.0.1")
    _ = try await second.nodes(closestTo: NodeID(try Self.hash("1")))
    let secondID = try #require(try await second.status()?.networks.first?.id)
    #expect(secondID != id, "two nodes with one id")
    await second.shutdown()
    await after.shutdown()

    // What is no state file is passed over.
    try Data("rubbish".utf8).write(to: URL(fileURLWithPath: state))
    let third = try await DHTClient.start(Self.options([network.hub], state: state), bind: "127.0.0.1")
    _ = try await third.nodes(closestTo: NodeID(try Self.hash("1")))
    await third.shutdown()
    let saved = try Data(contentsOf: URL(fileURLWithPath: state))
    #expect(saved.starts(with: Array("d2:id20:".utf8)))
    await network.stop()
  }

  /// A visitor leaves a file that is there as it is.
  @Test func visitorsTakeNothingAway() async throws {
    let scratch = try TransferTests.Scratch()
    let state = scratch.path + "/dht.state"
    let network = try await Network()
    func visit() async throws -> NodeID? {
      var options = Self.options([network.hub], state: state)
      options.isVisit = true
      let visitor = try await DHTClient.start(options, bind: "127.0.0.1")
      _ = try await visitor.nodes(closestTo: NodeID(try Self.hash("1")))
      let id = try await visitor.status()?.networks.first?.id
      await visitor.shutdown()
      return id
    }
    let first = try await visit()
    let saved = try Data(contentsOf: URL(fileURLWithPath: state))
    let second = try await visit()
    #expect(first != second)
    #expect(try Data(contentsOf: URL(fileURLWithPath: state)) == saved)
    await network.stop()
  }

  /// Torrents are announced, and hear of each other.
  @Test func torrentsFindEachOther() async throws {
    let network = try await Network()
    let loop = try EventLoop(name: "test")
    try loop.start()
    let options = Self.options([network.hub])
    let infoHash = try Self.hash("7077")
    let found = Gathered<Endpoint>()
    let (seed, leech) = try await loop.run { () throws(ReactorError) in
      let binding = try LocalBinding(parsing: "127.0.0.1")
      let seed = try DHTDriver(options: options, binding: binding, listenPort: 0, loop: loop)
      let leech = try DHTDriver(options: options, binding: binding, listenPort: 0, loop: loop)
      seed.start()
      leech.start()
      seed.track(infoHash, announcePort: 7001, isSeed: true) { _ in }
      return (LoopBound(seed, on: loop), LoopBound(leech, on: loop))
    }
    try await Self.until { try await network.nodes[1].peers(of: infoHash).map(\.port) == [7001] }
    await loop.run {
      leech.value.track(infoHash, announcePort: 7002, isSeed: false) { peers in
        found.append(peers)
        // Calling back is allowed.
        leech.value.wantMore(infoHash)
      }
    }
    try await Self.until { found.elements.map(\.port).contains(7001) }
    try await Self.until { Set(try await network.nodes[1].peers(of: infoHash).map(\.port)) == [7001, 7002] }
    for driver in [seed, leech] {
      await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
        loop.post { driver.value.close { continuation.resume() } }
      }
    }
    loop.stop()
    loop.join()
    await network.stop()
  }
}
