import Bencode
import TorrentModel

/// Ids and nodes, as they are kept between runs:
/// `{"id": …, "id6": …, "nodes": …, "nodes6": …}`, nodes as in replies.
struct DHTSavedState: Sendable {
  struct Network: Sendable {
    var id: NodeID?
    var nodes: [DHTContact] = []
  }

  /// Nodes of one network that are kept.
  static let nodeLimit = 400
  private static let limits = BencodeLimits(length: 64 << 10, depth: 2, values: 64)

  private var networks = [Network(), Network()]

  subscript(family: DHTFamily) -> Network {
    get { networks[family.rawValue] }
    set { networks[family.rawValue] = newValue }
  }

  init() {}

  /// Reads what ``encoded()`` wrote, as far as it is sound; `nil` if it is something else.
  init?(_ bytes: [UInt8]) {
    var parser = BencodeParser(limits: Self.limits)
    guard let root = try? parser.parse(bytes.span), root.kind == .dictionary else { return nil }
    for family in DHTFamily.allCases {
      if let id = root[family == .v4 ? "id" : "id6"]?.string, id.count == 20 {
        self[family].id = NodeID(id, at: 0)
      }
      guard let nodes = root[family == .v4 ? "nodes" : "nodes6"]?.string else { continue }
      let size = family == .v4 ? CompactNode.lengthV4 : CompactNode.lengthV6
      var contacts: [DHTContact] = []
      for index in 0..<min(nodes.count / size, Self.nodeLimit) {
        let at = index * size
        let endpoint =
          family == .v4
          ? Endpoint(compactV4: nodes, at: at + 20) : Endpoint(compactV6: nodes, at: at + 20)
        guard let endpoint, DHTFamily(endpoint.address) == family else { continue }
        contacts.append(DHTContact(id: NodeID(nodes, at: at), endpoint: endpoint))
      }
      self[family].nodes = contacts
    }
  }

  func encoded() -> [UInt8] {
    var writer = BencodeWriter(reserving: 8192)
    writer.beginDictionary()
    for family in DHTFamily.allCases {
      guard let id = self[family].id else { continue }
      writer.entry(family == .v4 ? "id" : "id6", string: id.bytes.bytes)
    }
    for family in DHTFamily.allCases where !self[family].nodes.isEmpty {
      var compact: [UInt8] = []
      for contact in self[family].nodes.prefix(Self.nodeLimit) {
        CompactNode.append(contact.id, contact.endpoint, to: &compact)
      }
      writer.entry(family == .v4 ? "nodes" : "nodes6", string: compact)
    }
    writer.end()
    return writer.bytes
  }
}

extension DHTNode {
  /// What to keep for the next run: ids, and the nodes that are not bad, in bencode.
  public func savedState(now: Moment) -> [UInt8] {
    var state = DHTSavedState()
    for family in families.compactMap({ $0 }) {
      state[family.family].id = family.id
      family.table.forEachLive { node in
        guard node.standing(now) != .bad else { return }
        state[family.family].nodes.append(DHTContact(id: node.id, endpoint: node.endpoint))
      }
    }
    return state.encoded()
  }
}
