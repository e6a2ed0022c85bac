/// Holds very many complete torrents that nobody asks for.
struct Torrents: Scenario {
  let name = "torrents"
  let summary = "5,000 complete torrents in one process: time to add, memory of each, idle CPU"
  let action: Job.Action? = .torrents

  func points(_ options: Options) -> [Point] {
    [Point(size: 16 << 10, piece: 16 << 10, items: options.items ?? (options.quick ? 1000 : 5000))]
  }

  func run(_ point: Point, _ client: any Client, _ bench: Bench, _ instrument: Instrument) throws(Failure)
    -> Run
  {
    let torrents = try bench.manyTorrents(point.items, size: point.size, piece: point.piece)
    let stage = try bench.stage(client)
    defer { stage.clear() }
    // Few, then all: the difference is what each costs, whatever the process itself weighs.
    let few = max(1, point.items / 10)
    let small = try hold(Array(torrents.files.prefix(few)), torrents.data, client, bench, stage, instrument)
    let large = try hold(torrents.files, torrents.data, client, bench, stage, instrument)
    let more = Double(torrents.files.count - few)
    return Run(
      bytes: 0, wall: large.seconds, usage: large.idle, peakResident: large.peak,
      figures: [
        Figure(
          name: "memory a torrent", value: Double(large.resident - small.resident) / 1024 / more, unit: "KiB",
          kind: .count),
        Figure(
          name: "adding each", value: (large.adding - small.adding) * 1000 / more, unit: "ms", kind: .time),
        Figure(
          name: "idle CPU", value: (large.idle.user + large.idle.system) / large.seconds * 100, unit: "%",
          kind: .time),
      ])
  }

  private struct Held {
    var resident = 0
    var adding = 0.0
    var idle = Usage()
    var seconds = 0.0
    var peak = 0
  }

  private func hold(
    _ files: [String], _ data: String, _ client: any Client, _ bench: Bench, _ stage: Stage,
    _ instrument: Instrument
  ) throws(Failure) -> Held {
    let job = Job(action: .torrents, torrents: files, folder: data, work: stage.work)
    if case .silent = try client.launch(job, bench.home).completion {
      // A first start checks the data and leaves resume records; the second one, which is measured, finds them.
      let first = try bench.start(client, job, .none)
      try bench.waitUntilServed(files[files.count - 1], seconds: 120)
      _ = try first.end()
    }
    let running = try bench.start(client, job, instrument)
    var held = Held()
    if case .silent = running.launch.completion {
      try bench.waitUntilServed(files[files.count - 1], seconds: 120)
      held.adding = bench.now - running.began
    } else {
      held.adding = try running.complete(seconds: 120) - running.began
    }
    running.idle(seconds: 3)
    held.seconds = bench.options.quick ? 4 : 20
    let before = running.status.usage ?? Usage()
    running.idle(seconds: held.seconds)
    held.idle = (running.status.usage ?? Usage()) - before
    held.resident = running.status.resident ?? 0
    running.sample()
    held.peak = running.peakResident
    _ = try running.end()
    return held
  }
}
