import ArgumentParser
import Engine

/// What only `download` has.
struct DownloadOptions: ParsableArguments {
  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("Torrents under way at once; others wait. (default: 16)", valueName: "n"),
    transform: Count<Positive>.from)
  var jobs: Count<Positive>?

  @Flag(inversion: .prefixedNo, help: "Fetch pieces in order, for playing while downloading.")
  var sequential: Bool?

  @Option(help: ArgumentHelp("How files are made: sparse, full or none. (default: sparse)", valueName: "how"))
  var allocation: AllocationMode?

  @Option(
    help: ArgumentHelp("Give up when nothing arrived for so long, such as 90s or 10m.", valueName: "time"),
    transform: TimeSpan.from)
  var timeout: TimeSpan?
}

struct Download: SpateSubcommand {
  static let configuration = CommandConfiguration(
    commandName: "download", abstract: "Download torrents.",
    discussion: """
      Ends when every torrent is complete and verified, or when its seed goal is met. What was interrupted goes on when \
      the same command is run again.

        spate download debian.torrent -d /srv/iso
        spate download https://example.org/a.torrent --select-file 1-3 --seed-ratio 1
        spate download -i list.txt -j 4 --progress json --json
      """)

  @Argument(
    help: "A .torrent file, its http(s) URL, or - for standard input.",
    completion: .file(extensions: ["torrent"]))
  var source: [String] = []

  @OptionGroup(title: "Download") var own: DownloadOptions
  @OptionGroup var transfer: TransferOptions

  func validate() throws {
    if source.isEmpty && transfer.place.inputFile == nil {
      throw ValidationError("Missing expected argument '<source> ...'.")
    }
  }

  func execute(_ interrupts: Interrupts) async throws(CommandFailure) -> CommandStatus {
    try await transfer.run(
      "download",
      { layers, plan throws(CommandFailure) in
        plan.sources = try TorrentSource.all(source, list: transfer.place.inputFile)
        plan.concurrent = try layers.value(own.jobs, .jobs)?.value ?? 16
        plan.torrent.isSequential = try layers.flag(own.sequential, .sequential)
        plan.torrent.allocation = try layers.value(own.allocation, .allocation) ?? .sparse
        plan.goal.timeout = try layers.value(own.timeout, .timeout)?.seconds
      }, interrupts: interrupts)
  }
}
