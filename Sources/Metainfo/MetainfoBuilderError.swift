import TorrentModel

/// Why no torrent can be made.
public enum MetainfoBuilderError: Error, Hashable, Sendable {
  case noFiles
  /// All files together have no byte.
  case noContent
  case tooManyFiles(limit: Int)
  /// No file system gives such a name: empty, `.`, `..`, longer than 255 bytes, or with a slash or NUL in it.
  case badName(String)
  case pathTooLong(String)
  /// Two files have this path, or a file has the path of a folder.
  case pathTakenTwice(String)
  /// A length is negative, or the sum does not fit in 63 bits.
  case badLength
  /// A piece length is not a multiple of 16 KiB within the limit.
  case badPieceLength(Int, limit: Int)
  case tooManyPieces(Int64, limit: Int)
  /// The piece hashes are not as many bytes as the pieces need.
  case wrongHashLength(Int, expected: Int)
  /// The .torrent file would be longer than the limit.
  case tooLong(Int, limit: Int)
}

extension MetainfoBuilderError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .noFiles: "there are no files"
    case .noContent: "the files are all empty: there is nothing to transfer"
    case .tooManyFiles(let limit): "there are more than \(limit) files"
    case .badName(let name): "\"\(Self.printable(name))\" cannot be the name of a file in a torrent"
    case .pathTooLong(let path): "the path \"\(Self.printable(path))\" is too long"
    case .pathTakenTwice(let path): "the path \"\(Self.printable(path))\" is taken twice"
    case .badLength: "the lengths of the files make no sense"
    case .badPieceLength(let length, let limit):
      "a piece length of \(length) bytes is not a multiple of 16 KiB up to \(limit >> 20) MiB"
    case .tooManyPieces(let count, let limit):
      "there would be \(count) pieces, and \(limit) is the limit: a greater piece length is needed"
    case .wrongHashLength(let length, let expected):
      "there are \(length) bytes of piece hashes where there must be \(expected)"
    case .tooLong(let length, let limit):
      "the torrent would have \(length) bytes, more than the limit of \(limit)"
    }
  }

  private static func printable(_ name: String) -> String {
    printableText(name.utf8.span, lengthLimit: PathLimits.pathLength)
  }
}
