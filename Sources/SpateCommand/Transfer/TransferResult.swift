import Engine

/// How one torrent ended.
struct TransferResult: Sendable {
  enum Status: String, Sendable {
    case complete
    /// Ctrl-C or a signal came before it was complete.
    case interrupted
    case timedOut = "timed_out"
    case failed
  }

  var status: Status
  /// What the torrent adds to the command's exit code.
  var exit: CommandStatus
  /// What went wrong, for a person.
  var error: String?
  /// The torrent's name, or where it was to come from.
  var name: String
  var infohash: String?
  var files: [FileStatus] = []
  var downloaded: Int64 = 0
  var uploaded: Int64 = 0
  var seconds = 0.0

  var total: Int64 { files.reduce(0) { $0 + ($1.isSelected && !$1.isPadding ? $1.length : 0) } }
  var done: Int64 { files.reduce(0) { $0 + ($1.isSelected && !$1.isPadding ? $1.doneBytes : 0) } }
}

/// The document of `--json`.
struct TransferDocument: Encodable {
  struct File: Encodable {
    let path: String
    let length: Int64
    let done: Int64
    let selected: Bool
  }
  struct Torrent: Encodable {
    let infohash: OrNull<String>
    let name: String
    let files: [File]
    let status: String
    let bytesDown: Int64
    let bytesUp: Int64
    let seconds: Double
    let error: OrNull<String>
  }
  let torrents: [Torrent]

  init(_ results: [TransferResult]) {
    torrents = results.map { result in
      Torrent(
        infohash: OrNull(result.infohash), name: result.name,
        files: result.files.filter { !$0.isPadding }.map {
          File(path: $0.path, length: $0.length, done: $0.doneBytes, selected: $0.isSelected)
        },
        status: result.status.rawValue, bytesDown: result.downloaded, bytesUp: result.uploaded,
        seconds: (result.seconds * 1000).rounded() / 1000, error: OrNull(result.error))
    }
  }
}

/// What `SPATE_COUNTERS` names a file for: counts of the session's data path, for benchmarks.
struct CountersDocument: Encodable {
  let blocksReceived: Int64
  let blocksSent: Int64
  /// Of those, straight from the page cache.
  let blocksSentDirectly: Int64
  let copiedBytes: Int64
  let receiveCalls: Int64
  let writtenBytes: Int64
  /// Of those, past the page cache.
  let directBytes: Int64
  let loopTurns: Int64
  /// The 99th percentile, milliseconds.
  let timerLatenessMs: Double
  let longestTurnMs: Double
  /// In blocks of 16 KiB.
  let poolHighWater: Int
  let poolCapacity: Int

  init(_ status: SessionStatus) {
    blocksReceived = status.counters.blocksReceived
    blocksSent = status.counters.blocksSent
    blocksSentDirectly = status.counters.blocksSentDirectly
    copiedBytes = status.counters.copiedBytes
    receiveCalls = status.counters.receiveCalls
    writtenBytes = status.counters.writtenBytes
    directBytes = status.counters.directBytes
    loopTurns = status.counters.loopTurns
    timerLatenessMs = Double(status.counters.timerLatenessNanoseconds) / 1e6
    longestTurnMs = Double(status.counters.longestTurnNanoseconds) / 1e6
    poolHighWater = status.poolHighWater
    poolCapacity = status.poolCapacity
  }
}
