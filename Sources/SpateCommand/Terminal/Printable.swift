/// Text from strangers made fit for a terminal: names in torrents, words of trackers, names of clients.
enum Printable {
  /// Everything that could move the cursor, ring the bell, begin a line or turn the direction of writing becomes `?`,
  /// as does what is nothing to be seen. Joiners stay: scripts and emoji need them.
  static func text(_ text: String, limit: Int = 4096) -> String {
    var result = String.UnicodeScalarView()
    var marks = 0
    for scalar in text.unicodeScalars.prefix(limit) {
      // Marks without end over one letter would be drawn over other lines.
      marks = isMark(scalar) ? marks + 1 : 0
      if marks > 8 { continue }
      result.append(isSafe(scalar) ? scalar : "?")
    }
    if text.unicodeScalars.count > limit { result.append("…") }
    return String(result)
  }

  private static func isMark(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .enclosingMark, .spacingMark: true
    default: false
    }
  }

  static func isSafe(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.isASCII { return scalar.value >= 0x20 && scalar.value != 0x7f }
    switch scalar.properties.generalCategory {
    case .control, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: return false
    case .format: return scalar.value == 0x200c || scalar.value == 0x200d
    default: return true
    }
  }

  /// JSON with the same characters as `\u` escapes: nothing is lost, and a terminal shows it harmlessly.
  static func json(_ text: String) -> String {
    guard !text.unicodeScalars.allSatisfy({ isSafe($0) || $0 == "\n" }) else { return text }
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      if isSafe(scalar) || scalar == "\n" {
        result.append(scalar)
        continue
      }
      for unit in String(scalar).utf16 {
        let digits = String(unit, radix: 16)
        result.append(
          contentsOf: ("\\u" + String(repeating: "0", count: 4 - digits.count) + digits).unicodeScalars)
      }
    }
    return String(result)
  }
}
