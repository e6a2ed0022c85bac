/// How `spate` ends: the one list of its exit codes.
enum CommandStatus: Int32, CaseIterable, Sendable {
  case success = 0
  case other = 1
  case timedOut = 2
  case network = 6
  case interrupted = 7
  case diskFull = 9
  case fileInputOutput = 17
  case notBencode = 25
  case notTorrent = 26
  case dataMismatch = 32
  case usage = 64

  /// When the code is used, for a person.
  var meaning: String {
    switch self {
    case .success: "everything is complete and verified"
    case .other: "something else went wrong"
    case .timedOut: "nothing arrived for the time of --timeout, though there were peers"
    case .network: "network or tracker trouble, and no peer was found"
    case .interrupted: "unfinished, because of Ctrl-C, SIGTERM or SIGHUP"
    case .diskFull: "the disk is full"
    case .fileInputOutput: "a file or folder cannot be read or written"
    case .notBencode: "the file is not bencode, so no torrent at all"
    case .notTorrent: "the file is bencode, but not a valid torrent"
    case .dataMismatch: "data is missing or does not match its hash (verify, seed)"
    case .usage: "wrong usage: an option, a value or the configuration"
    }
  }

  /// From what concerns a person first to what concerns them last. When several torrents end differently, the first of
  /// these that occurs is the exit code.
  static let worstFirst: [CommandStatus] = [
    .usage, .diskFull, .fileInputOutput, .notTorrent, .notBencode, .dataMismatch, .other, .network, .timedOut,
    .interrupted, .success,
  ]

  /// The code for many results together.
  static func worst(of statuses: some Sequence<CommandStatus>) -> CommandStatus {
    let present = Set(statuses)
    return worstFirst.first { present.contains($0) } ?? .success
  }

  /// The table as `spate help exit-codes` prints it.
  static var table: String {
    allCases.map { status in
      let code = String(status.rawValue)
      return String(repeating: " ", count: 4 - code.count) + code + "  " + status.meaning
    }.joined(separator: "\n")
      + "\n\nWhen several torrents end differently, the code is the first that occurs of "
      + worstFirst.filter { $0 != .success }.map { String($0.rawValue) }.joined(separator: ", ") + "."
  }
}
