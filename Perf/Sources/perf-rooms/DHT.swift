import DHT
import Foundation
import Hashing
import TorrentModel

/// A node with a full table, and what it costs to answer.
private struct AnsweringNode {
  var node: DHTNode
  var random = SeededRandom(seed: 1)
  var now = Moment.zero + .seconds(1)
  var actions: [DHTAction] = []
  var contacts: [DHTContact] = []

  init(maximumSources: Int? = nil) {
    var configuration = DHTConfiguration(
      sha1: { SHA1.digest(of: $0).withBytes { Bytes20($0) ?? Bytes20() } },
      verifySignature: { _, _, _ in true })
    configuration.usesV6 = false
    configuration.queriesPerSecond = .max
    configuration.queriesPerSecondAndAddress = 30_000
    configuration.queryBurstPerAddress = 30_000
    if let maximumSources { configuration.maximumSources = maximumSources }
    node = DHTNode(configuration, now: .zero, random: &random)
    fill()
  }

  private func address(_ number: UInt64) -> IPAddress {
    var mixed = SeededRandom(seed: number)
    while true {
      let address = IPAddress(v4: UInt32(truncatingIfNeeded: mixed.next()))
      if !address.isLocalOrSpecial { return address }
    }
  }

  /// Has nodes of a large network answer, as many as the table takes: their ids are nearer and nearer to ours.
  private mutating func fill() {
    guard let own = node.id(in: .v4) else { return }
    var number: UInt64 = 0
    for shared in 0..<20 {
      for _ in 0..<24 {
        number += 1
        let contact = DHTContact(
          id: id(sharing: shared, with: own), endpoint: Endpoint(address: address(number), port: 6881))
        node.addNode(contact.endpoint, now: now, random: &random, into: &actions)
        for case .send(let query, contact.endpoint) in actions {
          guard let reply = reply(to: query, id: contact.id) else { continue }
          node.datagramArrived(reply.span, from: contact.endpoint, now: now, random: &random, into: &actions)
        }
        now = now + .milliseconds(200)
        node.timerFired(now: now, random: &random, into: &actions)
        actions.removeAll(keepingCapacity: true)
        contacts.append(contact)
      }
    }
  }

  private mutating func id(sharing count: Int, with own: NodeID) -> NodeID {
    var bytes = own.bytes
    bytes[count / 8] ^= 0x80 >> UInt8(count % 8)
    for index in count / 8 + 1..<20 { bytes[index] = UInt8.random(in: 0...255, using: &random) }
    return NodeID(bytes)
  }

  private func reply(to query: [UInt8], id: NodeID) -> [UInt8]? {
    guard let message = try? KRPCMessage.decode(query.span), message.kind == .query else { return nil }
    var bytes = Array("d1:rd2:id20:".utf8)
    bytes += id.bytes.bytes
    bytes += Array("e1:t4:".utf8)
    bytes += query[message.transaction.range]
    bytes += Array("1:y1:re".utf8)
    return bytes
  }

  mutating func answer(_ query: [UInt8], from sender: Endpoint) {
    node.datagramArrived(query.span, from: sender, now: now, random: &random, into: &actions)
    if actions.count >= 64 {
      keep(actions.count)
      actions.removeAll(keepingCapacity: true)
    }
  }

  /// Queries as libtorrent writes them.
  static func query(_ method: String, _ name: String, count: Int) -> [[UInt8]] {
    var random = SeededRandom(seed: 3)
    return (0..<count).map { _ in
      var bytes = Array("d1:ad2:id20:".utf8)
      bytes += NodeID(using: &random).bytes.bytes
      if !name.isEmpty {
        bytes += Array("\(name.utf8.count):\(name)20:".utf8)
        bytes += NodeID(using: &random).bytes.bytes
      }
      bytes += Array("e1:q\(method.utf8.count):\(method)1:t2:aa1:v4:LT201:y1:qe".utf8)
      return bytes
    }
  }
}

/// Bytes of memory that this process has.
private func residentBytes() -> Int {
  let fields = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " ") ?? []
  return fields.count > 1 ? (Int(fields[1]) ?? 0) * 4096 : 0
}

func benchmarkDHT(_ stopwatch: Stopwatch) {
  let methods = [
    ("ping", "ping", ""), ("find-node", "find_node", "target"), ("get-peers", "get_peers", "info_hash"),
  ]
  for (name, method, target) in methods {
    guard stopwatch.wants("dht.answer.\(name)") else { continue }
    var answering = AnsweringNode()
    let queries = AnsweringNode.query(method, target, count: 64)
    let senders = answering.contacts.prefix(256).map(\.endpoint)
    stopwatch.measure("dht.answer.\(name)") { count in
      for index in 0..<count {
        // The clock goes on, so that nobody asks too fast.
        if index & 1023 == 0 { answering.now = answering.now + .milliseconds(10) }
        answering.answer(queries[index & 63], from: senders[index & 255])
      }
    }
    if name == "get-peers" {
      let status = answering.node.status(now: answering.now)
      let nodes = status.networks.first?.nodes ?? 0
      precondition(nodes > 140, "the table is full")
      precondition(status.statistics.limitedQueries == 0, "every query is answered")
    }
  }
  if stopwatch.wants("dht.answer.stranger") {
    // Every query from an address never seen: it is held, and a challenge goes out.
    var answering = AnsweringNode()
    let queries = AnsweringNode.query("get_peers", "info_hash", count: 64)
    var address: UInt32 = 0x0b00_0000
    stopwatch.measure("dht.answer.stranger") { count in
      for index in 0..<count {
        address = address >= 0x7e00_0000 ? 0x0b00_0000 : address &+ 257
        answering.answer(queries[index & 63], from: Endpoint(address: IPAddress(v4: address), port: 6881))
      }
    }
  }
  if stopwatch.wants("dht.memory") {
    // Full tables of nodes and of sources, in as many nodes as make the process's own memory small beside them.
    let before = residentBytes()
    var nodes: [AnsweringNode] = []
    let query = AnsweringNode.query("get_peers", "info_hash", count: 1)[0]
    for _ in 0..<500 {
      var answering = AnsweringNode()
      for number in 0..<4000 {
        let address = IPAddress(v4: 0x0b00_0000 &+ UInt32(number) &* 7919)
        answering.answer(query, from: Endpoint(address: address, port: 6881))
      }
      // What waited for those strangers is given up.
      answering.now = answering.now + .seconds(5)
      answering.node.timerFired(now: answering.now, random: &answering.random, into: &answering.actions)
      answering.actions = []
      answering.contacts = []
      nodes.append(answering)
    }
    stopwatch.report("dht.memory.full-node", bytes: (residentBytes() - before) / nodes.count)
    keep(nodes.count)
  }
  if stopwatch.wants("dht.decode") {
    let query = AnsweringNode.query("get_peers", "info_hash", count: 1)[0]
    stopwatch.measure("dht.decode.get-peers") { count in
      for _ in 0..<count { keep((try? KRPCMessage.decode(query.span))?.transaction.count) }
    }
  }
}
