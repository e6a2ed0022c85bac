import Foundation

/// Results as text: one row an outcome, columns that have nothing to say left out.
struct Table {
  private var head: [String]
  private var rows: [[String]] = []

  init(_ head: [String]) {
    self.head = head
  }

  mutating func add(_ row: [String]) {
    rows.append(row)
  }

  /// The first two columns are text and stand left, figures stand right.
  var text: String {
    guard !rows.isEmpty else { return "" }
    let used = head.indices.filter { column in rows.contains { !$0[column].isEmpty } }
    let widths = used.map { column in ([head] + rows).map { $0[column].count }.max() ?? 0 }
    return ([head] + rows).map { row in
      zip(used, widths).map { column, width in
        let padding = String(repeating: " ", count: width - row[column].count)
        return column < 2 ? row[column] + padding : padding + row[column]
      }.joined(separator: "  ").trimmingTrailingSpaces
    }.joined(separator: "\n")
  }

  /// The same for a README.
  var markdown: String {
    guard !rows.isEmpty else { return "" }
    let used = head.indices.filter { column in rows.contains { !$0[column].isEmpty } }
    func line(_ cells: [String]) -> String { "| " + cells.joined(separator: " | ") + " |" }
    return
      ([line(used.map { head[$0] }), line(used.map { $0 < 2 ? "---" : "---:" })]
      + rows.map { row in line(used.map { row[$0] }) }).joined(separator: "\n")
  }

  /// Three significant digits, without an exponent.
  static func figure(_ value: Double) -> String {
    switch abs(value) {
    case 0: "0"
    case ..<1: String(format: "%.3f", value)
    case ..<10: String(format: "%.2f", value)
    case ..<100: String(format: "%.1f", value)
    default: String(format: "%.0f", value)
    }
  }

  /// Bytes as `16K`, `1M`, `4G`; what is no multiple of them as it is.
  static func size(_ bytes: Int) -> String {
    for (shift, unit) in [(30, "G"), (20, "M"), (10, "K")] where bytes >> shift > 0 {
      return bytes & (1 << shift - 1) == 0 ? "\(bytes >> shift)\(unit)" : size(bytes, below: shift)
    }
    return "\(bytes)"
  }

  private static func size(_ bytes: Int, below shift: Int) -> String {
    for (smaller, unit) in [(20, "M"), (10, "K")] where smaller < shift && bytes & (1 << smaller - 1) == 0 {
      return "\(bytes >> smaller)\(unit)"
    }
    return "\(bytes)"
  }
}

extension String {
  fileprivate var trimmingTrailingSpaces: String {
    String(reversed().drop(while: { $0 == " " }).reversed())
  }
}

extension Report {
  var table: String { results.text }

  /// Results, ratios and the scenarios' own figures, for a README.
  var markdown: String {
    var own = Table(["scenario", "client", "figures"])
    for outcome in outcomes where outcome.client != "rooms" && !outcome.figures.isEmpty {
      let figures = outcome.figures.map { "\($0.name) \(Table.figure($0.value)) \($0.unit)" }
      own.add([outcome.scenario, outcome.client, figures.joined(separator: ", ")])
    }
    let failures = outcomes.compactMap { outcome in
      outcome.failure.map { "\(outcome.scenario) \(outcome.client) failed: \($0)" }
    }
    let head =
      "\(machine.processor), \(machine.cores) cores, \(machine.memoryBytes >> 30) GiB, Linux \(machine.kernel); "
      + versions.sorted { $0.key < $1.key }.map(\.value).joined(separator: ", ")
    return ([head, results.markdown, ratioTable.markdown, own.markdown] + failures).filter { !$0.isEmpty }
      .joined(separator: "\n\n")
  }

  private var results: Table {
    var table = Table([
      "scenario", "client", "size", "piece", "conns", "items", "MiB/s", "CPU s/GiB", "user", "system",
      "peak MiB",
      "switches/blk", "calls/blk", "mallocs/blk", "copied %", "generator s/GiB",
    ])
    for outcome in outcomes where outcome.client != "rooms" {
      let point = outcome.point
      var row = [
        outcome.scenario, outcome.client,
        point.size == 0 ? "" : Table.size(point.size) + (point.repeats > 1 ? "×\(point.repeats)" : ""),
        point.piece == 0 ? "" : Table.size(point.piece), point.connections == 0 ? "" : "\(point.connections)",
        point.items == 1 ? "" : "\(point.items)",
      ]
      let moved = outcome.runs.contains { $0.bytes > 0 }
      row +=
        moved
        ? [
          Table.figure(outcome.speed), Table.figure(outcome.cpu), Table.figure(outcome.user),
          Table.figure(outcome.system),
        ] : ["", "", "", ""]
      row.append(
        outcome.runs.contains { $0.peakResident > 0 } ? Table.figure(outcome.peakResident / mib) : "")
      row.append(moved ? Table.figure(outcome.switchesPerBlock) : "")
      let counts = outcome.counts
      row.append(counts?.syscalls.map(Table.figure) ?? "")
      row.append(counts?.mallocs.map(Table.figure) ?? "")
      row.append((counts?.copiedShare).map { Table.figure($0 * 100) } ?? "")
      row.append(outcome.generatorCPU.map(Table.figure) ?? "")
      table.add(row)
    }
    return table
  }

  /// One row a benchmark; its speed and its allocations are figures of the same name and another unit.
  private func rooms(_ outcome: Outcome) -> String {
    var table = Table([outcome.scenario, "", "ns", "GiB/s", "mallocs"])
    let figures = outcome.figures
    func value(_ name: String, _ unit: String) -> String {
      figures.first { $0.name == name && $0.unit == unit }.map { Table.figure($0.value) } ?? ""
    }
    for figure in figures where figure.unit == "ns" {
      table.add([
        figure.name, "", Table.figure(figure.value), value(figure.name, "GiB/s"),
        value(figure.name, "mallocs"),
      ])
    }
    return table.text
  }

  /// Scenarios' own figures, what failed, and the first client's ratios.
  var remarks: String {
    var lines: [String] = []
    for outcome in outcomes where !outcome.figures.isEmpty {
      let figures = outcome.figures.map { "\($0.name) \(Table.figure($0.value)) \($0.unit)" }
      if outcome.client == "rooms" {
        lines.append(rooms(outcome))
      } else {
        lines.append("\(outcome.scenario) \(outcome.client): " + figures.joined(separator: ", "))
      }
    }
    for outcome in outcomes {
      if let failure = outcome.failure {
        lines.append("\(outcome.scenario) \(outcome.client) failed: \(failure)")
      }
    }
    if let first = ratios.first {
      lines.append("\n\(first.client) as a multiple of the others:\n" + ratioTable.text)
    }
    return lines.joined(separator: "\n")
  }

  private var ratioTable: Table {
    var table = Table(["scenario", "against", "piece", "conns", "speed ×", "CPU ×", "memory ×"])
    let ratios = ratios
    var seen: Set<[String]> = []
    for ratio in ratios {
      let point = ratio.point
      let key = [
        ratio.scenario, ratio.other, Table.size(point.piece),
        point.connections == 0 ? "" : "\(point.connections)",
      ]
      guard seen.insert(key + ["\(point.size)", "\(point.items)"]).inserted else { continue }
      func value(_ name: String, inverse: Bool) -> String {
        let found = ratios.first {
          $0.scenario == ratio.scenario && $0.other == ratio.other && $0.point == point && $0.name == name
        }
        return found.map { Table.figure(inverse ? 1 / $0.value : $0.value) } ?? ""
      }
      table.add(
        key + [value("speed", inverse: false), value("cpu", inverse: true), value("memory", inverse: true)])
    }
    return table
  }
}
