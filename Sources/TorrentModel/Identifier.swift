/// Twenty bytes, compared and hashed as three words. Storage of info-hashes and peer ids.
@frozen
public struct Bytes20: Hashable, Comparable, Sendable {
  @usableFromInline var a: UInt64
  @usableFromInline var b: UInt64
  @usableFromInline var c: UInt32

  @inlinable public init() { (a, b, c) = (0, 0, 0) }

  /// Reads twenty bytes. Returns nil unless `bytes.count == 20`.
  @inlinable public init?(_ bytes: Span<UInt8>) {
    guard bytes.count == 20 else { return nil }
    self.init()
    for i in 0..<20 { self[i] = bytes[i] }
  }

  /// Reads twenty bytes. Returns nil unless the sequence holds exactly twenty.
  @inlinable public init?(_ bytes: some Sequence<UInt8>) {
    self.init()
    var count = 0
    for byte in bytes {
      guard count < 20 else { return nil }
      self[count] = byte
      count += 1
    }
    guard count == 20 else { return nil }
  }

  /// Reads forty hexadecimal digits, upper or lower case.
  public init?(hex: some StringProtocol) {
    let digits = hex.utf8
    guard digits.count == 40 else { return nil }
    self.init()
    var index = 0
    var high: UInt8 = 0
    for digit in digits {
      let value: UInt8
      switch digit {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): value = digit - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "f"): value = digit - UInt8(ascii: "a") + 10
      case UInt8(ascii: "A")...UInt8(ascii: "F"): value = digit - UInt8(ascii: "A") + 10
      default: return nil
      }
      if index & 1 == 0 { high = value << 4 } else { self[index >> 1] = high | value }
      index += 1
    }
  }

  /// The byte at `index`, in `0 ..< 20`.
  @inlinable public subscript(index: Int) -> UInt8 {
    get {
      precondition(index >= 0 && index < 20)
      if index < 8 { return UInt8(truncatingIfNeeded: a >> UInt64(56 - 8 * index)) }
      if index < 16 { return UInt8(truncatingIfNeeded: b >> UInt64(56 - 8 * (index - 8))) }
      return UInt8(truncatingIfNeeded: c >> UInt32(24 - 8 * (index - 16)))
    }
    set {
      precondition(index >= 0 && index < 20)
      if index < 8 {
        let shift = UInt64(56 - 8 * index)
        a = (a & ~(0xff << shift)) | UInt64(newValue) << shift
      } else if index < 16 {
        let shift = UInt64(56 - 8 * (index - 8))
        b = (b & ~(0xff << shift)) | UInt64(newValue) << shift
      } else {
        let shift = UInt32(24 - 8 * (index - 16))
        c = (c & ~(0xff << shift)) | UInt32(newValue) << shift
      }
    }
  }

  /// The twenty bytes, in order.
  public var bytes: [UInt8] { (0..<20).map { self[$0] } }

  @inlinable public func append(to output: inout [UInt8]) {
    for i in 0..<20 { output.append(self[i]) }
  }

  /// Forty lower-case hexadecimal digits.
  public var hex: String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    text.reserveCapacity(40)
    for i in 0..<20 {
      text.append(digits[Int(self[i] >> 4)])
      text.append(digits[Int(self[i] & 15)])
    }
    return String(decoding: text, as: UTF8.self)
  }

  @inlinable public static func < (x: Bytes20, y: Bytes20) -> Bool {
    x.a != y.a ? x.a < y.a : x.b != y.b ? x.b < y.b : x.c < y.c
  }
}

/// The SHA-1 of a torrent's info dictionary, as its author wrote it (BEP 3): the name of the torrent in the swarm.
@frozen
public struct InfoHash: Hashable, Comparable, Sendable, CustomStringConvertible {
  public var bytes: Bytes20
  @inlinable public init(_ bytes: Bytes20) { self.bytes = bytes }
  @inlinable public init?(_ bytes: Span<UInt8>) {
    guard let value = Bytes20(bytes) else { return nil }
    self.bytes = value
  }
  public init?(hex: some StringProtocol) {
    guard let value = Bytes20(hex: hex) else { return nil }
    self.bytes = value
  }
  @inlinable public static func < (a: InfoHash, b: InfoHash) -> Bool { a.bytes < b.bytes }
  public var hex: String { bytes.hex }
  public var description: String { bytes.hex }
}

/// The twenty bytes a peer calls itself (BEP 3; client prefixes as in BEP 20).
@frozen
public struct PeerID: Hashable, Sendable, CustomStringConvertible {
  public var bytes: Bytes20
  @inlinable public init(_ bytes: Bytes20) { self.bytes = bytes }

  /// A fresh id: `prefix` (for Spate `-S80100-`, BEP 20) followed by random bytes. At most twenty bytes of `prefix` count.
  public init(prefix: StaticString, using random: inout some RandomNumberGenerator) {
    var value = Bytes20()
    var index = 0
    for scalar in prefix.description.utf8.prefix(20) {
      value[index] = scalar
      index += 1
    }
    while index < 20 {
      value[index] = UInt8.random(in: .min ... .max, using: &random)
      index += 1
    }
    self.bytes = value
  }

  /// Printable ASCII as it is, anything else as a dot.
  public var description: String {
    String(decoding: bytes.bytes.map { $0 >= 0x20 && $0 < 0x7f ? $0 : UInt8(ascii: ".") }, as: UTF8.self)
  }
}
