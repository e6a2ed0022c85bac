import Bencode
import TorrentModel

extension BencodeLimits {
  /// What a .torrent file may cost: twelve values for each of the most files there may be, 96 MiB of notes while it is
  /// read. (A file takes about nine.)
  static let metainfo = BencodeLimits(
    length: Limits.metainfoLength, depth: Limits.bencodeDepth, values: 12 * Limits.fileCount)
}

extension BencodeParser {
  @_lifetime(copy bytes, &self)
  mutating func parseMetainfo(_ bytes: Span<UInt8>) throws(MetainfoError) -> BencodeNode {
    do {
      return try parsePrefix(bytes)
    } catch {
      throw MetainfoError(error)
    }
  }
}

extension TorrentInfo {
  /// Reads an info dictionary that came by itself, from peers (BEP 9). Its hash must be compared with the one asked for.
  ///
  /// - Throws: ``MetainfoError``; offsets and key paths begin at the dictionary itself.
  public static func parse(
    _ bytes: [UInt8], rules: PathRules = .standard
  ) throws(MetainfoError) -> TorrentInfo {
    var parser = BencodeParser(limits: .metainfo)
    let root = try parser.parseMetainfo(bytes.span)
    guard root.kind == .dictionary else {
      throw MetainfoError(.wrongKind(expected: .dictionary, found: root.kind), at: root)
    }
    let length = root.range.upperBound
    guard length == bytes.count else {
      throw MetainfoError(
        .bencode(.trailingBytes(count: bytes.count - length)), offset: length, keyPath: "")
    }
    return try TorrentInfo(root, in: bytes, rules: rules)
  }

  /// - Parameters:
  ///   - info: the dictionary, a part of `bytes`.
  ///   - bytes: what the parser read.
  init(_ info: BencodeNode, in bytes: [UInt8], rules: PathRules) throws(MetainfoError) {
    var warnings = WarningList()
    version = try TorrentInfo.version(info)
    infoHash = Metainfo.infoHash(of: info.encoded)
    encoded = bytes[info.range]

    let pieceLength = try TorrentInfo.pieceLength(info)
    let hashes = try info.required("pieces", .string)
    let hashesRange = hashes.stringRange ?? 0..<0
    hashesStart = hashesRange.lowerBound
    guard hashesRange.count % TorrentInfo.pieceHashLength == 0 else {
      throw MetainfoError(.brokenPieceHashes(length: hashesRange.count), at: hashes)
    }

    name = try TorrentInfo.name(info, infoHash: infoHash, rules: rules, &warnings)
    var list = FileListReader(rules: rules)
    (files, isSingleFile) = try list.read(info, name: name, &warnings)
    geometry = try TorrentInfo.geometry(
      totalLength: files.totalLength, pieceLength: pieceLength, info: info)
    guard hashesRange.count / TorrentInfo.pieceHashLength == geometry.pieceCount else {
      throw MetainfoError(
        .wrongPieceCount(
          hashes: hashesRange.count / TorrentInfo.pieceHashLength, pieces: geometry.pieceCount),
        at: hashes)
    }

    isPrivate = TorrentInfo.isPrivate(info, &warnings)
    source = info.optional("source", .string, &warnings)?.lenientText(limit: TextLimits.text, &warnings)
    self.warnings = warnings.warnings
  }

  /// The version is looked at before anything else, so that a torrent that is too new is called that (BEP 52).
  private static func version(_ info: BencodeNode) throws(MetainfoError) -> TorrentVersion {
    let metaVersion = info["meta version"]?.integer ?? 1
    if metaVersion > 2, let node = info["meta version"] {
      throw MetainfoError(.unknownVersion(metaVersion), at: node)
    }
    let hasTree = info["file tree"]?.kind == .dictionary
    if info["pieces"] == nil && (metaVersion == 2 || hasTree) {
      throw MetainfoError(.version2Only, at: info)
    }
    return metaVersion == 2 && hasTree ? .hybrid : .v1
  }

  private static func pieceLength(_ info: BencodeNode) throws(MetainfoError) -> Int {
    let node = try info.required("piece length", .integer)
    let length = node.integer ?? 0
    guard length > 0, length <= Int64(Limits.pieceLength) else {
      throw MetainfoError(.pieceLengthOutOfRange(length, limit: Limits.pieceLength), at: node)
    }
    return Int(length)
  }

  private static func geometry(
    totalLength: Int64, pieceLength: Int, info: BencodeNode
  ) throws(MetainfoError) -> PieceGeometry {
    // There is at least one byte, or the files had been refused.
    let count = (totalLength - 1) / Int64(pieceLength) + 1
    guard count <= Int64(Limits.pieceCount) else {
      throw MetainfoError(.tooManyPieces(count, limit: Limits.pieceCount), at: info)
    }
    return PieceGeometry(totalLength: totalLength, pieceLength: pieceLength)
  }

  /// The torrent's name, from `name.utf-8` where that is there and UTF-8. A name of no bytes says nothing: the info-hash
  /// stands in for it.
  private static func name(
    _ info: BencodeNode, infoHash: InfoHash, rules: PathRules, _ warnings: inout WarningList
  ) throws(MetainfoError) -> String {
    let node: BencodeNode
    if let preferred = info["name.utf-8"], let text = preferred.text, !text.isEmpty {
      node = preferred
    } else {
      node = try info.required("name", .string)
    }
    guard let raw = node.string, !raw.isEmpty else {
      warnings.add(.nameChanged(to: infoHash.hex), at: node)
      return infoHash.hex
    }
    guard raw.count <= PathLimits.pathLength else {
      throw MetainfoError(.pathTooLong(limit: PathLimits.pathLength), at: node)
    }
    var safe: [UInt8] = []
    let isChanged = SafeName.append(raw, to: &safe, rules: rules)
    let name = String(decoding: safe, as: UTF8.self)
    if isChanged { warnings.add(.nameChanged(to: name), at: node) }
    return name
  }

  /// BEP 27 writes `private` as the integer 1. Some programs write a string; it is meant the same.
  private static func isPrivate(_ info: BencodeNode, _ warnings: inout WarningList) -> Bool {
    guard let node = info["private"] else { return false }
    if let value = node.integer { return value != 0 }
    warnings.add(.ignored, at: node)
    return node.text == "1"
  }
}
