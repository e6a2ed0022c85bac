import Testing

@testable import SpateCommand

@Suite struct GlobTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let pattern: String
    let path: String
    let matches: Bool
    var testDescription: String { "\(pattern) \(matches ? "matches" : "does not match") \(path)" }

    init(_ pattern: String, _ path: String, _ matches: Bool) {
      self.pattern = pattern
      self.path = path
      self.matches = matches
    }
  }

  static let cases = [
    // Without a slash: a name anywhere.
    Case("*.bin", "a.bin", true), Case("*.bin", "b/c/a.bin", true), Case("*.bin", "a.binary", false),
    Case("*.bin", "a.bin/b", true), Case("*zz*", "zz last, more.bin", true), Case("*zz*", "a.bin", false),
    Case("docs", "docs/a/b", true), Case("docs", "a/docs", true), Case("docs", "docs2/a", false),
    Case("*", "a/b", true),
    Case("file ?.dat", "x/file 1.dat", true), Case("file ?.dat", "file 12.dat", false), Case("?", "é", true),
    Case("ab*cd*ef", "abXcdYef", true), Case("ab*cd*ef", "abcdXeg", false), Case("**", "any/thing", true),
    // With a slash: the path below the folder, or with it.
    Case("/a.bin", "a.bin", true), Case("/a.bin", "b/a.bin", false), Case("b/*.txt", "b/x.txt", true),
    Case("b/*.txt", "b/c/x.txt", false), Case("b/*.txt", "a/b/x.txt", false), Case("b/**", "b/c/d", true),
    Case("b/**", "b", false), Case("**/x", "x", true), Case("**/x", "a/b/x", true),
    Case("**/x", "a/b/xy", false),
    Case("a/**/z", "a/z", true), Case("a/**/z", "a/b/c/z", true), Case("a/**/z", "a/b/c/y", false),
    Case("a/**/m/**/z", "a/m/1/m/z", true), Case("a/b", "a/b/c", true), Case("a/b/", "a/b/c", true),
    Case("name/a", "a", true), Case("name/*/x", "b/x", true), Case("other/a", "a", false),
    // Classes.
    Case("[abc]", "b", true), Case("[abc]", "d", false), Case("[!abc]", "d", true),
    Case("[^abc]", "a", false),
    Case("s[0-9][0-9]e*", "s01e05.mkv", true), Case("s[0-9]e*", "sxe05", false), Case("[]]", "]", true),
    Case("[a-]", "-", true), Case("[日-本]", "日", true), Case("[*]", "*", true), Case("[*]", "a", false),
    // Escapes; case counts; names are compared as they are.
    Case("\\*", "*", true), Case("\\*", "a", false), Case("\\[x\\]", "[x]", true), Case("A", "a", false),
    Case("*.{a,b}", "x.a", false),
  ]

  @Test(arguments: cases) func matches(_ one: Case) throws {
    let pattern = try #require(GlobPattern(argument: one.pattern))
    #expect(pattern.matches(one.path, in: "name") == one.matches)
  }

  @Test(arguments: [
    "", "/", "//", "a//b", "[abc", "[", "a\\", "[z-a]", "[]", String(repeating: "a", count: 5000),
  ])
  func refuses(_ pattern: String) { #expect(GlobPattern(argument: pattern) == nil) }

  /// Patterns that make naive matchers try for years.
  @Test func stays() throws {
    let name = String(repeating: "a", count: 250)
    let stars = try #require(GlobPattern(argument: String(repeating: "a*", count: 100) + "b"))
    #expect(!stars.matches(name))
    let folders = try #require(GlobPattern(argument: String(repeating: "**/a/", count: 100) + "b"))
    #expect(!folders.matches(Array(repeating: "a", count: 200).joined(separator: "/")))
  }
}
