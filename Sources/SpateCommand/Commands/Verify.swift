import ArgumentParser
import Engine
import Foundation

struct Verify: SpateSubcommand {
  static let configuration = CommandConfiguration(
    commandName: "verify", abstract: "Compare files with a torrent.",
    discussion: """
      Hashes everything on all cores and tells of each file whether it is right. Ends with 0 if all are, else with 32. A \
      piece that holds parts of two files and is wrong makes both of them wrong.
      """)

  @Argument(
    help: "A .torrent file, its http(s) URL, or - for standard input.",
    completion: .file(extensions: ["torrent"]))
  var torrent: String

  @Option(
    name: [.customShort("d"), .long],
    help: ArgumentHelp("The folder of the contents. (default: the present one)"), completion: .directory)
  var dir: String?

  @Option(
    help: ArgumentHelp("Threads. (default: all cores)", valueName: "n"), transform: Count<ThreadRange>.from)
  var threads: Count<ThreadRange>?

  @OptionGroup var json: JSONOption
  @OptionGroup var output: OutputOptions

  func execute(_ interrupts: Interrupts) async throws(CommandFailure) -> CommandStatus {
    let context = try CommandContext("verify", output)
    let layers = context.layers
    let metainfo = try await TorrentSource(argument: torrent)
      .load(certificateFile: try layers.value(nil as String?, .caCertificate))
    let folder = TransferOptions.absolute(try layers.value(dir, .dir) ?? ".")
    let workers = try layers.value(threads, .threads)?.value
    let meter = ProgressMeter(console: context.console, label: "verifying", isShown: !context.isQuiet)
    let work = Task { () throws(TorrentFailure) in
      try await TorrentVerifier.verify(metainfo, in: folder, workers: workers) {
        meter.show($0.done, of: $0.total)
      }
    }
    interrupts.handle { work.cancel() }
    let outcome = await work.result
    meter.finish()
    if work.isCancelled { throw CommandFailure(.interrupted, "interrupted; nothing was changed") }
    let report: TorrentVerifier.Report
    do { report = try outcome.get() } catch { throw CommandFailure(task: error) }
    let files = report.files.filter { !$0.isPadding }.map { VerifiedFile($0, in: folder) }
    try tell(metainfo.info, files, report, context)
    return report.isComplete && files.allSatisfy { $0.state == .good } ? .success : .dataMismatch
  }

  private struct Document: Encodable {
    let infohash: String
    let name: String
    let complete: Bool
    let pieces: Int
    let goodPieces: Int
    let files: [VerifiedFile]
  }

  private func tell(
    _ info: TorrentInfo, _ files: [VerifiedFile], _ report: TorrentVerifier.Report, _ context: CommandContext
  ) throws(CommandFailure) {
    let bad = files.count { $0.state != .good }
    if try context.layers.flag(json.json, .json) {
      return try context.console.result(
        JSONText.document(
          Document(
            infohash: info.infoHash.hex, name: info.name, complete: report.isComplete && bad == 0,
            pieces: info.geometry.pieceCount, goodPieces: report.good.count, files: files)))
    }
    // Of a thousand files, a quiet user wants to hear of those that need something done.
    let lines = files.filter { !context.isQuiet || $0.state != .good }.map(\.line)
    if !lines.isEmpty { try context.console.result(lines.joined(separator: "\n")) }
    guard !context.isQuiet else { return }
    context.logger.notice(
      bad == 0
        ? "\(Printable.text(info.name)): all \(files.count) files are right"
        : "\(Printable.text(info.name)): \(bad) of \(files.count) files are missing or wrong; 'spate download' mends them"
    )
  }
}

/// What became of one file.
struct VerifiedFile: Encodable, Sendable {
  enum State: String, Encodable, Sendable {
    case good
    case missing
    /// Longer or shorter than it must be.
    case wrongLength = "wrong_length"
    /// Some of its pieces do not match their hash.
    case damaged
  }
  let path: String
  let length: Int64
  /// Bytes in pieces that are right.
  let done: Int64
  let state: State

  init(_ result: TorrentVerifier.FileResult, in folder: String) {
    path = result.path
    length = result.length
    done = result.goodBytes
    let attributes = try? FileManager.default.attributesOfItem(atPath: folder + "/" + result.path)
    if let attributes {
      let isRegular = attributes[.type] as? FileAttributeType == .typeRegular
      let size = (attributes[.size] as? NSNumber)?.int64Value
      state = isRegular && size != length ? .wrongLength : result.isGood ? .good : .damaged
    } else {
      state = .missing
    }
  }

  var line: String {
    let word = TextWidth.fitted(state.rawValue.replacing("_", with: " "), to: 14)
    let part = state == .good ? "" : "  (\(Units.part(done, of: length)) right)"
    return word + Printable.text(path) + part
  }
}
