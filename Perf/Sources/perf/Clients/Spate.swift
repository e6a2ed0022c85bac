import Foundation

/// Our own command line.
struct Spate: Client {
  let name = "spate"
  let actions: Set<Job.Action> = [
    .download, .both, .seed, .hold, .check, .create, .torrents, .magnet, .announced, .node, .answering,
  ]

  func version(_ home: Home) -> String? {
    FileManager.default.isExecutableFile(atPath: home.spate)
      ? Clients.firstLine([home.spate, "--version"]) : nil
  }

  func launch(_ job: Job, _ home: Home) throws(Failure) -> Launch {
    var arguments = [home.spate]
    let network = [
      "--listen-port", "\(Place.clientPort)", "--no-tracker", "--no-dht", "--no-pex", "--no-lsd",
      "--progress", "none", "--max-peers", "10000",
    ]
    let inDHT =
      ["--bind", job.address, "--no-public-nodes"] + (job.node.isEmpty ? [] : ["--dht-node", job.node])
    let byDHT =
      inDHT + [
        "--listen-port", "\(Place.peerPort)", "--no-tracker", "--no-pex", "--no-lsd", "--progress", "none",
      ]
    let peers = (0..<job.peers).flatMap { ["--peer", "\(Place.peer($0)):\(Place.peerPort)"] }
    var completion = Launch.Completion.exit
    switch job.action {
    case .download: arguments += ["download", job.torrent, "-d", job.folder, "--json"] + network + peers
    case .both:
      arguments += ["download", job.torrent, "-d", job.folder, "--seed-time", "1h"] + network + peers
      completion = .silent
    case .seed, .hold, .torrents:
      arguments += ["seed", "-i", try list(job), "-d", job.folder] + network
      completion = .silent
    case .magnet:
      arguments += ["download", job.torrent, "-d", job.folder] + byDHT
      // A line on standard output tells that all is there.
      completion = .line { $0.text.contains(": complete") }
    case .announced:
      arguments += ["seed", job.torrent, "-d", job.folder] + byDHT
      completion = .silent
    case .node:
      arguments += ["dht", "serve", "--dht-port", "\(Place.nodePort)"] + inDHT
      completion = .silent
    case .answering:
      // Of private addresses, to which it is bound, there is no limit for each.
      arguments += ["dht", "serve", "--dht-port", "\(Place.nodePort)", "--max-queries", "100000000"] + inDHT
      completion = .silent
    case .check: arguments += ["verify", job.torrent, "-d", job.folder, "--json"]
    case .create:
      arguments += [
        "create", job.data, "-o", job.folder + "/made.torrent", "-l", "\(job.pieceLength)", "--no-date",
      ]
    }
    var environment = ["XDG_STATE_HOME": job.work, "XDG_CONFIG_HOME": job.work, "HOME": job.work]
    if let counters = job.counters { environment["SPATE_COUNTERS"] = counters }
    return Launch(
      arguments: arguments, environment: environment, completion: completion, ending: .signal(SIGTERM))
  }

  /// Thousands of torrents are too much for a command line.
  private func list(_ job: Job) throws(Failure) -> String {
    let path = job.work + "/torrents.txt"
    do {
      try (job.torrents.joined(separator: "\n") + "\n").write(toFile: path, atomically: true, encoding: .utf8)
    } catch {
      throw Failure("cannot write \(path): \(error.localizedDescription)")
    }
    return path
  }
}
