import Foundation
import Synchronization

/// What Ctrl-C, SIGTERM and SIGHUP do: the first asks the command to end in order, a second ends the process at once, and
/// five seconds after the first it has ended in any case.
final class Interrupts: Sendable {
  private struct State {
    var count = 0
    var handler: (@Sendable () -> Void)?
    /// The exit code when order takes too long, or when nothing is there to be ordered.
    var status = CommandStatus.interrupted
  }

  /// A little less than the five seconds that are promised.
  private static let patience = 4.8
  private let state = Mutex(State())

  /// Hears signals for the rest of the process's life.
  func listen(to signals: SystemSignals) -> Never {
    while true {
      _ = signals.wait()
      arrived()
    }
  }

  /// Calls `handler` when the first signal comes; without a handler it ends the process. `status` is how the process
  /// ends when it has to end at once.
  func handle(endingWith status: CommandStatus = .interrupted, _ handler: @escaping @Sendable () -> Void) {
    state.withLock { state in
      state.handler = handler
      state.status = status
    }
  }

  private func arrived() {
    let (handler, count, status) = state.withLock { state in
      state.count += 1
      return (state.handler, state.count, state.status)
    }
    guard count == 1, let handler else { SystemTerminal.exitNow(status) }
    Thread.detachNewThread { [self] in
      Thread.sleep(forTimeInterval: Self.patience)
      SystemTerminal.exitNow(state.withLock { $0.status })
    }
    handler()
  }
}
