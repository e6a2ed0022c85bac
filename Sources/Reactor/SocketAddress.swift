import CEvent

/// An IPv4 or IPv6 address with a port, as sockets use it.
@frozen
public struct SocketAddress: Hashable, Sendable {
  @frozen
  public enum Family: UInt8, Hashable, Sendable {
    case v4 = 4
    case v6 = 6
  }

  /// The address as a big-endian number; IPv4 uses the low 32 bits of `low` only.
  public var high: UInt64
  public var low: UInt64
  /// Number of the interface of a link-local IPv6 address, otherwise 0.
  public var scope: UInt32
  public var port: UInt16
  public var family: Family

  @inlinable
  public init(v4 address: UInt32, port: UInt16) {
    self.high = 0
    self.low = UInt64(address)
    self.scope = 0
    self.port = port
    self.family = .v4
  }

  @inlinable
  public init(v6High high: UInt64, low: UInt64, port: UInt16, scope: UInt32 = 0) {
    self.high = high
    self.low = low
    self.scope = scope
    self.port = port
    self.family = .v6
  }

  /// `0.0.0.0` or `::`: every local address of the family.
  @inlinable
  public static func any(_ family: Family, port: UInt16 = 0) -> SocketAddress {
    family == .v4 ? SocketAddress(v4: 0, port: port) : SocketAddress(v6High: 0, low: 0, port: port)
  }

  /// `127.0.0.1` or `::1`.
  @inlinable
  public static func loopback(_ family: Family, port: UInt16 = 0) -> SocketAddress {
    family == .v4
      ? SocketAddress(v4: 0x7f00_0001, port: port) : SocketAddress(v6High: 0, low: 1, port: port)
  }

  @inlinable
  public func with(port: UInt16) -> SocketAddress {
    var copy = self
    copy.port = port
    return copy
  }

  /// Whether this is `0.0.0.0` or `::`.
  @inlinable public var isUnspecified: Bool { high == 0 && low == 0 }

  /// The IPv4 address, for that family.
  @inlinable public var v4: UInt32? { family == .v4 ? UInt32(truncatingIfNeeded: low) : nil }

  /// The IPv4 address that an IPv4-mapped IPv6 address (`::ffff:a.b.c.d`) stands for; any other address as it is.
  @inlinable public var unmapped: SocketAddress {
    guard family == .v6, high == 0, low >> 32 == 0xffff else { return self }
    return SocketAddress(v4: UInt32(truncatingIfNeeded: low), port: port)
  }

  /// The address's bytes in network order: 4 or 16.
  public var bytes: [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(16)
    if family == .v6 {
      for shift in stride(from: 56, through: 0, by: -8) {
        result.append(UInt8(truncatingIfNeeded: high >> shift))
      }
      for shift in stride(from: 56, through: 0, by: -8) {
        result.append(UInt8(truncatingIfNeeded: low >> shift))
      }
    } else {
      for shift in stride(from: 24, through: 0, by: -8) {
        result.append(UInt8(truncatingIfNeeded: low >> shift))
      }
    }
    return result
  }

  init?(_ raw: cev_address) {
    switch raw.family {
    case 4: self.init(v4: UInt32(truncatingIfNeeded: raw.low), port: raw.port)
    case 6: self.init(v6High: raw.high, low: raw.low, port: raw.port, scope: raw.scope)
    default: return nil
    }
  }

  var raw: cev_address {
    cev_address(high: high, low: low, scope: scope, port: port, family: UInt16(family.rawValue))
  }
}

extension SocketAddress: CustomStringConvertible {
  /// `127.0.0.1:6881` or `[::1]:6881`.
  public var description: String {
    family == .v4 ? "\(host):\(port)" : "[\(host)]:\(port)"
  }

  /// The address without the port: `127.0.0.1`, `2001:db8::1`, `fe80::1%3`. IPv6 as RFC 5952 wants it.
  public var host: String {
    guard family == .v6 else { return SocketAddress.dotted(UInt32(truncatingIfNeeded: low)) }
    let suffix = scope == 0 ? "" : "%\(scope)"
    if high == 0, low >> 32 == 0xffff {
      return "::ffff:" + SocketAddress.dotted(UInt32(truncatingIfNeeded: low)) + suffix
    }
    var groups: [UInt16] = []
    for half in [high, low] {
      for shift in [48, 32, 16, 0] { groups.append(UInt16(truncatingIfNeeded: half >> UInt64(shift))) }
    }
    let gap = SocketAddress.longestZeroRun(groups)
    let hex = { (part: ArraySlice<UInt16>) in part.map { String($0, radix: 16) }.joined(separator: ":") }
    guard let gap else { return hex(groups[...]) + suffix }
    return hex(groups[..<gap.lowerBound]) + "::" + hex(groups[gap.upperBound...]) + suffix
  }

  private static func dotted(_ address: UInt32) -> String {
    "\(address >> 24).\(address >> 16 & 255).\(address >> 8 & 255).\(address & 255)"
  }

  /// The first of the longest runs of at least two zero groups.
  private static func longestZeroRun(_ groups: [UInt16]) -> Range<Int>? {
    var best: Range<Int>?
    var start: Int?
    for index in 0...groups.count {
      if index < groups.count, groups[index] == 0 {
        start = start ?? index
      } else if let first = start {
        let length = index - first
        if length >= 2, length > (best?.count ?? 0) { best = first..<index }
        start = nil
      }
    }
    return best
  }
}

extension SocketAddress {
  /// Parses a numeric address with a port: `127.0.0.1:6881`, `[::1]:6881`. Names are refused.
  public init?(parsing text: some StringProtocol) {
    if text.utf8.first == UInt8(ascii: "[") {
      guard let close = text.lastIndex(of: "]") else { return nil }
      let rest = text[text.index(after: close)...]
      guard rest.utf8.first == UInt8(ascii: ":"), let port = Self.parsePort(rest.dropFirst()) else {
        return nil
      }
      let host = text[text.index(after: text.startIndex)..<close]
      guard let address = Self(host: host, port: port), address.family == .v6 else { return nil }
      self = address
    } else {
      guard let colon = text.lastIndex(of: ":"), let port = Self.parsePort(text[text.index(after: colon)...])
      else { return nil }
      guard let address = Self(host: text[..<colon], port: port), address.family == .v4 else { return nil }
      self = address
    }
  }

  /// Parses a numeric address without a port: `127.0.0.1`, `2001:db8::1`, `fe80::1%eth0`. Names are refused.
  public init?(host: some StringProtocol, port: UInt16) {
    // The longest: 45 characters of IPv6 and the name of an interface.
    let text = Array(host.utf8.prefix(65))[...]
    guard text.count <= 64 else { return nil }
    if let v4 = Self.parseDotted(text) {
      self.init(v4: v4, port: port)
      return
    }
    var scope: UInt32 = 0
    var digits = text
    if let percent = text.firstIndex(of: UInt8(ascii: "%")) {
      guard let found = Self.parseZone(text[(percent + 1)...]) else { return nil }
      scope = found
      digits = text[..<percent]
    }
    guard let groups = Self.parseGroups(digits) else { return nil }
    var halves: (UInt64, UInt64) = (0, 0)
    for index in 0..<4 { halves.0 = halves.0 << 16 | UInt64(groups[index]) }
    for index in 4..<8 { halves.1 = halves.1 << 16 | UInt64(groups[index]) }
    self.init(v6High: halves.0, low: halves.1, port: port, scope: scope)
  }

  /// The number of an interface given by number or name.
  private static func parseZone(_ text: ArraySlice<UInt8>) -> UInt32? {
    guard !text.isEmpty, !text.contains(0) else { return nil }
    let name = String(decoding: text, as: UTF8.self)
    if let number = UInt32(name) { return number == 0 ? nil : number }
    let index = unsafe cev_interface_index(name)
    return index == 0 ? nil : index
  }

  static func parsePort(_ text: some StringProtocol) -> UInt16? {
    guard (1...5).contains(text.utf8.count), text.utf8.allSatisfy({ (48...57).contains($0) }) else {
      return nil
    }
    return UInt16(text)
  }

  /// Four decimal numbers, without leading zeros: `010.0.0.1` means different things to different programs.
  private static func parseDotted(_ text: ArraySlice<UInt8>) -> UInt32? {
    guard text.count <= 15 else { return nil }
    let parts = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    var result: UInt32 = 0
    for part in parts {
      guard (1...3).contains(part.count), part.count == 1 || part.first != UInt8(ascii: "0") else {
        return nil
      }
      var value: UInt32 = 0
      for digit in part {
        guard (48...57).contains(digit) else { return nil }
        value = value * 10 + UInt32(digit - 48)
      }
      guard value <= 255 else { return nil }
      result = result << 8 | value
    }
    return result
  }

  /// The eight groups of an IPv6 address, with at most one `::` and perhaps a dotted end.
  private static func parseGroups(_ text: ArraySlice<UInt8>) -> [UInt16]? {
    guard text.count >= 2, text.count <= 45 else { return nil }
    var front: [UInt16] = []
    var back: [UInt16]?
    var fields = text.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)[...]
    // A leading or trailing "::" shows as two empty fields, a single one as a mistake.
    if fields.first?.isEmpty == true {
      guard fields.dropFirst().first?.isEmpty == true else { return nil }
      fields = fields.dropFirst()
    }
    if fields.last?.isEmpty == true {
      guard fields.dropLast().last?.isEmpty == true else { return nil }
      fields = fields.dropLast()
    }
    for (index, field) in fields.enumerated() {
      var groups: [UInt16] = []
      if field.isEmpty {
        guard back == nil else { return nil }
        back = []
        continue
      } else if field.contains(UInt8(ascii: ".")) {
        guard index == fields.count - 1, let v4 = parseDotted(field) else { return nil }
        groups = [UInt16(v4 >> 16), UInt16(v4 & 0xffff)]
      } else {
        guard field.count <= 4, let value = parseHex(field) else { return nil }
        groups = [value]
      }
      if back == nil { front += groups } else { back? += groups }
    }
    let missing = 8 - front.count - (back?.count ?? 0)
    guard back == nil ? missing == 0 : missing >= 1 else { return nil }
    return front + Array(repeating: 0, count: missing) + (back ?? [])
  }

  private static func parseHex(_ field: ArraySlice<UInt8>) -> UInt16? {
    var value: UInt16 = 0
    for byte in field {
      let digit: UInt8
      switch byte {
      case 48...57: digit = byte - 48
      case 65...70: digit = byte - 55
      case 97...102: digit = byte - 87
      default: return nil
      }
      value = value << 4 | UInt16(digit)
    }
    return value
  }
}
