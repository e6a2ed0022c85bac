import TorrentModel

/// The pieces a peer may have while it is choked, so that a newcomer has something to trade with (BEP 6).
public enum AllowedFast {
  /// The canonical set of one peer, in the order in which it grows. Two who offer the same number of pieces to a
  /// peer offer the same pieces.
  ///
  /// BEP 6 knows IPv4 only and counts by /24. For IPv6 the upper 64 bits are used, as one subscriber has them.
  ///
  /// - Parameters:
  ///   - address: the receiving peer's address, as seen from here.
  ///   - count: how many pieces; the BEP suggests 10. A torrent of fewer pieces gives all of them.
  ///   - sha1: the SHA-1 of some bytes.
  public static func pieces(
    for address: IPAddress, infoHash: InfoHash, pieceCount: Int, count: Int = 10,
    sha1: (Span<UInt8>) -> Bytes20
  ) -> [PieceIndex] {
    guard pieceCount > 0, pieceCount <= Int(UInt32.max), count > 0 else { return [] }
    guard count < pieceCount else { return (0..<pieceCount).map { PieceIndex($0) } }
    var input: [UInt8] = []
    if address.isV4 {
      Self.append(address.v4 & 0xffff_ff00, to: &input)
    } else {
      Self.append(UInt32(truncatingIfNeeded: address.high >> 32), to: &input)
      Self.append(UInt32(truncatingIfNeeded: address.high), to: &input)
    }
    infoHash.bytes.append(to: &input)

    var pieces: [PieceIndex] = []
    // Five draws a digest hit few pieces twice. The bound only keeps a broken digest from looping for ever.
    for _ in 0..<100 + 20 * count where pieces.count < count {
      let digest = sha1(input.span)
      input.removeAll(keepingCapacity: true)
      digest.append(to: &input)
      for word in 0..<5 where pieces.count < count {
        let number = input.span.bigEndian32(at: word * 4)
        let piece = PieceIndex(rawValue: number % UInt32(pieceCount))
        if !pieces.contains(piece) { pieces.append(piece) }
      }
    }
    return pieces
  }

  private static func append(_ word: UInt32, to output: inout [UInt8]) {
    output.append(addingCapacity: 4) { $0.append(bigEndian: word) }
  }
}
