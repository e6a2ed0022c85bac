import ArgumentParser
import CPerf
import Foundation

@main
struct Perf: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "perf",
    abstract: "Measures Spate, and other clients beside it, on one machine.",
    discussion: """
      Everything happens in a network of its own that has nothing but loopback. Clients take turns (A B A B); memory is \
      warmed before each timed run; counts are taken in runs apart from timed ones. Results go to standard output, \
      progress to standard error.

      Scenarios: all, \(Scenarios.all.map { "\($0.name) (\($0.summary))" }.joined(separator: "; ")).
      Clients: \(Clients.all.map(\.name).joined(separator: ", ")).
      """)

  @Argument(help: "What to measure.")
  var scenario: [String]

  @Flag(help: "Print the report as JSON.")
  var json = false

  @Flag(help: "Print tables as Markdown, for the README.")
  var markdown = false

  @Option(
    name: [.customLong("peer"), .customLong("client")],
    help: "Clients, separated by commas. (default: all installed; quick: the quickest of each kind)")
  var peer: String?

  @Option(help: "Numbers of connections, separated by commas.")
  var connections: String?

  @Option(help: "Piece lengths, such as 16K,1M,16M.")
  var piece: String?

  @Option(help: "Bytes of the torrent, such as 4G.")
  var size: String?

  @Option(help: "Torrents or files, where their number is measured.")
  var items: Int?

  @Option(help: "Timed runs of each client. (default: 5; quick: 1)")
  var runs: Int?

  @Flag(help: "Small and short: for a look, and for CI.")
  var quick = false

  @Flag(inversion: .prefixedNo, help: "Count system calls, allocations and copies per block.")
  var counts = true

  @Flag(inversion: .prefixedNo, help: "Take times; without, only counts.")
  var times = true

  @Flag(inversion: .prefixedNo, help: "Compare what was downloaded with what was sent, byte for byte.")
  var verify = true

  @Flag(help: "Also run once under a profiler; flame graph and top 20 go to Perf/out.")
  var profile = false

  @Option(
    help: "MiB of free memory to warm before a run. (default: the torrent's size and 4 GiB; quick: and 1 GiB)"
  )
  var warm: Int?

  @Option(help: "Folder for data, on the disk to be measured.")
  var dir: String?

  @Option(help: "Store the report as JSON.")
  var save: String?

  @Option(
    help: "Hold the report against a stored one; exit with 1 when a count grew or a ratio fell by over 10 %.")
  var compare: String?

  @Option(help: "What --compare holds on to: all, or counts alone, as on a machine whose times mean nothing.")
  var gate = Gate.all

  enum Gate: String, ExpressibleByArgument, CaseIterable {
    case all
    case counts
  }

  func run() throws {
    let home = try Home()
    try home.buildHelpers()
    let error = perf_enter_network()
    guard error == 0 else {
      throw Failure("no network namespace: error \(error); run as root or allow user namespaces")
    }
    perf_raise_files()
    let stored = try compare.map { path throws(Failure) in try Report.load(path) }
    let bench = try Bench(home, options(home), folder: dir ?? home.package + "/.build-work")
    var report = Report(machine: Machine())
    for client in bench.options.clients { report.versions[client.name] = client.version(home) }
    if report.machine.load > 0.5 {
      note("the machine is busy (load \(report.machine.load)): times are not to be trusted, counts are")
    }
    for scenario in try Scenarios.named(scenario) {
      report.outcomes += Measuring(scenario, bench, times: times).outcomes(profile: profile)
    }
    try finish(report, against: stored)
  }

  private func options(_ home: Home) throws -> Options {
    var options = Options()
    let wanted = try peer.map { names throws(Failure) in
      try Clients.named(names.split(separator: ",").map(String.init))
    }
    options.clients = (wanted ?? (quick ? Clients.usual : Clients.all)).filter { client in
      let installed = client.version(home) != nil
      if !installed { note("\(client.name) is not installed: skipped") }
      return installed
    }
    guard !options.clients.isEmpty else { throw Failure("no client is installed") }
    options.connections = try connections.map { try numbers($0) }
    options.pieces = try piece.map { try numbers($0) }
    options.size = try size.map { try number($0) }
    options.items = items
    options.quick = quick
    options.runs = max(1, runs ?? (quick ? 1 : 5))
    options.counts = counts
    options.verify = verify
    options.holdsTimes = gate == .all
    options.warmMiB = warm
    return options
  }

  private func numbers(_ text: String) throws -> [Int] {
    try text.split(separator: ",").map { try number(String($0)) }
  }

  private func number(_ text: String) throws -> Int {
    let shift = ["K": 10, "M": 20, "G": 30][text.suffix(1).uppercased()] ?? 0
    guard let value = Int(shift > 0 ? String(text.dropLast()) : text), value > 0, value < 1 << 30 else {
      throw ValidationError("\"\(text)\" is no size")
    }
    return value << shift
  }

  private func finish(_ report: Report, against stored: Report?) throws {
    if json {
      print(try report.json())
    } else if markdown {
      print(report.markdown)
    } else {
      print([report.table, report.remarks].filter { !$0.isEmpty }.joined(separator: "\n"))
    }
    if let save { try report.json().write(toFile: save, atomically: true, encoding: .utf8) }
    let findings = stored.map { Comparison(holdsRatios: gate == .all).findings(report, against: $0) } ?? []
    for finding in findings { note("worse than stored: \(finding)") }
    if !findings.isEmpty || report.outcomes.contains(where: { $0.failure != nil }) { throw ExitCode(1) }
  }
}
