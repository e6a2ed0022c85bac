import Foundation

/// mktorrent, which does nothing but make torrents, on as many threads as there are cores.
struct Mktorrent: Client {
  let name = "mktorrent"
  let actions: Set<Job.Action> = [.create]

  func version(_ home: Home) -> String? { Clients.firstLine(["mktorrent", "-h"]) }

  func launch(_ job: Job, _ home: Home) throws(Failure) -> Launch {
    Launch(arguments: [
      "mktorrent", "-a", Place.announce, "-l", "\(job.pieceLength.trailingZeroBitCount)", "-t",
      "\(ProcessInfo.processInfo.activeProcessorCount)", "-o", job.folder + "/made.torrent", job.data,
    ])
  }
}
