import TorrentModel

/// The info dictionary of a torrent: what the info-hash stands for and every peer of the swarm agrees on (BEP 3).
public struct TorrentInfo: Sendable {
  /// SHA-1 of the info dictionary's bytes exactly as they stand in the torrent, unknown keys and all.
  public let infoHash: InfoHash
  /// Which generations of the protocol the torrent is made for.
  public let version: TorrentVersion
  /// A safe name for the torrent: that of its only file, or of the folder that its files go into.
  public let name: String
  /// How the contents divide into pieces.
  public let geometry: PieceGeometry
  /// All files in the order of the contents, padding included.
  public let files: FileTable
  /// Whether the torrent is one file without a folder of its own.
  public let isSingleFile: Bool
  /// Whether peers may come only from the torrent's own trackers (BEP 27).
  public let isPrivate: Bool
  /// Where the torrent was made for; trackers use it to tell copies apart.
  public let source: String?
  /// What is odd about the info dictionary and was dealt with; the first hundred.
  public let warnings: [MetainfoWarning]
  /// The info dictionary as it stands in the torrent: what peers ask for by BEP 9.
  public let encoded: ArraySlice<UInt8>
  /// Where the piece hashes begin in ``encoded``.
  let hashesStart: Int

  /// The length of a piece hash (SHA-1) in bytes.
  public static let pieceHashLength = 20

  /// The SHA-1 that the contents of a piece must have.
  ///
  /// - Precondition: the torrent has this piece.
  public func pieceHash(_ piece: PieceIndex) -> Bytes20 {
    precondition(geometry.contains(piece), "the torrent does not have this piece")
    let start = hashesStart + piece.offset * Self.pieceHashLength
    return Bytes20(encoded[start..<start + Self.pieceHashLength]) ?? Bytes20()
  }

  /// All piece hashes, one after the other.
  public var pieceHashes: ArraySlice<UInt8> {
    encoded[hashesStart..<hashesStart + geometry.pieceCount * Self.pieceHashLength]
  }

  /// Where the files lie in the contents.
  public var layout: FileLayout { files.layout }

  /// The path of a file below the folder of the download, with slashes: in a torrent of several files it begins with
  /// ``name``.
  public func downloadPath(ofFile index: Int) -> String {
    isSingleFile ? name : "\(name)/\(files[index].path)"
  }
}

/// The generations of the protocol a torrent is made for.
public enum TorrentVersion: Sendable, Hashable, CustomStringConvertible {
  /// BEP 3.
  case v1
  /// BEP 3 and BEP 52 at once. The v1 half is what is used.
  case hybrid

  /// `1` or `hybrid`.
  public var description: String {
    switch self {
    case .v1: "1"
    case .hybrid: "hybrid"
    }
  }
}
