import Testing
import TorrentModel

@testable import Metainfo

@Suite struct SafeNameTests {
  static func safe(_ raw: [UInt8], rules: PathRules = .standard) -> String {
    var output = Array("kept".utf8)
    let isChanged = SafeName.append(raw.span, to: &output, rules: rules)
    #expect(output.starts(with: "kept".utf8))
    let name = Array(output.dropFirst(4))
    #expect(isChanged == (name != raw))
    return String(decoding: name, as: UTF8.self)
  }

  static let names: [(String, String)] = [
    // As they are.
    ("plain.txt", "plain.txt"), (".hidden", ".hidden"), ("...", "..."), ("a..b", "a..b"), ("~", "~"),
    ("naïve – файл 文件 🎬.mkv", "naïve – файл 文件 🎬.mkv"), ("e\u{301}", "e\u{301}"), (" spaces ", " spaces "),
    ("fam\u{200d}ily", "fam\u{200d}ily"), ("a:b*c?\"<>|", "a:b*c?\"<>|"),
    // Nothing, and what leads elsewhere.
    ("", "_"), (".", "_"), ("..", "_"), ("/", "_"), ("/etc/passwd", "_etc_passwd"), ("../..", ".._.."),
    ("C:\\temp", "C:_temp"), ("a/b", "a_b"), ("a\u{0}b", "a_b"),
    // Controls and what turns text around.
    ("a\nb\tc\u{7f}", "a_b_c_"), ("\u{1b}[31mred", "_[31mred"), ("a\u{85}b\u{9f}", "a_b_"),
    ("exe.\u{202e}gpj", "exe._gpj"), ("\u{feff}bom", "_bom"), ("\u{2066}x\u{2069}", "_x_"),
    ("line\u{2028}end", "line_end"),
    // Windows devices.
    ("con", "_con"), ("CON.txt", "_CON.txt"), ("aux.tar.gz", "_aux.tar.gz"), ("Nul ", "_Nul "),
    ("nul .x", "_nul .x"),
    ("com1", "_com1"), ("LPT9.log", "_LPT9.log"), ("com¹", "_com¹"), ("CLOCK$", "_CLOCK$"),
    ("CONOUT$", "_CONOUT$"),
    ("conx", "conx"), ("con1", "con1"), ("com", "com"), ("com10", "com10"), ("xcon", "xcon"),
    (".con", ".con"),
    ("console.txt", "console.txt"), ("comb", "comb"),
  ]

  @Test(arguments: names) func `makes names safe`(raw: String, expected: String) {
    #expect(Self.safe(Array(raw.utf8)) == expected)
    #expect(Self.safe(Array(expected.utf8)) == expected, "a safe name stays as it is")
  }

  @Test func `keeps device names where they are wanted`() {
    let rules = PathRules(avoidsDeviceNames: false)
    #expect(Self.safe(Array("aux.c".utf8), rules: rules) == "aux.c")
    #expect(Self.safe(Array("..".utf8), rules: rules) == "_")
  }

  static let notUTF8: [([UInt8], String)] = [
    ([0xff], "%FF"), ([0x61, 0xe4, 0x62], "a%E4b"), ([0xc0, 0x80], "%C0%80"), ([0xc3], "%C3"),
    ([0xe2, 0x82], "%E2%82"), ([0xed, 0xa0, 0x80], "%ED%A0%80"), ([0xf4, 0x90, 0x80, 0x80], "%F4%90%80%80"),
    ([0xf0, 0x80, 0x80, 0xaf], "%F0%80%80%AF"), ([0xc0, 0xaf], "%C0%AF"),
    ([0x83, 0x65, 0x83, 0x58], "%83e%83X"),
    ([0xc3, 0xa4, 0xa4], "ä%A4"),
  ]

  @Test(arguments: notUTF8) func `writes bytes that are no UTF-8 in hexadecimal`(
    raw: [UInt8], expected: String
  ) {
    #expect(Self.safe(raw) == expected)
  }

  @Test func `shortens long names and keeps their extension`() {
    let long = String(repeating: "x", count: 300)
    let cases: [(String, String)] = [
      (String(repeating: "x", count: 255), String(repeating: "x", count: 255)),
      (long, String(repeating: "x", count: 240)),
      (long + ".tar.gz", String(repeating: "x", count: 237) + ".gz"),
      (long + "." + String(repeating: "e", count: 16), String(repeating: "x", count: 240)),
      ("." + long, "." + String(repeating: "x", count: 239)),
      // Two bytes a letter: 237 would cut one in half.
      (String(repeating: "ä", count: 200) + ".gz", String(repeating: "ä", count: 118) + ".gz"),
      (String(repeating: "🎬", count: 100), String(repeating: "🎬", count: 60)),
    ]
    for (raw, expected) in cases { #expect(Self.safe(Array(raw.utf8)) == expected) }
  }

  @Test func `is UTF-8 of 1 to 255 bytes whatever comes in`() {
    var draws = SeededRandom(seed: 7)
    for _ in 0..<3000 {
      let raw = (0..<Int.random(in: 0...400, using: &draws)).map { _ in
        UInt8.random(in: 0...255, using: &draws)
      }
      var output: [UInt8] = []
      SafeName.append(raw.span, to: &output, rules: .standard)
      #expect((1...255).contains(output.count))
      #expect(String(validating: output, as: UTF8.self) != nil)
      #expect(!output.contains(UInt8(ascii: "/")) && !output.contains(0))
    }
  }
}
