import Bencode
import TorrentModel

extension KRPCMessage {
  /// Decodes a datagram.
  public static func decode(_ bytes: Span<UInt8>) throws(KRPCError) -> KRPCMessage {
    var parser = BencodeParser(limits: limits)
    return try decode(bytes, with: &parser)
  }

  /// Decodes a datagram with a parser of ``limits`` that is kept, and then allocates nothing.
  static func decode(_ bytes: Span<UInt8>, with parser: inout BencodeParser) throws(KRPCError) -> KRPCMessage
  {
    let root: BencodeNode
    do throws(BencodeError) { root = try parser.parse(bytes) } catch { throw .notBencode(error) }
    var message = KRPCMessage()
    guard let transaction = root["t"]?.stringRange, (1...transactionLimit).contains(transaction.count),
      let kind = root["y"]?.string, kind.count == 1
    else { throw .notAMessage }
    message.transaction = Slice(transaction)
    message.isCanonical = root.firstUnsortedKey == nil
    switch kind[0] {
    case UInt8(ascii: "q"):
      message.kind = .query
      message.readQuery(root)
    case UInt8(ascii: "r"):
      message.kind = .reply
      guard let reply = root["r"], message.readReply(reply) else { throw .malformedReply }
    case UInt8(ascii: "e"):
      message.kind = .error
      message.readError(root)
    default: throw .notAMessage
    }
    if message.kind != .query, let observed = root["ip"]?.string {
      message.observed =
        Endpoint(compactV4: observed, at: 0).flatMap { observed.count == 6 ? $0 : nil }
        ?? Endpoint(compactV6: observed, at: 0).flatMap { observed.count == 18 ? $0 : nil }
        ?? IPAddress(compact: observed).map { Endpoint(address: $0, port: 0) }
    }
    return message
  }

  private mutating func readQuery(_ root: BencodeNode) {
    isReadOnly = root["ro"]?.integer == 1
    guard let name = root["q"]?.string, let arguments = root["a"], arguments.kind == .dictionary else {
      complaint = .malformed
      return
    }
    method = Self.method(name)
    guard let id = Self.point(arguments["id"]) else {
      complaint = .noID
      return
    }
    self.id = id
    switch method {
    case .ping: break
    case .findNode, .sampleInfoHashes, .get:
      target = Self.point(arguments["target"])
      if target == nil { complaint = .noTarget }
      want = Self.want(arguments["want"])
      if method == .get { sequence = arguments["seq"]?.integer }
    case .getPeers:
      target = Self.point(arguments["info_hash"])
      if target == nil { complaint = .noTarget }
      want = Self.want(arguments["want"])
      wantsScrape = arguments["scrape"]?.integer == 1
      wantsNoSeeds = arguments["noseed"]?.integer == 1
    case .announcePeer:
      target = Self.point(arguments["info_hash"])
      if target == nil { complaint = .noTarget }
      token = Self.slice(arguments["token"])
      port = arguments["port"]?.integer
      usesImpliedPort = arguments["implied_port"]?.integer.map { $0 != 0 } ?? false
      isSeed = arguments["seed"]?.integer == 1
    case .put: readItem(arguments)
    case .unknown:
      // What has a target is an extension of find_node, for all we know: libtorrent does the same.
      target = Self.point(arguments["target"]) ?? Self.point(arguments["info_hash"])
      if target == nil { complaint = .unknownMethod }
      want = Self.want(arguments["want"])
    }
  }

  private mutating func readItem(_ arguments: BencodeNode) {
    token = Self.slice(arguments["token"])
    sequence = arguments["seq"]?.integer
    expectedSequence = arguments["cas"]?.integer
    salt = Self.slice(arguments["salt"])
    publicKey = Self.slice(arguments["k"])
    signature = Self.slice(arguments["sig"])
    if let node = arguments["v"] { value = Slice(node.range) }
    if value == nil || !isCanonical {
      complaint = .badValue
    } else if let value, value.count > DHTItem.valueLimit {
      complaint = .valueTooBig
    } else if let salt, salt.count > DHTItem.saltLimit {
      complaint = .saltTooBig
    } else if publicKey != nil || signature != nil || sequence != nil {
      if publicKey?.count != DHTItem.publicKeyLength || signature?.count != DHTItem.signatureLength
        || sequence == nil
      {
        complaint = .badKey
      } else if let sequence, sequence < 0 {
        complaint = .badSequence
      }
    }
  }

  private mutating func readReply(_ reply: BencodeNode) -> Bool {
    guard let id = Self.point(reply["id"]) else { return false }
    self.id = id
    token = Self.slice(reply["token"]).flatMap { $0.count <= Self.tokenLimit ? $0 : nil }
    nodes = Self.slice(reply["nodes"])
    nodes6 = Self.slice(reply["nodes6"])
    if let list = reply["values"], list.kind == .list { values = Slice(list.range) }
    seedFilter = Self.slice(reply["BFsd"]).flatMap { $0.count == BloomFilter.byteCount ? $0 : nil }
    peerFilter = Self.slice(reply["BFpe"]).flatMap { $0.count == BloomFilter.byteCount ? $0 : nil }
    samples = Self.slice(reply["samples"])
    interval = reply["interval"]?.integer
    sampledCount = reply["num"]?.integer
    sequence = reply["seq"]?.integer
    publicKey = Self.slice(reply["k"]).flatMap { $0.count == DHTItem.publicKeyLength ? $0 : nil }
    signature = Self.slice(reply["sig"]).flatMap { $0.count == DHTItem.signatureLength ? $0 : nil }
    if let node = reply["v"], node.range.count <= DHTItem.valueLimit { value = Slice(node.range) }
    return true
  }

  private mutating func readError(_ root: BencodeNode) {
    guard var list = root["e"]?.elements else { return }
    if let code = list.next() { errorCode = code.integer }
    if let text = list.next() { errorText = Self.slice(text) }
  }

  private static func slice(_ node: BencodeNode?) -> Slice? { node?.stringRange.map { Slice($0) } }

  private static func point(_ node: BencodeNode?) -> NodeID? {
    guard let string = node?.string, string.count == 20 else { return nil }
    return NodeID(string, at: 0)
  }

  private static func want(_ node: BencodeNode?) -> Want? {
    guard var list = node?.elements else { return nil }
    var want: Want = []
    while let element = list.next() {
      guard let string = element.string, string.count == 2, string[0] == UInt8(ascii: "n") else { continue }
      if string[1] == UInt8(ascii: "4") { want.insert(.n4) }
      if string[1] == UInt8(ascii: "6") { want.insert(.n6) }
    }
    return want
  }

  private static func method(_ name: Span<UInt8>) -> Method {
    switch name.count {
    case 3: equals(name, "get") ? .get : equals(name, "put") ? .put : .unknown
    case 4: equals(name, "ping") ? .ping : .unknown
    case 9: equals(name, "find_node") ? .findNode : equals(name, "get_peers") ? .getPeers : .unknown
    case 13: equals(name, "announce_peer") ? .announcePeer : .unknown
    case 17: equals(name, "sample_infohashes") ? .sampleInfoHashes : .unknown
    default: .unknown
    }
  }

  private static func equals(_ bytes: Span<UInt8>, _ name: String) -> Bool {
    let name = name.utf8.span
    guard bytes.count == name.count else { return false }
    for index in bytes.indices where bytes[index] != name[index] { return false }
    return true
  }
}

extension KRPCMessage {
  /// The bytes of a slice, where the message came in `bytes`.
  static func copy(_ slice: Slice, of bytes: Span<UInt8>) -> [UInt8] {
    let part = bytes.extracting(slice.range)
    return [UInt8](capacity: part.count) { output in
      for index in part.indices { output.append(part[index]) }
    }
  }

  /// The peers in `values`: strings of 6 or 18 bytes, in any mixture (BEP 32). Anything else is passed over.
  func forEachValue(in bytes: Span<UInt8>, _ body: (Endpoint) -> Void) {
    guard let values else { return }
    // The parser saw a well-formed list here, so lengths are right and bounds hold; they are checked all the same.
    let end = min(values.range.upperBound, bytes.count) - 1
    var at = values.range.lowerBound + 1
    while at < end {
      var length = 0
      let first = at
      while at < end, length < 1 << 16, bytes[at] &- UInt8(ascii: "0") <= 9 {
        length = length * 10 + Int(bytes[at] &- UInt8(ascii: "0"))
        at += 1
      }
      guard at > first, at < end, bytes[at] == UInt8(ascii: ":"), length <= end - at - 1 else { return }
      at += 1
      if length == 6, let peer = Endpoint(compactV4: bytes, at: at) { body(peer) }
      if length == 18, let peer = Endpoint(compactV6: bytes, at: at) { body(peer) }
      at += length
    }
  }

  /// The nodes of `nodes` or `nodes6`. Bytes past the last whole node are passed over.
  static func forEachNode(
    _ slice: Slice?, isV4: Bool, in bytes: Span<UInt8>, _ body: (NodeID, Endpoint) -> Void
  ) {
    guard let range = slice?.range, range.upperBound <= bytes.count else { return }
    let size = isV4 ? CompactNode.lengthV4 : CompactNode.lengthV6
    var at = range.lowerBound
    while at + size <= range.upperBound {
      let endpoint = isV4 ? Endpoint(compactV4: bytes, at: at + 20) : Endpoint(compactV6: bytes, at: at + 20)
      if let endpoint { body(NodeID(bytes, at: at), endpoint) }
      at += size
    }
  }
}

/// A node as replies name it: twenty bytes of id, then address and port (BEP 5, 32).
enum CompactNode {
  static let lengthV4 = 26
  static let lengthV6 = 38

  static func append(_ id: NodeID, _ endpoint: Endpoint, to output: inout [UInt8]) {
    id.append(to: &output)
    endpoint.appendCompact(to: &output)
  }
}
