/// How many columns of a terminal a text takes.
enum TextWidth {
  static func of(_ text: String) -> Int {
    text.utf8.allSatisfy { $0 < 0x80 } ? text.utf8.count : text.reduce(0) { $0 + width($1) }
  }

  /// The text cut to so many columns, the cut shown by an ellipsis. Never cuts a character in two.
  static func truncated(_ text: String, to columns: Int, ellipsis: Character = "…") -> String {
    guard of(text) > columns else { return text }
    guard columns > 0 else { return "" }
    var result = ""
    var used = 0
    for character in text {
      let width = width(character)
      if used + width > columns - 1 { break }
      result.append(character)
      used += width
    }
    return result + String(ellipsis)
  }

  /// The text cut or filled with spaces to exactly so many columns.
  static func fitted(_ text: String, to columns: Int, ellipsis: Character = "…") -> String {
    let cut = truncated(text, to: columns, ellipsis: ellipsis)
    return cut + String(repeating: " ", count: max(0, columns - of(cut)))
  }

  /// Filled with spaces on the left.
  static func rightAligned(_ text: String, to columns: Int) -> String {
    String(repeating: " ", count: max(0, columns - of(text))) + text
  }

  /// Columns of one character as a person sees it: 0 for a mark alone, 2 for wide ones. Letters that are written as one
  /// in some scripts count for themselves, as most terminals draw them.
  static func width(_ character: Character) -> Int {
    var width = 0
    for scalar in character.unicodeScalars {
      // An emoji is one picture whatever it is made of; U+FE0F asks for the picture.
      if scalar.value == 0xfe0f || scalar.properties.isEmojiPresentation { return 2 }
      width += self.width(scalar)
    }
    return width
  }

  static func width(_ scalar: Unicode.Scalar) -> Int {
    if scalar.value < 0x300 { return scalar.value < 0x20 || (0x7f..<0xa0).contains(scalar.value) ? 0 : 1 }
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .enclosingMark, .format, .control: return 0
    default: break
    }
    // Vowels and final consonants of Hangul join the syllable before them.
    if (0x1160...0x11ff).contains(scalar.value) { return 0 }
    return isWide(scalar) ? 2 : 1
  }

  /// East Asian Wide and Fullwidth (Unicode Standard Annex 11), and what is drawn as an emoji.
  private static func isWide(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.properties.isEmojiPresentation { return true }
    var (low, high) = (0, wide.count)
    while low < high {
      let middle = (low + high) / 2
      if wide[middle].upperBound < scalar.value { low = middle + 1 } else { high = middle }
    }
    return low < wide.count && wide[low].contains(scalar.value)
  }

  private static let wide: [ClosedRange<UInt32>] = [
    0x1100...0x115f, 0x2329...0x232a, 0x2e80...0x2e99, 0x2e9b...0x2ef3, 0x2f00...0x2fd5, 0x2ff0...0x303e,
    0x3041...0x3096, 0x3099...0x30ff, 0x3105...0x312f, 0x3131...0x318e, 0x3190...0x31e5, 0x31ef...0x321e,
    0x3220...0x3247, 0x3250...0xa48c, 0xa490...0xa4c6, 0xa960...0xa97c, 0xac00...0xd7a3, 0xf900...0xfaff,
    0xfe10...0xfe19, 0xfe30...0xfe52, 0xfe54...0xfe66, 0xfe68...0xfe6b, 0xff01...0xff60, 0xffe0...0xffe6,
    0x16fe0...0x16fe4, 0x16ff0...0x16ff6, 0x17000...0x18cd5, 0x18cff...0x18d1e, 0x1aff0...0x1affe,
    0x1b000...0x1b122, 0x1b132...0x1b132, 0x1b150...0x1b152, 0x1b155...0x1b155, 0x1b164...0x1b167,
    0x1b170...0x1b2fb, 0x1d300...0x1d356, 0x1d360...0x1d376, 0x1f200...0x1f202, 0x1f210...0x1f23b,
    0x1f240...0x1f248, 0x1f250...0x1f251, 0x1f260...0x1f265, 0x20000...0x2fffd, 0x30000...0x3fffd,
  ]
}
