/// Fetches a torrent of very many small files.
struct SmallFiles: Scenario {
  let name = "small-files"
  let summary = "fetch 20,000 files of 8 KiB"
  let action: Job.Action? = .download

  func points(_ options: Options) -> [Point] {
    let files = options.items ?? (options.quick ? 5000 : 20000)
    return [
      Point(
        size: files * 8192, piece: options.pieces?.first ?? 256 << 10,
        connections: options.connections?.first ?? 20,
        items: files)
    ]
  }

  func run(_ point: Point, _ client: any Client, _ bench: Bench, _ instrument: Instrument) throws(Failure)
    -> Run
  {
    try Download().run(point, client, bench, instrument)
  }
}
