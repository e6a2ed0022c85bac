import Testing

@testable import perf

struct FiguresTests {
  @Test(
    arguments: [
      ([], 0), ([3], 3), ([1, 9], 5), ([9, 1, 4], 4), ([4, 1, 3, 2], 2.5),
    ] as [([Double], Double)])
  func medianOf(_ values: [Double], is expected: Double) {
    #expect(median(values) == expected)
  }

  @Test(arguments: [
    (4 << 30, "4G"), (16 << 10, "16K"), (1 << 20, "1M"), (1536 << 10, "1536K"), (10_000, "10000"), (0, "0"),
    (10 << 30, "10G"), ((1 << 30) + (1 << 20), "1025M"), ((1 << 30) + 1, "1073741825"),
  ])
  func sizeOf(_ bytes: Int, is expected: String) {
    #expect(Table.size(bytes) == expected)
  }

  @Test(arguments: [(0, "0"), (0.1234, "0.123"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1234")])
  func figureOf(_ value: Double, is expected: String) {
    #expect(Table.figure(value) == expected)
  }

  @Test func tableLeavesOutEmptyColumns() {
    var table = Table(["name", "", "a", "b", "c"])
    table.add(["x", "", "1", "", "22"])
    table.add(["long", "", "333", "", ""])
    #expect(table.text == "name    a   c\nx       1  22\nlong  333")
  }

  @Test func perGiBAndPerBlock() {
    let run = Run(
      bytes: 2 << 30, wall: 2,
      usage: Usage(user: 1, system: 3, voluntarySwitches: 100, involuntarySwitches: 28),
      peakResident: 5)
    #expect(run.speed == 1024)
    #expect(run.userPerGiB == 0.5)
    #expect(run.systemPerGiB == 1.5)
    #expect(run.cpuPerGiB == 2)
    #expect(run.switchesPerBlock == 128.0 / 131_072)
  }

  @Test func theUsualPlaneHasEachAxisOnce() {
    let points = Options().plane(size: 4 << 30, quick: 1 << 29)
    #expect(points.map(\.connections) == [20, 1, 200, 20, 20])
    #expect(points.map(\.piece) == [1 << 20, 1 << 20, 1 << 20, 16 << 10, 16 << 20])
    var quick = Options()
    quick.quick = true
    #expect(
      quick.plane(size: 4 << 30, quick: 1 << 29) == [Point(size: 1 << 29, piece: 1 << 20, connections: 20)])
  }
}

struct ComparisonTests {
  private func report(
    spate: Double = 0.3, other: Double = 1, syscalls: Double? = 0.4, mallocs: Double? = 0.02,
    memory: Double = 3
  ) -> Report {
    var report = Report(machine: Machine())
    for (client, cpu) in [("spate", spate), ("libtorrent", other)] {
      var outcome = Outcome(scenario: "download", client: client, point: Point(size: 1 << 30, piece: 1 << 20))
      outcome.runs = [
        Run(
          bytes: 1 << 30, wall: cpu, usage: Usage(user: cpu), peakResident: 1 << 20,
          figures: [Figure(name: "memory a peer", value: memory, unit: "KiB", kind: .count)])
      ]
      outcome.counts = Counts(syscalls: syscalls, mallocs: mallocs)
      report.outcomes.append(outcome)
    }
    return report
  }

  @Test func nothingToFindInTheSame() {
    #expect(Comparison().findings(report(), against: report()).isEmpty)
  }

  @Test func timesAloneDoNotCount() {
    // Twice as slow, both of them: the machine was busy.
    #expect(Comparison().findings(report(spate: 0.6, other: 2), against: report()).isEmpty)
  }

  @Test func ratiosMayFallByATenth() {
    #expect(Comparison().findings(report(spate: 0.32), against: report()).isEmpty)
    let found = Comparison().findings(report(spate: 0.36), against: report())
    #expect(
      found.map(\.what).sorted() == [
        "download: cpu of spate against libtorrent", "download: speed of spate against libtorrent",
      ])
    #expect(Comparison(holdsRatios: false).findings(report(spate: 0.36), against: report()).isEmpty)
  }

  @Test func countsMayGrowByATenthAndAHair() {
    #expect(Comparison().findings(report(syscalls: 0.44, mallocs: 0.04), against: report()).isEmpty)
    let found = Comparison().findings(report(syscalls: 0.6, mallocs: 0.05), against: report())
    #expect(found.count == 4)
    #expect(
      found.first == Comparison.Finding(what: "download spate: system calls per block", before: 0.4, now: 0.6)
    )
  }

  @Test func aCopyOfEachBlockIsFoundAndAFewAreNot() {
    var few = report()
    var each = report()
    var before = report()
    for i in before.outcomes.indices {
      before.outcomes[i].counts?.copiedShare = 0.003
      few.outcomes[i].counts?.copiedShare = 0.025
      each.outcomes[i].counts?.copiedShare = 1
    }
    #expect(Comparison().findings(few, against: before).isEmpty)
    #expect(
      Comparison().findings(each, against: before).map(\.what).first
        == "download spate: share of payload copied")
  }

  @Test func scenariosOwnCountsAreHeld() {
    let found = Comparison().findings(report(memory: 4), against: report())
    #expect(found.map(\.what).first == "download spate: memory a peer, KiB")
  }

  @Test func whatOneOfThemLacksIsNotCompared() {
    #expect(Comparison().findings(report(syscalls: nil), against: report()).isEmpty)
    #expect(Comparison().findings(Report(machine: Machine()), against: report()).isEmpty)
  }

  @Test func ratiosSayHowMuchBetterSpateIs() throws {
    let ratios = report().ratios
    #expect(Set(ratios.map(\.client)) == ["spate"])
    let cpu = try #require(ratios.first { $0.name == "cpu" })
    #expect(abs(cpu.value - 1 / 0.3) < 1e-9)
  }

  @Test func reportsSurviveStoring() throws {
    let before = report()
    let after = try JSONCoding.roundTrip(before)
    #expect(after.outcomes.map(\.cpu) == before.outcomes.map(\.cpu))
    #expect(after.outcomes.map(\.counts) == before.outcomes.map(\.counts))
  }
}
