import TorrentModel

/// The extension by which a peer takes a `have` back (BEP 54).
public enum DontHave {
  public static let registration = WireExtension(name: "lt_donthave", localID: 1, messageLengthLimit: 4)

  /// Reads the payload of a message.
  ///
  /// - Parameter pieceCount: pieces in the torrent, or `nil` while that is not known.
  public static func decode(_ payload: Span<UInt8>, pieceCount: Int?) throws(PeerProtocolError) -> PieceIndex
  {
    guard payload.count == 4 else {
      throw .badExtensionMessage(extension: registration.name, reason: "\(payload.count) bytes instead of 4")
    }
    let piece = PieceIndex(rawValue: payload.bigEndian32(at: 0))
    guard piece.offset < pieceCount ?? Limits.pieceCount else { throw .noSuchPiece(.extended, piece) }
    return piece
  }

  /// Appends a message to a peer that takes them under `remoteID`.
  public static func append(_ piece: PieceIndex, remoteID: UInt8, to output: inout [UInt8]) {
    output.append(addingCapacity: 10) { span in
      span.append(bigEndian: 6)
      span.append(PeerMessage.ID.extended.rawValue)
      span.append(remoteID)
      span.append(bigEndian: piece.rawValue)
    }
  }
}
