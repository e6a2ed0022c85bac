import TorrentModel

/// What a lookup is for.
public enum LookupGoal: Hashable, Sendable {
  /// The nodes closest to a point.
  case nodes(NodeID)
  /// A torrent's peers. With an announcement, the closest nodes are told of us afterwards (BEP 5).
  case peers(InfoHash, announcing: Announcement? = nil, scraping: Bool = false, withoutSeeds: Bool = false)
  /// An immutable item (BEP 44).
  case immutableItem(NodeID)
  /// A mutable item; `newerThan`: the sequence number that we have already (BEP 44).
  case mutableItem(publicKey: [UInt8], salt: [UInt8] = [], newerThan: Int64? = nil)
  /// Put an item to the closest nodes. `expecting`: the sequence number that it replaces (`cas`, BEP 44).
  case put(DHTItem, expecting: Int64? = nil)
  /// Samples of the info-hashes that nodes on the way to a point have (BEP 51).
  case samples(toward: NodeID)

  /// What we tell others of ourselves.
  public struct Announcement: Hashable, Sendable {
    /// Where peers can connect to, 1…65535.
    public var port: UInt16
    /// Others take the datagram's port for ours (BEP 5): right where uTP shares the DHT's socket behind a NAT.
    public var usesImpliedPort: Bool
    /// We have everything (BEP 33).
    public var isSeed: Bool

    public init(port: UInt16, usesImpliedPort: Bool = false, isSeed: Bool = false) {
      self.port = port
      self.usesImpliedPort = usesImpliedPort
      self.isSeed = isSeed
    }
  }

  func target(sha1: (Span<UInt8>) -> Bytes20) -> NodeID {
    switch self {
    case .nodes(let target), .immutableItem(let target), .samples(let target): target
    case .peers(let infoHash, _, _, _): NodeID(infoHash)
    case .mutableItem(let key, let salt, _):
      DHTItem.target(ofPublicKey: key.span, salt: salt.span, sha1: sha1)
    case .put(let item, _): item.target(sha1: sha1)
    }
  }

  /// What every node on the way is asked.
  func query(_ target: NodeID) -> KRPCQuery {
    switch self {
    case .nodes: .findNode(target)
    case .peers(_, _, let scraping, let withoutSeeds):
      .getPeers(target, noSeeds: withoutSeeds, scrape: scraping)
    case .immutableItem: .get(target, sequence: nil)
    case .mutableItem(_, _, let known): .get(target, sequence: known)
    case .put(let item, _): .get(target, sequence: item.mutable?.sequence)
    case .samples: .sampleInfoHashes(target)
    }
  }

  /// What the closest nodes are told at the end.
  func storing(_ target: NodeID, token: [UInt8], isKnownThere: Bool) -> KRPCQuery? {
    switch self {
    case .peers(_, let announcement?, _, _):
      .announcePeer(
        target, port: announcement.port, impliesPort: announcement.usesImpliedPort,
        isSeed: announcement.isSeed, token: token)
    case .put(let item, let expected):
      // A node that had nothing has nothing to compare (BEP 44).
      .put(item, expectedSequence: isKnownThere ? expected : nil, token: token)
    default: nil
    }
  }

  var stores: Bool {
    switch self {
    case .peers(_, let announcement, _, _): announcement != nil
    case .put: true
    default: false
    }
  }
}
