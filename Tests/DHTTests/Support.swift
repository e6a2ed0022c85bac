import Bencode
import CCrypto
import Hashing
import HeapModule
import TorrentModel

@testable import DHT

let sha1: @Sendable (Span<UInt8>) -> Bytes20 = { bytes in
  SHA1.digest(of: bytes).withBytes { Bytes20($0) ?? Bytes20() }
}

/// Bytes of a span, for C.
func array(_ span: Span<UInt8>) -> [UInt8] { span.indices.map { span[$0] } }

let verifySignature: @Sendable (Span<UInt8>, Span<UInt8>, Span<UInt8>) -> Bool = { signature, message, key in
  guard signature.count == 64, key.count == 32 else { return false }
  let message = array(message)
  return spate_ed25519_verify(array(key), message, message.count, array(signature))
}

/// Bytes from hexadecimal digits; spaces and line ends are for the reader.
func bytes(hex: String) -> [UInt8] {
  let digits = hex.utf8.compactMap { Character(Unicode.Scalar($0)).hexDigitValue.map(UInt8.init) }
  precondition(digits.count % 2 == 0)
  return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

func decode(_ text: String) throws(KRPCError) -> KRPCMessage {
  try KRPCMessage.decode(Array(text.utf8).span)
}

func point(_ text: String) -> NodeID { NodeID(Array(text.utf8).span, at: 0) }

/// The text of a datagram whose bytes are ASCII.
func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

/// A pair of keys from a seed.
struct KeyPair {
  let seed: [UInt8]
  let publicKey: [UInt8]

  init(seed: UInt8) {
    self.seed = [UInt8](repeating: seed, count: 32)
    var key = [UInt8](repeating: 0, count: 32)
    precondition(spate_ed25519_public_key(self.seed, &key))
    publicKey = key
  }

  func sign(_ message: [UInt8]) -> [UInt8] {
    var signature = [UInt8](repeating: 0, count: 64)
    precondition(spate_ed25519_sign(seed, message, message.count, &signature))
    return signature
  }

  func item(_ value: String, salt: String = "", sequence: Int64) -> DHTItem {
    let value = Array("\(value.utf8.count):\(value)".utf8)
    let salt = Array(salt.utf8)
    let signed = DHTItem.signedBytes(value: value.span, salt: salt.span, sequence: sequence)
    return DHTItem(
      value: value,
      mutable: .init(publicKey: publicKey, salt: salt, sequence: sequence, signature: sign(signed)))
  }
}

extension DHTConfiguration {
  /// As it comes, with real hashes and signatures.
  static var plain: DHTConfiguration {
    DHTConfiguration(sha1: DHTTests.sha1, verifySignature: DHTTests.verifySignature)
  }
}

extension Moment {
  static func seconds(_ value: Double) -> Moment { .zero + .seconds(value) }
}

/// One node, and a stranger's view of it: bytes in, bytes out.
struct Lone {
  var node: DHTNode
  var random: SeededRandom
  var now = Moment.seconds(1)
  var actions: [DHTAction] = []

  init(_ configuration: DHTConfiguration = .plain, id: NodeID? = nil, seed: UInt64 = 1) {
    random = SeededRandom(seed: seed)
    var saved: [UInt8]?
    if let id {
      var state = DHTSavedState()
      state[.v4].id = id
      state[.v6].id = id
      saved = state.encoded()
    }
    node = DHTNode(configuration, saved: saved, now: .zero, random: &random)
  }

  /// What the node sends when this arrives, in order.
  mutating func receive(_ bytes: [UInt8], from sender: Endpoint) -> [(bytes: [UInt8], to: Endpoint)] {
    let before = actions.count
    node.datagramArrived(bytes.span, from: sender, now: now, random: &random, into: &actions)
    return sent(after: before)
  }

  mutating func receive(_ text: String, from sender: Endpoint) -> [(bytes: [UInt8], to: Endpoint)] {
    receive(Array(text.utf8), from: sender)
  }

  func sent(after count: Int = 0) -> [(bytes: [UInt8], to: Endpoint)] {
    actions[count...].compactMap { if case .send(let bytes, let to) = $0 { (bytes, to) } else { nil } }
  }

  /// Lets time pass, timers included. Returns what was sent.
  mutating func pass(_ interval: Moment.Interval) -> [(bytes: [UInt8], to: Endpoint)] {
    let before = actions.count
    let end = now + interval
    while node.nextDeadline <= end {
      now = max(now, node.nextDeadline)
      node.timerFired(now: now, random: &random, into: &actions)
    }
    now = end
    return sent(after: before)
  }

  /// Has a sender prove itself: what it sends is a query that challenges, and it answers the challenge.
  mutating func prove(_ sender: Endpoint, id: NodeID) {
    let query = KRPCQuery.findNode(id).encoded(Transaction(7), .init(id: id))
    for (bytes, _) in receive(query, from: sender) {
      guard let message = try? KRPCMessage.decode(bytes.span), message.kind == .query else { continue }
      _ = receive(reply(to: bytes, id: id), from: sender)
    }
    node.sources.prove(sender.address, node.seconds(now))
  }
}

/// The plainest answer to a query.
func reply(to query: [UInt8], id: NodeID, content: String = "") -> [UInt8] {
  guard let message = try? KRPCMessage.decode(query.span) else { return [] }
  var writer = KRPCWriter(reserving: 64)
  writer.literal("d1:rd2:id")
  writer.point(id)
  writer.literal(content)
  writer.literal("e1:t")
  writer.string(KRPCMessage.copy(message.transaction, of: query.span).span)
  writer.literal("1:y1:re")
  return writer.bytes
}

/// Decodes a datagram outside of an expectation, where a span cannot go.
func decoded(_ bytes: [UInt8]?) -> KRPCMessage? { bytes.flatMap { try? KRPCMessage.decode($0.span) } }
