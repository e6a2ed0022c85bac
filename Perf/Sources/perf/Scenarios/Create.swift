/// Makes a torrent of a file, page cache warm.
struct Create: Scenario {
  let name = "create"
  let summary = "make a torrent of a file in a warm page cache"
  let action: Job.Action? = .create

  func points(_ options: Options) -> [Point] {
    let size = options.size ?? (options.quick ? 1 << 30 : 4 << 30)
    return (options.pieces ?? [1 << 20]).map { Point(size: size, piece: $0) }
  }

  func run(_ point: Point, _ client: any Client, _ bench: Bench, _ instrument: Instrument) throws(Failure)
    -> Run
  {
    let torrent = try bench.torrent(Shape(point))
    let data = try bench.data(of: torrent)
    let stage = try bench.stage(client)
    defer { stage.clear() }
    let job = Job(
      action: .create, folder: stage.data, work: stage.work, data: "\(data)/\(Shape(point).name)",
      pieceLength: point.piece)
    let running = try bench.start(client, job, instrument)
    let completed = try running.complete(seconds: deadline(point))
    let used = try running.end()
    // What was made must be a torrent of that very data.
    try bench.verify(stage.data + "/made.torrent", in: data)
    return Run(
      bytes: point.size, wall: completed - running.began, usage: used - running.baseline,
      peakResident: running.peakResident)
  }
}
