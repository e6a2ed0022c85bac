import ArgumentParser
import Engine
import Foundation

struct Scrape: SpateSubcommand {
  static let configuration = CommandConfiguration(
    commandName: "scrape", abstract: "Ask a torrent's trackers how many peers it has.",
    discussion: "Ends with 0 if any tracker answered, else with 6.")

  @Argument(
    help: "A .torrent file, its http(s) URL, or - for standard input.",
    completion: .file(extensions: ["torrent"]))
  var torrent: String

  @Option(
    parsing: .singleValue, help: ArgumentHelp("Ask this tracker, too. May be repeated.", valueName: "url"))
  var tracker: [String] = []

  @Flag(exclusivity: .chooseLast)
  var trackerUse: TrackerUse?

  @Option(
    help: ArgumentHelp("Use only this local address or network interface.", valueName: "address|interface"))
  var bind: String?

  @Option(
    help: ArgumentHelp("Wait for answers at most so long. (default: 30s)", valueName: "time"),
    transform: TimeSpan.from)
  var timeout: TimeSpan?

  @Option(
    help: ArgumentHelp("Trust the certificate authorities in this PEM file, too.", valueName: "file"),
    completion: .file())
  var caCertificate: String?

  @OptionGroup var json: JSONOption
  @OptionGroup var output: OutputOptions

  /// What one tracker answered.
  struct Answer: Encodable, Sendable {
    let url: String
    let seeds: OrNull<Int>
    let leechers: OrNull<Int>
    let downloaded: OrNull<Int>
    let error: OrNull<String>

    init(url: String, _ result: Result<TrackerScraper.Counts?, NetworkFailure>) {
      self.url = url
      let counts = (try? result.get()) ?? nil
      seeds = OrNull(counts?.seeds)
      leechers = OrNull(counts?.leechers)
      downloaded = OrNull(counts?.downloaded)
      switch result {
      case .success(nil): error = OrNull("the tracker does not know the torrent")
      case .success: error = OrNull(nil)
      case .failure(let failure): error = OrNull(failure.description)
      }
    }
  }

  private struct Document: Encodable {
    let infohash: String
    let name: String
    let trackers: [Answer]
  }

  func execute(_ interrupts: Interrupts) async throws(CommandFailure) -> CommandStatus {
    let context = try CommandContext("scrape", output)
    let layers = context.layers
    let certificate = try layers.value(caCertificate, .caCertificate)
    let metainfo = try await TorrentSource(argument: torrent).load(certificateFile: certificate)
    let own = try layers.values(tracker, .tracker)
    let usesTorrents = try !layers.flag(trackerUse.map { $0 == .noTracker }, .noTracker)
    var seen: Set<String> = []
    let urls = (own + (usesTorrents ? metainfo.trackers.flatMap(\.self) : [])).filter {
      seen.insert($0).inserted
    }
    guard !urls.isEmpty else {
      throw CommandFailure(
        .usage, "'\(Printable.text(metainfo.info.name))' names no tracker; name one with --tracker")
    }
    let answers = await ask(
      urls, named: own.count, metainfo.info.infoHash, bind: try layers.value(bind, .bind),
      certificate: certificate,
      seconds: try layers.value(timeout, .timeout)?.seconds ?? 30)
    if try layers.flag(json.json, .json) {
      try context.console.result(
        JSONText.document(
          Document(infohash: metainfo.info.infoHash.hex, name: metainfo.info.name, trackers: answers)))
    } else {
      try context.console.result(answers.map(Self.line).joined(separator: "\n"))
    }
    if answers.contains(where: { $0.error.value == nil }) { return .success }
    throw CommandFailure(
      .network, "no tracker answered with counts of '\(Printable.text(metainfo.info.name))'")
  }

  /// All trackers at once, a few dozen at a time; the answers in the order of the URLs.
  private func ask(
    _ urls: [String], named: Int, _ infoHash: InfoHash, bind: String?, certificate: String?, seconds: Double
  ) async -> [Answer] {
    await withTaskGroup(of: (Int, Answer).self) { group in
      var answers = [Answer?](repeating: nil, count: urls.count)
      var next = 0
      func start() {
        guard next < urls.count else { return }
        let (number, url) = (next, urls[next])
        next += 1
        group.addTask {
          let result = await Self.ask(
            url, infoHash, isFromUser: number < named, bind: bind, certificate: certificate, seconds: seconds)
          return (number, Answer(url: url, result))
        }
      }
      for _ in 0..<32 { start() }
      while let (number, answer) = await group.next() {
        answers[number] = answer
        start()
      }
      return answers.compactMap(\.self)
    }
  }

  private static func ask(
    _ url: String, _ infoHash: InfoHash, isFromUser: Bool, bind: String?, certificate: String?,
    seconds: Double
  ) async -> Result<TrackerScraper.Counts?, NetworkFailure> {
    let answers = AsyncStream<Result<TrackerScraper.Counts?, NetworkFailure>>.makeStream(
      bufferingPolicy: .bufferingOldest(1))
    // The first of the two; UDP trackers may be asked for minutes by the rules of BEP 15.
    Task {
      do throws(NetworkFailure) {
        let counts = try await TrackerScraper.scrape(
          url, [infoHash], bind: bind, userAgent: Version.userAgent, certificateFile: certificate,
          isFromUser: isFromUser)
        answers.continuation.yield(.success(counts.first ?? nil))
      } catch {
        answers.continuation.yield(.failure(error))
      }
    }
    let limit = Task {
      try? await Task.sleep(for: .seconds(seconds))
      answers.continuation.yield(
        .failure(NetworkFailure(description: "no answer in \(Units.duration(seconds))")))
    }
    defer { limit.cancel() }
    for await answer in answers.stream { return answer }
    return .failure(NetworkFailure(description: "no answer"))
  }

  private static func line(_ answer: Answer) -> String {
    let url = Printable.text(answer.url)
    if let error = answer.error.value { return "\(url): \(Printable.text(error))" }
    func count(_ value: Int?, _ word: String) -> String { "\(value.map(String.init) ?? "?") \(word)" }
    return
      "\(url): \(count(answer.seeds.value, "seeds")), \(count(answer.leechers.value, "leechers")), \(count(answer.downloaded.value, "downloaded"))"
  }
}
