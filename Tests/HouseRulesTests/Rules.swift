/// One place where a rule of the house is broken.
struct Violation: Hashable, CustomStringConvertible {
  var rule: String
  /// Path below the package, and line number from 1.
  var file: String
  var line: Int
  var text: String

  var description: String { "\(file):\(line): \(rule): \(text)" }
}

/// The rules for files of `Sources` and `CShims`, as functions of the file's path and text.
enum Rules {
  static let lineLimit = 500

  /// All rules over one Swift file of `Sources/<room>/…`.
  static func check(path: String, text: String) -> [Violation] {
    let source = SwiftSource(text)
    let room = room(of: path)
    return imports(path, room, source) + words(path, room, source) + randomness(path, room, source)
      + uncheckedSendable(path, source) + length(path, text)
  }

  static func room(of path: String) -> String {
    let parts = path.split(separator: "/")
    return parts.count > 1 ? String(parts[1]) : ""
  }

  /// Which modules a line of code imports: `import A`, `@testable import A`, `public import struct A.B`, `import A; …`.
  static func importedModules(_ line: String) -> [String] {
    line.split(separator: ";").compactMap { statement in
      let words = SwiftSource.words(String(statement))
      guard let at = words.firstIndex(of: "import") else { return nil }
      // Only attributes and access modifiers may stand before it.
      let before: Set<Substring> = [
        "public", "package", "internal", "private", "fileprivate", "testable", "preconcurrency", "_spi",
        "_exported",
        "_implementationOnly",
      ]
      guard words[..<at].allSatisfy({ before.contains($0) || statement.contains("@_spi(\($0))") }) else {
        return nil
      }
      let kinds: Set<Substring> = [
        "struct", "class", "enum", "protocol", "typealias", "func", "let", "var", "actor",
      ]
      return words[(at + 1)...].first { !kinds.contains($0) }.map(String.init)
    }
  }

  static func imports(_ path: String, _ room: String, _ source: SwiftSource) -> [Violation] {
    guard let allowed = ImportTable.allowed[room] else {
      return [Violation(rule: "import table", file: path, line: 1, text: "no room is called \(room)")]
    }
    return each(source.code) { line in
      importedModules(line).filter { $0 != "Swift" && $0 != "_Concurrency" && !allowed.contains($0) }
        .map { ("import table", "\(room) may not import \($0)") }
    }.violations(in: path)
  }

  /// Words that must not appear in code.
  static func words(_ path: String, _ room: String, _ source: SwiftSource) -> [Violation] {
    let name = path.split(separator: "/").last ?? ""
    let unsafeAllowed =
      ImportTable.unsafe.contains(room)
      || (ImportTable.unsafeInSystemFiles.contains(room) && name.hasPrefix("System"))
    return each(source.code) { line in
      var found: [(String, String)] = []
      let words = SwiftSource.words(line)
      // An actor on a loop has to name its executor, whose type the language calls unsafe.
      let namesExecutor = room == "Engine" && line.contains("asUnownedSerialExecutor()")
      if !unsafeAllowed && !namesExecutor && words.contains("unsafe") {
        found.append(("unsafe", "`unsafe` belongs in BlockPool, Reactor, Hashing and System….swift"))
      }
      for (pattern, rule) in [("try!", "try!"), ("as!", "as!")] where line.contains(pattern) {
        found.append(("no traps", "`\(rule)` traps"))
      }
      if words.contains("fatalError") {
        found.append(
          ("no traps", "`fatalError`: a programmer's error is a precondition, all else a typed error"))
      }
      // The base address of a buffer that has elements is there; only unsafe code asks for it.
      if forcesUnwrap(unsafeAllowed ? line.replacing("baseAddress!", with: "baseAddress") : line) {
        found.append(("no traps", "`!` unwraps by force"))
      }
      return found
    }.violations(in: path)
      + each(source.comments) { line in
        ["TODO", "FIXME", "XXX"].filter { SwiftSource.words(line).contains(Substring($0)) }
          .map { ("finished", "`\($0)`") }
      }.violations(in: path)
  }

  /// Whether a line has a postfix `!`: after a name, a bracket or another mark, and not the start of `!=`.
  static func forcesUnwrap(_ line: String) -> Bool {
    let characters = Array(line)
    for (index, character) in characters.enumerated() where character == "!" && index > 0 {
      let before = characters[index - 1]
      let isPostfix = before.isLetter || before.isNumber || "_)]}\"?".contains(before)
      let next = index + 1 < characters.count ? characters[index + 1] : " "
      // `a != b` has a space before it; `a! = b` and `a!.b` have none.
      if !isPostfix || next == "=" { continue }
      let word = String(characters[..<index].reversed().prefix { $0.isLetter }.reversed())
      if word != "try" && word != "as" { return true }
    }
    return false
  }

  /// Pure rooms take time and chance as arguments.
  static func randomness(_ path: String, _ room: String, _ source: SwiftSource) -> [Violation] {
    guard ImportTable.pure.contains(room) else { return [] }
    let banned: Set<Substring> = [
      "ContinuousClock", "SuspendingClock", "SystemRandomNumberGenerator", "Date", "DispatchTime", "print",
      "readLine", "CommandLine", "getenv", "UUID", "Task", "Thread",
    ]
    return each(source.code) { line in
      var found = SwiftSource.words(line).filter { banned.contains($0) }.map { ("pure room", "`\($0)`") }
      for call in [".random(", ".shuffled(", ".shuffle(", ".randomElement("] where line.contains(call) {
        if !line.contains("using:") { found.append(("pure room", "`\(call)…)` without `using:`")) }
      }
      return found
    }.violations(in: path)
  }

  /// Words of a comment that says what protects a value.
  private static let protections = [
    "lock", "mutex", "loop", "thread", "immutable", "never change", "atomic", "owner", "owned", "serial",
    "actor",
    "protect", "queue", "executor", "alone",
  ]

  /// An `@unchecked Sendable` has a comment directly above its declaration, or within four lines below, that says why.
  static func uncheckedSendable(_ path: String, _ source: SwiftSource) -> [Violation] {
    var found: [Violation] = []
    for (index, line) in source.code.enumerated() where line.contains("@unchecked") {
      var comment = source.comments[index]
      for below in source.comments[(index + 1)...].prefix(4) { comment += " " + below }
      var above = index - 1
      // The comment block may be parted from the declaration by attributes and by the declaration's own first lines.
      while above >= 0, !source.comments[above].isEmpty || isAttributeOrBegun(source.code[above]) {
        comment += " " + source.comments[above]
        above -= 1
      }
      let lower = comment.lowercased()
      if !protections.contains(where: lower.contains) {
        found.append(
          Violation(
            rule: "@unchecked Sendable", file: path, line: index + 1,
            text: "no comment says what protects the value"))
      }
    }
    return found
  }

  private static func isAttributeOrBegun(_ line: String) -> Bool {
    let words = SwiftSource.words(line)
    let trimmed = line.drop { $0 == " " }
    return trimmed.hasPrefix("@")
      || (!words.isEmpty && !trimmed.hasSuffix("{") && !trimmed.hasSuffix("}"))
        && words.contains { ["class", "struct", "final", "extension", "enum"].contains($0) }
  }

  static func length(_ path: String, _ text: String) -> [Violation] {
    let lines =
      text.split(separator: "\n", omittingEmptySubsequences: false).count - (text.hasSuffix("\n") ? 1 : 0)
    guard lines > lineLimit else { return [] }
    return [
      Violation(
        rule: "length", file: path, line: lines,
        text: "\(lines) lines: past \(lineLimit), look for the second idea")
    ]
  }

  /// Rules for C: no file too long, and headers that Swift imports never include libevent's (DESIGN.md, section 5).
  static func checkC(path: String, text: String) -> [Violation] {
    var found = length(path, text)
    guard path.contains("/include/") else { return found }
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    for (index, line) in lines.enumerated() where line.hasPrefix("#") && line.contains("event2/") {
      found.append(
        Violation(
          rule: "shim header", file: path, line: index + 1, text: "a public header includes libevent's"))
    }
    return found
  }

  /// What each line gives, with its number from 1.
  private static func each(_ lines: [String], _ look: (String) -> [(String, String)]) -> Findings {
    Findings(
      items: lines.enumerated().flatMap { index, line in look(line).map { (index + 1, $0.0, $0.1) } })
  }

  private struct Findings {
    var items: [(line: Int, rule: String, text: String)]

    func violations(in path: String) -> [Violation] {
      items.map { Violation(rule: $0.rule, file: path, line: $0.line, text: $0.text) }
    }
  }
}
