import Glibc

/// The few system calls of the command line: what stands behind the standard streams, and signals.
enum SystemTerminal {
  static func isTerminal(_ descriptor: CInt) -> Bool { isatty(descriptor) == 1 }

  /// Columns and rows of the terminal behind a descriptor; nil where there is none, or it does not say.
  static func size(of descriptor: CInt) -> (columns: Int, rows: Int)? {
    var size = winsize()
    guard unsafe ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
    return (Int(size.ws_col), size.ws_row > 0 ? Int(size.ws_row) : 24)
  }

  /// The machine's name; empty when it has none.
  static var hostName: String {
    var buffer = [CChar](repeating: 0, count: 256)
    guard unsafe gethostname(&buffer, buffer.count - 1) == 0 else { return "" }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// A reader that went away is an error of the write, not the end of the process.
  static func ignoreBrokenPipes() {
    signal(SIGPIPE, SIG_IGN)
  }

  /// Ends the process at once: nothing is written or flushed any more.
  static func exitNow(_ status: CommandStatus) -> Never { _exit(status.rawValue) }
}

/// Hears SIGINT, SIGTERM and SIGHUP on a thread that does nothing else, whatever the rest is busy with.
///
/// The signals are blocked in every thread made after this, and waited for: no handler interrupts anything, and none has
/// to be careful about what it may call.
final class SystemSignals: Sendable {
  /// Blocks the signals. To be called before any other thread is made.
  init() {
    var set = Self.set()
    unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
  }

  private static func set() -> sigset_t {
    var set = sigset_t()
    unsafe sigemptyset(&set)
    unsafe sigaddset(&set, SIGINT)
    unsafe sigaddset(&set, SIGTERM)
    // `nohup` and `setsid` mean to keep us running: an ignored hang-up stays ignored.
    if !isIgnored(SIGHUP) { unsafe sigaddset(&set, SIGHUP) }
    return set
  }

  private static func isIgnored(_ number: CInt) -> Bool {
    var action = sigaction()
    guard unsafe sigaction(number, nil, &action) == 0 else { return false }
    return unsafe unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == 1
  }

  /// Waits for the next signal.
  func wait() -> CInt {
    var set = Self.set()
    var number: CInt = 0
    while unsafe sigwait(&set, &number) != 0 {}
    return number
  }
}
