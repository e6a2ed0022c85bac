import ArgumentParser
import Engine

extension AllocationMode: SettingValue {}
extension DiskWriteMode: SettingValue {}

struct Seed: SpateSubcommand {
  static let configuration = CommandConfiguration(
    commandName: "seed", abstract: "Seed torrents whose contents are there.",
    discussion: """
      Hashes what no record vouches for, then uploads until Ctrl-C or until the seed goal is met. Nothing is downloaded: a \
      torrent whose contents are not all there is an error.

        spate seed album.torrent -d /srv/music --upload-limit 5M
      """)

  @Argument(
    help: "A .torrent file, its http(s) URL, or - for standard input.",
    completion: .file(extensions: ["torrent"]))
  var torrent: [String] = []

  @OptionGroup var transfer: TransferOptions

  func validate() throws {
    if torrent.isEmpty && transfer.place.inputFile == nil {
      throw ValidationError("Missing expected argument '<torrent> ...'.")
    }
  }

  func execute(_ interrupts: Interrupts) async throws(CommandFailure) -> CommandStatus {
    try await transfer.run(
      "seed",
      { layers, plan throws(CommandFailure) in
        plan.goal.kind = .seed
        plan.sources = try TorrentSource.all(torrent, list: transfer.place.inputFile)
      }, interrupts: interrupts)
  }
}
