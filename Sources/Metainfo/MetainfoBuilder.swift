import Bencode
import TorrentModel

/// Makes .torrent files (BEP 3, v1) of known files and piece hashes. Reading and hashing the files is the caller's part:
/// ``files``, in this order and without gaps, are the contents that ``geometry`` divides into pieces.
public struct MetainfoBuilder: Sendable {
  /// One file to be.
  public struct File: Hashable, Sendable {
    /// The names on the way to the file from the torrent's folder, its own last.
    public var components: [String]
    /// Bytes.
    public var length: Int64
    /// ``FileAttributes/executable`` and ``FileAttributes/hidden`` are written, others are not (BEP 47).
    public var attributes: FileAttributes

    public init(components: [String], length: Int64, attributes: FileAttributes = []) {
      self.components = components
      self.length = length
      self.attributes = attributes
    }
  }

  /// The name of the only file, or of the folder.
  public let name: String
  /// Sorted by the bytes of their paths, so that the same files always give the same info-hash.
  public let files: [File]
  public let isSingleFile: Bool
  public let geometry: PieceGeometry
  /// Where ``files`` lie in the contents.
  public let layout: FileLayout

  /// Announce URLs by tier (BEP 12).
  public var trackers: [[String]] = []
  /// URLs of the contents on web servers (BEP 19).
  public var webSeeds: [String] = []
  public var comment: String?
  public var createdBy: String?
  /// Seconds since the start of 1970, UTC.
  public var creationDate: Int64?
  /// Peers may come only from the torrent's trackers (BEP 27).
  public var isPrivate = false
  /// Where the torrent is made for; changes the info-hash.
  public var source: String?
  /// Any text that makes the info-hash another one.
  public var entropy: String?

  /// A torrent of one file.
  ///
  /// - Parameter pieceLength: bytes; see ``TorrentModel/PieceGeometry/recommendedPieceLength(forTotalLength:)`` for
  ///   what is taken without it.
  /// - Throws: ``MetainfoBuilderError``.
  public init(
    file name: String, length: Int64, attributes: FileAttributes = [], pieceLength: Int? = nil
  ) throws(MetainfoBuilderError) {
    try self.init(
      name: name, files: [File(components: [name], length: length, attributes: attributes)],
      isSingleFile: true, pieceLength: pieceLength)
  }

  /// A torrent of a folder. `files` may come in any order.
  ///
  /// - Throws: ``MetainfoBuilderError``.
  public init(folder name: String, files: [File], pieceLength: Int? = nil) throws(MetainfoBuilderError) {
    try self.init(name: name, files: files, isSingleFile: false, pieceLength: pieceLength)
  }

  private init(
    name: String, files: [File], isSingleFile: Bool, pieceLength: Int?
  ) throws(MetainfoBuilderError) {
    guard !files.isEmpty else { throw .noFiles }
    guard files.count <= Limits.fileCount else { throw .tooManyFiles(limit: Limits.fileCount) }
    try MetainfoBuilder.check([name])
    for file in files { try MetainfoBuilder.check(file.components) }
    let sorted = files.sorted { MetainfoBuilder.precedes($0.components, $1.components) }
    for index in sorted.indices.dropFirst()
    where sorted[index].components.starts(with: sorted[index - 1].components, by: MetainfoBuilder.areSame) {
      throw .pathTakenTwice(sorted[index].components.joined(separator: "/"))
    }
    guard let layout = FileLayout(lengths: sorted.lazy.map(\.length)) else { throw .badLength }
    let totalLength = layout.totalLength
    guard totalLength > 0 else { throw .noContent }

    let length = pieceLength ?? PieceGeometry.recommendedPieceLength(forTotalLength: totalLength)
    guard length > 0, length <= Limits.pieceLength, length % blockLength == 0 else {
      throw .badPieceLength(length, limit: Limits.pieceLength)
    }
    let pieces = (totalLength - 1) / Int64(length) + 1
    guard pieces <= Int64(Limits.pieceCount) else { throw .tooManyPieces(pieces, limit: Limits.pieceCount) }

    self.name = name
    self.files = sorted
    self.isSingleFile = isSingleFile
    self.layout = layout
    geometry = PieceGeometry(totalLength: totalLength, pieceLength: length)
  }

  /// Names that Spate itself and other careful clients would change when they read the torrent: files of these names
  /// cannot be seeded from where they are.
  public func namesThatChange(rules: PathRules = .standard) -> [String] {
    var names: [String] = []
    var known: Set<String> = []
    for name in CollectionOfOne(name) + files.flatMap(\.components)
    where SafeName.name(name, rules: rules).utf8.elementsEqual(name.utf8) == false
      && known.insert(name).inserted
    {
      names.append(name)
    }
    return names
  }
}

extension MetainfoBuilder {
  /// The bytes of the .torrent file.
  ///
  /// - Parameter pieceHashes: the SHA-1 of every piece, one after the other.
  /// - Throws: ``MetainfoBuilderError`` when there are too few or too many hashes, or the file would be longer than 64 MiB.
  public func encode(pieceHashes: [UInt8]) throws(MetainfoBuilderError) -> [UInt8] {
    let expected = geometry.pieceCount * TorrentInfo.pieceHashLength
    guard pieceHashes.count == expected else {
      throw .wrongHashLength(pieceHashes.count, expected: expected)
    }
    var writer = BencodeWriter(reserving: pieceHashes.count + 64 * files.count + 1024)
    writer.beginDictionary()
    let urls = trackers.filter { !$0.isEmpty }
    if let first = urls.first?.first { writer.entry("announce", string: first) }
    if urls.count > 1 || urls.first.map({ $0.count > 1 }) ?? false {
      writer.key("announce-list")
      writer.beginList()
      for tier in urls { writer.list(tier) }
      writer.end()
    }
    if let comment { writer.entry("comment", string: comment) }
    if let createdBy { writer.entry("created by", string: createdBy) }
    if let creationDate { writer.entry("creation date", integer: creationDate) }
    writer.key("info")
    writeInfo(&writer, pieceHashes: pieceHashes)
    if webSeeds.count == 1 {
      writer.entry("url-list", string: webSeeds[0])
    } else if !webSeeds.isEmpty {
      writer.key("url-list")
      writer.list(webSeeds)
    }
    writer.end()
    guard writer.bytes.count <= Limits.metainfoLength else {
      throw .tooLong(writer.bytes.count, limit: Limits.metainfoLength)
    }
    return writer.bytes
  }

  private func writeInfo(_ writer: inout BencodeWriter, pieceHashes: [UInt8]) {
    writer.beginDictionary()
    if isSingleFile { writer.attributes(files[0].attributes) }
    if let entropy { writer.entry("entropy", string: entropy) }
    if isSingleFile {
      writer.entry("length", integer: files[0].length)
    } else {
      writer.key("files")
      writer.beginList()
      for file in files {
        writer.beginDictionary()
        writer.attributes(file.attributes)
        writer.entry("length", integer: file.length)
        writer.key("path")
        writer.list(file.components)
        writer.end()
      }
      writer.end()
    }
    writer.entry("name", string: name)
    writer.entry("piece length", integer: geometry.pieceLength)
    writer.entry("pieces", string: pieceHashes)
    if isPrivate { writer.entry("private", integer: 1) }
    if let source { writer.entry("source", string: source) }
    writer.end()
  }

  /// Names as a file system gives them: anything else has no place in a torrent.
  private static func check(_ components: [String]) throws(MetainfoBuilderError) {
    guard !components.isEmpty else { throw .badName("") }
    guard components.count <= PathLimits.depth,
      components.reduce(0, { $0 + $1.utf8.count + 1 }) <= PathLimits.pathLength
    else { throw .pathTooLong(components.joined(separator: "/")) }
    for name in components {
      let isPlain = !name.isEmpty && name != "." && name != ".."
      guard isPlain, name.utf8.count <= PathLimits.nameLength,
        name.utf8.allSatisfy({ $0 != 0 && $0 != UInt8(ascii: "/") })
      else { throw .badName(name) }
    }
  }

  private static func precedes(_ left: [String], _ right: [String]) -> Bool {
    for (left, right) in zip(left, right) where !areSame(left, right) {
      return left.utf8.lexicographicallyPrecedes(right.utf8)
    }
    return left.count < right.count
  }

  /// Byte by byte: `String`'s own comparison takes é for one name, however it is written, and a file system for two.
  private static func areSame(_ left: String, _ right: String) -> Bool { left.utf8.elementsEqual(right.utf8) }
}

extension BencodeWriter {
  mutating func list(_ strings: [String]) {
    beginList()
    for text in strings { string(text) }
    end()
  }

  fileprivate mutating func attributes(_ attributes: FileAttributes) {
    var letters = ""
    if attributes.contains(.hidden) { letters += "h" }
    if attributes.contains(.executable) { letters += "x" }
    if !letters.isEmpty { entry("attr", string: letters) }
  }
}
