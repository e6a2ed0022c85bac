import Synchronization
import SystemPackage

/// Standard output and standard error of the process, shared by results, progress and logs.
///
/// On a terminal the lines of the bar are drawn again in place; whatever else is printed appears above them.
final class Console: Sendable {
  private struct State {
    /// Columns of each line of the bar now on the screen, empty when there is none.
    var drawn: [Int] = []
    var outputIsGone = false
  }

  let style: TerminalStyle
  let errorIsTerminal: Bool
  let outputIsTerminal: Bool
  private let output: FileDescriptor
  private let error: FileDescriptor
  private let environmentColumns: Int?
  private let state = Mutex(State())

  init(
    environment: [String: String], output: FileDescriptor = .standardOutput,
    error: FileDescriptor = .standardError
  ) {
    self.output = output
    self.error = error
    outputIsTerminal = SystemTerminal.isTerminal(output.rawValue)
    errorIsTerminal = SystemTerminal.isTerminal(error.rawValue)
    style = TerminalStyle(isTerminal: errorIsTerminal, environment: environment)
    environmentColumns = environment["COLUMNS"].flatMap(Int.init).flatMap {
      (20...10_000).contains($0) ? $0 : nil
    }
  }

  /// Columns and rows for the bar.
  var size: (columns: Int, rows: Int) {
    if let size = SystemTerminal.size(of: error.rawValue) { return size }
    return (environmentColumns ?? 80, 24)
  }

  // MARK: Printing

  /// One line or more on standard output.
  /// - Throws: when it cannot be written. A reader that went away is told once, without words.
  func result(_ text: String) throws(CommandFailure) {
    let failure = state.withLock { state -> CommandFailure? in
      guard !state.outputIsGone else { return nil }
      if outputIsTerminal { clear(&state) }
      do {
        try output.writeAll((text + "\n").utf8)
        return nil
      } catch {
        state.outputIsGone = true
        if error as? Errno == .brokenPipe { return CommandFailure(.fileInputOutput, "") }
        return CommandFailure(
          SystemReason.status(of: error), "cannot write to standard output: \(SystemReason.of(error))")
      }
    }
    if let failure { throw failure }
  }

  /// Bytes on standard output as they are.
  func result(_ bytes: [UInt8]) throws(CommandFailure) {
    do { try output.writeAll(bytes) } catch {
      throw CommandFailure(
        SystemReason.status(of: error), "cannot write to standard output: \(SystemReason.of(error))")
    }
  }

  /// One line on standard error that stays.
  func line(_ text: String) {
    state.withLock { state in
      clear(&state)
      write(text + "\n")
    }
  }

  // MARK: The bar

  /// Draws the lines in place of those drawn before. None may be wider than the terminal.
  func draw(_ lines: [(text: String, columns: Int)]) {
    let columns = max(1, size.columns)
    state.withLock { state in
      var text = start(of: state, columns: columns)
      for (index, line) in lines.enumerated() {
        text += (index > 0 ? "\n" : "") + line.text + (style.moves ? "\u{1B}[K" : "")
      }
      if style.moves {
        text += "\u{1B}[J"
      } else if let before = state.drawn.first, let now = lines.first?.columns, before > now {
        text += String(repeating: " ", count: before - now)
      }
      state.drawn = lines.map(\.columns)
      write(text)
    }
  }

  /// Takes the bar off the screen.
  func clear() { state.withLock { clear(&$0) } }

  private func clear(_ state: inout State) {
    guard !state.drawn.isEmpty else { return }
    let text = start(of: state, columns: max(1, size.columns))
    state.drawn = []
    // A bar that was forced onto something that moves no cursor can only end its line.
    write(style.moves ? text + "\u{1B}[J" : "\n")
  }

  /// Leads back to the first column of the first line drawn. A terminal that became narrower has wrapped lines.
  private func start(of state: State, columns: Int) -> String {
    guard style.moves else { return state.drawn.isEmpty ? "" : "\r" }
    let rows = state.drawn.reduce(0) { $0 + max(1, ($1 + columns - 1) / columns) }
    return rows > 1 ? "\r\u{1B}[\(rows - 1)A" : "\r"
  }

  /// What cannot be told cannot be helped: progress never stops the work.
  private func write(_ text: String) { _ = try? error.writeAll(text.utf8) }
}
