import CPerf
import Foundation

/// The torrent of a point: its file is made once and kept.
struct Shape: Hashable {
  var size: Int
  var piece: Int
  var files = 1
  var name: String

  init(_ point: Point) {
    size = point.size
    piece = point.piece
    files = point.items
    name = "data-\(Table.size(point.size))" + (point.items > 1 ? "-\(point.items)" : "")
  }
}

/// What scenarios use to make a run: torrents, data, the generator, clients.
final class Bench {
  let home: Home
  let options: Options
  /// Where data goes: on the disk that is measured.
  let folder: String
  private var written: Set<String> = []
  private var generation = 0

  init(_ home: Home, _ options: Options, folder: String) throws(Failure) {
    self.home = home
    self.options = options
    self.folder = folder + "/run-\(getpid())"
    do {
      try FileManager.default.createDirectory(atPath: self.folder, withIntermediateDirectories: true)
    } catch {
      throw Failure("cannot make \(self.folder): \(error.localizedDescription)")
    }
  }

  deinit {
    try? FileManager.default.removeItem(atPath: folder)
  }

  var now: Double { perf_monotonic() }

  // MARK: Torrents and data

  func torrent(_ shape: Shape) throws(Failure) -> String {
    // The number at the end changes when the generator's content does.
    let path = "\(home.cache)/\(shape.name)-\(Table.size(shape.piece))-1.torrent"
    if !FileManager.default.fileExists(atPath: path) {
      try Child.run(
        [
          home.load, "make", "--out", path, "--size", "\(shape.size)", "--piece", "\(shape.piece)", "--files",
          "\(shape.files)", "--name", shape.name, "--announce", Place.announce,
        ], name: "perf-load make", seconds: 300, log: log("make"))
    }
    return path
  }

  /// The folder that holds the torrent's complete data, in the page cache.
  func data(of torrent: String) throws(Failure) -> String {
    let data = folder + "/complete"
    if written.insert(torrent).inserted {
      try? FileManager.default.createDirectory(atPath: data, withIntermediateDirectories: true)
      try Child.run(
        [home.load, "write", "--torrent", torrent, "--dir", data], name: "perf-load write", seconds: 600,
        log: log("write"))
      // Written pages are written back now, not during somebody's run.
      sync()
    }
    try verify(torrent, in: data)
    return data
  }

  /// Frees the complete data of the points before.
  func dropData() {
    written.removeAll()
    try? FileManager.default.removeItem(atPath: folder + "/complete")
  }

  /// Many small torrents of one file each, and the folder with their data.
  func manyTorrents(_ count: Int, size: Int, piece: Int) throws(Failure) -> (files: [String], data: String) {
    let folder = "\(home.cache)/many-\(count)-\(size)"
    let data = folder + "/data"
    let files = (0..<count).map { "\(folder)/t\($0).torrent" }
    if !FileManager.default.fileExists(atPath: folder + "/complete") {
      try? FileManager.default.createDirectory(atPath: data, withIntermediateDirectories: true)
      try Child.run(
        [
          home.load, "many", "--out", folder, "--dir", data, "--items", "\(count)", "--size", "\(size)",
          "--piece",
          "\(piece)",
        ], name: "perf-load many", seconds: 300, log: log("many"))
      _ = FileManager.default.createFile(atPath: folder + "/complete", contents: nil)
    }
    return (files, data)
  }

  /// Fails unless the files in `data` hold what the torrent says, byte for byte.
  func verify(_ torrent: String, in data: String) throws(Failure) {
    try Child.run(
      [home.load, "verify", "--torrent", torrent, "--dir", data], name: "verification", seconds: 300,
      log: log("verify"))
  }

  func log(_ name: String) -> String { "\(folder)/\(name).log" }

  // MARK: Processes

  /// A fresh place for one run of a client.
  func stage(_ client: any Client) throws(Failure) -> Stage {
    generation += 1
    return try Stage(folder + "/\(client.name)-\(generation)")
  }

  /// Starts the load generator and waits until it listens.
  func generator(_ mode: String, _ torrent: String, _ point: Point, _ more: [String]) throws(Failure) -> Child
  {
    let limit = Int(300 + Double(point.bytes) / (20 * mib))
    let child = try Child(
      Command(
        arguments: [
          home.load, mode, "--torrent", torrent, "--peers", "\(max(1, point.connections))", "--limit",
          "\(limit)",
        ] + more, log: log("generator")), name: "the load generator")
    try child.waitForEvent("started", seconds: 20)
    return child
  }

  /// Touches free memory and gives it back, so that no run pays for memory the host has taken away: what the page cache may
  /// take of the data, and what clients hold themselves. All that is free would take too long: what was touched first would
  /// be cold again.
  func warm(for point: Point) throws(Failure) {
    let wanted = options.warmMiB ?? point.size >> 20 + (options.quick ? 1024 : 4096)
    try Child.run([home.warm, "\(wanted)"], name: "perf-warm", seconds: 300)
  }

  func start(_ client: any Client, _ job: Job, _ instrument: Instrument) throws(Failure) -> Running {
    var job = job
    job.counters = instrument.files?.reported ?? job.counters
    let launch = try client.launch(job, home)
    let log = job.work + "/errors.log"
    let command = Command(
      arguments: instrument.wrap(launch.arguments, home),
      environment: launch.environment.merging(job.environment) { $1 }, folder: job.work,
      log: log)
    return try Running(Child(command, name: client.name), launch, wrapped: instrument.disturbs)
  }

  /// Waits until a client serves the torrent completely.
  func waitUntilServed(_ torrent: String, seconds: Double) throws(Failure) {
    let generator = try generator(
      "leech", torrent, Point(size: 0, piece: 0, connections: 1),
      ["--connect", "\(Place.client):\(Place.clientPort)"])
    try generator.waitForEvent("done", seconds: seconds)
    _ = try generator.report()
  }
}

/// The folders of one run.
struct Stage {
  let root: String
  /// Where downloads go.
  let data: String
  /// The client's own: settings, state, home.
  let work: String

  fileprivate init(_ root: String) throws(Failure) {
    self.root = root
    data = root + "/data"
    work = root + "/work"
    do {
      for path in [data, work] {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      }
    } catch {
      throw Failure("cannot make \(root): \(error.localizedDescription)")
    }
  }

  func clear() {
    try? FileManager.default.removeItem(atPath: root)
  }
}

/// A client at work.
final class Running {
  let child: Child
  let launch: Launch
  /// What was used before the client proper began.
  private(set) var baseline = Usage()
  /// When it began, on the monotonic clock.
  private(set) var began: Double
  private let wrapped: Bool
  private var sampled = 0

  fileprivate init(_ child: Child, _ launch: Launch, wrapped: Bool) throws(Failure) {
    self.child = child
    self.launch = launch
    self.wrapped = wrapped
    began = perf_monotonic()
    if launch.announcesReady {
      let ready = try child.waitForEvent("ready", seconds: 60)
      baseline = ready.usage
      began = ready.at
    }
  }

  /// The process that counts, below whatever watches it.
  var status: ProcessStatus {
    guard wrapped, let inner = child.status.children.first else { return child.status }
    return ProcessStatus(pid: inner)
  }

  /// Waits until the job is done; gives the moment.
  func complete(seconds: Double) throws(Failure) -> Double {
    switch launch.completion {
    case .exit:
      let exit = try child.waitForExit(seconds: seconds)
      guard exit.code == 0 else { throw Failure("\(child.name) exited with \(exit.code)") }
      return exit.at
    case .line(let matches):
      return try child.wait(seconds: seconds, for: "completion", matches).at
    case .file(let path):
      let deadline = perf_monotonic() + seconds
      while !FileManager.default.fileExists(atPath: path) {
        if perf_monotonic() > deadline || child.exit != nil {
          throw Failure("\(child.name) did not complete")
        }
        child.idle(seconds: 0.01)
      }
      return perf_monotonic()
    case .silent:
      throw Failure("\(child.name) does not tell when it is done")
    }
  }

  /// Lets `seconds` pass while its output is read.
  func idle(seconds: Double) {
    child.idle(seconds: seconds)
  }

  /// Takes note of its memory.
  func sample() {
    sampled = max(sampled, status.peakResident ?? 0)
  }

  /// In bytes.
  var peakResident: Int { max(sampled, child.peakResident) }

  /// Ends it, if it has not ended, and gives all it used.
  func end() throws(Failure) -> Usage {
    if let exit = child.exit { return exit.usage }
    sample()
    if case .signal(let number) = launch.ending, wrapped {
      kill(status.pid, number)
      return try child.waitForExit(seconds: 30).usage
    }
    return try child.end(launch.ending).usage
  }
}

extension OutputLine {
  /// The CPU time an event carries.
  var usage: Usage { Usage(user: number("user") ?? 0, system: number("system") ?? 0) }
}

extension Child {
  /// The generator's closing words.
  func report() throws(Failure) -> OutputLine {
    let report = try waitForEvent("report", seconds: 20)
    guard report.number("bad_blocks") == 0 else { throw Failure("the generator received wrong data") }
    return report
  }
}
