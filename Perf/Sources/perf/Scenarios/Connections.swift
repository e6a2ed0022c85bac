/// Holds very many peers that say hello, send their bitfield and stay.
struct Connections: Scenario {
  let name = "connections"
  let summary = "seed to 1,000 and 5,000 idle peers: memory of each, CPU"
  let action: Job.Action? = .hold

  func points(_ options: Options) -> [Point] {
    (options.connections ?? (options.quick ? [1000] : [1000, 5000])).map {
      Point(size: 64 << 20, piece: options.pieces?.first ?? 64 << 10, connections: $0)
    }
  }

  func run(_ point: Point, _ client: any Client, _ bench: Bench, _ instrument: Instrument) throws(Failure)
    -> Run
  {
    let torrent = try bench.torrent(Shape(point))
    let data = try bench.data(of: torrent)
    let stage = try bench.stage(client)
    defer { stage.clear() }
    let job = Job(action: .hold, torrents: [torrent], folder: data, work: stage.work)
    let running = try bench.start(client, job, instrument)

    // One peer first, to know that the client is up and done with checking.
    var one = point
    one.connections = 1
    let first = try bench.generator(
      "leech", torrent, one, ["--connect", "\(Place.client):\(Place.clientPort)"])
    try first.waitForEvent("done", seconds: deadline(point))
    _ = try first.report()
    running.idle(seconds: 2)
    let empty = running.status.resident ?? 0

    let generator = try bench.generator(
      "idle", torrent, point, ["--connect", "\(Place.client):\(Place.clientPort)"])
    try generator.waitForEvent("ready", seconds: 60)
    running.idle(seconds: 2)
    let seconds = bench.options.quick ? 4.0 : 15.0
    let before = running.status.usage ?? Usage()
    running.idle(seconds: seconds)
    let used = (running.status.usage ?? Usage()) - before
    let full = running.status.resident ?? 0
    running.sample()
    generator.closeInput()
    let load = try generator.report()
    _ = try running.end()
    let open = load.number("open_peers") ?? 0
    guard open >= Double(point.connections) * 0.98 else {
      throw Failure("only \(Int(open)) of \(point.connections) peers were still connected")
    }
    return Run(
      bytes: 0, wall: seconds, usage: used, peakResident: running.peakResident,
      figures: [
        Figure(name: "memory a peer", value: Double(full - empty) / 1024 / open, unit: "KiB", kind: .count),
        Figure(name: "idle CPU", value: (used.user + used.system) / seconds * 100, unit: "%", kind: .time),
      ])
  }
}
