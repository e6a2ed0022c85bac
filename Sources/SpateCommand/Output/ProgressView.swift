import ArgumentParser
import Engine

/// How progress is shown.
enum ProgressMode: String, CaseIterable, SettingValue {
  /// A bar on a terminal, plain lines elsewhere.
  case auto
  case bar
  case plain
  case json
  case none
}

/// Something that happened to one torrent and is told at once.
enum ProgressNews: Sendable {
  case stateChanged(TorrentState)
  case completed
  case failed(String)
  case timedOut(String)
  case trackerFailed(url: String, message: String)
  case trackerWarned(url: String, message: String)
  case warning(String)
  /// The torrent's last line: it left the session, or the command ends.
  case ended
}

/// Shows a person or a program how far the torrents are. Called by one task.
protocol ProgressView: AnyObject {
  /// Seconds between two calls of ``update(_:)``.
  var interval: Double { get }
  func update(_ snapshot: ProgressSnapshot)
  func news(_ news: ProgressNews, of row: ProgressRow)
  /// What the command is doing when it is not transferring: "saving".
  func activity(_ text: String)
  /// Leaves the terminal tidy.
  func finish()
}

/// Shows nothing but errors.
final class SilentProgress: ProgressView {
  let interval = 1.0
  private let console: Console
  private let isQuiet: Bool

  init(console: Console, isQuiet: Bool) {
    self.console = console
    self.isQuiet = isQuiet
  }

  func update(_ snapshot: ProgressSnapshot) {}
  func news(_ news: ProgressNews, of row: ProgressRow) {
    if let text = NewsText.complaint(news, of: row, warnings: !isQuiet, style: console.style) {
      console.line(text)
    }
  }
  func activity(_ text: String) {}
  func finish() {}
}

/// News as lines for a person.
enum NewsText {
  /// Failures and, if wanted, warnings; nil for what is no complaint.
  static func complaint(
    _ news: ProgressNews, of row: ProgressRow, warnings: Bool, style: TerminalStyle
  ) -> String? {
    let name = Printable.text(row.name)
    func error(_ text: String) -> String {
      style.coloured("spate: error: ", .red) + "\(name): \(Printable.text(text))"
    }
    func warning(_ text: String) -> String? {
      warnings ? style.coloured("spate: warning: ", .yellow) + "\(name): \(Printable.text(text))" : nil
    }
    switch news {
    case .failed(let reason), .timedOut(let reason): return error(reason)
    case .trackerFailed(let url, let message): return warning("tracker \(url): \(message)")
    case .trackerWarned(let url, let message): return warning("tracker \(url) says: \(message)")
    case .warning(let text): return warning(text)
    case .stateChanged, .completed, .ended: return nil
    }
  }
}
