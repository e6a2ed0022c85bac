import Testing
import TorrentModel

@Suite struct PrintableTextTests {
  func text(_ bytes: [UInt8], limit: Int = 100) -> String { printableText(bytes.span, lengthLimit: limit) }

  @Test(arguments: [
    ("plain text", "plain text"), ("µTorrent 日本", "µTorrent 日本"), ("", ""),
    ("\u{1b}[31mred", "?[31mred"), ("a\r\nb\tc\u{7f}", "a??b?c?"), ("\u{85}\u{9b}", "??"),
    ("\u{202e}abc\u{2066}", "?abc?"), ("a\u{2028}b\u{2029}", "a?b?"), ("\u{feff}x\u{200b}", "?x?"),
    ("\0", "?"),
  ])
  func whatCouldMisleadATerminalIsReplaced(raw: String, shown: String) {
    #expect(text(Array(raw.utf8)) == shown)
  }

  @Test func whatIsNotUTF8IsReplaced() {
    #expect(text([0x41, 0xff, 0xfe, 0x42]) == "A\u{fffd}\u{fffd}B")
    #expect(text([0xc3]) == "\u{fffd}")
  }

  @Test func longTextIsCutBetweenCharacters() {
    let bytes = Array("a€€".utf8)
    #expect(text(bytes, limit: 7) == "a€€")
    #expect(text(bytes, limit: 6) == "a€…")
    #expect(text(bytes, limit: 5) == "a€…")
    #expect(text(bytes, limit: 4) == "a€…")
    #expect(text(bytes, limit: 3) == "a…")
    #expect(text(bytes, limit: 1) == "a…")
    #expect(text(bytes, limit: 0) == "…")
    #expect(text(bytes, limit: -1) == "…")
    #expect(text([UInt8](repeating: 0x80, count: 9), limit: 5).hasSuffix("…"))
  }
}
