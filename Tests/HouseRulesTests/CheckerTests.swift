import Testing

/// The checkers themselves: each must find what it is there for, and nothing else.
@Suite struct CheckerTests {
  /// Files drawn small: where they lie, what is in them, and the lines where a rule must be found broken.
  struct Case: CustomTestStringConvertible, Sendable {
    let path: String
    let text: String
    let broken: [String]
    var testDescription: String { text }

    init(_ path: String, _ text: String, _ broken: String...) {
      self.path = path
      self.text = text
      self.broken = broken
    }
  }

  static let cases: [Case] = [
    // The import table.
    Case("Sources/Bencode/A.swift", "import TorrentModel\n", "import table:1"),
    Case("Sources/Bencode/A.swift", "// import Foundation\n/* import Glibc */ let a = 1\n"),
    Case("Sources/Bencode/A.swift", "let a = \"import Foundation\"\n"),
    Case("Sources/Swarm/A.swift", "import PeerWire\nimport TorrentModel\nimport HeapModule\n"),
    Case("Sources/Swarm/A.swift", "import PeerWire\nimport Storage\n", "import table:2"),
    Case("Sources/DHT/A.swift", "@testable import Reactor\n", "import table:1"),
    Case("Sources/DHT/A.swift", "public import struct Foundation.Data\n", "import table:1"),
    Case("Sources/DHT/A.swift", "import Foundation.NSDate\n", "import table:1"),
    Case("Sources/DHT/A.swift", "#if canImport(Glibc)\nimport Glibc\n#endif\n", "import table:2"),
    Case("Sources/DHT/A.swift", "import Bencode; import Dispatch\n", "import table:1"),
    Case("Sources/DHT/A.swift", "func `import`(_ x: Int) {}\nlet important = 1\n"),
    Case("Sources/Engine/A.swift", "import Swarm\nimport Storage\nimport Glibc\nimport Logging\n"),
    Case("Sources/Storage/A.swift", "import Foundation\n", "import table:1"),
    Case("Sources/Engine/Upload/A.swift", "import CEvent\n", "import table:1"),
    Case("Sources/Nowhere/A.swift", "let a = 1\n", "import table:1"),

    // Unsafe code.
    Case("Sources/Engine/A.swift", "let a = unsafe b\n", "unsafe:1"),
    Case("Sources/Engine/A.swift", "nonisolated(unsafe) var a = 1\n", "unsafe:1"),
    Case("Sources/Engine/A.swift", "// unsafe here\nlet unsafely = \"unsafe\"\n"),
    Case("Sources/BlockPool/A.swift", "let a = unsafe b\n"),
    Case("Sources/Storage/SystemCalls.swift", "let a = unsafe b\n"),
    Case("Sources/Storage/Plan.swift", "let a = unsafe b\n", "unsafe:1"),

    // Traps.
    Case(
      "Sources/spate/A.swift", "let a = try! b()\nlet c = d as! Int\nfatalError()\n",
      "no traps:1", "no traps:2", "no traps:3"),
    Case(
      "Sources/spate/A.swift", "let a = b!.c\nlet d = e[0]!\nf(g()!)\n", "no traps:1", "no traps:2",
      "no traps:3"),
    Case(
      "Sources/spate/A.swift", "if !a && b != c && !d() { print(\"oh!\") } // really!\nlet e = \"\\(f!)\"\n",
      "no traps:2"),
    Case("Sources/spate/A.swift", "var a: Int!\n", "no traps:1"),
    Case("Sources/spate/A.swift", "f(a.baseAddress!)\n", "no traps:1"),
    Case("Sources/Reactor/A.swift", "f(a.baseAddress!, b.baseAddress!)\n"),
    Case("Sources/Reactor/A.swift", "f(a.baseAddress!, b!)\n", "no traps:1"),
    Case("Sources/spate/A.swift", "// TODO: later\nlet a = 1 // all FIXMEs done\n", "finished:1"),

    // Pure rooms.
    Case("Sources/Swarm/A.swift", "let now = ContinuousClock.now\n", "pure room:1"),
    Case(
      "Sources/Swarm/A.swift", "let a = [1].shuffled()\nlet b = [1].shuffled(using: &random)\n", "pure room:1"
    ),
    Case("Sources/Swarm/A.swift", "let a = Int.random(in: 0..<9)\n", "pure room:1"),
    Case("Sources/Engine/A.swift", "let now = ContinuousClock.now\n"),

    // Sendable.
    Case(
      "Sources/Engine/A.swift", "final class A: @unchecked Sendable {\n  var a = 1\n}\n",
      "@unchecked Sendable:1"),
    Case(
      "Sources/Engine/A.swift", "/// A thing.\nfinal class A: @unchecked Sendable {\n  var a = 1\n}\n",
      "@unchecked Sendable:2"),
    Case(
      "Sources/Engine/A.swift",
      "/// Its state is behind a mutex.\n@safe\nfinal class A: @unchecked Sendable {\n}\n"),
    Case(
      "Sources/Engine/A.swift",
      "final class A: @unchecked Sendable {\n  // Only the loop's thread comes here.\n}\n"),
    Case(
      "Sources/Engine/A.swift",
      "/// Never mind the mutex.\nlet b = 1\n\nfinal class A: @unchecked Sendable {\n}\n",
      "@unchecked Sendable:4"),

    // Length.
    Case("Sources/Swarm/A.swift", String(repeating: "\n", count: 500)),
    Case("Sources/Swarm/A.swift", String(repeating: "\n", count: 501), "length:501"),
  ]

  @Test(arguments: cases) func finds(_ one: Case) {
    let found = Rules.check(path: one.path, text: one.text).map { "\($0.rule):\($0.line)" }
    #expect(Set(found) == Set(one.broken))
  }

  @Test func headersMayNotIncludeLibevent() {
    let text = "#pragma once\n#include <stdint.h>\n#include <event2/event.h>\n"
    #expect(Rules.checkC(path: "CShims/CEvent/include/CEvent.h", text: text).map(\.line) == [3])
    #expect(Rules.checkC(path: "CShims/CEvent/internal.h", text: text) == [])
    #expect(Rules.checkC(path: "CShims/CHash/a.c", text: String(repeating: "x\n", count: 501)).count == 1)
  }

  /// What the reader makes of code: its code, comments and strings told apart.
  @Test(arguments: [
    ("a // b", "a ", " b"), ("a /* b /* c */ d */ e", "a  e", " b  c  d "), ("\"// no\" x", "\"\" x", ""),
    ("\"a\\\"b\" c", "\"\" c", ""), ("\"a \\(b + \"c\" + f(d)) e\" g", "\"b + \"\" + f(d)\" g", ""),
    ("#\"raw \"quote\" \\(no)\"# x", "\"\" x", ""), ("#\"raw \\#(yes)\"#", "\"yes\"", ""),
  ])
  func readsSource(_ text: String, _ code: String, _ comment: String) {
    let source = SwiftSource(text)
    #expect(source.code == [code])
    #expect(source.comments == [comment])
  }

  @Test func multilineStringsAndCommentsKeepLineNumbers() {
    let source = SwiftSource("let a = \"\"\"\n  unsafe \"x\" // no\n  \"\"\"\n/* one\n two */ let b = 2\n")
    #expect(source.code == ["let a = \"", "", "\"", "", " let b = 2", ""])
    #expect(source.comments == ["", "", "", " one", " two ", ""])
  }

  @Test(
    arguments: [
      ("room(\"A\"),", []), ("room(\"A\", [\"B\", \"C\"])", ["B", "C"]),
      ("room(\"A\", [\"B\"] + collections)", ["B", "DequeModule", "HeapModule", "OrderedCollections"]),
      ("room(\"A\", [f(\"B\"), system]), room(\"C\", [\"D\"])", ["B", "SystemPackage"]),
    ] as [(String, Set<String>)])
  func readsPackage(_ text: String, _ dependencies: Set<String>) {
    #expect(PackageText.dependencies(of: "A", in: text) == dependencies)
    #expect(PackageText.dependencies(of: "Z", in: text) == nil)
  }
}
