import Synchronization

/// Progress of one piece of work of known size: hashing. Reports may come from any thread.
final class ProgressMeter: Sendable {
  private struct State {
    var started: ContinuousClock.Instant?
    var drawn = ContinuousClock.now - .seconds(1)
    var isFinished = false
  }

  private let console: Console
  private let label: String
  private let isShown: Bool
  private let state = Mutex(State())

  /// Only on a terminal: in a log, what comes of the work says enough.
  init(console: Console, label: String, isShown: Bool) {
    self.console = console
    self.label = label
    self.isShown = isShown && console.style.moves
  }

  func show(_ done: Int64, of total: Int64) {
    guard isShown else { return }
    let now = ContinuousClock.now
    state.withLock { state in
      let started = state.started ?? now
      state.started = started
      guard !state.isFinished, now - state.drawn >= .milliseconds(100) else { return }
      state.drawn = now
      let line = Self.line(
        label: label, done, of: total, seconds: (now - started) / .seconds(1), columns: console.size.columns,
        style: console.style)
      console.draw([line])
    }
  }

  /// Takes the meter off the screen.
  func finish() {
    state.withLock { state in
      state.isFinished = true
      console.clear()
    }
  }

  static func line(
    label: String, _ done: Int64, of total: Int64, seconds: Double, columns: Int, style: TerminalStyle
  ) -> BarLayout.Line {
    let rate = seconds > 0.2 ? Double(done) / seconds : 0
    let eta = rate > 0 ? "  " + Units.time(Int(min(1e9, Double(total - done) / rate))) : ""
    let right =
      "  \(Units.percent(done, of: total))  \(Units.part(done, of: total))"
      + (rate > 0 ? "  \(Units.rate(Int(min(rate, 1e15))))" : "") + eta
    let width = columns - 1 - TextWidth.of(label) - 2 - TextWidth.of(right)
    guard width >= 8 else {
      let text = TextWidth.truncated(label + right, to: max(1, columns - 1))
      return (text, TextWidth.of(text))
    }
    let bar = BarLayout.bar(done, of: total, width: min(40, width), hasUnicode: style.hasUnicode)
    return (
      label + "  " + style.coloured(bar.full, .cyan) + style.coloured(bar.rest, .dim) + right,
      TextWidth.of(label) + 2 + min(40, width) + TextWidth.of(right)
    )
  }
}
