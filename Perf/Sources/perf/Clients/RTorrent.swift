import Foundation

/// rTorrent as a daemon without a terminal. Finds peers through the tracker.
struct RTorrent: Client {
  let name = "rtorrent"
  let actions: Set<Job.Action> = [.download, .seed]

  func version(_ home: Home) -> String? {
    Home.find("rtorrent").flatMap { _ in
      Clients.firstLine(["rtorrent", "-h"]).map {
        $0.replacing("Rakshasa's BitTorrent client version ", with: "rTorrent ")
      }
    }
  }

  func launch(_ job: Job, _ home: Home) throws(Failure) -> Launch {
    let finished = job.work + "/finished"
    let session = job.work + "/session"
    let settings = """
      system.daemon.set = true
      directory.default.set = \(job.folder)
      session.path.set = \(session)
      network.port_range.set = \(Place.clientPort)-\(Place.clientPort)
      network.port_random.set = no
      dht.mode.set = disable
      protocol.pex.set = no
      protocol.encryption.set = none
      throttle.max_uploads.set = 1000
      throttle.max_uploads.global.set = 1000
      throttle.max_peers.normal.set = 1000
      throttle.max_peers.seed.set = 1000
      network.max_open_files.set = 600
      network.max_open_sockets.set = 1000
      pieces.hash.on_completion.set = no
      method.set_key = event.download.finished,harness,"execute.nothrow=touch,\(finished)"
      """
    let path = job.work + "/rtorrent.rc"
    do {
      try FileManager.default.createDirectory(atPath: session, withIntermediateDirectories: true)
      try (settings + "\n").write(toFile: path, atomically: true, encoding: .utf8)
    } catch {
      throw Failure("cannot write \(path): \(error.localizedDescription)")
    }
    return Launch(
      arguments: ["rtorrent", "-n", "-o", "import=\(path)", job.torrent],
      environment: ["HOME": job.work, "TERM": "xterm"],
      completion: job.action == .download ? .file(finished) : .silent, ending: .signal(SIGTERM))
  }
}
