import ArgumentParser
import Engine
import TrackerServer

struct Tracker: SpateSubcommand {
  static let configuration = CommandConfiguration(
    commandName: "tracker", abstract: "Run a tracker.",
    discussion: """
      Answers announces and scrapes over HTTP and UDP on one port, over IPv4 and IPv6, until Ctrl-C. Any torrent is tracked \
      unless some are named. Its announce URLs are printed on standard output; /stats tells what it does.

        spate tracker --port 6969 --allow album.torrent
      """)

  @Option(
    help: ArgumentHelp(
      "Listen on this port, TCP and UDP; 0 lets the system choose. (default: 6969)", valueName: "port"),
    transform: PortNumber.from)
  var port: PortNumber?

  @Option(
    help: ArgumentHelp("Listen on this local address or interface only.", valueName: "address|interface"))
  var bind: String?

  @Option(
    help: ArgumentHelp("Ask peers to announce this often. (default: 30m)", valueName: "time"),
    transform: TimeSpan.from)
  var interval: TimeSpan?

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "Track this torrent only: its info-hash, its .torrent file, or a file with an info-hash on each line. May be repeated.",
      valueName: "hash|file"),
    completion: .file())
  var allow: [String] = []

  @OptionGroup var json: JSONOption
  @OptionGroup var output: OutputOptions

  private struct Document: Encodable {
    let announce: [String]
    let stats: String
    let port: UInt16
  }

  func execute(_ interrupts: Interrupts) async throws(CommandFailure) -> CommandStatus {
    let context = try CommandContext("tracker", output)
    let layers = context.layers
    var options = TrackerServer.Options()
    if let port = try layers.value(port, .port) { options.port = port.port }
    options.bind = try layers.value(bind, .bind)
    if let interval = try layers.value(interval, .interval)?.seconds {
      guard (1...86_400).contains(interval) else {
        throw CommandFailure(.usage, "--interval: \(Units.duration(interval)) is not within 1s and 1d")
      }
      options.interval = Int(interval)
      options.minimumInterval = min(options.minimumInterval, options.interval)
    }
    let allowed = try layers.values(allow, .allow)
    if !allowed.isEmpty { options.allowed = try AllowList.infoHashes(allowed) }
    let server: TrackerServer
    do { server = try await TrackerServer.start(options) } catch {
      throw CommandFailure(
        .other,
        "the tracker cannot listen on port \(options.port): \(error.description); choose another with --port")
    }
    let interrupted = AsyncStream<Void>.makeStream()
    interrupts.handle(endingWith: .success) { interrupted.continuation.finish() }
    try announce(server, bind: options.bind, context)
    for await _ in interrupted.stream {}
    let counts = await server.statistics()
    context.logger.info(
      "\(counts.announces) announces, \(counts.scrapes) scrapes, \(counts.refusals) refusals; \(counts.torrents) torrents, \(counts.peers) peers"
    )
    await server.stop()
    return .success
  }

  private func announce(_ server: TrackerServer, bind: String?, _ context: CommandContext)
    throws(CommandFailure)
  {
    let places = Self.hosts(bind: bind).map { "\($0):\(server.port)" }
    let urls = places.flatMap { ["http://\($0)/announce", "udp://\($0)/announce"] }
    let stats = "http://\(places[0])/stats"
    if try context.layers.flag(json.json, .json) {
      try context.console.result(JSONText.document(Document(announce: urls, stats: stats, port: server.port)))
    } else {
      try context.console.result((urls + [stats]).joined(separator: "\n"))
    }
  }

  /// Names under which the tracker can be reached, as URLs have them.
  static func hosts(bind: String?) -> [String] {
    if let bind, let address = IPAddress(bind), !address.isUnspecified {
      return [address.isV4 ? address.description : "[\(address)]"]
    }
    let name = SystemTerminal.hostName
    let isName =
      !name.isEmpty
      && name.utf8.allSatisfy { isDigit($0) || (0x61...0x7a).contains($0 | 0x20) || $0 == 0x2d || $0 == 0x2e }
    return ["localhost"] + (isName && name != "localhost" ? [name] : [])
  }
}

/// What `--allow` names.
enum AllowList {
  static let sizeLimit = 64 << 20

  static func infoHashes(_ arguments: [String]) throws(CommandFailure) -> Set<InfoHash> {
    var hashes: Set<InfoHash> = []
    for argument in arguments {
      if let hash = InfoHash(hex: argument) {
        hashes.insert(hash)
      } else {
        try hashes.formUnion(file(FileReading.read(argument, limit: sizeLimit, what: "--allow"), argument))
      }
    }
    return hashes
  }

  /// A torrent, or info-hashes one a line; `#` begins a comment.
  static func file(_ bytes: [UInt8], _ path: String) throws(CommandFailure) -> Set<InfoHash> {
    let place = "'\(Printable.text(path))'"
    if bytes.starts(with: "d".utf8), bytes.dropFirst().first.map(isDigit) == true,
      let torrent = try? TorrentMetainfo.parse(bytes)
    {
      return [torrent.info.infoHash]
    }
    var hashes: Set<InfoHash> = []
    let lines = String(decoding: bytes, as: UTF8.self).split(
      omittingEmptySubsequences: false, whereSeparator: \.isNewline)
    for (number, line) in lines.enumerated() {
      let words = line.prefix { $0 != "#" }.split(whereSeparator: \.isWhitespace)
      guard let word = words.first else { continue }
      guard words.count == 1, let hash = InfoHash(hex: word) else {
        throw CommandFailure(
          .usage,
          "--allow: line \(number + 1) of \(place) is no info-hash of 40 hexadecimal digits, nor is the file a torrent"
        )
      }
      hashes.insert(hash)
    }
    return hashes
  }
}
