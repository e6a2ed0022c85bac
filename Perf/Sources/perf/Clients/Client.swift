import Foundation

/// What a client is asked to do.
struct Job {
  enum Action: String, CaseIterable, Codable {
    /// Fetch everything from the generator's peers, then be done.
    case download
    /// The same while serving what it has, and stay.
    case both
    /// Serve complete data.
    case seed
    /// Serve complete data to thousands of idle connections.
    case hold
    /// Hash complete data and say whether it is right.
    case check
    /// Make a torrent of `data`.
    case create
    /// Hold many complete torrents.
    case torrents
    /// Fetch what a magnet link names, with the DHT's help alone.
    case magnet
    /// Serve complete data that is announced in the DHT alone.
    case announced
    /// Be a node of the DHT.
    case node
    /// The same, without limits to how much is answered.
    case answering
  }

  var action: Action
  /// The .torrent, or all of them; for `magnet`, the link.
  var torrents: [String] = []
  /// Where data is or goes.
  var folder: String
  /// The client's own folder: settings, state, home.
  var work: String
  /// How many of the generator's peers to connect to.
  var peers = 0
  /// For `create`: what to make a torrent of, and its piece length in bytes.
  var data = ""
  var pieceLength = 0
  /// Where the client is bound, and the node by which it enters the DHT, as `ADDRESS:PORT`.
  var address = ""
  var node = ""
  /// A counter file the client may fill; see `Counts`.
  var counters: String?
  /// Added to the client's environment.
  var environment: [String: String] = [:]

  var torrent: String { torrents.first ?? "" }
}

/// How a client is started for a job, and how it tells that the job is done.
struct Launch {
  enum Completion {
    /// The process ends.
    case exit
    /// A line of its output satisfies this.
    case line(@Sendable (OutputLine) -> Bool)
    /// A file appears.
    case file(String)
    /// It does not tell; the generator does.
    case silent
  }

  var arguments: [String]
  var environment: [String: String] = [:]
  var completion: Completion = .exit
  var ending: Child.Ending = .signal(SIGTERM)
  /// Whether the process announces by a "ready" event what it had used up before the client proper began (the
  /// interpreter of a script), which is then not charged.
  var announcesReady = false
}

/// A BitTorrent program the harness can drive.
protocol Client: Sendable {
  var name: String { get }
  var actions: Set<Job.Action> { get }
  /// Nil when it is not installed.
  func version(_ home: Home) -> String?
  func launch(_ job: Job, _ home: Home) throws(Failure) -> Launch
}

/// The addresses everybody agrees on inside the harness's own network.
enum Place {
  static let client = "10.77.0.1"
  static let clientPort = 7000
  static let peerPort = 6900
  static let trackerPort = 6969
  static let nodePort = 6881
  static let announce = "http://\(client):\(trackerPort)/announce"

  /// Address of the generator's peer `index`; the rule is `peer_address`'s in the generator.
  static func peer(_ index: Int) -> String { "10.77.\(1 + index / 250).\(1 + index % 250)" }
}

enum Clients {
  /// All that are known, Spate first.
  static let all: [any Client] = [
    Spate(), Libtorrent(settings: "defaults"), Libtorrent(settings: "tuned"), Aria2(), Transmission(),
    RTorrent(),
    Mktorrent(),
  ]

  /// Those that a short look takes: the ones to beat.
  static var usual: [any Client] {
    all.filter { ["spate", "libtorrent", "aria2", "mktorrent"].contains($0.name) }
  }

  /// By names as given on the command line; `libtorrent` stands for both of its settings.
  static func named(_ names: [String]) throws(Failure) -> [any Client] {
    var found: [any Client] = []
    for name in names {
      let matching = all.filter { $0.name == name || $0.name.hasPrefix(name + "-") }
      if matching.isEmpty {
        throw Failure("no client \"\(name)\"; known are \(all.map(\.name).joined(separator: ", "))")
      }
      found += matching.filter { new in !found.contains { $0.name == new.name } }
    }
    return found
  }

  /// First line of a program's answer to `arguments`, or nil when it cannot be started.
  static func firstLine(_ arguments: [String]) -> String? {
    guard Home.find(arguments[0]) != nil || arguments[0].hasPrefix("/") else { return nil }
    guard let child = try? Child(Command(arguments: arguments), name: arguments[0]) else { return nil }
    child.closeInput()
    _ = try? child.waitForExit(seconds: 10)
    return child.lines.first?.text
  }
}
