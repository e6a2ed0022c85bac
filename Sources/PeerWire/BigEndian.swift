// All integers of the protocol are big-endian (BEP 3).

extension Span<UInt8> {
  /// The four bytes at `offset`, which must be there.
  @inlinable
  @inline(__always)
  func bigEndian32(at offset: Int) -> UInt32 {
    UInt32(self[offset]) << 24 | UInt32(self[offset &+ 1]) << 16 | UInt32(self[offset &+ 2]) << 8
      | UInt32(self[offset &+ 3])
  }

  /// The two bytes at `offset`, which must be there.
  @inlinable
  @inline(__always)
  func bigEndian16(at offset: Int) -> UInt16 {
    UInt16(self[offset]) << 8 | UInt16(self[offset &+ 1])
  }
}

extension OutputSpan<UInt8> {
  @inlinable
  @inline(__always)
  mutating func append(bigEndian value: UInt32) {
    append(UInt8(truncatingIfNeeded: value >> 24))
    append(UInt8(truncatingIfNeeded: value >> 16))
    append(UInt8(truncatingIfNeeded: value >> 8))
    append(UInt8(truncatingIfNeeded: value))
  }
}
