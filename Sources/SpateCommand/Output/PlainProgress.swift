import Engine

/// `--progress plain`: a line every few seconds, for logs.
final class PlainProgress: ProgressView {
  let interval = 5.0
  /// With more torrents under way than this, only their sum has a line.
  static let rowLimit = 8
  private let console: Console
  private var wasIdle = false

  init(console: Console) { self.console = console }

  func update(_ snapshot: ProgressSnapshot) {
    // A seed that nobody asks for anything says so once.
    let isIdle = snapshot.rows.allSatisfy { $0.state == .seeding && $0.up == 0 && $0.peers == 0 }
    defer { wasIdle = isIdle }
    if isIdle && wasIdle { return }
    if snapshot.rows.count <= Self.rowLimit {
      for row in snapshot.rows { console.line(Self.text(row)) }
    }
    if snapshot.torrents > 1 { console.line(Self.sum(snapshot)) }
  }

  static func text(_ row: ProgressRow) -> String {
    let name = Printable.text(row.name)
    let rates = "down \(Units.rate(row.down)), up \(Units.rate(row.up)), \(peers(row))"
    switch row.state {
    case .checking: return "\(name): checking, \(Units.percent(row.checked, of: row.contents))"
    case .downloading:
      let eta = row.eta.map { ", \(Units.time($0)) left" } ?? ""
      return
        "\(name): \(Units.percent(row.done, of: row.total)), \(Units.part(row.done, of: row.total)), \(rates)\(eta)"
    case .fetchingMetadata:
      return "\(name): \(row.metadata?.text ?? "fetching metadata"), \(peers(row))"
    case .seeding: return "\(name): seeding, up \(Units.rate(row.up)), \(peers(row))"
    default: return "\(name): \(row.state.rawValue), \(Units.percent(row.done, of: row.total))"
    }
  }

  private static func peers(_ row: ProgressRow) -> String {
    var details: [String] = []
    if row.state == .downloading, row.seeds > 0 {
      details.append("\(row.seeds) seed\(row.seeds == 1 ? "" : "s")")
    }
    if !row.sourcesText.isEmpty { details.append(row.sourcesText) }
    return "\(row.peers) peer\(row.peers == 1 ? "" : "s")"
      + (details.isEmpty ? "" : " (\(details.joined(separator: "; ")))")
  }

  static func sum(_ snapshot: ProgressSnapshot) -> String {
    let rows = snapshot.rows
    let done = rows.reduce(0) { $0 + $1.done }
    let total = rows.reduce(0) { $0 + $1.total }
    var parts = ["all: \(rows.count) under way"]
    if snapshot.finished > 0 { parts.append("\(snapshot.finished) done") }
    if snapshot.waiting > 0 { parts.append("\(snapshot.waiting) waiting") }
    if !rows.isEmpty { parts.append(Units.part(done, of: total)) }
    parts.append("down \(Units.rate(rows.reduce(0) { $0 + $1.down }))")
    parts.append("up \(Units.rate(rows.reduce(0) { $0 + $1.up }))")
    parts.append("\(rows.reduce(0) { $0 + $1.peers }) peers")
    return parts.joined(separator: ", ")
  }

  func news(_ news: ProgressNews, of row: ProgressRow) {
    if let text = NewsText.complaint(news, of: row, warnings: true, style: console.style) {
      console.line(text)
    } else if case .stateChanged(let state) = news, state != .opening, state != .stopped {
      let text = state == .fetchingMetadata ? "fetching metadata" : state.rawValue
      console.line("\(Printable.text(row.name)): \(text)")
    }
  }

  func activity(_ text: String) { console.line("spate: \(text)") }
  func finish() {}
}
