import BlockPool

/// The operating system refused something a loop was asked to do.
public struct ReactorError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What was being done, as the start of a sentence: "cannot listen on 0.0.0.0:6881".
  public var operation: String
  public var cause: SystemError

  public init(_ operation: String, errno code: CInt) {
    self.operation = operation
    self.cause = SystemError(code: code)
  }

  public var description: String { "\(operation): \(cause)" }
}
