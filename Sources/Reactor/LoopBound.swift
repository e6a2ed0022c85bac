/// Carries something that belongs to a loop across threads; only the loop can look at it.
///
/// For code that hands a connection or a driver to a closure or a task on its way back to the same loop.
@safe
public struct LoopBound<Value>: @unchecked Sendable {
  // The value is reached on the loop's thread only, which every access checks.
  private let stored: Value
  public let loop: EventLoop

  /// On the loop.
  public init(_ value: Value, on loop: EventLoop) {
    loop.preconditionOnLoop()
    self.stored = value
    self.loop = loop
  }

  public var value: Value {
    loop.preconditionOnLoop()
    return stored
  }
}
