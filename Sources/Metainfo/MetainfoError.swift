import Bencode

/// Why a file is refused as a torrent, and where in it.
public struct MetainfoError: Error, Hashable, Sendable {
  /// What is wrong.
  public enum Problem: Error, Hashable {
    /// The bytes are no bencode, or a limit of the reader refused them.
    case bencode(BencodeError.Problem)
    /// This dictionary key is missing.
    case missing(String)
    /// The value is of another kind than it must be.
    case wrongKind(expected: BencodeKind, found: BencodeKind)
    /// An info dictionary that came from peers does not have the hash that was asked for.
    case infoHashMismatch
    /// A v2 torrent (BEP 52) without the v1 half that hybrid torrents have.
    case version2Only
    /// `meta version` is newer than any that is known.
    case unknownVersion(Int64)
    /// `piece length` is not within 1 and the limit.
    case pieceLengthOutOfRange(Int64, limit: Int)
    /// The contents would have more pieces than the limit.
    case tooManyPieces(Int64, limit: Int)
    /// The length of `pieces` is not a multiple of 20.
    case brokenPieceHashes(length: Int)
    /// There are not as many piece hashes as the contents have pieces.
    case wrongPieceCount(hashes: Int, pieces: Int)
    /// A file has a negative length.
    case negativeLength(Int64)
    /// The lengths of the files add up to more than 64 bits hold.
    case totalLengthOverflows
    /// The files have no byte but padding, so that there is nothing to transfer and nothing to keep.
    case noContent
    /// `files` is empty.
    case noFiles
    /// There is a `length` as of one file and `files` that sum up to something else.
    case lengthAndFilesDisagree
    /// More files than the limit.
    case tooManyFiles(limit: Int)
    /// More folders than the limit.
    case tooManyFolders(limit: Int)
    /// A file has an empty path.
    case emptyPath
    /// A path has more components than the limit.
    case pathTooDeep(limit: Int)
    /// A path is longer than the limit in bytes.
    case pathTooLong(limit: Int)
  }

  /// The two ways of not being a torrent that a command line tells apart.
  public enum Classification: Hashable, Sendable {
    /// The file is no bencode at all.
    case notBencode
    /// The file is bencode, but not a torrent that can be used.
    case notTorrent
  }

  /// What is wrong.
  public let problem: Problem
  /// Offset in bytes of the value in question from the start of the file.
  public let offset: Int
  /// The way to the value in question, as in `info.files[3].path`; empty for the outermost dictionary.
  public let keyPath: String

  public init(_ problem: Problem, offset: Int, keyPath: String) {
    self.problem = problem
    self.offset = offset
    self.keyPath = keyPath
  }

  init(_ problem: Problem, at node: BencodeNode) {
    self.init(problem, offset: node.range.lowerBound, keyPath: node.keyPath)
  }

  init(_ error: BencodeError) {
    self.init(.bencode(error.problem), offset: error.offset, keyPath: error.keyPath)
  }

  /// Whether the file is no bencode, or bencode but no usable torrent.
  public var classification: Classification {
    switch problem {
    case .bencode(let problem):
      // A correct file may well be beyond a limit.
      BencodeError(problem, offset: 0).isLimit ? .notTorrent : .notBencode
    default: .notTorrent
    }
  }
}

extension MetainfoError: CustomStringConvertible {
  public var description: String {
    let place = keyPath.isEmpty ? "at byte \(offset)" : "at byte \(offset), in \(keyPath)"
    return "\(problem) (\(place))"
  }
}

extension MetainfoError.Problem: CustomStringConvertible {
  public var description: String {
    switch self {
    case .bencode(let problem): "\(problem)"
    case .missing(let key): "the key \"\(key)\" is missing"
    case .wrongKind(let expected, let found):
      "this must be \(Self.named(expected)), and is \(Self.named(found))"
    case .infoHashMismatch: "the info dictionary does not have the hash that was asked for"
    case .version2Only: "this is a BitTorrent v2 torrent without a v1 half; v2 is not supported yet"
    case .unknownVersion(let version): "meta version \(version) is not known; 2 is the newest"
    case .pieceLengthOutOfRange(let length, let limit):
      "a piece length of \(length) bytes is not within 1 and \(limit)"
    case .tooManyPieces(let count, let limit): "\(count) pieces are more than the limit of \(limit)"
    case .brokenPieceHashes(let length): "\(length) bytes of piece hashes are not a multiple of 20"
    case .wrongPieceCount(let hashes, let pieces): "there are \(hashes) piece hashes for \(pieces) pieces"
    case .negativeLength(let length): "a length of \(length) bytes is negative"
    case .totalLengthOverflows: "the lengths of the files add up to more than 2^63 bytes"
    case .noContent: "the torrent has no content: its files have no bytes"
    case .noFiles: "the list of files is empty"
    case .lengthAndFilesDisagree: "there are both \"length\" and \"files\", and they disagree"
    case .tooManyFiles(let limit): "there are more than \(limit) files"
    case .tooManyFolders(let limit): "there are more than \(limit) folders"
    case .emptyPath: "a file has an empty path"
    case .pathTooDeep(let limit): "a path has more than \(limit) components"
    case .pathTooLong(let limit): "a path is longer than \(limit) bytes"
    }
  }

  private static func named(_ kind: BencodeKind) -> String {
    switch kind {
    case .string: "a string"
    case .integer: "an integer"
    case .list: "a list"
    case .dictionary: "a dictionary"
    }
  }
}
