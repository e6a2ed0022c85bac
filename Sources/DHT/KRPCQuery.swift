import TorrentModel

/// A query of ours.
enum KRPCQuery: Hashable, Sendable {
  case ping
  case findNode(NodeID)
  case getPeers(NodeID, noSeeds: Bool, scrape: Bool)
  case announcePeer(NodeID, port: UInt16, impliesPort: Bool, isSeed: Bool, token: [UInt8])
  /// `sequence`: only send the value if it is newer (BEP 44).
  case get(NodeID, sequence: Int64?)
  case put(DHTItem, expectedSequence: Int64?, token: [UInt8])
  case sampleInfoHashes(NodeID)

  /// What every query of a node carries besides.
  struct Header {
    var id: NodeID
    var version: UInt32?
    var isReadOnly = false
    /// Both families are wanted.
    var wantsBoth = false
  }

  func encoded(_ transaction: Transaction, _ header: Header) -> [UInt8] {
    var writer = KRPCWriter(reserving: 160)
    writer.literal("d1:ad")
    arguments(header, &writer)
    writer.literal("e1:q")
    writer.literal(name)
    if header.isReadOnly { writer.literal("2:roi1e") }
    writer.transaction(transaction)
    writer.version(header.version)
    writer.literal("1:y1:q")
    if header.isReadOnly, isSearch { pad(&writer) }
    writer.literal("e")
    return writer.bytes
  }

  /// A query whose answer names nodes.
  private var isSearch: Bool {
    switch self {
    case .findNode, .getPeers, .get, .sampleInfoHashes: true
    case .ping, .announcePeer, .put: false
    }
  }

  /// A read-only node cannot prove itself by answering (BEP 43), so it pays in advance: its searches are as long as
  /// their answers, and nodes that give strangers no more than they sent can answer in full. Others pass over the key.
  static let paidLength = 424
  /// For an item of the longest value, with its key and signature.
  static let paidLengthOfItem = 1280

  private func pad(_ writer: inout KRPCWriter) {
    var length = Self.paidLength
    if case .get = self { length = Self.paidLengthOfItem }
    // 1:z, the digits, a colon, and the end of the message.
    let rest = length - writer.bytes.count - 5
    let count = rest - (rest > 1003 ? 4 : 3)
    guard (100...9999).contains(count) else { return }
    writer.literal("1:z")
    writer.stringHeader(count)
    for _ in 0..<count { writer.bytes.append(0) }
  }

  private var name: String {
    switch self {
    case .ping: "4:ping"
    case .findNode: "9:find_node"
    case .getPeers: "9:get_peers"
    case .announcePeer: "13:announce_peer"
    case .get: "3:get"
    case .put: "3:put"
    case .sampleInfoHashes: "17:sample_infohashes"
    }
  }

  private func arguments(_ header: Header, _ writer: inout KRPCWriter) {
    if case .put(let item, let expected, _) = self, item.mutable != nil, let expected {
      writer.literal("3:cas")
      writer.integer(expected)
    }
    writer.literal("2:id")
    writer.point(header.id)
    switch self {
    case .ping: break
    case .findNode(let target), .sampleInfoHashes(let target):
      writer.literal("6:target")
      writer.point(target)
      want(header, &writer)
    case .get(let target, let sequence):
      if let sequence {
        writer.literal("3:seq")
        writer.integer(sequence)
      }
      writer.literal("6:target")
      writer.point(target)
      want(header, &writer)
    case .getPeers(let target, let noSeeds, let scrape):
      writer.literal("9:info_hash")
      writer.point(target)
      if noSeeds { writer.literal("6:noseedi1e") }
      if scrape { writer.literal("6:scrapei1e") }
      want(header, &writer)
    case .announcePeer(let target, let port, let impliesPort, let isSeed, let token):
      if impliesPort { writer.literal("12:implied_porti1e") }
      writer.literal("9:info_hash")
      writer.point(target)
      writer.literal("4:port")
      writer.integer(Int64(port))
      if isSeed { writer.literal("4:seedi1e") }
      writer.literal("5:token")
      writer.string(token.span)
    case .put(let item, _, let token):
      if let mutable = item.mutable {
        writer.literal("1:k")
        writer.string(mutable.publicKey.span)
        if !mutable.salt.isEmpty {
          writer.literal("4:salt")
          writer.string(mutable.salt.span)
        }
        writer.literal("3:seq")
        writer.integer(mutable.sequence)
        writer.literal("3:sig")
        writer.string(mutable.signature.span)
      }
      writer.literal("5:token")
      writer.string(token.span)
      writer.literal("1:v")
      writer.append(item.value.span)
    }
  }

  private func want(_ header: Header, _ writer: inout KRPCWriter) {
    if header.wantsBoth { writer.literal("4:wantl2:n42:n6e") }
  }
}
