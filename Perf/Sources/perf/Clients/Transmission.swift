import Foundation

/// transmission-cli: the same library as its daemon, one torrent a process. Finds peers through the tracker.
struct Transmission: Client {
  let name = "transmission"
  /// Not `both`: it serves nobody before it has everything, and then closes every connection.
  let actions: Set<Job.Action> = [.download, .seed, .hold, .check]

  func version(_ home: Home) -> String? {
    // It prints its version to standard error, so ask for the package's.
    Home.find("transmission-cli").map { _ in
      Clients.firstLine(["dpkg-query", "-W", "-f", "transmission-cli ${Version}\n", "transmission-cli"])
        ?? "transmission-cli"
    }
  }

  private static let settings = """
    {"dht-enabled": false, "lpd-enabled": false, "pex-enabled": false, "utp-enabled": false, "encryption": 0,
     "port-forwarding-enabled": false, "peer-limit-global": 20000, "peer-limit-per-torrent": 20000,
     "upload-slots-per-torrent": 200, "rpc-enabled": false}
    """

  func launch(_ job: Job, _ home: Home) throws(Failure) -> Launch {
    do {
      try Self.settings.write(toFile: job.work + "/settings.json", atomically: true, encoding: .utf8)
    } catch {
      throw Failure("cannot write settings: \(error)")
    }
    // Unbuffered, so that the state it prints five times a second is seen at once.
    var arguments = [
      "stdbuf", "-o0", "transmission-cli", "-g", job.work, "-w", job.folder, "-p", "\(Place.clientPort)",
      "-M", "-U",
      "-D",
    ]
    var completion = Launch.Completion.silent
    switch job.action {
    case .download: completion = .line { $0.text.contains("Seeding") }
    case .seed, .hold: arguments += ["-v"]
    case .check:
      arguments += ["-v"]
      completion = .line { $0.text.contains("Seeding") }
    case .both, .create, .torrents, .magnet, .announced, .node, .answering:
      throw Failure("transmission cannot \(job.action.rawValue)")
    }
    return Launch(
      arguments: arguments + [job.torrent], environment: ["HOME": job.work], completion: completion,
      ending: .signal(SIGTERM))
  }
}
