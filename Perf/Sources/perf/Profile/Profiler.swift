import Foundation

/// Where a client spends its time: `perf record`, or callgrind where that is missing.
enum Profiler: Equatable {
  case perf
  case callgrind

  static func found() -> Profiler? {
    if Home.find("perf") != nil { return .perf }
    return Home.find("valgrind") != nil ? .callgrind : nil
  }

  func wrap(_ arguments: [String], _ file: String) -> [String] {
    switch self {
    case .perf:
      // The CPU clock works in virtual machines without hardware counters. Swift keeps frame pointers.
      ["perf", "record", "-q", "-e", "cpu-clock", "-F", "997", "-g", "-o", file, "--"] + arguments
    case .callgrind:
      // Each function is told apart by its callers: the cost of a context is the cost of a stack.
      [
        "valgrind", "--tool=callgrind", "--separate-callers=24", "--separate-recs=1",
        "--callgrind-out-file=\(file)",
      ] + arguments
    }
  }

  /// Reads the recording as stacks.
  func stacks(_ file: String) throws(Failure) -> Stacks {
    let text: String
    switch self {
    case .perf:
      let script = file + ".txt"
      try Child.run(
        ["sh", "-c", "perf script -i \"$0\" --no-inline -F comm,ip,sym >\"$1\" 2>/dev/null", file, script],
        name: "perf script", seconds: 300)
      text = (try? String(contentsOfFile: script, encoding: .utf8)) ?? ""
      return Stacks(perfScript: text)
    case .callgrind:
      text = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
      return Stacks(callgrind: text)
    }
  }
}

extension Bench {
  /// Runs a client once under the profiler and leaves `out/SCENARIO-CLIENT.svg`, `.folded` and `.top.txt`. Gives the
  /// table of the top 20.
  func profile(_ scenario: any Scenario, _ point: Point, _ client: any Client) throws(Failure) -> String {
    guard let profiler = Profiler.found() else { throw Failure("neither perf nor valgrind is installed") }
    let recording = "\(folder)/profile-\(scenario.name)-\(client.name)"
    var point = point
    if profiler == .callgrind { point.size = min(point.size, 64 << 20) }
    _ = try scenario.run(point, client, self, .profiling(profiler, recording))
    var stacks = try profiler.stacks(recording)
    let base = "\(home.out)/\(scenario.name)-\(client.name)"
    let folded = base + ".folded"
    do {
      try stacks.folded.write(toFile: folded, atomically: true, encoding: .utf8)
      if Home.find("swift") != nil {
        try Child.run(
          ["sh", "-c", "swift demangle --simplified <\"$0\" >\"$0.tmp\" && mv \"$0.tmp\" \"$0\"", folded],
          name: "swift demangle", seconds: 120)
        stacks = Stacks(folded: try String(contentsOfFile: folded, encoding: .utf8))
      }
      let title = "\(scenario.name): \(client.name), \(Table.size(point.size))"
      try FlameGraph(stacks, title: title).svg.write(toFile: base + ".svg", atomically: true, encoding: .utf8)
      let top = stacks.top(20)
      try top.write(toFile: base + ".top.txt", atomically: true, encoding: .utf8)
      return "\(title) (\(base).svg)\n\(top)"
    } catch let failure as Failure {
      throw failure
    } catch {
      throw Failure("cannot write \(base): \(error.localizedDescription)")
    }
  }
}
