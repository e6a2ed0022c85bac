import TorrentModel

/// What is wrong with a magnet link, and in which of its fields.
public struct MagnetError: Error, Hashable, Sendable {
  public enum Problem: Hashable, Sendable {
    /// It does not begin with `magnet:?`.
    case notAMagnetLink
    /// The link is longer than the limit in bytes.
    case tooLong(limit: Int)
    /// The link names no torrent: neither `xt=urn:btih:…` nor `xs=urn:btpk:…`.
    case namesNoTorrent
    /// A `%` without two hexadecimal digits behind it.
    case malformedEscape
    /// An info-hash that is not forty hexadecimal or thirty-two base32 digits.
    case malformedInfoHash
    /// A hash of v2 (`btmh`) that is no multihash in hexadecimal digits.
    case malformedMultihash
    /// A multihash of another kind than SHA-256.
    case unknownMultihash
    /// The link names a v2 torrent (BEP 52), and not its v1 half.
    case version2Only
    /// A public key (`btpk`) that is not sixty-four hexadecimal digits.
    case malformedPublicKey
    /// A salt that is not at most sixty-four bytes in hexadecimal digits (BEP 44).
    case malformedSalt
    /// Neither `HOST:PORT` nor `[IPV6]:PORT`.
    case malformedPeer
    /// Not a list like `0,2,4,6-8` (BEP 53).
    case malformedSelection
    /// A file number beyond the limit, or more of them than the limit.
    case selectionTooLarge(limit: Int)
    /// Not a number of bytes.
    case malformedLength
    /// Empty, too long, no UTF-8, or with control characters in it.
    case malformedText
    /// There are more of these than the limit; the rest is left aside.
    case tooMany(limit: Int)
  }

  /// What is wrong.
  public let problem: Problem
  /// The name of the field, as it stands in the link; empty for the whole link.
  public let field: String

  public init(_ problem: Problem, field: String = "") {
    self.problem = problem
    self.field = printableText(field.utf8.span, lengthLimit: 32)
  }
}

extension MagnetError: CustomStringConvertible {
  public var description: String {
    field.isEmpty ? "\(problem)" : "\(problem) (in the field \"\(field)\" of the magnet link)"
  }
}

extension MagnetError.Problem: CustomStringConvertible {
  public var description: String {
    switch self {
    case .notAMagnetLink: "this is not a magnet link"
    case .tooLong(let limit): "the magnet link is longer than \(limit) bytes"
    case .namesNoTorrent: "the magnet link names no torrent: it has no xt=urn:btih:…"
    case .malformedEscape: "a % is not followed by two hexadecimal digits"
    case .malformedInfoHash: "an info-hash must be 40 hexadecimal or 32 base32 digits"
    case .malformedMultihash: "a v2 hash must be a multihash in hexadecimal digits"
    case .unknownMultihash: "a v2 hash must be a SHA-256 multihash, which begins with 1220"
    case .version2Only: "this is a BitTorrent v2 torrent without a v1 half; v2 is not supported yet"
    case .malformedPublicKey: "a public key must be 64 hexadecimal digits"
    case .malformedSalt: "a salt must be at most 64 bytes in hexadecimal digits"
    case .malformedPeer: "a peer must be written as HOST:PORT or [IPV6]:PORT"
    case .malformedSelection: "files are selected by a list of numbers and ranges, like 0,2,4,6-8"
    case .selectionTooLarge(let limit): "a selection goes beyond the limit of \(limit)"
    case .malformedLength: "a length must be a number of bytes"
    case .malformedText: "the text is empty, too long, or holds control characters"
    case .tooMany(let limit): "everything beyond the first \(limit) was ignored"
    }
  }
}
