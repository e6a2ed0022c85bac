import DHT
import FuzzDriver
import Glibc
import TorrentModel

/// Datagrams of the DHT, items, saved states, and the node that lives on them.
func fuzzOne(_ bytes: [UInt8]) {
  if let message = try? KRPCMessage.decode(bytes.span) { check(message, bytes.count) }
  let item = DHTItem(value: bytes)
  if (try? item.validate(verifying: { _, _, _ in true })) != nil {
    precondition(bytes.count <= DHTItem.valueLimit)
  }
  _ = item.pointedTorrent
  fuzzState(bytes)
  fuzzNode(bytes)
}

/// Not a good hash, but one that is cheap and depends on everything.
private func hash(_ bytes: Span<UInt8>) -> Bytes20 {
  var value: UInt64 = 0xcbf2_9ce4_8422_2325
  for index in bytes.indices { value = (value ^ UInt64(bytes[index])) &* 0x100_0000_01b3 }
  var result = Bytes20()
  for index in 0..<20 {
    result[index] = UInt8(truncatingIfNeeded: value >> UInt64(index % 8 * 8)) &+ UInt8(index)
  }
  return result
}

private func small() -> DHTConfiguration {
  var configuration = DHTConfiguration(
    sha1: { hash($0) }, verifySignature: { signature, _, _ in signature.count > 0 && signature[0] & 1 == 0 })
  configuration.maximumTorrents = 4
  configuration.maximumPeersPerTorrent = 4
  configuration.maximumStoredPeers = 8
  configuration.maximumItems = 4
  configuration.maximumHeldQueries = 2
  return configuration
}

private func check(_ message: KRPCMessage, _ length: Int) {
  precondition((1...KRPCMessage.transactionLimit).contains(message.transaction.count))
  for slice in [
    message.transaction, message.token, message.value, message.publicKey, message.signature, message.salt,
    message.nodes, message.nodes6, message.values, message.samples, message.errorText,
  ] {
    if let slice { precondition(slice.range.upperBound <= length) }
  }
}

private func fuzzState(_ bytes: [UInt8]) {
  var random = SeededRandom(seed: 1)
  let node = DHTNode(small(), saved: bytes, now: .zero, random: &random)
  let again = DHTNode(small(), saved: node.savedState(now: .zero), now: .zero, random: &random)
  for family in DHTFamily.allCases {
    precondition(again.id(in: family) == node.id(in: family))
    precondition(Set(again.contacts(in: family)).isSubset(of: node.contacts(in: family)))
  }
}

/// The input is a script: wishes, time, and datagrams, some of which carry a transaction that is waited for. Whatever
/// comes, everything that was begun ends once, and no stranger gets more than it sent.
private func fuzzNode(_ script: [UInt8]) {
  var random = SeededRandom(seed: 1)
  var now = Moment.zero
  var node = DHTNode(small(), now: now, random: &random)
  let senders = ["20.0.0.1:1", "20.0.1.1:2", "30.0.0.1:3", "[2a00::1]:4", "[2a01::1]:5"].compactMap {
    Endpoint($0)
  }
  var open: Set<UInt64> = []
  var lastID: UInt64 = 0
  var queries: [(bytes: [UInt8], to: Endpoint)] = []
  /// Of addresses that have never answered: bytes from them, and replies and challenges to them.
  var received: [IPAddress: Int] = [:]
  var answered: [IPAddress: Int] = [:]
  var hasProved: Set<IPAddress> = []

  func take(_ actions: [DHTAction], isAnswer: Bool) {
    for action in actions {
      switch action {
      case .send(let bytes, let to):
        precondition(bytes.count <= 1472)
        guard let message = try? KRPCMessage.decode(bytes.span) else {
          preconditionFailure("our own is not read")
        }
        precondition(message.isCanonical && message.complaint == nil)
        if message.kind == .query { queries.append((bytes, to)) }
        if isAnswer, !hasProved.contains(to.address) { answered[to.address, default: 0] += bytes.count }
      case .lookupFinished(let id, _), .queryFinished(let id, _):
        precondition(open.remove(id.rawValue) != nil, "ended twice, or was never begun")
      case .peersFound(let id, let peers):
        precondition(open.contains(id.rawValue) && !peers.isEmpty)
      case .itemFound(let id, _), .samplesFound(let id, _): precondition(open.contains(id.rawValue))
      case .externalAddressChanged, .readinessChanged: break
      }
    }
  }

  var rest = script[...]
  while let operation = rest.popFirst() {
    var actions: [DHTAction] = []
    let argument = rest.popFirst() ?? 0
    let sender = senders[Int(argument) % senders.count]
    switch operation & 7 {
    case 0:
      lastID += 1
      open.insert(lastID)
      let point = NodeID(InfoHash(Bytes20(repeatElement(argument, count: 20)) ?? Bytes20()))
      let goal: LookupGoal =
        switch argument % 6 {
        case 0: .nodes(point)
        case 1: .peers(point.infoHash, announcing: .init(port: 1), scraping: true)
        case 2: .immutableItem(point)
        case 3: .mutableItem(publicKey: [UInt8](repeating: 1, count: 32))
        case 4: .put(DHTItem(value: [0x69, 0x31, 0x65]))
        default: .samples(toward: point)
        }
      node.startLookup(goal, as: LookupID(lastID), now: now, random: &random, into: &actions)
      take(actions, isAnswer: false)
    case 1:
      now = now + .milliseconds(Int(argument) * 50)
      node.timerFired(now: now, random: &random, into: &actions)
      take(actions, isAnswer: false)
    case 2:
      node.addNode(sender, now: now, random: &random, into: &actions)
      take(actions, isAnswer: false)
    case 3:
      lastID += 1
      open.insert(lastID)
      node.ping(sender, as: LookupID(lastID), now: now, random: &random, into: &actions)
      take(actions, isAnswer: false)
    case 4:
      node.cancelLookup(LookupID(UInt64(argument)), now: now, random: &random, into: &actions)
      take(actions, isAnswer: false)
    case 5:
      // A datagram from anybody.
      let datagram = Array(rest.prefix(Int(argument)))
      rest = rest.dropFirst(datagram.count)
      received[sender.address, default: 0] += datagram.count
      node.datagramArrived(datagram.span, from: sender, now: now, random: &random, into: &actions)
      // A reply may be one to a query of ours, and what follows is no answer then.
      let isQuery = (try? KRPCMessage.decode(datagram.span))?.kind == .query
      take(actions, isAnswer: isQuery)
    default:
      // An answer to something that was asked: the reply's content from the script.
      guard !queries.isEmpty else { break }
      let (query, to) = queries.remove(at: Int(argument) % queries.count)
      guard let message = try? KRPCMessage.decode(query.span) else { break }
      let content = Array(rest.prefix(Int(operation)))
      rest = rest.dropFirst(content.count)
      var datagram = Array("d1:rd2:id20:".utf8) + [UInt8](repeating: argument, count: 20) + content
      datagram += Array("e1:t\(message.transaction.count):".utf8) + query[message.transaction.range]
      datagram += Array("1:y1:re".utf8)
      hasProved.insert(to.address)
      node.datagramArrived(datagram.span, from: to, now: now, random: &random, into: &actions)
      take(actions, isAnswer: false)
    }
    for (address, bytes) in answered where !hasProved.contains(address) {
      precondition(bytes <= received[address, default: 0], "a stranger got more than it sent")
    }
    precondition(node.status(now: now).storedPeers <= 8 && node.status(now: now).storedItems <= 4)
  }
  // Left alone, everything ends.
  for _ in 0..<4000 where !open.isEmpty {
    var actions: [DHTAction] = []
    now = max(now, node.nextDeadline)
    node.timerFired(now: now, random: &random, into: &actions)
    take(actions, isAnswer: false)
  }
  precondition(open.isEmpty, "a lookup does not end")
}

exit(fuzz(fuzzOne))
