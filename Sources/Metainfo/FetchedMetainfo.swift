import Bencode
import TorrentModel

// A .torrent file for metadata that came from peers (BEP 9), and for any torrent that is to be saved again.
extension TorrentMetainfo {
  /// A torrent of an info dictionary that came from peers, and of what a magnet link said besides.
  ///
  /// - Parameters:
  ///   - info: the bytes of the dictionary. The result keeps them within a file of its own.
  ///   - infoHash: what they must hash to.
  ///   - rules: how names are chosen for this machine's file system.
  /// - Throws: ``MetainfoError``, with `infoHashMismatch` for other bytes than those asked for.
  public init(
    info: [UInt8], infoHash: InfoHash, magnet: MagnetLink, rules: PathRules = .standard
  ) throws(MetainfoError) {
    guard Metainfo.infoHash(of: info.span) == infoHash else {
      throw MetainfoError(.infoHashMismatch, offset: 0, keyPath: "info")
    }
    let file = MetainfoFile(trackers: magnet.trackers, webSeeds: magnet.webSeeds)
    self = try TorrentMetainfo.parse(file.encoded(info: info[...]), rules: rules)
  }

  /// The torrent as a .torrent file. Its info dictionary is the same to the byte; of what stands around it, what this
  /// type holds.
  public func encoded() -> [UInt8] {
    var file = MetainfoFile(trackers: trackers, webSeeds: webSeeds)
    file.httpSeeds = httpSeeds
    file.nodes = nodes
    file.comment = comment
    file.createdBy = createdBy
    file.creationDate = creationDate
    file.encoding = encoding
    return file.encoded(info: info.encoded)
  }
}

/// What stands around the info dictionary of a .torrent file.
struct MetainfoFile {
  var trackers: [[String]] = []
  var webSeeds: [String] = []
  var httpSeeds: [String] = []
  var nodes: [TorrentMetainfo.Node] = []
  var comment: String?
  var createdBy: String?
  var creationDate: Int64?
  var encoding: String?

  /// The file. `info` must be a bencoded dictionary, and is written as it is.
  func encoded(info: ArraySlice<UInt8>) -> [UInt8] {
    var writer = BencodeWriter(reserving: info.count + 4096)
    writer.beginDictionary()
    let tiers = trackers.filter { !$0.isEmpty }
    if let first = tiers.first?.first { writer.entry("announce", string: first) }
    if tiers.count > 1 || tiers.first.map({ $0.count > 1 }) ?? false {
      writer.key("announce-list")
      writer.beginList()
      for tier in tiers { writer.list(tier) }
      writer.end()
    }
    if let comment { writer.entry("comment", string: comment) }
    if let createdBy { writer.entry("created by", string: createdBy) }
    if let creationDate { writer.entry("creation date", integer: creationDate) }
    if let encoding { writer.entry("encoding", string: encoding) }
    if !httpSeeds.isEmpty {
      writer.key("httpseeds")
      writer.list(httpSeeds)
    }
    writer.key("info")
    writer.encoded(info.span)
    if !nodes.isEmpty {
      writer.key("nodes")
      writer.beginList()
      for node in nodes {
        writer.beginList()
        writer.string(node.host)
        writer.integer(node.port)
        writer.end()
      }
      writer.end()
    }
    if !webSeeds.isEmpty {
      writer.key("url-list")
      writer.list(webSeeds)
    }
    writer.end()
    return writer.bytes
  }
}
