/// Hashes complete data, page cache warm.
struct Check: Scenario {
  let name = "check"
  let summary = "verify complete data from a warm page cache"
  let action: Job.Action? = .check

  func points(_ options: Options) -> [Point] {
    let size = options.size ?? (options.quick ? 1 << 30 : 4 << 30)
    return (options.pieces ?? (options.quick ? [1 << 20] : [1 << 20, 16 << 10, 16 << 20])).map {
      Point(size: size, piece: $0)
    }
  }

  func run(_ point: Point, _ client: any Client, _ bench: Bench, _ instrument: Instrument) throws(Failure)
    -> Run
  {
    let torrent = try bench.torrent(Shape(point))
    let data = try bench.data(of: torrent)
    let stage = try bench.stage(client)
    defer { stage.clear() }
    let job = Job(action: .check, torrents: [torrent], folder: data, work: stage.work)
    let running = try bench.start(client, job, instrument)
    let completed = try running.complete(seconds: deadline(point))
    let used = try running.end()
    return Run(
      bytes: point.size, wall: completed - running.began, usage: used - running.baseline,
      peakResident: running.peakResident)
  }
}
