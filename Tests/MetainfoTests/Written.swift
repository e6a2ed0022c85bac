import Bencode
import Metainfo

/// Bencode as a test writes it down. Keys stay in the order they are written in.
enum Written: Sendable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByArrayLiteral,
  ExpressibleByDictionaryLiteral
{
  case integer(Int64)
  case string([UInt8])
  case list([Written])
  case dictionary([Entry])
  /// Bytes that are meant to be bencode.
  case raw(String)

  struct Entry {
    var key: String
    var value: Written
  }

  static func text(_ text: String) -> Written { .string(Array(text.utf8)) }
  static func entries(_ entries: [(String, Written)]) -> Written {
    .dictionary(entries.map { Entry(key: $0.0, value: $0.1) })
  }
  static func zeros(_ count: Int) -> Written { .string([UInt8](repeating: 0, count: count)) }

  var bytes: [UInt8] {
    var output: [UInt8] = []
    write(to: &output)
    return output
  }

  private func write(to output: inout [UInt8]) {
    switch self {
    case .integer(let value): output += Array("i\(value)e".utf8)
    case .string(let value): output += Array("\(value.count):".utf8) + value
    case .list(let elements):
      output.append(UInt8(ascii: "l"))
      for element in elements { element.write(to: &output) }
      output.append(UInt8(ascii: "e"))
    case .dictionary(let entries):
      output.append(UInt8(ascii: "d"))
      for entry in entries {
        Written.text(entry.key).write(to: &output)
        entry.value.write(to: &output)
      }
      output.append(UInt8(ascii: "e"))
    case .raw(let text): output += Array(text.utf8)
    }
  }
}

extension Written {
  typealias StringLiteralType = String
  typealias ExtendedGraphemeClusterLiteralType = String
  typealias UnicodeScalarLiteralType = String
  typealias IntegerLiteralType = Int64
  typealias ArrayLiteralElement = Written
  typealias Key = String
  typealias Value = Written

  init(stringLiteral value: String) { self = .text(value) }
  init(integerLiteral value: Int64) { self = .integer(value) }
  init(arrayLiteral elements: Written...) { self = .list(elements) }
  init(dictionaryLiteral elements: (String, Written)...) { self = .entries(elements) }
}

extension Written {
  /// The same dictionary with other values; `nil` takes a key out, and new keys come last.
  func with(_ changes: KeyValuePairs<String, Written?>) -> Written {
    guard case .dictionary(var entries) = self else { return self }
    for (key, value) in changes {
      let place = entries.firstIndex { $0.key == key }
      switch (place, value) {
      case (let place?, let value?): entries[place].value = value
      case (let place?, nil): entries.remove(at: place)
      case (nil, let value?): entries.append(Entry(key: key, value: value))
      case (nil, nil): break
      }
    }
    return .dictionary(entries)
  }

  /// A correct info dictionary of one file of 20,000 bytes in two pieces.
  static let singleFile: Written = [
    "length": 20_000, "name": "one.bin", "piece length": 16_384, "pieces": .zeros(40),
  ]

  /// An info dictionary of these files, each of one byte.
  static func folder(_ paths: [[String]]) -> Written {
    folder(
      paths.map { path in ["length": 1, "path": .list(path.map { .text($0) })] }, totalLength: paths.count)
  }

  static func folder(_ files: [Written], totalLength: Int) -> Written {
    [
      "files": .list(files), "name": "folder", "piece length": 16_384,
      "pieces": .zeros((totalLength + 16_383) / 16_384 * 20),
    ]
  }

  func metainfo(rules: PathRules = .standard) throws(MetainfoError) -> TorrentMetainfo {
    try TorrentMetainfo.parse(Written.entries([("info", self)]).bytes, rules: rules)
  }
}
