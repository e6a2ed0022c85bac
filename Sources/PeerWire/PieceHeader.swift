import TorrentModel

/// The thirteen bytes before the payload of a `piece` message: length prefix, id, piece, begin (BEP 3).
///
/// A read plan lays out `[header][block][header][block]…` ahead of what arrives, and then holds each header against
/// the request it expects. The payload never comes here.
public enum PieceHeader {
  /// Bytes before the payload.
  public static let length = 13

  /// Reads the header of a block.
  ///
  /// - Parameter bytes: at least ``length`` bytes, from the start of a message.
  /// - Returns: the block, whose `length` is that of the payload behind the header; `nil` when the message is
  ///   another one, or has no payload or more than `Limits.requestLength`. Whether the torrent has such a block is
  ///   not looked at: compare with the request, or give the bytes to a ``MessageParser``.
  @inlinable
  public static func decode(_ bytes: Span<UInt8>) -> BlockRequest? {
    guard bytes.count >= length, bytes[4] == PeerMessage.ID.piece.rawValue else { return nil }
    let prefix = bytes.bigEndian32(at: 0)
    guard prefix > 9, prefix &- 9 <= UInt32(Limits.requestLength) else { return nil }
    return BlockRequest(
      piece: PieceIndex(rawValue: bytes.bigEndian32(at: 5)), begin: bytes.bigEndian32(at: 9),
      length: prefix &- 9)
  }

  /// The header of `block`, whose payload is to follow.
  @inlinable
  public static func encode(_ block: BlockRequest) -> InlineArray<13, UInt8> {
    var bytes = InlineArray<13, UInt8>(repeating: 0)
    let words: InlineArray<3, UInt32> = [block.length &+ 9, block.piece.rawValue, block.begin]
    let starts: InlineArray<3, Int> = [0, 5, 9]
    for word in 0..<3 {
      for place in 0..<4 {
        bytes[starts[word] &+ place] = UInt8(truncatingIfNeeded: words[word] >> UInt32(24 &- 8 &* place))
      }
    }
    bytes[4] = PeerMessage.ID.piece.rawValue
    return bytes
  }

  /// Appends the header of `block`, whose payload is to follow.
  @inlinable
  public static func append(_ block: BlockRequest, to output: inout [UInt8]) {
    output.append(addingCapacity: length) { span in
      span.append(bigEndian: block.length &+ 9)
      span.append(PeerMessage.ID.piece.rawValue)
      span.append(bigEndian: block.piece.rawValue)
      span.append(bigEndian: block.begin)
    }
  }
}
