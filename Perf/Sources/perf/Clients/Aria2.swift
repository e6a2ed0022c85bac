import Foundation

/// aria2. It takes no peers on its command line, so it finds the generator through its tracker.
struct Aria2: Client {
  let name = "aria2"
  /// Not `hold`: it takes a few connections a second at most.
  let actions: Set<Job.Action> = [.download, .both, .seed, .check]

  func version(_ home: Home) -> String? { Clients.firstLine(["aria2c", "--version"]) }

  func launch(_ job: Job, _ home: Home) throws(Failure) -> Launch {
    var arguments = [
      "aria2c", "--no-conf", "--dir", job.folder, "--listen-port", "\(Place.clientPort)",
      "--enable-dht=false",
      "--enable-dht6=false", "--bt-enable-lpd=false", "--enable-peer-exchange=false", "--bt-max-peers=0",
      "--file-allocation=none", "--summary-interval=0", "--console-log-level=notice",
    ]
    var completion = Launch.Completion.silent
    switch job.action {
    case .download:
      arguments += ["--seed-time=0"]
      completion = .line { $0.text.contains("Seeding is over") || $0.text.contains("Download complete") }
    case .both: arguments += ["--seed-time=10", "--seed-ratio=0"]
    case .seed: arguments += ["--seed-time=10", "--seed-ratio=0", "--check-integrity=true"]
    case .check:
      arguments += ["--check-integrity=true", "--hash-check-only=true", "--seed-time=0"]
      completion = .exit
    case .hold, .create, .torrents, .magnet, .announced, .node, .answering:
      throw Failure("aria2 cannot \(job.action.rawValue)")
    }
    return Launch(
      arguments: arguments + [job.torrent], environment: ["HOME": job.work], completion: completion,
      ending: .signal(SIGTERM))
  }
}
