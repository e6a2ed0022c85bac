import Logging

/// Sends log messages to standard error: as lines, or as JSON objects where progress is JSON too.
struct ConsoleLogHandler: LogHandler {
  let console: Console
  let isJSON: Bool
  var logLevel: Logger.Level
  var metadata: Logger.Metadata = [:]

  init(console: Console, isJSON: Bool, level: Logger.Level) {
    self.console = console
    self.isJSON = isJSON
    logLevel = level
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let message = Printable.text(event.message.description)
    if isJSON {
      console.line(JSONText.line(LogLine(level: event.level.rawValue, message: message)))
      return
    }
    let (word, colour): (String, TerminalStyle.Colour?) =
      switch event.level {
      case .error, .critical: ("error: ", .red)
      case .warning: ("warning: ", .yellow)
      case .notice: ("", nil)
      default: ("", .dim)
      }
    console.line(console.style.coloured("spate: " + word, colour) + message)
  }

  private struct LogLine: Encodable {
    var event = "log"
    let level: String
    let message: String
  }
}
