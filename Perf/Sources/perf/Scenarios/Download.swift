/// Fetches a torrent from N seeding peers to the local disk.
struct Download: Scenario {
  let name = "download"
  let summary = "fetch a torrent from N peers that never run dry"
  let action: Job.Action? = .download

  func points(_ options: Options) -> [Point] { options.plane(size: 4 << 30, quick: 512 << 20) }

  func countingPoints(_ point: Point) -> (Point, Point)? {
    var small = point
    var large = point
    small.size = min(point.size, 256 << 20)
    large.size = small.size * 9
    return (small, large)
  }

  func run(_ point: Point, _ client: any Client, _ bench: Bench, _ instrument: Instrument) throws(Failure)
    -> Run
  {
    let torrent = try bench.torrent(Shape(point))
    let stage = try bench.stage(client)
    defer { stage.clear() }
    let generator = try bench.generator(
      "seed", torrent, point, ["--listen", "\(Place.peerPort)", "--tracker", "\(Place.trackerPort)"])
    if !instrument.isCounting { try bench.warm(for: point) }
    let job = Job(
      action: .download, torrents: [torrent], folder: stage.data, work: stage.work, peers: point.connections)
    let running = try bench.start(client, job, instrument)
    let completed = try running.complete(seconds: deadline(point))
    let exit = try running.end()
    generator.closeInput()
    let load = try generator.report()
    guard let first = load.number("first_request"), first > 0 else { throw Failure("nothing was asked for") }
    if bench.options.verify { try bench.verify(torrent, in: stage.data) }
    let waste = (load.number("bytes_sent") ?? 0) / Double(point.size) - 1
    return Run(
      bytes: point.size, wall: completed - first, usage: exit - running.baseline,
      peakResident: running.peakResident, generator: load.usage,
      figures: [Figure(name: "sent twice", value: max(0, waste) * 100, unit: "%", kind: .time)])
  }
}
