import Engine
import Testing

@testable import SpateCommand

/// Text for people: units, widths, and nothing that a terminal would obey.
@Suite struct TextTests {
  @Test(
    arguments: [
      (0, "0 B"), (999, "999 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (1536, "1.50 KiB"),
      (10_240, "10.0 KiB"),
      (102_400, "100 KiB"), (1_023_000, "999 KiB"), (1_024_000, "0.98 MiB"), (1_048_575, "1.00 MiB"),
      (1 << 20, "1.00 MiB"), (12_345_678, "11.8 MiB"), (1 << 30, "1.00 GiB"), (Int64.max, "8.00 EiB"),
      (-5, "0 B"),
    ] as [(Int64, String)])
  func sizes(_ bytes: Int64, _ text: String) { #expect(Units.size(bytes) == text) }

  @Test(
    arguments: [
      (0, 0, "0/0 B"), (0, 1 << 30, "0.00/1.00 GiB"), (451_000_000, 1 << 30, "0.42/1.00 GiB"),
      (1 << 30, 1 << 30, "1.00/1.00 GiB"),
      (5, 500, "5/500 B"), (1 << 20, 100 << 20, "1/100 MiB"), (7 << 20, 20 << 20, "7.0/20.0 MiB"),
    ] as [(Int64, Int64, String)])
  func parts(_ done: Int64, _ total: Int64, _ text: String) { #expect(Units.part(done, of: total) == text) }

  @Test(
    arguments: [
      (0, 100, "0.0%"), (1, 3, "33.3%"), (999_999, 1_000_000, "99.9%"), (1_000_000, 1_000_000, "100%"),
      (0, 0, "100%"),
      (5, 3, "100%"), (-1, 3, "0.0%"),
    ] as [(Int64, Int64, String)])
  func percents(_ done: Int64, _ total: Int64, _ text: String) {
    #expect(Units.percent(done, of: total) == text)
  }

  @Test(arguments: [
    (0, "0s"), (59, "59s"), (60, "1m00s"), (187, "3m07s"), (3599, "59m59s"), (3720, "1h02m"),
    (86_399, "23h59m"),
    (183_600, "2d03h"), (9_000_000, ">99d"), (-3, "0s"), (Int.max, ">99d"),
  ])
  func times(_ seconds: Int, _ text: String) { #expect(Units.time(seconds) == text) }

  @Test(arguments: [
    ("", 0), ("abc", 3), ("é", 1), ("e\u{301}", 1), ("日本語", 6), ("한글", 4), ("ｆｕｌｌ", 8), ("😀", 2), ("👩‍👩‍👧‍👦", 2),
    ("🇩🇪", 2),
    ("❤️", 2), ("✓", 1), ("żółć", 4), ("\u{200D}", 0), ("a\u{300}\u{301}\u{302}b", 2), ("█▌·", 3), ("…", 1),
    // A syllable written in its parts.
    ("\u{1112}\u{1161}\u{11ab}", 2), ("ไทย", 3), ("नमस्ते", 4), ("a\u{200D}b", 2),
  ])
  func widths(_ text: String, _ columns: Int) { #expect(TextWidth.of(text) == columns) }

  @Test(arguments: [
    ("abcdef", 6, "abcdef"), ("abcdef", 5, "abcd…"), ("abcdef", 1, "…"), ("abcdef", 0, ""), ("日本語", 6, "日本語"),
    ("日本語", 5, "日本…"), ("日本語", 4, "日…"), ("a日本", 3, "a…"), ("👩‍👩‍👧‍👦x", 2, "…"), ("👩‍👩‍👧‍👦xy", 3, "👩‍👩‍👧‍👦…"),
    ("e\u{301}e\u{301}e\u{301}", 2, "e\u{301}…"),
  ])
  func truncates(_ text: String, _ columns: Int, _ cut: String) {
    #expect(TextWidth.truncated(text, to: columns) == cut)
    #expect(TextWidth.of(TextWidth.fitted(text, to: columns)) == columns)
  }

  @Test(arguments: [
    ("plain ünïcode ✓ 日本語 👩‍👩‍👧", "plain ünïcode ✓ 日本語 👩‍👩‍👧"), ("\u{1B}[2Jx", "?[2Jx"), ("a\nb\r\tc", "a?b??c"),
    ("\u{9B}31m", "?31m"), ("\u{7F}\u{0}", "??"), ("\u{202E}gpj.exe", "?gpj.exe"), ("a\u{2028}b", "a?b"),
    ("\u{E000}", "?"), ("\u{E0041}", "?"), ("\u{FEFF}a", "?a"), ("\u{1B}]0;title\u{7}", "?]0;title?"),
  ])
  func printable(_ text: String, _ safe: String) { #expect(Printable.text(text) == safe) }

  @Test func marksAreBounded() {
    let text = "a" + String(repeating: "\u{301}", count: 10_000)
    #expect(Printable.text(text).unicodeScalars.count == 10, "a letter, eight marks, and the cut")
    #expect(Printable.text(String(repeating: "x", count: 10_000)).count == 4097)
  }

  /// Nothing that a terminal acts on is taken for harmless.
  @Test func everyScalar() throws {
    for value in UInt32(0)...0x10ffff {
      guard let scalar = Unicode.Scalar(value) else { continue }
      let isControl = value < 0x20 || (0x7f...0x9f).contains(value)
      let turnsText = (0x202a...0x202e).contains(value) || (0x2066...0x2069).contains(value)
      if (isControl || turnsText) && Printable.isSafe(scalar) {
        Issue.record("U+\(String(value, radix: 16)) is taken for harmless")
      }
    }
  }

  @Test func jsonIsHarmlessAndExact() {
    struct Value: Encodable { let name: String }
    let text = JSONText.line(Value(name: "\u{1B}[2J\u{9B}m\u{202E}x\u{1F600}\u{E0041}\u{7f}\n/"))
    #expect(text == #"{"name":"\u001b[2J\u009bm\u202ex😀\udb40\udc41\u007f\n/"}"#)
  }

  // MARK: What the terminal can do

  @Test(arguments: [
    (
      ["TERM": "xterm", "LANG": "C.UTF-8"], true,
      TerminalStyle(moves: true, hasColours: true, hasUnicode: true)
    ),
    (
      ["TERM": "xterm", "NO_COLOR": "1"], true,
      TerminalStyle(moves: true, hasColours: false, hasUnicode: false)
    ),
    (
      ["TERM": "xterm", "NO_COLOR": ""], true, TerminalStyle(moves: true, hasColours: true, hasUnicode: false)
    ),
    (
      ["TERM": "dumb", "LANG": "de_DE.utf8"], true,
      TerminalStyle(moves: false, hasColours: false, hasUnicode: true)
    ),
    ([:], true, TerminalStyle(moves: false, hasColours: false, hasUnicode: false)),
    (
      ["TERM": "xterm", "LC_ALL": "C", "LANG": "C.UTF-8"], true,
      TerminalStyle(moves: true, hasColours: true, hasUnicode: false)
    ),
    (
      ["TERM": "xterm", "LC_ALL": "", "LANG": "C.UTF-8"], false,
      TerminalStyle(moves: false, hasColours: false, hasUnicode: true)
    ),
  ])
  func styles(_ environment: [String: String], _ isTerminal: Bool, _ style: TerminalStyle) {
    #expect(TerminalStyle(isTerminal: isTerminal, environment: environment) == style)
  }
}
