/// An IPv4 or IPv6 address as sixteen bytes; IPv4 is held as ::ffff:a.b.c.d, the form sockets give.
@frozen
public struct IPAddress: Hashable, Comparable, Sendable, CustomStringConvertible {
  public var high: UInt64
  public var low: UInt64

  @inlinable public init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// From the four bytes of an IPv4 address, most significant first.
  @inlinable public init(v4: UInt32) {
    self.high = 0
    self.low = 0x0000_ffff_0000_0000 | UInt64(v4)
  }

  @inlinable public init(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8) {
    self.init(v4: UInt32(a) << 24 | UInt32(b) << 16 | UInt32(c) << 8 | UInt32(d))
  }

  @inlinable public var isV4: Bool { high == 0 && low >> 32 == 0xffff }
  /// The IPv4 address as a number. Meaningful when `isV4`.
  @inlinable public var v4: UInt32 { UInt32(truncatingIfNeeded: low) }

  @inlinable public static func < (a: IPAddress, b: IPAddress) -> Bool {
    a.high != b.high ? a.high < b.high : a.low < b.low
  }

  /// Group `index` of eight, as in the text form of IPv6.
  @inlinable public func group(_ index: Int) -> UInt16 {
    UInt16(truncatingIfNeeded: (index < 4 ? high : low) >> UInt64(48 - 16 * (index & 3)))
  }

  public var isLoopback: Bool { isV4 ? v4 >> 24 == 127 : high == 0 && low == 1 }
  public var isUnspecified: Bool { isV4 ? v4 == 0 : high == 0 && low == 0 }
  public var isMulticast: Bool { isV4 ? v4 >> 28 == 0xe : high >> 56 == 0xff }
  /// 169.254/16 and fe80::/10.
  public var isLinkLocal: Bool { isV4 ? v4 >> 16 == 0xa9fe : high >> 54 == 0x3fa }
  /// RFC 1918, carrier-grade NAT (100.64/10) and unique local IPv6 (fc00::/7).
  public var isPrivate: Bool {
    guard isV4 else { return high >> 57 == 0x7e }
    return v4 >> 24 == 10 || v4 >> 20 == 0xac1 || v4 >> 16 == 0xc0a8 || v4 >> 22 == 0x191
  }
  /// Addresses that a name from a stranger must not make us talk to: loopback, link-local, private, unspecified,
  /// "this network" (0/8), multicast and broadcast, and IPv6 forms that embed such an IPv4 address.
  public var isLocalOrSpecial: Bool {
    if isLoopback || isUnspecified || isMulticast || isLinkLocal || isPrivate { return true }
    if isV4 { return v4 >> 24 == 0 || v4 == .max || v4 >> 28 == 0xf }
    if let embedded = embeddedV4 { return embedded.isLocalOrSpecial }
    return high >> 54 == 0x3fb  // fec0::/10, the old site-local block
  }

  /// The IPv4 address inside ::a.b.c.d, NAT64 (64:ff9b::/96) or 6to4 (2002::/16).
  var embeddedV4: IPAddress? {
    if high == 0 && low >> 32 == 0 && low > 1 { return IPAddress(v4: UInt32(truncatingIfNeeded: low)) }
    if high == 0x0064_ff9b_0000_0000 && low >> 32 == 0 {
      return IPAddress(v4: UInt32(truncatingIfNeeded: low))
    }
    if high >> 48 == 0x2002 { return IPAddress(v4: UInt32(truncatingIfNeeded: high >> 16)) }
    return nil
  }

  public var description: String {
    if isV4 { return "\(v4 >> 24).\(v4 >> 16 & 255).\(v4 >> 8 & 255).\(v4 & 255)" }
    // RFC 5952: the longest run of two or more zero groups becomes "::".
    var best = (start: 0, length: 0)
    var i = 0
    while i < 8 {
      var j = i
      while j < 8 && group(j) == 0 { j += 1 }
      if j - i > best.length { best = (i, j - i) }
      i = max(j, i + 1)
    }
    var text = ""
    i = 0
    while i < 8 {
      if best.length > 1 && i == best.start {
        text += "::"
        i += best.length
        continue
      }
      if !text.isEmpty && !text.hasSuffix(":") { text += ":" }
      text += String(group(i), radix: 16)
      i += 1
    }
    return text
  }

  /// Parses a numeric IPv4 or IPv6 address (RFC 4291 text forms, no zone, no brackets).
  public init?(_ text: some StringProtocol) {
    let bytes = Array(text.utf8)
    guard bytes.count <= 45 else { return nil }
    if !bytes.contains(UInt8(ascii: ":")) {
      guard let value = IPAddress.parseV4(bytes[...]) else { return nil }
      self.init(v4: value)
      return
    }
    guard let value = IPAddress.parseV6(bytes) else { return nil }
    self = value
  }

  private static func parseV4(_ bytes: ArraySlice<UInt8>) -> UInt32? {
    var value: UInt32 = 0
    var parts = 0
    for part in bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false) {
      guard (1...3).contains(part.count), part.count == 1 || part.first != UInt8(ascii: "0") else {
        return nil
      }
      var number: UInt32 = 0
      for digit in part {
        guard digit >= UInt8(ascii: "0") && digit <= UInt8(ascii: "9") else { return nil }
        number = number * 10 + UInt32(digit - UInt8(ascii: "0"))
      }
      guard number < 256, parts < 4 else { return nil }
      value = value << 8 | number
      parts += 1
    }
    return parts == 4 ? value : nil
  }

  private static func parseV6(_ bytes: [UInt8]) -> IPAddress? {
    let colon = UInt8(ascii: ":")
    /// Groups of one side of "::"; nil when malformed. A dotted quad may only end the whole address.
    func groups(_ side: ArraySlice<UInt8>, endsAddress: Bool) -> [UInt16]? {
      guard !side.isEmpty else { return [] }
      var result: [UInt16] = []
      let parts = side.split(separator: colon, omittingEmptySubsequences: false)
      for (index, part) in parts.enumerated() {
        if part.contains(UInt8(ascii: ".")) {
          guard endsAddress, index == parts.count - 1, let v4 = parseV4(part) else { return nil }
          result.append(UInt16(v4 >> 16))
          result.append(UInt16(v4 & 0xffff))
          continue
        }
        guard (1...4).contains(part.count),
          let value = UInt16(String(decoding: part, as: UTF8.self), radix: 16),
          part.first != UInt8(ascii: "+")
        else { return nil }
        result.append(value)
      }
      return result.count <= 8 ? result : nil
    }
    var all: [UInt16]
    var gap: Int?
    for i in bytes.indices.dropLast() where bytes[i] == colon && bytes[i + 1] == colon {
      gap = i
      break
    }
    if let gap {
      guard let head = groups(bytes[..<gap], endsAddress: false),
        let tail = groups(bytes[(gap + 2)...], endsAddress: true), head.count + tail.count < 8
      else { return nil }
      all = head + [UInt16](repeating: 0, count: 8 - head.count - tail.count) + tail
    } else {
      guard let whole = groups(bytes[...], endsAddress: true), whole.count == 8 else { return nil }
      all = whole
    }
    var high: UInt64 = 0
    var low: UInt64 = 0
    for i in 0..<4 {
      high = high << 16 | UInt64(all[i])
      low = low << 16 | UInt64(all[i + 4])
    }
    return IPAddress(high: high, low: low)
  }
}

/// Where a peer, tracker or node is: an address and a port.
@frozen
public struct Endpoint: Hashable, Comparable, Sendable, CustomStringConvertible {
  public var address: IPAddress
  public var port: UInt16
  /// Number of the interface behind which a link-local IPv6 address is; 0 where none was told, and for all other
  /// addresses. It means something on this machine only, and until it restarts: no written form has it.
  public var scope: UInt16

  @inlinable public init(address: IPAddress, port: UInt16, scope: UInt16 = 0) {
    self.address = address
    self.port = port
    self.scope = scope
  }

  /// Another port of the same host.
  @inlinable public func with(port: UInt16) -> Endpoint {
    Endpoint(address: address, port: port, scope: scope)
  }

  /// Parses `1.2.3.4:6881` or `[2001:db8::1]:6881`.
  public init?(_ text: some StringProtocol) {
    guard let colon = text.lastIndex(of: ":"), text.utf8.count <= 53 else { return nil }
    var host = text[..<colon]
    let digits = text[text.index(after: colon)...]
    guard let port = UInt16(digits), digits.first != "+" else { return nil }
    let isBracketed = host.first == "[" && host.last == "]" && host.utf8.count > 2
    if isBracketed { host = host.dropFirst().dropLast() }
    guard let address = IPAddress(host), isBracketed != !host.contains(":") else { return nil }
    self.init(address: address, port: port)
  }

  @inlinable public static func < (a: Endpoint, b: Endpoint) -> Bool {
    if a.address != b.address { return a.address < b.address }
    return a.port != b.port ? a.port < b.port : a.scope < b.scope
  }

  /// `1.2.3.4:6881`, `[2001:db8::1]:6881`, or with its interface `[fe80::1%2]:6881`.
  public var description: String {
    guard !address.isV4 else { return "\(address):\(port)" }
    return scope == 0 ? "[\(address)]:\(port)" : "[\(address)%\(scope)]:\(port)"
  }

  /// Whether somebody can be there at all: a port, and an address of one host.
  public var isPlausiblePeer: Bool {
    port != 0 && !address.isUnspecified && !address.isMulticast
      && !(address.isV4 && (address.v4 == .max || address.v4 >> 24 == 0))
  }

  /// Reads the 6-byte form of BEP 23.
  @inlinable public init?(compactV4 bytes: Span<UInt8>, at offset: Int) {
    guard offset >= 0, offset <= bytes.count - 6 else { return nil }
    self.init(
      address: IPAddress(bytes[offset], bytes[offset + 1], bytes[offset + 2], bytes[offset + 3]),
      port: UInt16(bytes[offset + 4]) << 8 | UInt16(bytes[offset + 5]))
  }

  /// Reads the 18-byte form of BEP 7.
  @inlinable public init?(compactV6 bytes: Span<UInt8>, at offset: Int) {
    guard offset >= 0, offset <= bytes.count - 18 else { return nil }
    var high: UInt64 = 0
    var low: UInt64 = 0
    for i in 0..<8 {
      high = high << 8 | UInt64(bytes[offset + i])
      low = low << 8 | UInt64(bytes[offset + 8 + i])
    }
    self.init(
      address: IPAddress(high: high, low: low),
      port: UInt16(bytes[offset + 16]) << 8 | UInt16(bytes[offset + 17]))
  }

  /// Appends 6 bytes (IPv4) or 18 bytes (IPv6), as trackers and peer exchange write them (BEP 7, 23).
  public func appendCompact(to output: inout [UInt8]) {
    if address.isV4 {
      for shift in stride(from: 24, through: 0, by: -8) {
        output.append(UInt8(truncatingIfNeeded: address.v4 >> UInt32(shift)))
      }
    } else {
      for word in [address.high, address.low] {
        for shift in stride(from: 56, through: 0, by: -8) {
          output.append(UInt8(truncatingIfNeeded: word >> UInt64(shift)))
        }
      }
    }
    output.append(UInt8(port >> 8))
    output.append(UInt8(port & 255))
  }
}
