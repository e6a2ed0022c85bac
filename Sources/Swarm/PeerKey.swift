/// The number of a connection within its torrent.
///
/// The driver hands keys out: small and dense, since arrays are indexed by them. A key may be used again once
/// ``Swarm/peerDisconnected(_:reason:now:)`` was called for it.
@frozen
public struct PeerKey: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
  public var rawValue: UInt16

  @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }
  /// A programmer's number. `value` must be in `0 ..< PeerKey.limit`.
  @inlinable public init(_ value: Int) {
    precondition(value < PeerKey.limit)
    self.rawValue = UInt16(value)
  }

  /// Keys are below this: no torrent has as many connections.
  public static let limit = 0xffff

  /// The key as an array offset.
  @inlinable public var offset: Int { Int(rawValue) }
  @inlinable public static func < (a: PeerKey, b: PeerKey) -> Bool { a.rawValue < b.rawValue }
  public var description: String { "peer \(rawValue)" }

  /// Stands for "nobody" inside this room; never handed out.
  static let none = PeerKey(rawValue: 0xffff)
}
