import Bencode

extension BencodeNode {
  /// A member of a dictionary that must be there and of this kind.
  @_lifetime(copy self)
  func required(_ key: String, _ kind: BencodeKind) throws(MetainfoError) -> BencodeNode {
    guard let node = self[key] else { throw MetainfoError(.missing(key), at: self) }
    guard node.kind == kind else {
      throw MetainfoError(.wrongKind(expected: kind, found: node.kind), at: node)
    }
    return node
  }

  /// A member of a dictionary that may be missing; one of another kind is left aside with a warning.
  @_lifetime(copy self)
  func optional(_ key: String, _ kind: BencodeKind, _ warnings: inout WarningList) -> BencodeNode? {
    guard let node = self[key] else { return nil }
    guard node.kind == kind else {
      warnings.add(.ignored, at: node)
      return nil
    }
    return node
  }

  /// A text for people. Old torrents hold other encodings than UTF-8: what is none is replaced (U+FFFD).
  func lenientText(limit: Int, _ warnings: inout WarningList) -> String {
    guard let string else { return "" }
    guard string.count > limit else { return text ?? String(decoding: stringBytes ?? [], as: UTF8.self) }
    warnings.add(.textCut(limit: limit), at: self)
    var end = limit
    while end > 0 && string[end] & 0xc0 == 0x80 { end -= 1 }
    return String(decoding: (0..<end).map { string[$0] }, as: UTF8.self)
  }
}

/// Bounds of what a torrent says besides its contents.
enum TextLimits {
  /// Bytes of a comment and the like. Nobody reads more, and it stays in memory.
  static let text = 16 << 10
  /// Bytes of a URL. Signed web seed URLs are about 2 KiB long.
  static let url = 4 << 10
  /// Trackers over all tiers. The longest public lists have about 300.
  static let trackers = 512
  static let webSeeds = 256
  static let nodes = 128
}
