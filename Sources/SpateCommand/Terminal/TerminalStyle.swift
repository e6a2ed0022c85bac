/// What the stream for progress can show.
struct TerminalStyle: Hashable, Sendable {
  /// The cursor can be moved, so that lines are drawn again in place.
  var moves = false
  var hasColours = false
  /// Blocks, arrows and ellipses can be shown; plain ASCII otherwise.
  var hasUnicode = true

  /// - Parameter isTerminal: of standard error.
  init(isTerminal: Bool, environment: [String: String]) {
    let kind = environment["TERM"] ?? ""
    let isDumb = kind.isEmpty || kind == "dumb"
    moves = isTerminal && !isDumb
    // https://no-color.org: present and not empty, whatever its value.
    let refusesColour = environment["NO_COLOR"].map { !$0.isEmpty } ?? false
    hasColours = moves && !refusesColour
    // The first of these that is set decides (locale(7)).
    let locale =
      ["LC_ALL", "LC_CTYPE", "LANG"].lazy.compactMap { environment[$0] }.first { !$0.isEmpty } ?? ""
    hasUnicode = locale.lowercased().replacing("-", with: "").contains("utf8")
  }

  init(moves: Bool, hasColours: Bool, hasUnicode: Bool) {
    self.moves = moves
    self.hasColours = hasColours
    self.hasUnicode = hasUnicode
  }

  enum Colour: String {
    case green = "32"
    case cyan = "36"
    case red = "31"
    case yellow = "33"
    case dim = "2"
    case bold = "1"
  }

  func coloured(_ text: String, _ colour: Colour?) -> String {
    guard hasColours, let colour, !text.isEmpty else { return text }
    return "\u{1B}[\(colour.rawValue)m\(text)\u{1B}[0m"
  }
}
