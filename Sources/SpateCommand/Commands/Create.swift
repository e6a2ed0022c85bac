import ArgumentParser
import Engine
import Foundation

struct Create: SpateSubcommand {
  static let configuration = CommandConfiguration(
    commandName: "create", abstract: "Make a torrent of a file or a folder.",
    discussion: """
      Takes every regular file below PATH, hidden ones too, in the order of their names. Symbolic links to files count as \
      the files; links to folders, and whatever is no regular file, are left out with a warning. The pieces are hashed on \
      all cores. The same contents and options give the same torrent, except for its date.

        spate create album -a udp://tracker.example:6969/announce
        spate create album -a http://a.example/ann,http://b.example/ann -p -l 1M
      """)

  @Argument(help: "The file or folder.", completion: .file())
  var path: String

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp(
      "Write the torrent here; - for standard output. (default: NAME.torrent)", valueName: "file"),
    completion: .file(extensions: ["torrent"]))
  var output: String?

  @Option(
    name: .shortAndLong, parsing: .singleValue,
    help: ArgumentHelp(
      "Announce URLs of one tier, separated by commas. Each -a is another tier.", valueName: "url,..."))
  var announce: [String] = []

  @Option(
    name: .shortAndLong, parsing: .singleValue,
    help: ArgumentHelp("URL of the contents on a web server. May be repeated.", valueName: "url"))
  var webSeed: [String] = []

  @Option(name: .shortAndLong, help: ArgumentHelp("A comment.", valueName: "text"))
  var comment: String?

  @Flag(name: .shortAndLong, inversion: .prefixedNo, help: "Peers may come only from the torrent's trackers.")
  var `private`: Bool?

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("Where the torrent is made for, as some trackers want.", valueName: "text"))
  var source: String?

  @Option(
    name: [.customShort("l"), .long],
    help: ArgumentHelp(
      "Bytes of a piece, such as 256K, or 18 for 2^18. (default: chosen well)", valueName: "length"),
    transform: PieceLength.from)
  var pieceLength: PieceLength?

  @Option(
    name: .shortAndLong, help: ArgumentHelp("The torrent's name. (default: that of PATH)", valueName: "name"))
  var name: String?

  @Option(
    name: .shortAndLong, help: ArgumentHelp("Threads. (default: all cores)", valueName: "n"),
    transform: Count<ThreadRange>.from)
  var threads: Count<ThreadRange>?

  @Flag(inversion: .prefixedNo, help: "Say in the torrent when it was made. (default: --date)")
  var date: Bool?

  @Flag(name: .shortAndLong, help: "Replace the torrent if it is there.")
  var force = false

  @OptionGroup var json: JSONOption
  @OptionGroup var outputOptions: OutputOptions

  func execute(_ interrupts: Interrupts) async throws(CommandFailure) -> CommandStatus {
    let context = try CommandContext("create", outputOptions)
    let options = try creatorOptions(context.layers)
    let target = try target()
    let meter = ProgressMeter(console: context.console, label: "hashing", isShown: !context.isQuiet)
    let path = path
    let work = Task { () throws(TorrentCreator.Failure) in
      try await TorrentCreator.create(path: path, options: options) { meter.show($0.done, of: $0.total) }
    }
    interrupts.handle { work.cancel() }
    let result = await work.result
    meter.finish()
    let created: TorrentCreator.Created
    do { created = try result.get() } catch { throw CommandFailure(task: error) }
    for warning in created.warnings { context.logger.warning("\(warning)") }
    try target.write(created.bytes, replaces: force, context.console)
    try report(created, target, context)
    return .success
  }

  private func creatorOptions(_ layers: SettingsLayers) throws(CommandFailure) -> TorrentCreator.Options {
    var options = TorrentCreator.Options()
    for tier in try layers.values(announce, .announce) {
      options.trackers.append(try URLList.split(tier, option: "-a"))
    }
    for list in try layers.values(webSeed, .webSeed) {
      options.webSeeds += try URLList.split(list, option: "-w")
    }
    options.comment = try layers.value(comment, .comment)
    options.isPrivate = try layers.flag(`private`, .private)
    options.source = try layers.value(source, .source)
    options.pieceLength = try layers.value(pieceLength, .pieceLength)?.bytes
    options.name = name
    options.workers = try layers.value(threads, .threads)?.value
    options.createdBy = Version.userAgent
    if try !layers.flag(date.map { !$0 }, .noDate) {
      options.creationDate = Int64(Date().timeIntervalSince1970)
    }
    return options
  }

  // MARK: The torrent

  private func target() throws(CommandFailure) -> TorrentFileTarget {
    let contents = URL(fileURLWithPath: path).standardizedFileURL.lastPathComponent
    return try TorrentFileTarget(
      output ?? (name ?? contents).replacing("/", with: "_") + ".torrent", replaces: force)
  }

  private struct Document: Encodable {
    let path: OrNull<String>
    let infohash: String
    let name: String
    let pieceLength: Int
    let pieces: Int
    let total: Int64
    let files: Int
  }

  private func report(
    _ created: TorrentCreator.Created, _ target: TorrentFileTarget, _ context: CommandContext
  )
    throws(CommandFailure)
  {
    // Standard output is the torrent's own then.
    guard case .file(let path) = target else { return }
    let info: TorrentInfo
    do { info = try TorrentMetainfo.parse(created.bytes).info } catch {
      throw CommandFailure(error, in: path)
    }
    let files = info.files.count { !$0.isPadding }
    if try context.layers.flag(json.json, .json) {
      return try context.console.result(
        JSONText.document(
          Document(
            path: OrNull(path), infohash: created.infoHash.hex, name: info.name,
            pieceLength: info.geometry.pieceLength, pieces: info.geometry.pieceCount,
            total: info.layout.totalLength, files: files)))
    }
    guard !context.isQuiet else { return }
    try context.console.result(
      """
      Torrent    \(Printable.text(path))
      Info-hash  \(created.infoHash.hex)
      Size       \(Units.size(info.layout.totalLength)) in \(files) file\(files == 1 ? "" : "s")
      Pieces     \(info.geometry.pieceCount) of \(Units.size(Int64(info.geometry.pieceLength)))
      """)
  }
}
