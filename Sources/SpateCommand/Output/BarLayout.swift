import Engine

/// The lines of the progress bar: pure, from counts and a width to text.
///
/// ```
/// debian-12.iso  ██████████▌·········   53.2%  0.34/0.63 GiB  ↓ 41.2 MiB/s  ↑ 1.1 MiB/s  12 (3)  7s
/// ```
/// What a narrow terminal has no room for is left out, the least important first; nothing is ever wrapped.
struct BarLayout {
  let columns: Int
  let rows: Int
  let style: TerminalStyle

  typealias Line = (text: String, columns: Int)

  /// A column beside the bar, as far as there is room.
  private struct Field {
    var text: [String]
    /// Fields with the highest number go first when room is short.
    var rank: Int
    var width: Int { text.reduce(0) { max($0, TextWidth.of($1)) } }
  }

  func lines(_ snapshot: ProgressSnapshot) -> [Line] {
    let room = max(1, rows - 2)
    let hasSum = snapshot.torrents > 1
    // Those that move are worth more room than those that wait for peers.
    let shown = Self.choose(snapshot.rows, room - (hasSum ? 1 : 0))
    var entries = shown
    if hasSum { entries.append(Self.sum(snapshot)) }
    guard !entries.isEmpty else { return [] }
    let hidden = snapshot.rows.count - shown.count
    var names = shown.map { Printable.text($0.name) }
    if hasSum { names.append(Self.sumName(snapshot, hidden: hidden)) }
    return layOut(entries, names, hasSum: hasSum)
  }

  /// At most `count` rows in their order, busy ones first.
  static func choose(_ rows: [ProgressRow], _ count: Int) -> [ProgressRow] {
    guard rows.count > count else { return rows }
    func weight(_ row: ProgressRow) -> Int { (row.state == .checking ? 1 : 0) + row.down + row.up }
    let ranked = rows.indices.sorted {
      let (a, b) = (weight(rows[$0]), weight(rows[$1]))
      return a != b ? a > b : $0 < $1
    }
    return ranked.prefix(max(0, count)).sorted().map { rows[$0] }
  }

  private static func sum(_ snapshot: ProgressSnapshot) -> ProgressRow {
    var sum = ProgressRow(infohash: "", name: "", state: .downloading, done: 0, total: 0)
    for row in snapshot.rows {
      sum.done += row.done
      sum.total += row.total
      sum.down += row.down
      sum.up += row.up
      sum.peers += row.peers
      sum.seeds += row.seeds
    }
    if sum.down > 0 { sum.eta = Int(min(Double(sum.total - sum.done) / Double(sum.down), 1e9)) }
    return sum
  }

  private static func sumName(_ snapshot: ProgressSnapshot, hidden: Int) -> String {
    var parts: [String] = []
    if hidden > 0 { parts.append("\(hidden) hidden") }
    if snapshot.finished > 0 { parts.append("\(snapshot.finished) done") }
    if snapshot.waiting > 0 { parts.append("\(snapshot.waiting) queued") }
    return "all \(snapshot.torrents)" + (parts.isEmpty ? "" : ": " + parts.joined(separator: ", "))
  }

  // MARK: Columns

  private func layOut(_ rows: [ProgressRow], _ names: [String], hasSum: Bool) -> [Line] {
    let (down, up) = style.hasUnicode ? ("↓", "↑") : ("D", "U")
    var fields = [
      Field(text: rows.map { Units.percent($0.bar.done, of: $0.bar.total) }, rank: 0),
      Field(text: rows.map { Units.part($0.bar.done, of: $0.bar.total) }, rank: 3),
      Field(text: rows.map { $0.state == .checking ? "" : "\(down) \(Units.rate($0.down))" }, rank: 1),
      Field(text: rows.map { $0.state == .checking ? "" : "\(up) \(Units.rate($0.up))" }, rank: 5),
      Field(text: rows.map { $0.state == .checking ? "" : "\($0.peers) (\($0.seeds))" }, rank: 4),
      Field(text: rows.map(note), rank: 2),
    ]
    let sources = Field(text: rows.map(\.sourcesText), rank: 6)
    if sources.width > 0 { fields.append(sources) }
    let longest = names.reduce(0) { max($0, TextWidth.of($1)) }
    // One column is kept free, since writing into the last one makes some terminals wrap.
    let width = max(1, columns - 1)
    func fieldsWidth() -> Int { fields.reduce(0) { $0 + $1.width + 2 } }
    // The sum's name says what is not on the screen.
    let nameMinimum = min(longest, max(12, hasSum ? min(26, TextWidth.of(names[names.count - 1])) : 0))
    let barMinimum = 10
    while fields.count > 1, nameMinimum + 2 + barMinimum + fieldsWidth() > width {
      guard let last = fields.indices.max(by: { fields[$0].rank < fields[$1].rank }) else { break }
      fields.remove(at: last)
    }
    // With one field left, the bar goes before the name does.
    let hasBar = nameMinimum + 2 + barMinimum + fieldsWidth() <= width
    let free = max(0, width - fieldsWidth())
    let nameWidth = hasBar ? min(longest, max(nameMinimum, free - 2 - 20)) : min(longest, free)
    let barWidth = hasBar ? min(40, free - nameWidth - 2) : 0
    return rows.indices.map { index in
      line(
        rows[index],
        name: TextWidth.fitted(names[index], to: nameWidth, ellipsis: style.hasUnicode ? "…" : "~"),
        bar: barWidth, fields: fields.map { TextWidth.rightAligned($0.text[index], to: $0.width) },
        isSum: hasSum && index == rows.count - 1, limit: width)
    }
  }

  private func note(_ row: ProgressRow) -> String {
    switch row.state {
    case .downloading: row.eta.map { Units.time($0) } ?? "--"
    case .fetchingMetadata: row.metadata?.text ?? ""
    default: row.state.rawValue
    }
  }

  private func line(
    _ row: ProgressRow, name: String, bar width: Int, fields: [String], isSum: Bool, limit: Int
  ) -> Line {
    var text = style.coloured(name, isSum ? .bold : nil)
    var columns = TextWidth.of(name)
    if width > 0 {
      text += "  " + bar(row, width, isSum: isSum)
      columns += 2 + width
    }
    let rest = fields.map { "  " + $0 }.joined()
    text += rest
    columns += TextWidth.of(rest)
    // Even the percentage may be too wide for a terminal of a few columns.
    guard columns <= limit else {
      let cut = TextWidth.truncated(name + rest, to: limit, ellipsis: style.hasUnicode ? "…" : "~")
      return (cut, TextWidth.of(cut))
    }
    return (text, columns)
  }

  private func bar(_ row: ProgressRow, _ width: Int, isSum: Bool) -> String {
    let colour: TerminalStyle.Colour? =
      switch row.state {
      case .checking, .opening, .fetchingMetadata: .cyan
      case .failed: .red
      default: .green
      }
    let (full, rest) = Self.bar(row.bar.done, of: row.bar.total, width: width, hasUnicode: style.hasUnicode)
    return style.coloured(full, colour) + style.coloured(rest, .dim)
  }

  /// The filled and the empty part of a bar: eighths of a column where the terminal has them.
  static func bar(_ done: Int64, of total: Int64, width: Int, hasUnicode: Bool) -> (
    full: String, rest: String
  ) {
    let share = total > 0 ? min(1, max(0, Double(done) / Double(total))) : 1
    guard hasUnicode else {
      let full = Int(share * Double(width))
      return (String(repeating: "#", count: full), String(repeating: "-", count: width - full))
    }
    let eighths = Int(share * Double(width * 8))
    var full = String(repeating: "█", count: eighths / 8)
    let parts: [Character] = ["▏", "▎", "▍", "▌", "▋", "▊", "▉"]
    if eighths % 8 > 0 { full.append(parts[eighths % 8 - 1]) }
    return (full, String(repeating: "·", count: width - (eighths + 7) / 8))
  }
}

/// `--progress bar`: drawn again in place, a few times a second.
final class BarProgress: ProgressView {
  let interval = 0.2
  private let console: Console

  init(console: Console) { self.console = console }

  func update(_ snapshot: ProgressSnapshot) {
    let size = console.size
    // What cannot move the cursor up has room for one line: the sum, or the only torrent.
    let layout = BarLayout(
      columns: size.columns, rows: console.style.moves ? size.rows : 3, style: console.style)
    let lines = layout.lines(snapshot)
    console.draw(console.style.moves ? lines : lines.suffix(1))
  }

  func news(_ news: ProgressNews, of row: ProgressRow) {
    if let text = NewsText.complaint(news, of: row, warnings: true, style: console.style) {
      console.line(text)
    }
  }

  func activity(_ text: String) {
    let cut = TextWidth.truncated("spate: \(text)", to: max(1, console.size.columns - 1))
    console.draw([(cut, TextWidth.of(cut))])
  }

  func finish() { console.clear() }
}
