import Foundation

/// libtorrent (arvidn) through its Python binding; see `Clients/libtorrent_client.py` for both sets of settings.
struct Libtorrent: Client {
  let settings: String

  var name: String { settings == "defaults" ? "libtorrent" : "libtorrent-\(settings)" }
  var actions: Set<Job.Action> {
    // What an expert tunes has to do with torrents alone.
    let both: Set<Job.Action> = [.download, .both, .seed, .hold, .check, .create, .torrents]
    return settings == "defaults" ? both.union([.answering]) : both
  }

  func version(_ home: Home) -> String? {
    Clients.firstLine([home.python, "-c", "import libtorrent; print('libtorrent', libtorrent.__version__)"])
  }

  private struct Script: Encodable {
    var action: String
    var torrent: String
    var torrents: [String]
    var dir: String
    var port: Int
    var settings: String
    var stays: Bool
    var peers: [Peer]
    var data: String
    var piece: Int
    var out: String
    var address: String
    var node: String
  }

  /// Encoded as `[address, port]`.
  private struct Peer: Encodable {
    let address: String

    func encode(to encoder: any Encoder) throws {
      var container = encoder.unkeyedContainer()
      try container.encode(address)
      try container.encode(Place.peerPort)
    }
  }

  func launch(_ job: Job, _ home: Home) throws(Failure) -> Launch {
    let action: Job.Action =
      switch job.action {
      case .both: .download
      case .hold: .seed
      default: job.action
      }
    let script = Script(
      action: action.rawValue, torrent: job.torrent,
      torrents: job.torrents,
      dir: job.folder, port: job.action == .answering ? Place.nodePort : Place.clientPort, settings: settings,
      stays: job.action == .both,
      peers: (0..<job.peers).map { Peer(address: Place.peer($0)) }, data: job.data, piece: job.pieceLength,
      out: job.folder + "/made.torrent", address: job.address, node: job.node)
    let path = job.work + "/job.json"
    do {
      try JSONEncoder().encode(script).write(to: URL(fileURLWithPath: path))
    } catch {
      throw Failure("cannot write \(path): \(error)")
    }
    return Launch(
      arguments: [home.python, home.libtorrentScript, path], environment: ["HOME": job.work],
      completion: .line { $0.event == "complete" }, ending: .input, announcesReady: true)
  }
}
