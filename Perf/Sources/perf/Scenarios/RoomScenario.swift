import Foundation

/// Single rooms of Spate, measured by `perf-rooms` in a process of its own with allocations counted.
struct RoomScenario: Scenario {
  let name: String
  let summary: String
  /// Which of its benchmarks, by the beginnings of their names.
  let benchmarks: [String]
  let action: Job.Action? = nil

  func points(_ options: Options) -> [Point] { [Point(size: 0, piece: 0)] }

  private struct Result: Decodable {
    var name: String
    var nanoseconds: Double
    var mallocs: Double?
    var bytes: Int
  }

  func run(_ point: Point, _ client: any Client, _ bench: Bench, _ instrument: Instrument) throws(Failure)
    -> Run
  {
    let counts = bench.log("rooms-mallocs")
    try? FileManager.default.removeItem(atPath: counts)
    let began = bench.now
    let command = Command(
      arguments: [bench.home.rooms] + (bench.options.quick ? ["--quick"] : []) + benchmarks,
      environment: ["LD_PRELOAD": bench.home.mallocs, "PERF_MALLOCS": counts], log: bench.log("rooms"))
    let child = try Child(command, name: "perf-rooms")
    child.closeInput()
    let exit = try child.waitForExit(seconds: 600)
    guard exit.code == 0 else { throw Failure("perf-rooms exited with \(exit.code)") }
    var figures: [Figure] = []
    for line in child.lines {
      guard let result = try? JSONDecoder().decode(Result.self, from: Data(line.text.utf8)) else { continue }
      figures.append(Figure(name: result.name, value: result.nanoseconds, unit: "ns", kind: .time))
      if result.bytes > 0 {
        let speed = Double(result.bytes) / result.nanoseconds * 1e9 / gib
        figures.append(Figure(name: result.name, value: speed, unit: "GiB/s", kind: .time))
      }
      if let mallocs = result.mallocs {
        figures.append(Figure(name: result.name, value: mallocs, unit: "mallocs", kind: .count))
      }
    }
    guard !figures.isEmpty else { throw Failure("perf-rooms measured nothing") }
    return Run(
      bytes: 0, wall: bench.now - began, usage: exit.usage, peakResident: child.peakResident, figures: figures
    )
  }
}

/// Spate's rooms without its command line, where a scenario has no clients to take turns.
struct Rooms: Client {
  let name = "rooms"
  let actions: Set<Job.Action> = []

  func version(_ home: Home) -> String? { "this source" }

  func launch(_ job: Job, _ home: Home) throws(Failure) -> Launch { throw Failure("rooms are no client") }
}
