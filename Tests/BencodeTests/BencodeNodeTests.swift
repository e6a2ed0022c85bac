import Testing

@testable import Bencode

@Suite struct BencodeNodeTests {
  static let input = latin1(
    "d4:infod5:filesld6:lengthi42e4:pathl1:a2:bceee4:name3:foo7:privatei-7ee5:nodesl0:dei0eee")

  // Expectations are held against copies: the macros cannot take values that may not escape.

  @Test func `finds values by key`() throws {
    let bytes = Self.input
    var parser = BencodeParser(limits: BencodeLimits(length: 1000, depth: 64))
    let root = try parser.parse(bytes.span)
    let info = try root["info"].unwrapped()
    let texts = [info["name"]?.text, info["nam"]?.text, info["namf"]?.text, info.text, root["inf"]?.text]
    #expect(texts == ["foo", nil, nil, nil, nil])
    let integers = [info["private"]?.integer, info.integer, root[""]?.integer, root["nodes"]?["x"]?.integer]
    #expect(integers == [-7, nil, nil, nil])
    let bytesOfName = info["name"]?.stringBytes
    #expect(bytesOfName == Array("foo".utf8))
    let counts = [root.count, info.count, root["nodes"]?.count, info["name"]?.count, info["private"]?.count]
    #expect(counts == [2, 3, 3, 0, 0])
    let byBytes = root.value(forKey: latin1("nodes").span)?.kind
    #expect(byBytes == .list)
    let wrongKind = [root["nodes"]?.entries == nil, info.elements == nil, info.string == nil]
    #expect(wrongKind == [true, true, true])
    let empty = [root.isEmpty, info["name"]?.isEmpty, info["private"]?.isEmpty]
    #expect(empty == [false, false, false])
    let whole = root.range
    #expect(whole == 0..<bytes.count)
  }

  @Test func `gives the bytes of any value`() throws {
    let bytes = Self.input
    var parser = BencodeParser(limits: BencodeLimits(length: 1000, depth: 64))
    let root = try parser.parse(bytes.span)
    let info = try root["info"].unwrapped()
    let text = "d5:filesld6:lengthi42e4:pathl1:a2:bceee4:name3:foo7:privatei-7ee"
    let cases: [(Range<Int>?, String)] = [
      (info.range, text), (info["name"]?.range, "3:foo"), (info["name"]?.stringRange, "foo"),
      (info["private"]?.range, "i-7e"), (info["files"]?.range, "ld6:lengthi42e4:pathl1:a2:bceee"),
    ]
    for (range, text) in cases {
      let range = try #require(range)
      #expect(Array(bytes[range]) == latin1(text))
    }
    let encoded = info.encoded.indices.map { info.encoded[$0] }
    #expect(encoded == latin1(text))
  }

  @Test func `walks lists and dictionaries in the input's order`() throws {
    let bytes = Self.input
    var parser = BencodeParser(limits: BencodeLimits(length: 1000, depth: 64))
    let root = try parser.parse(bytes.span)
    var keys: [String] = []
    if var entries = root.entries {
      while let entry = entries.next() {
        keys.append(String(decoding: entry.key.indices.map { entry.key[$0] }, as: UTF8.self))
      }
    }
    #expect(keys == ["info", "nodes"])
    var kinds: [BencodeKind] = []
    var empty: [Bool] = []
    if var elements = root["nodes"]?.elements {
      while let element = elements.next() {
        kinds.append(element.kind)
        empty.append(element.isEmpty)
      }
    }
    #expect(kinds == [.string, .dictionary, .integer])
    #expect(empty == [true, true, false])
  }

  @Test func `knows the way to every value`() throws {
    let bytes = Self.input
    var parser = BencodeParser(limits: BencodeLimits(length: 1000, depth: 64))
    let root = try parser.parse(bytes.span)
    var paths = [root.keyPath, root["info"]?["files"]?.keyPath, root["info"]?["private"]?.keyPath]
    var elements = try root["nodes"]?.elements.unwrapped()
    while let element = elements?.next() { paths.append(element.keyPath) }
    if var files = root["info"]?["files"]?.elements, let file = files.next() {
      paths.append(file.keyPath)
      if var path = file["path"]?.elements, path.next() != nil, let last = path.next() {
        paths.append(last.keyPath)
      }
    }
    #expect(
      paths == [
        "", "info.files", "info.private", "nodes[0]", "nodes[1]", "nodes[2]", "info.files[0]",
        "info.files[0].path[1]",
      ])
  }

  @Test(arguments: [0, 1, -1, 10, 99, 100, -100, .max, .min, 1_234_567_890_123] as [Int64])
  func `reads integers back`(value: Int64) throws {
    var parser = BencodeParser(limits: BencodeLimits(length: 100, depth: 1))
    let bytes = latin1("i\(value)e")
    let read = try parser.parse(bytes.span).integer
    #expect(read == value)
  }

  @Test func `text is UTF-8 or nothing`() throws {
    var parser = BencodeParser(limits: BencodeLimits(length: 100, depth: 1))
    let cases: [([UInt8], String?)] = [
      ([UInt8]("5:Zür!".utf8), "Zür!"), (latin1("0:"), ""), (latin1("1:\u{ff}"), nil),
      (latin1("2:\u{c0}\u{80}"), nil), (latin1("i1e"), nil),
    ]
    for (bytes, text) in cases {
      let read = try parser.parse(bytes.span).text
      #expect(read == text)
    }
  }
}

struct Missing: Error {}

extension Optional where Wrapped: ~Escapable {
  @_lifetime(copy self)
  consuming func unwrapped() throws(Missing) -> Wrapped {
    switch consume self {
    case .some(let value): return value
    case .none: throw Missing()
    }
  }
}
