import TorrentModel

extension PeerID {
  /// The program and version behind this id as far as its form gives them away (BEP 20), for people to read.
  ///
  /// The name that a peer says in its extended handshake is the better one. Always printable; `nil` for an
  /// id that follows no convention.
  public var clientName: String? {
    azureusStyle ?? aria2Style ?? mainlineStyle ?? otherStyle ?? shadowStyle
  }

  private func byte(_ index: Int) -> UInt8 { bytes[index] }

  private func text(_ range: Range<Int>) -> String {
    String(decoding: range.map { byte($0) }, as: UTF8.self)
  }

  private func hasPrefix(_ prefix: String) -> Bool {
    prefix.utf8.enumerated().allSatisfy { byte($0.offset) == $0.element }
  }

  /// `-TR4060-` and then random: two characters for the program, four for the version.
  private var azureusStyle: String? {
    let dash = UInt8(ascii: "-")
    guard byte(0) == dash, (1...2).allSatisfy({ byte($0).isPrintable }) else { return nil }
    if hasPrefix("-ML") { return dotted("MLDonkey", from: 3) }
    if hasPrefix("-BOW") { return "Bits on Wheels" }
    if hasPrefix("-G3") { return "G3 Torrent" }
    let digits = (3...6).compactMap { byte($0).versionDigit }
    guard digits.count == 4 else { return nil }
    // FlashGet leaves the closing dash out; so do some others.
    let code = text(1..<3)
    let name = Self.azureusCodes[code] ?? code
    // The fourth is a build or tag, or nothing.
    return "\(name) \(Self.version(digits[3] == 0 ? Array(digits.prefix(3)) : digits))"
  }

  /// `A2-1-36-0-`.
  private var aria2Style: String? { hasPrefix("A2-") ? dashed("aria2", from: 3) : nil }

  /// `M7-10-5--` and the same with Q for Queen Bee: numbers between dashes.
  private var mainlineStyle: String? {
    guard byte(2) == UInt8(ascii: "-") || byte(3) == UInt8(ascii: "-") else { return nil }
    switch byte(0) {
    case UInt8(ascii: "M"): return dashed("Mainline", from: 1)
    case UInt8(ascii: "Q"): return dashed("Queen Bee", from: 1)
    default: return nil
    }
  }

  /// `S58B-----` and then random: one character for the program, up to five for the version, filled with dashes.
  private var shadowStyle: String? {
    guard let name = Self.shadowCodes[byte(0)] else { return nil }
    guard (6...7).allSatisfy({ byte($0) == UInt8(ascii: "-") }) else { return nil }
    let version = (1...5).map { byte($0) }.prefix { $0 != UInt8(ascii: "-") }
    let digits = version.compactMap { $0.versionDigit }
    guard !digits.isEmpty, digits.count == version.count else { return nil }
    return "\(name) \(Self.version(digits))"
  }

  private var otherStyle: String? {
    for (prefix, name) in Self.otherPrefixes where hasPrefix(prefix) { return name }
    if hasPrefix("exbc") || hasPrefix("FUTB") {
      let name = text(6..<10) == "LORD" ? "BitLord" : "BitComet"
      return "\(name) \(byte(4)).\(byte(5) / 10)\(byte(5) % 10)"
    }
    if hasPrefix("XBT"), (3...5).allSatisfy({ byte($0).isDigit }) {
      return "XBT Client \(Self.version((3...5).compactMap { byte($0).versionDigit }))"
    }
    if hasPrefix("OP"), (2...5).allSatisfy({ byte($0).isDigit }) { return "Opera build \(text(2..<6))" }
    if byte(0) == 0, text(2..<4) == "BS" { return "BitSpirit \(byte(1))" }
    if text(2..<4) == "RS", byte(0) < 10 { return "Rufus \(byte(0)).\(byte(1))" }
    return nil
  }

  /// Numbers with dashes between them, up to two dashes in a row or the end of what looks like a version.
  private func dashed(_ name: String, from start: Int) -> String? {
    var index = start
    var parts: [String] = []
    while index < 12, parts.count < 4 {
      let digits = (index..<12).map { byte($0) }.prefix { $0.isDigit }
      guard !digits.isEmpty, digits.count <= 3, byte(index + digits.count) == UInt8(ascii: "-") else { break }
      parts.append(String(decoding: digits, as: UTF8.self))
      index += digits.count + 1
    }
    return parts.isEmpty ? nil : "\(name) \(parts.joined(separator: "."))"
  }

  /// `2.7.2-` in digits and dots.
  private func dotted(_ name: String, from start: Int) -> String {
    let version = (start..<12).map { byte($0) }.prefix { $0.isDigit || $0 == UInt8(ascii: ".") }
    return version.isEmpty ? name : "\(name) \(String(decoding: version, as: UTF8.self))"
  }

  private static func version(_ digits: [Int]) -> String { digits.map(String.init).joined(separator: ".") }

  private static let otherPrefixes: [(prefix: String, name: String)] = [
    ("AZ2500BT", "BitTyrant"), ("346------", "TorrenTopia"), ("Pando-", "Pando"), ("LIME", "LimeWire"),
    ("DNA", "BitTorrent DNA"), ("btpd/", "btpd"), ("TIX", "Tixati"), ("QVOD", "Qvod"), ("turbobt", "TurboBT"),
    ("Mbrst", "Burst!"), ("PEERAPP", "PeerApp"),
  ]

  private static let shadowCodes: [UInt8: String] = [
    UInt8(ascii: "A"): "ABC", UInt8(ascii: "O"): "Osprey Permaseed", UInt8(ascii: "Q"): "BTQueue",
    UInt8(ascii: "R"): "Tribler", UInt8(ascii: "S"): "Shadow's client", UInt8(ascii: "T"): "BitTornado",
    UInt8(ascii: "U"): "UPnP NAT BitTorrent",
  ]

  private static let azureusCodes: [String: String] = [
    "AG": "Ares", "A~": "Ares", "AR": "Arctic", "AV": "Avicora", "AX": "BitPump", "AZ": "Vuze",
    "BB": "BitBuddy",
    "BC": "BitComet", "BF": "Bitflu", "BG": "BTG", "BI": "BiglyBT", "BR": "BitRocket", "BS": "BTSlave",
    "BT": "BitTorrent", "BX": "BittorrentX", "CD": "Enhanced CTorrent", "CT": "CTorrent", "DE": "Deluge",
    "DP": "Propagate Data Client", "EB": "EBit", "ES": "electric sheep", "FG": "FlashGet", "FT": "FoxTorrent",
    "FW": "FrostWire", "FX": "Freebox BitTorrent", "GS": "GSTorrent", "HL": "Halite", "HN": "Hydranode",
    "KG": "KGet", "KT": "KTorrent", "LH": "LH-ABC", "LP": "Lphant", "LR": "LibreTorrent", "LT": "libtorrent",
    "LW": "LimeWire", "MG": "MediaGet", "MO": "MonoTorrent", "MP": "MooPolice", "MR": "Miro",
    "MT": "MoonlightTorrent", "NX": "Net Transport", "PD": "Pando", "PI": "PicoTorrent", "QD": "QQDownload",
    "QT": "Qt example", "RT": "Retriever", "S8": "Spate", "S~": "Shareaza", "SB": "Swiftbit", "SD": "Xunlei",
    "SP": "BitSpirit",
    "SS": "SwarmScope", "ST": "SymTorrent", "SZ": "Shareaza", "TL": "Tribler", "TN": "TorrentDotNET",
    "TR": "Transmission", "TS": "Torrentstorm", "TT": "TuoTu", "UL": "uLeecher!", "UM": "µTorrent Mac",
    "UT": "µTorrent", "UW": "µTorrent Web", "VG": "Vagaa", "WD": "WebTorrent Desktop", "WT": "BitLet",
    "WW": "WebTorrent", "WY": "FireTorrent", "XF": "Xfplay", "XL": "Xunlei", "XT": "XanTorrent",
    "XX": "Xtorrent", "ZT": "ZipTorrent", "lt": "rTorrent", "qB": "qBittorrent", "st": "sharktorrent",
  ]
}

extension UInt8 {
  fileprivate var isPrintable: Bool { self > 0x20 && self < 0x7f }
  fileprivate var isDigit: Bool { self >= UInt8(ascii: "0") && self <= UInt8(ascii: "9") }

  /// 0–9, and A–Z and a–z for the numbers from 10 and 36 on.
  fileprivate var versionDigit: Int? {
    switch self {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): Int(self - UInt8(ascii: "0"))
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): Int(self - UInt8(ascii: "A")) + 10
    case UInt8(ascii: "a")...UInt8(ascii: "z"): Int(self - UInt8(ascii: "a")) + 36
    default: nil
    }
  }
}
