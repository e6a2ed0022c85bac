import TorrentModel

/// Node ids that belong to an address (BEP 42): whoever wants to sit near a target needs addresses for it.
extension NodeID {
  /// An id that complies with BEP 42 for a node that others see at this address.
  public init(for address: IPAddress, using random: inout some RandomNumberGenerator) {
    self.init(using: &random)
    let draw = UInt8(truncatingIfNeeded: c)
    let checksum = Self.checksum(of: address, draw & 7)
    a = a & ~(0xffff_f800 << 32) | UInt64(checksum & 0xffff_f800) << 32
  }

  /// Whether the id's first 21 bits are those its address allows. Addresses of local networks are exempt.
  public func complies(with address: IPAddress) -> Bool {
    if address.isLoopback || address.isPrivate || address.isLinkLocal { return true }
    let checksum = Self.checksum(of: address, UInt8(truncatingIfNeeded: c) & 7)
    return (UInt32(truncatingIfNeeded: a >> 32) ^ checksum) & 0xffff_f800 == 0
  }

  private static func checksum(of address: IPAddress, _ draw: UInt8) -> UInt32 {
    if address.isV4 {
      let masked = address.v4 & 0x030f_3fff | UInt32(draw) << 29
      return CRC32C.checksum(of: UInt64(masked) << 32, count: 4)
    }
    return CRC32C.checksum(of: address.high & 0x0103_070f_1f3f_7fff | UInt64(draw) << 61, count: 8)
  }
}
