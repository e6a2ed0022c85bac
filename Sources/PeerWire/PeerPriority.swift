import TorrentModel

/// Which of two peers to keep when there is room for one: a number that both ends of a connection arrive at, so that
/// a swarm whose peers are all full does not shut newcomers out (BEP 40).
public enum PeerPriority {
  /// The priority of the connection between two endpoints, in either order. A greater one is to be preferred.
  ///
  /// Returns `nil` when one address is IPv4 and the other IPv6: take our own address of the peer's family.
  public static func priority(_ first: Endpoint, _ second: Endpoint) -> UInt32? {
    guard first.address.isV4 == second.address.isV4 else { return nil }
    var checksum = CRC32C()
    if first.address == second.address {
      checksum.add(min(first.port, second.port))
      checksum.add(max(first.port, second.port))
      return checksum.value
    }
    let low = min(first.address, second.address)
    let high = max(first.address, second.address)
    if low.isV4 {
      // Two bytes are kept whole, and one more than are equal.
      let kept = max(2, (low.v4 ^ high.v4).leadingZeroBitCount / 8 + 1)
      let mask = mask(keeping: kept) >> 32
      checksum.add(low.v4 & UInt32(truncatingIfNeeded: mask))
      checksum.add(high.v4 & UInt32(truncatingIfNeeded: mask))
    } else {
      let equal =
        low.high == high.high
        ? 8 + (low.low ^ high.low).leadingZeroBitCount / 8 : (low.high ^ high.high).leadingZeroBitCount / 8
      let kept = max(6, equal + 1)
      for address in [low, high] {
        checksum.add(address.high & mask(keeping: kept))
        checksum.add(address.low & mask(keeping: kept - 8))
      }
    }
    return checksum.value
  }

  /// Eight bytes of 55, the first `bytes` of them ff instead.
  private static func mask(keeping bytes: Int) -> UInt64 {
    let tail: UInt64 = bytes <= 0 ? .max : bytes >= 8 ? 0 : .max >> UInt64(8 * bytes)
    return 0x5555_5555_5555_5555 | ~tail
  }
}

/// The Castagnoli CRC-32, as iSCSI has it (RFC 3720): reflected, all ones before and after.
struct CRC32C {
  private var state = UInt32.max

  private static let table: [UInt32] = (0..<256).map { (byte: UInt32) -> UInt32 in
    (0..<8).reduce(byte) { value, _ in value & 1 == 0 ? value >> 1 : value >> 1 ^ 0x82f6_3b78 }
  }

  var value: UInt32 { ~state }

  /// Takes in the bytes of `number`, the most significant first.
  mutating func add(_ number: some FixedWidthInteger & UnsignedInteger) {
    for shift in stride(from: number.bitWidth - 8, through: 0, by: -8) {
      let byte = UInt32(truncatingIfNeeded: number >> shift) & 255
      state = state >> 8 ^ Self.table[Int((state ^ byte) & 255)]
    }
  }
}
