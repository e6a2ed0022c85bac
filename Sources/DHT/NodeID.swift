import TorrentModel

/// A point of the space of 160 bits in which nodes, info-hashes and items lie (BEP 5).
///
/// The distance of two points is their exclusive or, as a number.

public struct NodeID: Hashable, Comparable, Sendable, CustomStringConvertible {
  var a: UInt64
  var b: UInt64
  var c: UInt32

  init(_ a: UInt64, _ b: UInt64, _ c: UInt32) {
    self.a = a
    self.b = b
    self.c = c
  }

  static let zero = NodeID(0, 0, 0)

  public init(_ bytes: Bytes20) {
    self.init(0, 0, 0)
    for index in 0..<8 {
      a = a << 8 | UInt64(bytes[index])
      b = b << 8 | UInt64(bytes[8 + index])
    }
    for index in 16..<20 { c = c << 8 | UInt32(bytes[index]) }
  }

  /// The point of a torrent.
  public init(_ infoHash: InfoHash) { self.init(infoHash.bytes) }

  /// Reads twenty bytes at `offset`. The caller sees to it that they are there.
  init(_ bytes: Span<UInt8>, at offset: Int) {
    self.init(0, 0, 0)
    for index in offset..<offset + 8 {
      a = a << 8 | UInt64(bytes[index])
      b = b << 8 | UInt64(bytes[index + 8])
    }
    for index in offset + 16..<offset + 20 { c = c << 8 | UInt32(bytes[index]) }
  }

  /// Reads forty hexadecimal digits.
  public init?(hex: some StringProtocol) {
    guard let bytes = Bytes20(hex: hex) else { return nil }
    self.init(bytes)
  }

  public init(using random: inout some RandomNumberGenerator) {
    self.init(random.next(), random.next(), UInt32(truncatingIfNeeded: random.next()))
  }

  public var bytes: Bytes20 {
    var bytes = Bytes20()
    for index in 0..<20 { bytes[index] = self[index] }
    return bytes
  }

  /// The info-hash that lies at this point.
  public var infoHash: InfoHash { InfoHash(bytes) }

  public var hex: String { bytes.hex }
  public var description: String { hex }

  /// Byte `index` of twenty.
  subscript(index: Int) -> UInt8 {
    if index < 8 { return UInt8(truncatingIfNeeded: a >> UInt64(56 - 8 * index)) }
    if index < 16 { return UInt8(truncatingIfNeeded: b >> UInt64(120 - 8 * index)) }
    return UInt8(truncatingIfNeeded: c >> UInt32(152 - 8 * index))
  }

  /// Appends the twenty bytes.
  func append(to output: inout [UInt8]) {
    // Room is looked for once: an answer that names nodes has nine ids.
    output.append(addingCapacity: 20) { output in
      for shift in stride(from: UInt64(56), through: 0, by: -8) {
        output.append(UInt8(truncatingIfNeeded: a >> shift))
      }
      for shift in stride(from: UInt64(56), through: 0, by: -8) {
        output.append(UInt8(truncatingIfNeeded: b >> shift))
      }
      for shift in stride(from: UInt32(24), through: 0, by: -8) {
        output.append(UInt8(truncatingIfNeeded: c >> shift))
      }
    }
  }

  @inline(__always)
  public static func < (x: NodeID, y: NodeID) -> Bool {
    x.a != y.a ? x.a < y.a : x.b != y.b ? x.b < y.b : x.c < y.c
  }

  /// The distance of two points.
  @inline(__always)
  static func ^ (x: NodeID, y: NodeID) -> NodeID { NodeID(x.a ^ y.a, x.b ^ y.b, x.c ^ y.c) }

  /// Of a distance: how many leading bits the two points share, 0…160.
  var leadingZeroBitCount: Int {
    if a != 0 { return a.leadingZeroBitCount }
    if b != 0 { return 64 + b.leadingZeroBitCount }
    return 128 + c.leadingZeroBitCount
  }

  /// How many leading bits two points share, 0…160.
  public func sharedBits(with other: NodeID) -> Int { (self ^ other).leadingZeroBitCount }

  /// A random point that shares exactly `count` leading bits with this one; with 160 or more, this one.
  func neighbor(sharing count: Int, using random: inout some RandomNumberGenerator) -> NodeID {
    guard count < 160 else { return self }
    var mask = NodeID(using: &random)
    // The distance: zeros, a one, and anything.
    mask.keepBits(from: count + 1)
    mask.setBit(count)
    return self ^ mask
  }

  private mutating func keepBits(from bit: Int) {
    a &= bit >= 64 ? 0 : .max >> UInt64(max(0, bit))
    b &= bit >= 128 ? 0 : .max >> UInt64(max(0, bit - 64))
    c &= bit >= 160 ? 0 : .max >> UInt32(max(0, bit - 128))
  }

  private mutating func setBit(_ bit: Int) {
    if bit < 64 {
      a |= 1 << UInt64(63 - bit)
    } else if bit < 128 {
      b |= 1 << UInt64(127 - bit)
    } else {
      c |= 1 << UInt32(159 - bit)
    }
  }
}
