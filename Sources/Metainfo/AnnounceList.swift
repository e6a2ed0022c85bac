import Bencode

/// The trackers of a torrent (BEP 3, BEP 12).
enum AnnounceList {
  /// `announce-list` where it holds anything, otherwise `announce` as the only tier.
  ///
  /// Empty URLs and empty tiers are dropped, and a URL counts once, where it first stands. A URL that stands in the
  /// list without a tier around it, as some programs write it, is a tier of its own.
  static func read(_ root: BencodeNode, _ warnings: inout WarningList) -> [[String]] {
    var reader = Reader()
    if let list = root.optional("announce-list", .list, &warnings), var tiers = list.elements {
      while let tier = tiers.next() {
        if var urls = tier.elements {
          while let url = urls.next() { reader.read(url, &warnings) }
        } else {
          reader.read(tier, &warnings)
        }
        reader.endTier()
        if reader.isFull { break }
      }
    }
    if reader.tiers.isEmpty, let url = root["announce"] {
      reader.read(url, &warnings)
      reader.endTier()
    }
    return reader.tiers
  }

  private struct Reader {
    var tiers: [[String]] = []
    private var tier: [String] = []
    private var known: Set<String> = []
    private(set) var isFull = false

    mutating func read(_ node: BencodeNode, _ warnings: inout WarningList) {
      guard !isFull, let url = URLText.read(node, &warnings), !known.contains(url) else { return }
      guard known.count < TextLimits.trackers else {
        isFull = true
        warnings.add(.rest(limit: TextLimits.trackers), at: node)
        return
      }
      known.insert(url)
      tier.append(url)
    }

    mutating func endTier() {
      if !tier.isEmpty { tiers.append(tier) }
      tier = []
    }
  }
}

/// URLs as they stand in torrents.
enum URLText {
  /// A URL without the white space around it, spaces within it escaped. `nil` for an empty one, and with a warning for
  /// what is no URL: text that is too long, holds control characters or is not UTF-8. Schemes are not looked at.
  static func read(_ node: BencodeNode, _ warnings: inout WarningList) -> String? {
    guard let raw = node.string else {
      warnings.add(.ignored, at: node)
      return nil
    }
    var (begin, end) = (0, raw.count)
    while begin < end && isSpace(raw[begin]) { begin += 1 }
    while begin < end && isSpace(raw[end - 1]) { end -= 1 }
    guard begin < end else { return nil }
    var url: [UInt8] = []
    guard end - begin <= TextLimits.url else {
      warnings.add(.urlIgnored, at: node)
      return nil
    }
    for index in begin..<end {
      if raw[index] == UInt8(ascii: " ") {
        url.append(contentsOf: "%20".utf8)
      } else {
        url.append(raw[index])
      }
    }
    guard url.allSatisfy({ $0 > 0x20 && $0 != 0x7f }), let text = String(validating: url, as: UTF8.self)
    else {
      warnings.add(.urlIgnored, at: node)
      return nil
    }
    return text
  }

  /// The URLs under a key: one string (BEP 19 allows it), or a list of them. Each counts once.
  static func list(
    _ root: BencodeNode, _ key: String, _ warnings: inout WarningList
  ) -> [String] {
    guard let node = root[key] else { return [] }
    guard var elements = node.elements else {
      return read(node, &warnings).map { [$0] } ?? []
    }
    var urls: [String] = []
    var known: Set<String> = []
    while let element = elements.next() {
      guard let url = read(element, &warnings), known.insert(url).inserted else { continue }
      guard urls.count < TextLimits.webSeeds else {
        warnings.add(.rest(limit: TextLimits.webSeeds), at: element)
        break
      }
      urls.append(url)
    }
    return urls
  }

  private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) }
}
