import Hashing
import TorrentModel

/// A magnet link: the info-hash of a torrent, and hints where to find peers for it (BEP 9, 46, 53).
public struct MagnetLink: Hashable, Sendable {
  /// A torrent that its publisher may exchange for another: an item of the DHT says which it is now (BEP 46).
  public struct MutableTorrent: Hashable, Sendable {
    /// Ed25519, 32 bytes.
    public var publicKey: [UInt8]
    /// At most 64 bytes.
    public var salt: [UInt8]

    public init(publicKey: [UInt8], salt: [UInt8] = []) {
      precondition(publicKey.count == 32 && salt.count <= MagnetLink.saltLimit)
      self.publicKey = publicKey
      self.salt = salt
    }
  }

  /// A peer, by its address or the name of its host.
  public struct Peer: Hashable, Sendable, CustomStringConvertible {
    /// A name, or an address without brackets.
    public var host: String
    public var port: UInt16

    /// The address, unless it is a name.
    public var endpoint: Endpoint? { IPAddress(host).map { Endpoint(address: $0, port: port) } }
    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
  }

  /// `xt=urn:btih:`: each is a torrent of its own; mostly there is one. Empty only for a mutable torrent.
  public var infoHashes: [InfoHash]
  /// `xt=urn:btmh:`: SHA-256 of the info dictionary of the same torrent as v2 knows it (BEP 52), 32 bytes.
  public var version2Hash: [UInt8]?
  /// `xs=urn:btpk:` and `s`.
  public var mutableTorrent: MutableTorrent?
  /// `dn`: what to call the torrent while there is no metadata. Printable.
  public var name: String?
  /// `xl`: bytes.
  public var length: Int64?
  /// `tr`: announce URLs by tier. Each `tr` is a tier; those under the same `tr.N` are one, in the order of N.
  public var trackers: [[String]] = []
  /// `ws`: URLs of the contents on web servers (BEP 19).
  public var webSeeds: [String] = []
  /// `x.pe`.
  public var peers: [Peer] = []
  /// `so`: numbers of the files to download, in ascending order and apart from each other; `nil` for all.
  public var selection: [ClosedRange<Int>]?
  /// What was left aside, and in which field.
  public internal(set) var warnings: [MagnetError] = []

  public init(infoHashes: [InfoHash] = []) { self.infoHashes = infoHashes }

  /// The torrent, or the first of several.
  public var infoHash: InfoHash? { infoHashes.first }

  /// Bytes in a link.
  public static let lengthLimit = 64 << 10
  static let infoHashLimit = 64
  static let peerLimit = 256
  static let nameLengthLimit = 1024
  static let saltLimit = 64
  /// Ranges in a selection.
  static let rangeLimit = 16 << 10
  static let warningLimit = 100

  /// Whether a text is meant as a magnet link, right or wrong.
  public static func isMagnetLink(_ text: some StringProtocol) -> Bool {
    text.utf8.prefix(7).elementsEqual("magnet:".utf8) { $0 | 0x20 == $1 | 0x20 }
  }

  /// The link to a torrent that is here.
  public init(_ metainfo: TorrentMetainfo) {
    self.init(infoHashes: [metainfo.info.infoHash])
    if metainfo.info.version == .hybrid {
      version2Hash = SHA256.digest(of: metainfo.info.encoded.span).bytes
    }
    name = metainfo.info.name
    length = metainfo.info.geometry.totalLength
    trackers = metainfo.trackers
    webSeeds = metainfo.webSeeds
  }
}

extension MagnetLink: CustomStringConvertible {
  /// The link as text: fields in a fixed order, digits in lower case, nothing escaped that need not be.
  public var description: String {
    var fields: [String] = []
    for (index, infoHash) in infoHashes.enumerated() {
      fields.append("xt\(infoHashes.count > 1 ? ".\(index + 1)" : "")=urn:btih:\(infoHash.hex)")
    }
    if let version2Hash { fields.append("xt=urn:btmh:1220\(HexDigits.encode(version2Hash))") }
    if let mutableTorrent {
      fields.append("xs=urn:btpk:\(HexDigits.encode(mutableTorrent.publicKey))")
      if !mutableTorrent.salt.isEmpty { fields.append("s=\(HexDigits.encode(mutableTorrent.salt))") }
    }
    if let name { fields.append("dn=\(Self.escaped(name))") }
    if let length { fields.append("xl=\(length)") }
    let isNumbered = trackers.contains { $0.count > 1 }
    for (tier, urls) in trackers.enumerated() {
      for url in urls { fields.append("tr\(isNumbered ? ".\(tier + 1)" : "")=\(Self.escaped(url))") }
    }
    for url in webSeeds { fields.append("ws=\(Self.escaped(url))") }
    for peer in peers { fields.append("x.pe=\(peer)") }
    if let selection {
      let ranges = selection.map {
        $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)"
      }
      fields.append("so=\(ranges.joined(separator: ","))")
    }
    return "magnet:?\(fields.joined(separator: "&"))"
  }

  private static func escaped(_ text: String) -> String {
    var output: [UInt8] = []
    PercentEncoding.append(text.utf8, to: &output)
    return String(decoding: output, as: UTF8.self)
  }
}

/// Two digits a byte.
enum HexDigits {
  static func encode(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(
      decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }

  static func decode(_ text: ArraySlice<UInt8>) -> [UInt8]? {
    guard text.count % 2 == 0 else { return nil }
    var bytes: [UInt8] = []
    for index in stride(from: text.startIndex, to: text.endIndex, by: 2) {
      guard let high = value(text[index]), let low = value(text[index + 1]) else { return nil }
      bytes.append(high << 4 | low)
    }
    return bytes
  }

  private static func value(_ digit: UInt8) -> UInt8? {
    switch digit {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
    default: nil
    }
  }
}
