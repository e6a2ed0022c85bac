/// The checksum with Castagnoli's polynomial (RFC 3720, B.4), which BEP 42 makes node ids of.
enum CRC32C {
  /// The reflected polynomial 0x1EDC6F41.
  private static let polynomial: UInt32 = 0x82f6_3b78

  /// One entry for each byte.
  private static let table: InlineArray<256, UInt32> = InlineArray { index in
    var value = UInt32(truncatingIfNeeded: index)
    for _ in 0..<8 { value = value & 1 == 0 ? value >> 1 : value >> 1 ^ polynomial }
    return value
  }

  /// The checksum of the `count` most significant bytes of a number (1…8).
  static func checksum(of bytes: UInt64, count: Int) -> UInt32 {
    var value = UInt32.max
    for index in 0..<count {
      let byte = UInt8(truncatingIfNeeded: bytes >> UInt64(56 - 8 * index))
      value = table[Int(UInt8(truncatingIfNeeded: value) ^ byte)] ^ value >> 8
    }
    return ~value
  }

  /// The checksum of any bytes.
  static func checksum(of bytes: Span<UInt8>) -> UInt32 {
    var value = UInt32.max
    for index in bytes.indices {
      value = table[Int(UInt8(truncatingIfNeeded: value) ^ bytes[index])] ^ value >> 8
    }
    return ~value
  }
}
