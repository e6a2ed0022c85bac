import Bencode

/// A .torrent file (BEP 3): an info dictionary, and where to find peers and the contents.
public struct TorrentMetainfo: Sendable {
  /// What the torrent contains.
  public let info: TorrentInfo
  /// Announce URLs by tier, in the file's order (BEP 12); shuffling within tiers is the announcer's. Never an empty tier.
  /// URLs hold no white space and no control characters, but are otherwise unchecked.
  public let trackers: [[String]]
  /// URLs of the contents on web servers (BEP 19).
  public let webSeeds: [String]
  /// URLs of HTTP seeds of the older kind (BEP 17).
  public let httpSeeds: [String]
  /// DHT nodes to start from, for a torrent without trackers (BEP 5).
  public let nodes: [Node]
  public let comment: String?
  /// The program that made the torrent.
  public let createdBy: String?
  /// Seconds since the start of 1970, UTC.
  public let creationDate: Int64?
  /// What the strings are encoded in, if not UTF-8, in the maker's words.
  public let encoding: String?
  /// What is odd about the file and was dealt with, outside and inside the info dictionary; the first hundred of each.
  public let warnings: [MetainfoWarning]

  /// A DHT node by its host name or address.
  public struct Node: Hashable, Sendable {
    public let host: String
    public let port: UInt16
  }

  /// Reads a .torrent file.
  ///
  /// - Parameters:
  ///   - bytes: the file. The result keeps it, and shares it with the caller.
  ///   - rules: how names are chosen for this machine's file system.
  /// - Throws: ``MetainfoError``, which says what is wrong and where.
  public static func parse(
    _ bytes: [UInt8], rules: PathRules = .standard
  ) throws(MetainfoError) -> TorrentMetainfo {
    var parser = BencodeParser(limits: .metainfo)
    let root = try parser.parseMetainfo(bytes.span)
    return try TorrentMetainfo(root, in: bytes, rules: rules)
  }

  private init(_ root: BencodeNode, in bytes: [UInt8], rules: PathRules) throws(MetainfoError) {
    var warnings = WarningList()
    let end = root.range.upperBound
    guard root.kind == .dictionary else {
      // Text that happens to begin like bencode is not called a broken torrent.
      guard end == bytes.count else {
        throw MetainfoError(.bencode(.trailingBytes(count: bytes.count - end)), offset: end, keyPath: "")
      }
      throw MetainfoError(.wrongKind(expected: .dictionary, found: root.kind), at: root)
    }
    if end < bytes.count { warnings.add(.trailingBytes(bytes.count - end), offset: end) }
    if let offset = root.firstUnsortedKey { warnings.add(.unsortedKeys, offset: offset) }

    info = try TorrentInfo(root.required("info", .dictionary), in: bytes, rules: rules)
    trackers = AnnounceList.read(root, &warnings)
    webSeeds = URLText.list(root, "url-list", &warnings)
    httpSeeds = URLText.list(root, "httpseeds", &warnings)
    nodes = TorrentMetainfo.nodes(root, &warnings)
    comment = TorrentMetainfo.text(root, "comment", &warnings)
    createdBy = TorrentMetainfo.text(root, "created by", &warnings)
    encoding = TorrentMetainfo.text(root, "encoding", &warnings)
    creationDate = root.optional("creation date", .integer, &warnings)?.integer
    self.warnings = warnings.warnings + info.warnings
  }

  /// A text for people; its `.utf-8` variant is preferred.
  private static func text(
    _ root: BencodeNode, _ key: String, _ warnings: inout WarningList
  ) -> String? {
    let preferred = root.optional(key + ".utf-8", .string, &warnings)
    if let preferred, preferred.text != nil {
      return preferred.lenientText(limit: TextLimits.text, &warnings)
    }
    return root.optional(key, .string, &warnings)?.lenientText(limit: TextLimits.text, &warnings)
  }

  private static func nodes(_ root: BencodeNode, _ warnings: inout WarningList) -> [Node] {
    guard let list = root.optional("nodes", .list, &warnings), var elements = list.elements else { return [] }
    var nodes: [Node] = []
    while let element = elements.next() {
      guard nodes.count < TextLimits.nodes else {
        warnings.add(.rest(limit: TextLimits.nodes), at: element)
        break
      }
      guard var pair = element.elements, let host = pair.next()?.text, let port = pair.next()?.integer,
        (1...253).contains(host.utf8.count), host.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f }),
        let port = UInt16(exactly: port), port != 0
      else {
        warnings.add(.ignored, at: element)
        continue
      }
      nodes.append(Node(host: host, port: port))
    }
    return nodes
  }
}
