/// The number of a piece within its torrent, counted from zero (BEP 3).
@frozen
public struct PieceIndex: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
  public var rawValue: UInt32

  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
  /// A programmer's index. `value` must be in `0 ..< 2^32`.
  @inlinable public init(_ value: Int) { self.rawValue = UInt32(value) }

  /// The index as an array offset.
  @inlinable public var offset: Int { Int(rawValue) }
  @inlinable public static func < (a: PieceIndex, b: PieceIndex) -> Bool { a.rawValue < b.rawValue }
  public var description: String { "piece \(rawValue)" }
}

/// A run of bytes inside one piece, as the `request`, `piece`, `cancel` and `reject` messages name it (BEP 3, BEP 6).
@frozen
public struct BlockRequest: Hashable, Sendable, CustomStringConvertible {
  public var piece: PieceIndex
  /// Bytes from the start of the piece.
  public var begin: UInt32
  /// Bytes.
  public var length: UInt32

  @inlinable public init(piece: PieceIndex, begin: UInt32, length: UInt32) {
    self.piece = piece
    self.begin = begin
    self.length = length
  }

  /// The number of the 16 KiB block that begins at `begin`. Meaningful when `begin` is block-aligned.
  @inlinable public var blockOffset: Int { Int(begin / UInt32(blockLength)) }
  public var description: String { "piece \(piece.rawValue) at \(begin)+\(length)" }
}

/// 16 KiB: what every client requests at a time, and the size of a slot in the block pool.
public let blockLength = 16 * 1024
