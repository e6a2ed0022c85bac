import Foundation

/// Everything one invocation found, as `--json` and `--save` write it.
struct Report: Codable {
  var machine: Machine
  var versions: [String: String] = [:]
  var outcomes: [Outcome] = []

  static func load(_ path: String) throws(Failure) -> Report {
    do {
      return try JSONDecoder().decode(Report.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
    } catch {
      throw Failure("\(path) is no saved report: \(error)")
    }
  }

  func json() throws(Failure) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    do {
      return String(decoding: try encoder.encode(self), as: UTF8.self)
    } catch {
      throw Failure("cannot write JSON: \(error)")
    }
  }
}

/// The machine a report is of.
struct Machine: Codable {
  var processor: String
  var cores: Int
  var memoryBytes: Int
  var kernel: String
  /// One-minute load before the first run: above a few tenths the times are not to be trusted.
  var load: Double

  init() {
    let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
    let model = text.split(separator: "\n").first { $0.hasPrefix("model name") }
    processor = model?.split(separator: ":").last.map { $0.trimmingCharacters(in: .whitespaces) } ?? "unknown"
    cores = ProcessInfo.processInfo.activeProcessorCount
    memoryBytes = Int(clamping: ProcessInfo.processInfo.physicalMemory)
    kernel = ((try? String(contentsOfFile: "/proc/sys/kernel/osrelease", encoding: .utf8)) ?? "unknown")
      .trimmingCharacters(in: .whitespacesAndNewlines)
    let average = (try? String(contentsOfFile: "/proc/loadavg", encoding: .utf8)) ?? ""
    load = average.split(separator: " ").first.flatMap { Double($0) } ?? 0
  }
}

/// How much better the first client is than another, both measured at the same point. Above 1 is better.
struct Ratio: Codable, Equatable {
  let scenario: String
  let client: String
  let other: String
  let point: Point
  let name: String
  let value: Double
}

extension Report {
  /// The first client beside each other one.
  var ratios: [Ratio] {
    let clients = outcomes.filter { !$0.runs.isEmpty && $0.client != "rooms" }.map(\.client)
    guard let first = clients.contains("spate") ? "spate" : clients.first else { return [] }
    var ratios: [Ratio] = []
    for ours in outcomes where ours.client == first && !ours.runs.isEmpty {
      for other in outcomes
      where other.client != first && other.scenario == ours.scenario && other.point == ours.point
        && !other.runs.isEmpty
      {
        func add(_ name: String, _ value: Double) {
          guard value.isFinite, value > 0 else { return }
          ratios.append(
            Ratio(
              scenario: ours.scenario, client: first, other: other.client, point: ours.point, name: name,
              value: value))
        }
        add("speed", ours.speed / other.speed)
        add("cpu", other.cpu / ours.cpu)
        add("memory", other.peakResident / ours.peakResident)
      }
    }
    return ratios
  }
}
