import TorrentModel

/// A set of addresses in 256 bytes, to count the peers of a torrent over many nodes (BEP 33).
public struct BloomFilter: Sendable, Equatable {
  /// Bits in a filter.
  public static let bitCount = 2048
  /// Bytes of a filter on the wire.
  public static let byteCount = 256

  private var words: InlineArray<32, UInt64> = InlineArray(repeating: 0)

  public init() {}

  /// Reads a filter's 256 bytes; `nil` for any other length.
  public init?(_ bytes: Span<UInt8>) {
    guard bytes.count == Self.byteCount else { return nil }
    for index in bytes.indices { words[index >> 3] |= UInt64(bytes[index]) << UInt64(8 * (index & 7)) }
  }

  /// The two bits of an address, found in the SHA-1 of its four or sixteen bytes.
  struct Bits: Hashable, Sendable {
    var first: UInt16
    var second: UInt16

    init(hash: Bytes20) {
      first = (UInt16(hash[0]) | UInt16(hash[1]) << 8) & 2047
      second = (UInt16(hash[2]) | UInt16(hash[3]) << 8) & 2047
    }
  }

  mutating func insert(_ bits: Bits) {
    words[Int(bits.first >> 6)] |= 1 << UInt64(bits.first & 63)
    words[Int(bits.second >> 6)] |= 1 << UInt64(bits.second & 63)
  }

  func contains(_ bits: Bits) -> Bool {
    words[Int(bits.first >> 6)] >> UInt64(bits.first & 63) & 1 == 1
      && words[Int(bits.second >> 6)] >> UInt64(bits.second & 63) & 1 == 1
  }

  /// Adds an address.
  public mutating func insert(_ address: IPAddress, sha1: (Span<UInt8>) -> Bytes20) {
    insert(Bits(hash: sha1(address.compactBytes.span)))
  }

  /// Adds all that the other filter holds.
  public mutating func formUnion(_ other: BloomFilter) {
    for index in words.indices { words[index] |= other.words[index] }
  }

  /// Bits that are zero.
  public var zeroBitCount: Int {
    var count = 0
    for index in words.indices { count += (~words[index]).nonzeroBitCount }
    return count
  }

  /// How many addresses the filter probably holds. Beyond some 6000 the figure means little.
  public var estimatedCount: Double {
    let m = Double(Self.bitCount)
    let zeros = Double(min(Self.bitCount - 1, max(1, zeroBitCount)))
    guard zeroBitCount < Self.bitCount else { return 0 }
    return Self.logarithm(zeros / m) / (2 * Self.logarithm(1 - 1 / m))
  }

  /// Appends the 256 bytes.
  func append(to output: inout [UInt8]) {
    for index in words.indices {
      for shift in stride(from: UInt64(0), through: 56, by: 8) {
        output.append(UInt8(truncatingIfNeeded: words[index] >> shift))
      }
    }
  }

  public static func == (a: BloomFilter, b: BloomFilter) -> Bool {
    for index in a.words.indices where a.words[index] != b.words[index] { return false }
    return true
  }

  /// The natural logarithm of a positive number, by the series of the inverse hyperbolic tangent. The standard library
  /// has none, and this room imports no other.
  static func logarithm(_ x: Double) -> Double {
    let ratio = (x.significand - 1) / (x.significand + 1)
    let square = ratio * ratio
    var power = ratio
    var sum = 0.0
    // The significand is below 2, so the ratio is below 1/3: 20 terms are exact to the last bit.
    for term in 0..<20 {
      sum += power / Double(2 * term + 1)
      power *= square
    }
    return 2 * sum + Double(x.exponent) * 0.693_147_180_559_945_3
  }
}
