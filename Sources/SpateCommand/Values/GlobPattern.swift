/// A pattern for paths, as `--include` and `--exclude` take it.
///
/// `*` is any text without a slash, `?` one character, `[a-z]` and `[!a-z]` a class, `**` any number of folders; `\`
/// takes the next character as it is. A pattern without a slash matches a file or folder of that name anywhere; with one
/// it matches the path below the torrent's folder, or the whole path with it. What matches a folder matches all in it.
struct GlobPattern: SettingValue, Hashable {
  private enum Token: Hashable {
    case literal(Character)
    case anyCharacter
    case anyText
    case oneOf([ClosedRange<Character>], isNegated: Bool)
  }
  private enum Component: Hashable {
    case folders
    case name([Token])
  }

  let text: String
  private let components: [Component]
  private let isAnchored: Bool

  init?(argument: String) {
    text = argument
    var pattern = Substring(argument)
    let startsWithSlash = pattern.first == "/"
    if startsWithSlash { pattern = pattern.dropFirst() }
    while pattern.last == "/" { pattern = pattern.dropLast() }
    // More is no pattern that somebody wrote.
    guard !pattern.isEmpty, pattern.utf8.count <= 4096 else { return nil }
    var components: [Component] = []
    for part in pattern.split(separator: "/", omittingEmptySubsequences: false) {
      guard !part.isEmpty else { return nil }
      if part == "**" {
        if components.last != .folders { components.append(.folders) }
        continue
      }
      guard let tokens = Self.tokens(part) else { return nil }
      components.append(.name(tokens))
    }
    self.components = components
    isAnchored = startsWithSlash || components.count > 1
  }

  private static func tokens(_ text: Substring) -> [Token]? {
    var tokens: [Token] = []
    var rest = text
    while let character = rest.popFirst() {
      switch character {
      case "*": if tokens.last != .anyText { tokens.append(.anyText) }
      case "?": tokens.append(.anyCharacter)
      case "\\":
        guard let next = rest.popFirst() else { return nil }
        tokens.append(.literal(next))
      case "[":
        guard let token = characterClass(&rest) else { return nil }
        tokens.append(token)
      default: tokens.append(.literal(character))
      }
    }
    return tokens
  }

  /// What follows `[`, up to its `]`; nil when there is none.
  private static func characterClass(_ rest: inout Substring) -> Token? {
    let isNegated = rest.first == "!" || rest.first == "^"
    if isNegated { rest.removeFirst() }
    var ranges: [ClosedRange<Character>] = []
    while let first = rest.popFirst() {
      // A bracket right at the start stands for itself.
      if first == "]" && !ranges.isEmpty { return .oneOf(ranges, isNegated: isNegated) }
      if rest.first == "-", let last = rest.dropFirst().first, last != "]" {
        rest.removeFirst(2)
        guard first <= last else { return nil }
        ranges.append(first...last)
      } else {
        ranges.append(first...first)
      }
    }
    return nil
  }

  /// - Parameter path: a path below the torrent's folder.
  func matches(_ path: String, in folder: String? = nil) -> Bool {
    let names = path.split(separator: "/").map(Array.init)
    if !isAnchored, case .name(let tokens)? = components.first {
      return names.contains { Self.matches(tokens[...], $0[...]) }
    }
    if Self.matches(components, names) { return true }
    guard let folder else { return false }
    return Self.matches(components, [Array(folder)] + names)
  }

  /// Matches whole names, going back to the last `**` only. A pattern that ends at a folder brings everything in it.
  private static func matches(_ pattern: [Component], _ names: [[Character]]) -> Bool {
    var (p, n) = (0, 0)
    var folders: (pattern: Int, name: Int)?
    while p < pattern.count {
      switch pattern[p] {
      case .folders:
        if p + 1 == pattern.count { return n < names.count }
        folders = (p, n)
        p += 1
      case .name(let tokens):
        if n < names.count, matches(tokens[...], names[n][...]) {
          p += 1
          n += 1
        } else if let last = folders, last.name < names.count {
          folders = (last.pattern, last.name + 1)
          p = last.pattern + 1
          n = last.name + 1
        } else {
          return false
        }
      }
    }
    return true
  }

  /// Matches one name, going back to the last `*` only: never more than pattern × name steps.
  private static func matches(_ pattern: ArraySlice<Token>, _ name: ArraySlice<Character>) -> Bool {
    var (p, n) = (pattern.startIndex, name.startIndex)
    var star: (pattern: Int, name: Int)?
    while n < name.endIndex {
      if p < pattern.endIndex, pattern[p] == .anyText {
        star = (p, n)
        p += 1
      } else if p < pattern.endIndex, accepts(pattern[p], name[n]) {
        p += 1
        n += 1
      } else if let last = star {
        star = (last.pattern, last.name + 1)
        p = last.pattern + 1
        n = last.name + 1
      } else {
        return false
      }
    }
    return pattern[p...].allSatisfy { $0 == .anyText }
  }

  private static func accepts(_ token: Token, _ character: Character) -> Bool {
    switch token {
    case .literal(let literal): literal == character
    case .anyCharacter, .anyText: true
    case .oneOf(let ranges, let isNegated): ranges.contains { $0.contains(character) } != isNegated
    }
  }

  static var form: String { "a pattern such as *.mkv, /docs/** or file[0-9]?.txt" }
}
