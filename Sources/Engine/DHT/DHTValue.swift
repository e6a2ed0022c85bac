import Bencode
import DHT

/// Values of items (BEP 44), which are bencoded.
extension DHTItem {
  private static let limits = BencodeLimits(length: valueLimit, depth: 32, values: valueLimit)

  /// A byte string as a value.
  public static func encoded(string bytes: [UInt8]) -> [UInt8] {
    var writer = BencodeWriter(reserving: bytes.count + 8)
    writer.string(bytes)
    return writer.bytes
  }

  /// The bytes of a value that is a string; nil for other kinds.
  public var string: [UInt8]? {
    var parser = BencodeParser(limits: Self.limits)
    guard let node = try? parser.parse(value.span) else { return nil }
    return node.stringBytes
  }

  /// The value as a person reads it, in the manner of JSON; strings that are no text are hexadecimal: `<0a1b>`.
  public var valueText: String {
    var parser = BencodeParser(limits: Self.limits)
    guard let node = try? parser.parse(value.span) else { return "" }
    var text = ""
    Self.append(node, to: &text)
    return text
  }

  private static func append(_ node: BencodeNode, to text: inout String) {
    switch node.kind {
    case .integer: text += node.integer.map { String($0) } ?? "0"
    case .string: append(node.stringBytes ?? [], to: &text)
    case .list:
      text += "["
      if var elements = node.elements {
        var isFirst = true
        while let element = elements.next() {
          text += isFirst ? "" : ", "
          isFirst = false
          append(element, to: &text)
        }
      }
      text += "]"
    case .dictionary:
      text += "{"
      if var entries = node.entries {
        var isFirst = true
        while let entry = entries.next() {
          text += isFirst ? "" : ", "
          isFirst = false
          let key = entry.key
          append(key.indices.map { key[$0] }, to: &text)
          text += ": "
          append(entry.value, to: &text)
        }
      }
      text += "}"
    }
  }

  private static func append(_ bytes: [UInt8], to text: inout String) {
    guard let string = String(validating: bytes, as: UTF8.self) else {
      text += "<"
      for byte in bytes { text += (byte < 16 ? "0" : "") + String(byte, radix: 16) }
      text += ">"
      return
    }
    text += "\""
    for character in string.unicodeScalars {
      switch character {
      case "\"", "\\": text += "\\\(character)"
      case "\n": text += "\\n"
      default: text.unicodeScalars.append(character)
      }
    }
    text += "\""
  }
}
