/// A point of a scenario's field: what is varied between outcomes.
struct Point: Codable, Hashable {
  /// Bytes of the torrent.
  var size: Int
  /// Piece length in bytes.
  var piece: Int
  var connections = 0
  /// How often the torrent is transferred.
  var repeats = 1
  /// Torrents or files, where their number is what is measured.
  var items = 1

  var bytes: Int { size * repeats }
  var blocks: Int { max(1, bytes / blockBytes) }
}

let blockBytes = 16384
let gib = 1_073_741_824.0
let mib = 1_048_576.0

/// A figure of one scenario that the common columns have no place for.
struct Figure: Codable, Equatable {
  enum Kind: String, Codable {
    /// Does not depend on how busy the machine is; comparisons hold on to it.
    case count
    case time
  }

  let name: String
  let value: Double
  let unit: String
  let kind: Kind
}

/// What one run of one client came to.
struct Run: Codable {
  /// Payload moved or hashed, in bytes.
  var bytes: Int
  /// Seconds from the first request to completion, or of the whole job where nothing is transferred.
  var wall: Double
  /// Of the client alone.
  var usage: Usage
  /// Highest resident memory of the client, in bytes.
  var peakResident: Int
  /// What the load generator used meanwhile.
  var generator: Usage?
  var figures: [Figure] = []

  var speed: Double { wall > 0 ? Double(bytes) / mib / wall : 0 }
  var userPerGiB: Double { usage.user / (Double(bytes) / gib) }
  var systemPerGiB: Double { usage.system / (Double(bytes) / gib) }
  var cpuPerGiB: Double { userPerGiB + systemPerGiB }
  var switchesPerBlock: Double {
    Double(usage.voluntarySwitches + usage.involuntarySwitches) / (Double(bytes) / Double(blockBytes))
  }
}

/// Counts that do not depend on noise, per block of 16 KiB. Taken as the difference between a larger and a smaller
/// transfer, so that a client's start and end do not blur them. Nil: could not be counted here.
struct Counts: Codable, Equatable {
  var syscalls: Double?
  var syscallsByName: [String: Double] = [:]
  var mallocs: Double?
  var frees: Double?
  /// Payload bytes the C library's copies moved, as a share of the payload.
  var copiedShare: Double?
  /// The same as the client itself reports it (`SPATE_COUNTERS`).
  var reportedCopiedShare: Double?
  /// Receive calls as the client itself reports them.
  var receiveCalls: Double?
}

/// All runs of one client at one point.
struct Outcome: Codable {
  var scenario: String
  var client: String
  var point: Point
  var runs: [Run] = []
  var counts: Counts?
  var failure: String?

  private func median(_ key: (Run) -> Double) -> Double { perf.median(runs.map(key)) }

  var speed: Double { median(\.speed) }
  var wall: Double { median(\.wall) }
  var user: Double { median(\.userPerGiB) }
  var system: Double { median(\.systemPerGiB) }
  var cpu: Double { median(\.cpuPerGiB) }
  var peakResident: Double { median { Double($0.peakResident) } }
  var switchesPerBlock: Double { median(\.switchesPerBlock) }
  var generatorCPU: Double? {
    let each = runs.compactMap { run in
      run.generator.map { ($0.user + $0.system) / (Double(run.bytes) / gib) }
    }
    return each.isEmpty ? nil : perf.median(each)
  }

  /// Medians of the scenario's own figures, in the order of the first run.
  var figures: [Figure] {
    (runs.first?.figures ?? []).map { figure in
      let values = runs.compactMap { run in
        run.figures.first { $0.name == figure.name && $0.unit == figure.unit }?.value
      }
      return Figure(name: figure.name, value: perf.median(values), unit: figure.unit, kind: figure.kind)
    }
  }
}

/// Zero for no values.
func median(_ values: [Double]) -> Double {
  let sorted = values.sorted()
  guard let last = sorted.last else { return 0 }
  let middle = sorted.count / 2
  if sorted.count == 1 { return last }
  return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
