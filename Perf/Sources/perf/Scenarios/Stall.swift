import Foundation

/// Downloads while the disk stands still for five seconds: loops have to stay responsive, memory within its limit, and the
/// download has to go on afterwards.
struct Stall: Scenario {
  let name = "stall"
  let summary = "download while the disk stands still for 5 s: lateness of timers, memory, going on"
  let action: Job.Action? = .download
  private static let seconds = 5.0
  /// A timer may be so late, in milliseconds, at the 99th percentile.
  private static let latest = 20.0
  /// Spate's limit for blocks under way, and what the rest of a process may weigh, in bytes.
  private static let mostMemory = 96 << 20

  /// What Spate reports of itself; see `Totals.Reported`.
  private struct Reported: Decodable {
    var timer_lateness_ms: Double
    var longest_turn_ms: Double
  }

  func points(_ options: Options) -> [Point] {
    let size = options.size ?? (options.quick ? 512 << 20 : 1 << 30)
    return [
      Point(
        size: size, piece: options.pieces?.first ?? 1 << 20, connections: options.connections?.first ?? 20)
    ]
  }

  func run(_ point: Point, _ client: any Client, _ bench: Bench, _ instrument: Instrument) throws(Failure)
    -> Run
  {
    let torrent = try bench.torrent(Shape(point))
    let stage = try bench.stage(client)
    defer { stage.clear() }
    let generator = try bench.generator(
      "seed", torrent, point, ["--listen", "\(Place.peerPort)", "--tracker", "\(Place.trackerPort)"])
    var job = Job(
      action: .download, torrents: [torrent], folder: stage.data, work: stage.work, peers: point.connections)
    let reported = stage.work + "/reported.json"
    job.counters = reported
    job.environment = [
      "LD_PRELOAD": bench.home.stall, "PERF_STALL": "\(point.size / 4):\(Stall.seconds)",
    ]
    let running = try bench.start(client, job, instrument)
    let completed = try running.complete(seconds: deadline(point))
    let used = try running.end()
    generator.closeInput()
    let load = try generator.report()
    guard let first = load.number("first_request"), first > 0 else { throw Failure("nothing was asked for") }
    if bench.options.verify { try bench.verify(torrent, in: stage.data) }
    let wall = completed - first
    guard wall >= Stall.seconds else { throw Failure("the disk did not stand still: \(wall) s") }
    var figures = [Figure(name: "beside the stall", value: wall - Stall.seconds, unit: "s", kind: .time)]
    if let data = FileManager.default.contents(atPath: reported) {
      guard let found = try? JSONDecoder().decode(Reported.self, from: data) else {
        throw Failure("\(client.name) reported no lateness")
      }
      figures.append(
        Figure(name: "timer lateness p99", value: found.timer_lateness_ms, unit: "ms", kind: .time))
      figures.append(Figure(name: "longest turn", value: found.longest_turn_ms, unit: "ms", kind: .time))
      // A turn that waited for the disk would be as long as the stall; below that the machine's other work decides.
      guard found.longest_turn_ms < Stall.seconds * 500 else { throw Failure("a loop waited for the disk") }
      if bench.options.holdsTimes, found.timer_lateness_ms >= Stall.latest {
        throw Failure("timers were \(found.timer_lateness_ms) ms late")
      }
      guard running.peakResident <= Stall.mostMemory else { throw Failure("memory grew past its limit") }
    }
    return Run(
      bytes: point.size, wall: wall, usage: used - running.baseline, peakResident: running.peakResident,
      generator: load.usage, figures: figures)
  }
}
