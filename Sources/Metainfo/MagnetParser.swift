import TorrentModel

extension MagnetLink {
  /// Reads a magnet link.
  ///
  /// What says which torrent and which files of it must be right. A tracker, web seed, peer, name or length that makes no
  /// sense is left aside with a warning: the torrent may well be found without. Unknown fields are passed over.
  ///
  /// - Throws: ``MagnetError``, which says what is wrong and in which field.
  public init(parsing text: some StringProtocol) throws(MagnetError) {
    self.init()
    var bytes = Array(text.utf8)
    // Links come out of mails and pages with white space around them.
    while let last = bytes.last, last <= 0x20 { bytes.removeLast() }
    let start = bytes.firstIndex { $0 > 0x20 } ?? bytes.count
    guard bytes.count - start <= Self.lengthLimit else {
      throw MagnetError(.tooLong(limit: Self.lengthLimit))
    }
    let link = bytes[start...]
    let scheme = Array("magnet:?".utf8)
    guard link.count >= scheme.count,
      link.prefix(scheme.count).elementsEqual(scheme, by: { $0 == $1 || ($0 | 0x20) == $1 && $1 >= 0x61 })
    else { throw MagnetError(.notAMagnetLink) }

    var reader = MagnetReader()
    for field in link.dropFirst(scheme.count).split(separator: UInt8(ascii: "&")) {
      try reader.read(field)
    }
    self = try reader.finish()
  }
}

/// Goes over the fields of a link.
private struct MagnetReader {
  private var link = MagnetLink()
  private var hasVersion2 = false
  private var publicKey: [UInt8]?
  private var salt: [UInt8] = []
  private var plainTiers: [[String]] = []
  private var numberedTiers: [Int: [String]] = [:]
  private var trackers: Set<String> = []
  private var webSeeds: Set<String> = []
  private var selection: [ClosedRange<Int>]?

  mutating func read(_ field: ArraySlice<UInt8>) throws(MagnetError) {
    let equals = field.firstIndex(of: UInt8(ascii: "=")) ?? field.endIndex
    let name = String(decoding: field[..<equals], as: UTF8.self)
    let raw = equals < field.endIndex ? field[(equals + 1)...] : []
    let (key, number) = Self.split(name)
    switch key {
    case "xt": try readTopic(try Self.decoded(raw, name), name)
    case "xs": try readSource(try Self.decoded(raw, name), name)
    case "s":
      guard let bytes = HexDigits.decode(raw), bytes.count <= MagnetLink.saltLimit else {
        throw MagnetError(.malformedSalt, field: name)
      }
      salt = bytes
    case "so": try readSelection(try Self.decoded(raw, name), name)
    case "dn", "xl", "tr", "ws", "x.pe":
      do {
        try readHint(key, number, raw, name)
      } catch {
        warn(error)
      }
    default: break
    }
  }

  /// The name of a field in lower case without the number behind it, and the number: `xt.1`, `tr.2`.
  private static func split(_ name: String) -> (key: String, number: Int?) {
    var lower = name.lowercased()
    // Links that were copied out of the source of a page.
    if lower.hasPrefix("amp;") { lower.removeFirst(4) }
    guard let dot = lower.lastIndex(of: "."), let number = Int(lower[lower.index(after: dot)...]), number >= 0
    else { return (lower, nil) }
    return (String(lower[..<dot]), number)
  }

  private static func decoded(_ raw: ArraySlice<UInt8>, _ name: String) throws(MagnetError) -> [UInt8] {
    guard let bytes = PercentEncoding.decode(raw.span) else {
      throw MagnetError(.malformedEscape, field: name)
    }
    return bytes
  }

  private mutating func warn(_ warning: MagnetError) {
    if link.warnings.count < MagnetLink.warningLimit, !link.warnings.contains(warning) {
      link.warnings.append(warning)
    }
  }

  // MARK: Which torrent

  private mutating func readTopic(_ value: [UInt8], _ name: String) throws(MagnetError) {
    if let digits = Self.after("urn:btih:", value) {
      guard let infoHash = Self.infoHash(digits) else { throw MagnetError(.malformedInfoHash, field: name) }
      guard !link.infoHashes.contains(infoHash) else { return }
      guard link.infoHashes.count < MagnetLink.infoHashLimit else {
        return warn(MagnetError(.tooMany(limit: MagnetLink.infoHashLimit), field: name))
      }
      link.infoHashes.append(infoHash)
    } else if let digits = Self.after("urn:btmh:", value) {
      guard let bytes = HexDigits.decode(digits), bytes.count > 2 else {
        throw MagnetError(.malformedMultihash, field: name)
      }
      guard bytes.starts(with: [0x12, 0x20]) else { throw MagnetError(.unknownMultihash, field: name) }
      guard bytes.count == 34 else { throw MagnetError(.malformedMultihash, field: name) }
      hasVersion2 = true
      link.version2Hash = link.version2Hash ?? Array(bytes.dropFirst(2))
    }
    // Other networks have topics too.
  }

  private mutating func readSource(_ value: [UInt8], _ name: String) throws(MagnetError) {
    guard let digits = Self.after("urn:btpk:", value) else { return }
    guard let bytes = HexDigits.decode(digits), bytes.count == 32 else {
      throw MagnetError(.malformedPublicKey, field: name)
    }
    publicKey = publicKey ?? bytes
  }

  private static func after(_ prefix: String, _ value: [UInt8]) -> ArraySlice<UInt8>? {
    let prefix = Array(prefix.utf8)
    let head = value.prefix(prefix.count).map { $0 >= 0x41 && $0 <= 0x5a ? $0 + 0x20 : $0 }
    return head == prefix ? value[prefix.count...] : nil
  }

  private static func infoHash(_ digits: ArraySlice<UInt8>) -> InfoHash? {
    switch digits.count {
    case 40: HexDigits.decode(digits).flatMap { InfoHash($0.span) }
    case 32: base32(digits).flatMap { InfoHash($0.span) }
    default: nil
    }
  }

  /// RFC 4648, section 6, in either case.
  private static func base32(_ digits: ArraySlice<UInt8>) -> [UInt8]? {
    var bytes: [UInt8] = []
    var word: UInt32 = 0
    var bits = 0
    for digit in digits {
      let value: UInt8
      switch digit {
      case UInt8(ascii: "a")...UInt8(ascii: "z"): value = digit - UInt8(ascii: "a")
      case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = digit - UInt8(ascii: "A")
      case UInt8(ascii: "2")...UInt8(ascii: "7"): value = digit - UInt8(ascii: "2") + 26
      default: return nil
      }
      word = word << 5 | UInt32(value)
      bits += 5
      guard bits >= 8 else { continue }
      bits -= 8
      bytes.append(UInt8(truncatingIfNeeded: word >> UInt32(bits)))
    }
    return bytes
  }

  // MARK: Which files

  private mutating func readSelection(_ value: [UInt8], _ name: String) throws(MagnetError) {
    var ranges = selection ?? []
    for part in value.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
      let ends = part.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
      guard (1...2).contains(ends.count) else { throw MagnetError(.malformedSelection, field: name) }
      var numbers: [Int] = []
      for digits in ends {
        guard (1...18).contains(digits.count), digits.allSatisfy({ (0x30...0x39).contains($0) }),
          let number = Int(String(decoding: digits, as: UTF8.self))
        else { throw MagnetError(.malformedSelection, field: name) }
        guard number < Limits.fileCount else {
          throw MagnetError(.selectionTooLarge(limit: Limits.fileCount), field: name)
        }
        numbers.append(number)
      }
      guard let first = numbers.first, let last = numbers.last, first <= last else {
        throw MagnetError(.malformedSelection, field: name)
      }
      guard ranges.count < MagnetLink.rangeLimit else {
        throw MagnetError(.selectionTooLarge(limit: MagnetLink.rangeLimit), field: name)
      }
      ranges.append(first...last)
    }
    selection = ranges
  }

  private static func merged(_ ranges: [ClosedRange<Int>]) -> [ClosedRange<Int>] {
    var result: [ClosedRange<Int>] = []
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if let last = result.last, range.lowerBound <= last.upperBound + 1 {
        result[result.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
      } else {
        result.append(range)
      }
    }
    return result
  }

  // MARK: Hints

  private mutating func readHint(
    _ key: String, _ number: Int?, _ raw: ArraySlice<UInt8>, _ name: String
  ) throws(MagnetError) {
    switch key {
    case "dn": if link.name == nil { link.name = try Self.displayName(raw, name) }
    case "xl":
      guard (1...19).contains(raw.count), raw.allSatisfy({ (0x30...0x39).contains($0) }),
        let length = Int64(String(decoding: raw, as: UTF8.self))
      else { throw MagnetError(.malformedLength, field: name) }
      link.length = link.length ?? length
    case "tr":
      let url = try Self.url(raw, name)
      guard !trackers.contains(url) else { return }
      guard trackers.count < TextLimits.trackers else {
        throw MagnetError(.tooMany(limit: TextLimits.trackers), field: key)
      }
      trackers.insert(url)
      if let number { numberedTiers[number, default: []].append(url) } else { plainTiers.append([url]) }
    case "ws":
      let url = try Self.url(raw, name)
      guard !webSeeds.contains(url) else { return }
      guard webSeeds.count < TextLimits.webSeeds else {
        throw MagnetError(.tooMany(limit: TextLimits.webSeeds), field: key)
      }
      webSeeds.insert(url)
      link.webSeeds.append(url)
    default:
      let peer = try Self.peer(try Self.decoded(raw, name), name)
      guard !link.peers.contains(peer) else { return }
      guard link.peers.count < MagnetLink.peerLimit else {
        throw MagnetError(.tooMany(limit: MagnetLink.peerLimit), field: key)
      }
      link.peers.append(peer)
    }
  }

  /// Here, and here only, a `+` stands for a space: names come out of web forms.
  private static func displayName(_ raw: ArraySlice<UInt8>, _ name: String) throws(MagnetError) -> String {
    let spaced = raw.map { $0 == UInt8(ascii: "+") ? 0x20 : $0 }
    let bytes = try decoded(spaced[...], name)
    let text = printableText(bytes.span, lengthLimit: MagnetLink.nameLengthLimit)
    guard !text.isEmpty else { throw MagnetError(.malformedText, field: name) }
    return text
  }

  private static func url(_ raw: ArraySlice<UInt8>, _ name: String) throws(MagnetError) -> String {
    let bytes = try decoded(raw, name)
    guard (1...TextLimits.url).contains(bytes.count), bytes.allSatisfy({ $0 > 0x20 && $0 != 0x7f }),
      let text = String(validating: bytes, as: UTF8.self)
    else { throw MagnetError(.malformedText, field: name) }
    return text
  }

  private static func peer(_ value: [UInt8], _ name: String) throws(MagnetError) -> MagnetLink.Peer {
    let text = String(decoding: value, as: UTF8.self)
    if let endpoint = Endpoint(text) {
      guard endpoint.isPlausiblePeer else { throw MagnetError(.malformedPeer, field: name) }
      return MagnetLink.Peer(host: "\(endpoint.address)", port: endpoint.port)
    }
    guard let colon = value.lastIndex(of: UInt8(ascii: ":")),
      let port = UInt16(String(decoding: value[(colon + 1)...], as: UTF8.self)), port > 0,
      value[colon + 1] != UInt8(ascii: "+"), isHostName(value[..<colon])
    else { throw MagnetError(.malformedPeer, field: name) }
    return MagnetLink.Peer(host: String(decoding: value[..<colon], as: UTF8.self).lowercased(), port: port)
  }

  /// Letters, digits, dots, dashes and underscores, and not what a resolver would take for an odd form of an address.
  private static func isHostName(_ name: ArraySlice<UInt8>) -> Bool {
    guard (1...253).contains(name.count) else { return false }
    let labels = name.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    return labels.allSatisfy { label in
      (1...63).contains(label.count)
        && label.allSatisfy {
          (0x30...0x39).contains($0) || (0x61...0x7a).contains($0 | 0x20) || $0 == 0x2d || $0 == 0x5f
        }
    } && labels.last?.contains { !(0x30...0x39).contains($0) } == true
      && labels.last?.starts(with: "0x".utf8) == false
  }

  // MARK: The whole

  mutating func finish() throws(MagnetError) -> MagnetLink {
    link.trackers = plainTiers + numberedTiers.sorted { $0.key < $1.key }.map(\.value)
    link.selection = selection.map(Self.merged)
    link.mutableTorrent = publicKey.map { MagnetLink.MutableTorrent(publicKey: $0, salt: salt) }
    guard link.infoHashes.isEmpty, link.mutableTorrent == nil else { return link }
    if hasVersion2 { throw MagnetError(.version2Only, field: "xt") }
    throw MagnetError(.namesNoTorrent, field: "xt")
  }
}
