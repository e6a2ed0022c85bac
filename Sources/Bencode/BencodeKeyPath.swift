/// Writes the way to a value for people: `info.files[3].path`.
///
/// Keys come from outside, so what is not printable is escaped and a long key is cut: a path stays short enough
/// for a line of a log whatever the input holds.
struct BencodeKeyPath {
  private(set) var text = ""

  /// A key longer than this many bytes is cut.
  static let maximumKeyLength = 40
  /// A path longer than this many bytes is cut.
  static let maximumLength = 400

  mutating func append(key: Span<UInt8>) {
    guard hasRoom() else { return }
    if !text.isEmpty { text += "." }
    if key.isEmpty { text += "\"\"" }
    for index in 0..<min(key.count, Self.maximumKeyLength) {
      text += Self.escaped(key[index])
    }
    if key.count > Self.maximumKeyLength { text += "…" }
  }

  mutating func append(index: Int) {
    guard hasRoom() else { return }
    text += "[\(index)]"
  }

  private mutating func hasRoom() -> Bool {
    if text.utf8.count < Self.maximumLength { return true }
    if !text.hasSuffix("…") { text += "…" }
    return false
  }

  /// The byte itself where it is printable ASCII, otherwise `\xNN`.
  static func escaped(_ byte: UInt8) -> String {
    if byte >= 0x20 && byte < 0x7f && byte != UInt8(ascii: "\\") {
      return String(Unicode.Scalar(byte))
    }
    let digits = String(byte, radix: 16)
    return digits.utf8.count == 1 ? "\\x0\(digits)" : "\\x\(digits)"
  }

  static func quoted(_ byte: UInt8) -> String { "'\(escaped(byte))'" }
}
