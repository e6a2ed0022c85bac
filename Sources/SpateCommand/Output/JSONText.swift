import Foundation

/// JSON for programs: keys in alphabetical order, so that the same value is always the same text.
enum JSONText {
  /// On one line.
  static func line(_ value: some Encodable) -> String { encode(value, []) }

  /// Indented, for documents.
  static func document(_ value: some Encodable) -> String { encode(value, .prettyPrinted) }

  private static func encode(_ value: some Encodable, _ formatting: JSONEncoder.OutputFormatting) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes, formatting]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    // Rates and ratios are finite by construction, yet a document without one of them is better than none.
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    guard let data = try? encoder.encode(value) else { return "{}" }
    return Printable.json(String(decoding: data, as: UTF8.self))
  }
}

/// A value that is written as `null` when there is none, so that every document has the same keys.
struct OrNull<Value: Encodable & Sendable>: Encodable, Sendable {
  let value: Value?

  init(_ value: Value?) { self.value = value }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    if let value { try container.encode(value) } else { try container.encodeNil() }
  }
}
