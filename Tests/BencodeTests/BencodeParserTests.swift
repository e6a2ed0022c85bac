import Testing

@testable import Bencode

private let roomy = BencodeLimits(length: 1 << 20, depth: 64)

/// Parses `text`, one byte a Unicode scalar, and returns what went wrong.
func failure(_ text: String, limits: BencodeLimits = roomy) -> BencodeError? {
  failure(latin1(text), limits: limits)
}

func failure(_ bytes: [UInt8], limits: BencodeLimits = roomy) -> BencodeError? {
  var parser = BencodeParser(limits: limits)
  do {
    _ = try parser.parse(bytes.span)
    return nil
  } catch {
    return error
  }
}

func latin1(_ text: String) -> [UInt8] {
  text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
}

@Suite struct BencodeParserTests {
  static let accepted: [String] = [
    "i0e", "i1e", "i-1e", "i9223372036854775807e", "i-9223372036854775808e",
    "0:", "4:spam", "10:0123456789", "1:\u{0}", "3:\u{ff}\u{fe}:",
    "le", "de", "lllleeee", "l4:spam4:eggse", "d3:cow3:moo4:spam4:eggse", "d4:spaml1:a1:bee",
    "d0:de1:al0:i0eee", "d1:a0:2:aa0:3:aaa0:e",
    // Keys in the wrong order are taken.
    "d1:bi1e1:ai2ee", "d2:aa0:1:a0:e", "d1:ci1e1:bd1:z0:1:y0:e1:ai3ee",
  ]

  @Test(arguments: accepted) func `takes canonical values`(text: String) {
    #expect(failure(text) == nil)
  }

  static let refused: [(String, BencodeError.Problem, Int, String)] = [
    ("", .empty, 0, ""),
    ("x", .unexpectedByte(UInt8(ascii: "x")), 0, ""),
    ("e", .unexpectedByte(UInt8(ascii: "e")), 0, ""),
    ("-1:a", .unexpectedByte(UInt8(ascii: "-")), 0, ""),
    ("i", .truncated, 1, ""),
    ("i-", .truncated, 2, ""),
    ("i1", .truncated, 2, ""),
    ("ie", .malformedInteger, 0, ""),
    ("i-e", .malformedInteger, 0, ""),
    ("i+1e", .malformedInteger, 0, ""),
    ("i1.5e", .malformedInteger, 0, ""),
    ("i 1e", .malformedInteger, 0, ""),
    ("i--1e", .malformedInteger, 0, ""),
    ("i-0e", .nonCanonicalInteger, 0, ""),
    ("i00e", .nonCanonicalInteger, 0, ""),
    ("i03e", .nonCanonicalInteger, 0, ""),
    ("i-03e", .nonCanonicalInteger, 0, ""),
    ("i9223372036854775808e", .integerOutOfRange, 0, ""),
    ("i-9223372036854775809e", .integerOutOfRange, 0, ""),
    ("i18446744073709551616e", .integerOutOfRange, 0, ""),
    ("i100000000000000000000000000000000000000000e", .integerOutOfRange, 0, ""),
    ("1", .truncated, 1, ""),
    ("1a", .malformedStringLength, 0, ""),
    ("01:a", .malformedStringLength, 0, ""),
    ("00:", .malformedStringLength, 0, ""),
    ("4:spa", .truncatedString(length: 4, available: 3), 0, ""),
    ("9:", .truncatedString(length: 9, available: 0), 0, ""),
    ("1048577:", .stringTooLong(limit: 1 << 20), 0, ""),
    ("99999999999999999999999999999999:", .stringTooLong(limit: 1 << 20), 0, ""),
    ("l", .truncated, 1, "[0]"),
    ("li1ei2e", .truncated, 7, "[2]"),
    ("li1e3:abcl2:xyx", .unexpectedByte(UInt8(ascii: "x")), 14, "[2][1]"),
    ("d", .truncated, 1, ""),
    ("d1:a", .truncated, 4, "a"),
    ("d1:ae", .keyWithoutValue, 4, "a"),
    ("di1e1:ae", .keyIsNotAString, 1, ""),
    ("d1:a0:le", .keyIsNotAString, 6, ""),
    ("d4:infod5:filesld6:lengthi1eed6:lengthi01eeee", .nonCanonicalInteger, 38, "info.files[1].length"),
    ("d1:ai1e1:ai2ee", .duplicateKey, 7, "a"),
    ("d1:xd1:bi1e1:ai2e1:bi3eee", .duplicateKey, 17, "x.b"),
    ("d1:c0:1:a0:1:b0:1:a0:e", .duplicateKey, 16, "a"),
    ("i1ei2e", .trailingBytes(count: 3), 3, ""),
    ("le\n", .trailingBytes(count: 1), 2, ""),
    ("d3:a\u{ff}\\xe", .unexpectedByte(UInt8(ascii: "x")), 6, "a\\xff\\x5c"),
    ("d0:xe", .unexpectedByte(UInt8(ascii: "x")), 3, "\"\""),
  ]

  @Test(arguments: refused)
  func `says what is wrong and where`(
    text: String, problem: BencodeError.Problem, offset: Int, keyPath: String
  ) throws {
    let error = try #require(failure(text))
    #expect(error == BencodeError(problem, offset: offset, keyPath: keyPath))
    #expect(!error.isLimit || text.contains("1048577") || text.contains("99999"))
    #expect(error.description.contains("at byte \(offset)"))
    #expect(error.description.contains(keyPath))
  }

  @Test func `counts depth from the outermost container`() {
    let limits = BencodeLimits(length: 1000, depth: 3)
    #expect(failure("llleee", limits: limits) == nil)
    #expect(
      failure("lllleeee", limits: limits)
        == BencodeError(.tooDeep(limit: 3), offset: 3, keyPath: "[0][0][0]"))
    #expect(
      failure("i1e", limits: BencodeLimits(length: 1000, depth: 0)) == nil)
    #expect(failure("le", limits: BencodeLimits(length: 1000, depth: 0))?.problem == .tooDeep(limit: 0))
  }

  @Test func `a million open lists are refused at the limit and cost nothing`() {
    let bytes = [UInt8](repeating: UInt8(ascii: "l"), count: 1 << 20)
    for depth in [64, 4096] {
      let error = failure(bytes, limits: BencodeLimits(length: 1 << 20, depth: depth))
      #expect(error?.problem == .tooDeep(limit: depth))
      #expect(error?.offset == depth)
      #expect((error?.keyPath.utf8.count ?? 0) < 500)
    }
  }

  @Test func `counts values, keys and ends`() {
    func limit(_ values: Int) -> BencodeLimits { BencodeLimits(length: 1000, depth: 8, values: values) }
    let text = "d1:ali1ei2eee"  // d, a, l, 1, 2, e, e
    #expect(failure(text, limits: limit(7)) == nil)
    #expect(failure(text, limits: limit(6))?.problem == .tooManyValues(limit: 6))
    #expect(failure(text, limits: limit(5))?.offset == 11)
    #expect(failure(text, limits: limit(4))?.keyPath == "a[1]")
    #expect(failure(text, limits: limit(0))?.offset == 0)
  }

  @Test func `refuses long strings and long inputs by their limits`() {
    let limits = BencodeLimits(length: 12, depth: 8, stringLength: 4)
    #expect(failure("4:spam", limits: limits) == nil)
    #expect(failure("5:spams", limits: limits)?.problem == .stringTooLong(limit: 4))
    #expect(failure("d5:spamsi1ee", limits: limits)?.problem == .stringTooLong(limit: 4))
    #expect(failure("l4:spam4:spame", limits: limits)?.problem == .tooLong(length: 14, limit: 12))
    #expect(failure("5:spams", limits: limits)?.isLimit == true)
  }

  @Test func `leaves what follows a prefix alone`() throws {
    var parser = BencodeParser(limits: roomy)
    let bytes = latin1("d8:msg_typei1e5:piecei0ee\u{0}\u{1}d")
    let range = try parser.parsePrefix(bytes.span).range
    #expect(range == 0..<25)
    #expect(failure(bytes)?.problem == .trailingBytes(count: 3))
  }

  @Test func `reports keys out of order`() throws {
    let cases: [(String, Int?)] = [
      ("d1:a0:1:b0:e", nil), ("d1:ad1:y0:1:x0:e1:Bi1ee", 10), ("d1:b0:1:ai1ee", 6), ("d1:a0:e", nil),
      ("i1e", nil),
    ]
    var parser = BencodeParser(limits: roomy)
    for (text, offset) in cases {
      let bytes = latin1(text)
      let found = try parser.parse(bytes.span).firstUnsortedKey
      #expect(found == offset)
    }
  }

  @Test func `finds duplicates among many unsorted keys`() {
    var text = "d"
    for key in (100..<400).reversed() { text += "3:\(key)i\(key)e" }
    #expect(failure(text + "e") == nil)
    #expect(failure(text + "3:250i1ee")?.keyPath == "250")
  }

  @Test func `cuts long keys in paths`() {
    let key = String(repeating: "k", count: 1000)
    let error = failure("d1000:\(key)xe")
    #expect(error?.keyPath == String(repeating: "k", count: 40) + "…")
  }
}
