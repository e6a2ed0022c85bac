/// A size, or a rate for each second, in bytes: `500`, `64K`, `1.5M`, `2GiB`. Units are powers of 1024.
struct ByteCount: SettingValue, Hashable {
  let bytes: Int

  init(bytes: Int) { self.bytes = bytes }

  init?(argument: String) {
    var digits = Substring(argument)
    // "MiB", "MB", "Mi", "M" and "m" are all the same; "B" alone is bytes.
    for suffix in ["ib", "i", "b"] where digits.lowercased().hasSuffix(suffix) {
      digits = digits.dropLast(suffix.count)
      // "iB" without a letter before it is no unit.
      if suffix != "b", Self.shift(of: digits.last) == nil { return nil }
      break
    }
    var shift = 0
    if let unit = Self.shift(of: digits.last) {
      shift = unit
      digits = digits.dropLast()
    }
    guard let bytes = Self.value(digits, shift: shift) else { return nil }
    self.bytes = bytes
  }

  private static func shift(of unit: Character?) -> Int? {
    switch unit {
    case "k", "K": 10
    case "m", "M": 20
    case "g", "G": 30
    case "t", "T": 40
    default: nil
    }
  }

  /// A decimal number times 2^shift, rounded down; nil when it is no number or does not fit.
  private static func value(_ text: Substring, shift: Int) -> Int? {
    let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    guard let whole = parts.first, parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy(isDigit) }) else {
      return nil
    }
    // Beyond nine digits a fraction changes nothing that matters.
    let decimals = parts.count == 2 ? parts[1].prefix(9) : ""
    // A fraction of a byte makes no sense.
    if parts.count == 2 && shift == 0 { return nil }
    guard let number = Int(whole) else { return nil }
    let (scaled, overflowed) = number.multipliedReportingOverflow(by: 1 << shift)
    guard !overflowed else { return nil }
    guard let fraction = Int(decimals.isEmpty ? "0" : decimals) else { return nil }
    let scale = (0..<decimals.count).reduce(1) { value, _ in value * 10 }
    let rest = Int(Double(fraction) / Double(scale) * Double(1 << shift))
    let (sum, isTooLarge) = scaled.addingReportingOverflow(rest)
    return isTooLarge ? nil : sum
  }

  static var form: String { "a size such as 500K, 64M or 1.5G (1K is 1024 bytes)" }
}

func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

/// Bytes per second; 0 is no limit.
struct ByteRate: SettingValue, Hashable {
  let bytesPerSecond: Int

  init?(argument: String) {
    var text = Substring(argument)
    if text.hasSuffix("/s") { text = text.dropLast(2) }
    guard let count = ByteCount(argument: String(text)) else { return nil }
    bytesPerSecond = count.bytes
  }

  /// nil for 0: no limit.
  var limit: Int? { bytesPerSecond == 0 ? nil : bytesPerSecond }

  static var form: String { "bytes per second, such as 500K or 2M (1K is 1024 bytes), or 0 for no limit" }
}

/// The length of a piece: a size in bytes, or a small number n for 2^n bytes.
struct PieceLength: SettingValue, Hashable {
  let bytes: Int

  init?(argument: String) {
    guard let count = ByteCount(argument: argument) else { return nil }
    let isExponent = argument.utf8.allSatisfy(isDigit) && (14...29).contains(count.bytes)
    let bytes = isExponent ? 1 << count.bytes : count.bytes
    // BEP 3 clients transfer blocks of 16 KiB: a multiple of these is what every client can do.
    guard bytes >= 1 << 14, bytes <= 1 << 29, bytes % (1 << 14) == 0 else { return nil }
    self.bytes = bytes
  }

  static var form: String {
    "a multiple of 16K up to 512M such as 256K or 4M, or a power of two from 14 to 29 such as 18"
  }
}
