/// Serves complete data, page cache warm, to N leeching peers that fetch all of it once between them.
struct SeedScenario: Scenario {
  let name = "seed"
  let summary = "serve a torrent from a warm page cache to N peers, and a hot set of 100 MiB many times"
  let action: Job.Action? = .seed

  func points(_ options: Options) -> [Point] {
    let usual = options.plane(size: 4 << 30, quick: 512 << 20)
    let hot = Point(
      size: 100 << 20, piece: 1 << 20, connections: usual[0].connections, repeats: options.quick ? 5 : 40)
    return options.size == nil ? usual + [hot] : usual
  }

  func countingPoints(_ point: Point) -> (Point, Point)? {
    // The same data more often: what checking it at the start costs is in both and drops out.
    var small = point
    small.size = min(point.size, 128 << 20)
    small.repeats = 2
    var large = small
    large.repeats = 18
    return (small, large)
  }

  func run(_ point: Point, _ client: any Client, _ bench: Bench, _ instrument: Instrument) throws(Failure)
    -> Run
  {
    let torrent = try bench.torrent(Shape(point))
    let data = try bench.data(of: torrent)
    let stage = try bench.stage(client)
    defer { stage.clear() }
    let job = Job(action: .seed, torrents: [torrent], folder: data, work: stage.work)
    let running = try bench.start(client, job, instrument)
    let generator = try bench.generator(
      "leech", torrent, point,
      ["--connect", "\(Place.client):\(Place.clientPort)", "--repeat", "\(point.repeats)", "--wait"])
    try generator.waitForEvent("ready", seconds: deadline(point))
    // Clients drop what they checked from the page cache (aria2, libtorrent and transmission all do): read it again.
    try bench.verify(torrent, in: data)
    if !instrument.isCounting { try bench.warm(for: Point(size: 256 << 20, piece: 0)) }
    let before = running.status.usage ?? Usage()
    let diskBefore = running.status.diskBytesRead ?? 0
    generator.say("go")
    let done = try generator.waitForEvent("done", seconds: deadline(point))
    let after = running.status.usage ?? Usage()
    let diskAfter = running.status.diskBytesRead ?? 0
    running.sample()
    let load = try generator.report()
    _ = try running.end()
    guard let first = load.number("first_received"), first > 0 else { throw Failure("nothing was served") }
    return Run(
      bytes: point.bytes, wall: done.at - first, usage: after - before, peakResident: running.peakResident,
      generator: load.usage,
      figures: [
        Figure(name: "read from disk", value: Double(diskAfter - diskBefore) / mib, unit: "MiB", kind: .time)
      ])
  }
}
