extension RawSpan {
  /// Lends the same memory as bytes that can be counted and read one by one, without a copy.
  public func withBytes<Result, Failure: Error>(
    _ body: (Span<UInt8>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try unsafe withUnsafeBytes { (buffer) throws(Failure) -> Result in
      try body(unsafe Span(_unsafeElements: unsafe buffer.assumingMemoryBound(to: UInt8.self)))
    }
  }
}
