import CEvent

/// Hears signals of the process (SIGINT, SIGTERM, …) on a loop instead of being interrupted by them.
///
/// One loop of the process can hold signals.
@safe
public final class SignalSource: LoopSource {
  private let loop: EventLoop
  private var token: UInt64 = 0
  private var raw: [OpaquePointer] = unsafe []
  private var handler: ((CInt) -> Void)?

  /// Calls `handler` with the signal's number each time one of `signals` arrives, until ``close()``.
  public init(_ signals: [CInt], on loop: EventLoop, _ handler: @escaping (CInt) -> Void) throws(ReactorError)
  {
    loop.preconditionOnLoop()
    self.loop = loop
    self.handler = handler
    token = loop.core.register(self)
    for signal in signals {
      var error: CInt = 0
      guard let source = unsafe cev_signal_new(loop.core.raw, token, signal, &error) else {
        close()
        throw ReactorError("cannot listen for signal \(signal)", errno: error)
      }
      unsafe raw.append(source)
    }
  }

  /// The signals get their former meaning back.
  public func close() {
    loop.preconditionOnLoop()
    guard handler != nil else { return }
    loop.core.unregister(token)
    loopStopped()
  }

  func completed(_ record: cev_record) { handler?(record.detail) }

  func loopStopped() {
    handler = nil
    while let source = unsafe raw.popLast() { unsafe cev_signal_free(source) }
  }
}
