/// Fetches from N peers that each hold half of the torrent, and serves each half to those that lack it: as much is
/// sent as received.
struct BothWays: Scenario {
  let name = "both"
  let summary = "exchange with N peers that hold half of a torrent each"
  let action: Job.Action? = .both

  func points(_ options: Options) -> [Point] {
    Array(
      options.plane(size: 2 << 30, quick: 256 << 20).filter { $0.connections > 1 }.prefix(
        options.quick ? 1 : 3))
  }

  func run(_ point: Point, _ client: any Client, _ bench: Bench, _ instrument: Instrument) throws(Failure)
    -> Run
  {
    let torrent = try bench.torrent(Shape(point))
    let stage = try bench.stage(client)
    defer { stage.clear() }
    let generator = try bench.generator(
      "both", torrent, point, ["--listen", "\(Place.peerPort)", "--tracker", "\(Place.trackerPort)"])
    if !instrument.isCounting { try bench.warm(for: point) }
    let job = Job(
      action: .both, torrents: [torrent], folder: stage.data, work: stage.work, peers: point.connections)
    let running = try bench.start(client, job, instrument)
    // The generator has got everything only when the client had everything.
    let done = try generator.waitForEvent("done", seconds: deadline(point))
    let used = running.status.usage ?? Usage()
    running.sample()
    generator.closeInput()
    let load = try generator.report()
    _ = try running.end()
    guard let first = load.number("first_request"), first > 0 else { throw Failure("nothing was asked for") }
    if bench.options.verify { try bench.verify(torrent, in: stage.data) }
    return Run(
      bytes: point.size * 2, wall: done.at - first, usage: used - running.baseline,
      peakResident: running.peakResident, generator: load.usage)
  }
}
