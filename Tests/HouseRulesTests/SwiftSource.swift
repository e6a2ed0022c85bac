/// A Swift source file taken apart into code and comments, line by line, so that a rule about code does not trip over a
/// word in a comment or a string, and a rule about comments finds them.
///
/// Knows line and nested block comments, strings with escapes and interpolation, multi-line and raw strings. Regex
/// literals are not known; the package does not use them.
struct SwiftSource {
  /// Code of each line; comments and the insides of strings are left out. Interpolated code stays.
  private(set) var code: [String] = [""]
  /// Comment text of each line.
  private(set) var comments: [String] = [""]

  /// What the reader is inside of, innermost last.
  private enum Context: Equatable {
    case code
    case lineComment
    case blockComment(depth: Int)
    /// A string literal: number of `#`, and whether it is delimited by three quotes.
    case string(pounds: Int, isMultiline: Bool)
    /// Code inside a string; counts its open parentheses.
    case interpolation(parentheses: Int)
  }

  init(_ text: String) {
    let characters = Array(text)
    var stack: [Context] = [.code]
    var index = 0

    func matches(_ pattern: String, at start: Int) -> Bool {
      var position = start
      for character in pattern {
        guard position < characters.count, characters[position] == character else { return false }
        position += 1
      }
      return true
    }

    while index < characters.count {
      let character = characters[index]
      if character.isNewline {
        code.append("")
        comments.append("")
        if stack.last == .lineComment { stack.removeLast() }
        index += 1
        continue
      }
      switch stack[stack.count - 1] {
      case .lineComment:
        comments[comments.count - 1].append(character)
        index += 1
      case .blockComment(let depth):
        if matches("/*", at: index) {
          stack[stack.count - 1] = .blockComment(depth: depth + 1)
          index += 2
        } else if matches("*/", at: index) {
          if depth == 1 {
            stack.removeLast()
          } else {
            stack[stack.count - 1] = .blockComment(depth: depth - 1)
          }
          index += 2
        } else {
          comments[comments.count - 1].append(character)
          index += 1
        }
      case .string(let pounds, let isMultiline):
        let hashes = String(repeating: "#", count: pounds)
        let quotes = isMultiline ? "\"\"\"" : "\""
        if matches("\\" + hashes + "(", at: index) {
          stack.append(.interpolation(parentheses: 1))
          index += 2 + pounds
        } else if matches("\\" + hashes, at: index) {
          index += 2 + pounds
        } else if matches(quotes + hashes, at: index) {
          code[code.count - 1].append("\"")
          stack.removeLast()
          index += quotes.count + pounds
        } else {
          index += 1
        }
      case .code, .interpolation:
        if matches("//", at: index) {
          stack.append(.lineComment)
          index += 2
        } else if matches("/*", at: index) {
          stack.append(.blockComment(depth: 1))
          index += 2
        } else if let opening = Self.stringOpening(characters, at: index) {
          code[code.count - 1].append("\"")
          stack.append(.string(pounds: opening.pounds, isMultiline: opening.isMultiline))
          index += opening.length
        } else {
          if case .interpolation(let open) = stack[stack.count - 1] {
            let now = open + (character == "(" ? 1 : character == ")" ? -1 : 0)
            stack[stack.count - 1] = .interpolation(parentheses: now)
            if now == 0 {
              // The parenthesis belongs to the string.
              stack.removeLast()
              index += 1
              continue
            }
          }
          code[code.count - 1].append(character)
          index += 1
        }
      }
    }
  }

  private static func stringOpening(_ characters: [Character], at start: Int) -> (
    pounds: Int, isMultiline: Bool, length: Int
  )? {
    var position = start
    while position < characters.count, characters[position] == "#" { position += 1 }
    let pounds = position - start
    guard position < characters.count, characters[position] == "\"" else { return nil }
    let isMultiline =
      position + 2 < characters.count && characters[position + 1] == "\"" && characters[position + 2] == "\""
    return (pounds, isMultiline, pounds + (isMultiline ? 3 : 1))
  }

  /// The words of a line of code: runs of letters, digits and underscores.
  static func words(_ line: String) -> [Substring] {
    line.split { !($0.isLetter || $0.isNumber || $0 == "_") }
  }
}
