extension IPAddress {
  /// Reads four bytes as IPv4 or sixteen as IPv6, as `yourip` (BEP 10) and `external ip` (BEP 24) have them.
  /// Returns nil for any other length.
  public init?(compact bytes: Span<UInt8>) {
    switch bytes.count {
    case 4: self.init(bytes[0], bytes[1], bytes[2], bytes[3])
    case 16:
      var high: UInt64 = 0
      var low: UInt64 = 0
      for i in 0..<8 {
        high = high << 8 | UInt64(bytes[i])
        low = low << 8 | UInt64(bytes[8 + i])
      }
      self.init(high: high, low: low)
    default: return nil
    }
  }

  /// Four bytes for IPv4, sixteen for IPv6.
  public var compactBytes: [UInt8] {
    var bytes: [UInt8] = []
    Endpoint(address: self, port: 0).appendCompact(to: &bytes)
    return bytes.dropLast(2)
  }
}
