import Testing

@testable import perf

struct StacksTests {
  @Test func readsPerfScript() {
    let text = """
      spate
      \tffff8000 copy_to_iter+0x10
      \t    55550000 receive; all+0x4
      \t55550001 main

      spate
      \tffff8000 copy_to_iter+0x22
      \t55550000 receive; all+0x9
      \t55550001 main

      spate
      \t55550002 [unknown]

      """
    let stacks = Stacks(perfScript: text)
    #expect(
      stacks.weights == [
        ["spate", "main", "receive: all", "copy_to_iter"]: 2, ["spate", "[unknown]"]: 1,
      ])
    #expect(stacks.total == 3)
  }

  @Test func readsCallgrindContexts() {
    let text = """
      positions: line
      events: Ir
      fl=(1) a.c
      fn=(1) main
      10 100
      cfn=(2) work'main
      calls=3 20
      11 900
      fn=(2)
      20 500
      +1 200
      cfn=(3) leaf'work'main
      calls=1 30
      21 200
      fn=(3)
      30 200
      """
    #expect(
      Stacks(callgrind: text).weights == [
        ["main"]: 100, ["main", "work"]: 700, ["main", "work", "leaf"]: 200,
      ])
  }

  @Test func foldedIsReadBack() {
    let stacks = Stacks(folded: "a;b 3\na;b;c 4\nd 1\nnonsense\n")
    #expect(stacks.total == 8)
    #expect(Stacks(folded: stacks.folded) == stacks)
  }

  @Test func topCountsOwnAndTotal() {
    let lines = Stacks(folded: "main;work 3\nmain;work;leaf 5\nmain 2\n").top(2).split(separator: "\n")
    #expect(lines.count == 3)
    #expect(lines[1].split(separator: " ") == ["leaf", "50.0", "50.0"])
    #expect(lines[2].split(separator: " ") == ["work", "30.0", "80.0"])
  }

  @Test func recursionCountsOnceInTotal() {
    let lines = Stacks(folded: "f;f;f 4\n").top(1).split(separator: "\n")
    #expect(lines[1].split(separator: " ") == ["f", "100", "100"])
  }

  @Test func picturesAreWellFormed() {
    let svg = FlameGraph(Stacks(folded: "main;a<T>&\"b\" 3\nmain;c 1\n"), title: "a & b").svg
    #expect(svg.contains("a &amp; b"))
    #expect(svg.contains("a&lt;T&gt;&amp;&quot;b&quot;: 75.00 %"))
    #expect(svg.components(separatedBy: "<g>").count == svg.components(separatedBy: "</g>").count)
    #expect(svg.components(separatedBy: "<g>").count == 4)
  }

  @Test func noStacksAreAnEmptyPicture() {
    #expect(FlameGraph(Stacks(folded: ""), title: "none").svg.hasSuffix("</svg>\n"))
  }
}
