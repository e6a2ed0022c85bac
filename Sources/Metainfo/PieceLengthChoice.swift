import TorrentModel

extension PieceGeometry {
  /// A good piece length for so many bytes: the power of two, from 16 KiB to 16 MiB, that gives 1,025 to 2,048 pieces.
  ///
  /// Fewer pieces make a swarm coarse, since a peer offers nothing before it has a whole piece; more make the torrent
  /// larger and every bitfield with it. Below 16 MiB of contents there are fewer pieces, for a block is the smallest
  /// thing to transfer; above 32 GiB there are more, for a piece that is wrong is fetched again as a whole. Only where
  /// 2^22 pieces would not do (64 TiB) do they grow beyond, up to 512 MiB.
  public static func recommendedPieceLength(forTotalLength totalLength: Int64) -> Int {
    var length = blockLength
    func pieces() -> Int64 { totalLength <= 0 ? 0 : (totalLength - 1) / Int64(length) + 1 }
    while length < 16 << 20 && pieces() > 2048 { length *= 2 }
    while length < Limits.pieceLength && pieces() > Int64(Limits.pieceCount) { length *= 2 }
    return length
  }
}
