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
    help: ArgumentHelp(
      "Past the system's page cache or through it: auto, direct or cached. auto is direct for long torrents while the "
        + "device keeps up and nobody reads along. (default: auto)", valueName: "how"))
  var diskWrites: DiskWriteMode?

  @Option(
    help: ArgumentHelp("Give up when nothing arrived for so long, such as 90s or 10m.", valueName: "time"),
    transform: TimeSpan.from)
  var timeout: TimeSpan?

  @Flag(name: [.customShort("S"), .long], help: "List the files of each torrent, and download nothing.")
  var showFiles = false

  @Flag(help: "Save each torrent as a .torrent file, and download nothing: for magnet links.")
  var metadataOnly = false

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp(
      "With --metadata-only: write the torrent here; - for standard output. (default: NAME.torrent in --dir)",
      valueName: "file"), completion: .file())
  var output: String?

  @Flag(name: .shortAndLong, help: "With --metadata-only: replace the file if it is there.")
  var force = false
}

struct Download: SpateSubcommand {
  static let configuration = CommandConfiguration(
    commandName: "download", abstract: "Download torrents.",
    discussion: """
      Ends when every torrent is complete and verified, or when its seed goal is met. What was interrupted goes on when \
      the same command is run again.

        spate download debian.torrent -d /srv/iso
        spate download https://example.org/a.torrent --select-file 1-3 --seed-ratio 1
        spate download 'magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567'
        spate download -i list.txt -j 4 --progress json --json
      """)

  @Argument(
    help: "A .torrent file, its http(s) URL, a magnet link, or - for standard input.",
    completion: .file(extensions: ["torrent"]))
  var source: [String] = []

  @OptionGroup(title: "Download") var own: DownloadOptions
  @OptionGroup var transfer: TransferOptions

  func validate() throws {
    if source.isEmpty && transfer.place.inputFile == nil {
      throw ValidationError("Missing expected argument '<source> ...'.")
    }
    if own.showFiles && own.metadataOnly {
      throw ValidationError("--show-files and --metadata-only exclude each other.")
    }
    if own.output != nil && !own.metadataOnly {
      throw ValidationError("-o goes with --metadata-only; the folder of the contents is -d.")
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
        plan.session.diskWrites = try layers.value(own.diskWrites, .diskWrites) ?? .auto
        plan.goal.timeout = try layers.value(own.timeout, .timeout)?.seconds
        if own.metadataOnly {
          guard own.output == nil || plan.sources.count == 1 else {
            throw CommandFailure(.usage, "-o names one file, but there are \(plan.sources.count) torrents")
          }
          plan.ending = .saveMetadata(own.output, replaces: own.force)
        } else if own.showFiles {
          plan.ending = .showFiles(isJSON: try layers.flag(transfer.json.json, .json))
        }
      }, interrupts: interrupts)
  }
}
