/// The eight reserved bytes of a handshake, by which a peer says what it can do beyond BEP 3.
///
/// Bits that are not named here are kept as they came and mean nothing.
@frozen
public struct ReservedBits: OptionSet, Hashable, Sendable {
  /// The eight bytes read big-endian: bit 0 is the lowest bit of the last byte.
  public var rawValue: UInt64

  @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// BEP 5: the peer runs a DHT node and takes `port` messages.
  public static let dht = ReservedBits(rawValue: 1 << 0)
  /// BEP 6: have all, have none, suggest, reject and allowed fast.
  public static let fast = ReservedBits(rawValue: 1 << 2)
  /// BEP 52: the peer can speak the v2 protocol for a hybrid torrent.
  public static let v2Upgrade = ReservedBits(rawValue: 1 << 4)
  /// BEP 10: extended messages.
  public static let extensionProtocol = ReservedBits(rawValue: 1 << 20)

  /// What Spate says of itself.
  public static let supported: ReservedBits = [.fast, .extensionProtocol]
}

extension ReservedBits: CustomStringConvertible {
  public var description: String {
    var names: [String] = []
    if contains(.dht) { names.append("DHT") }
    if contains(.fast) { names.append("fast") }
    if contains(.v2Upgrade) { names.append("v2") }
    if contains(.extensionProtocol) { names.append("extensions") }
    return names.isEmpty ? "none" : names.joined(separator: ", ")
  }
}
