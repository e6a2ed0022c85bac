/// How a torrent's bytes divide into pieces and blocks (BEP 3). Every length is in bytes.
///
/// A block is 16 KiB, the last one of a piece may be shorter; the last piece may be shorter than the others.
/// Piece lengths need not be a multiple of the block.
@frozen
public struct PieceGeometry: Hashable, Sendable {
  public let totalLength: Int64
  public let pieceLength: Int
  public let pieceCount: Int

  /// - Precondition: `totalLength >= 0`, `pieceLength > 0`, and no more than 2^31 pieces: parsers check this before.
  public init(totalLength: Int64, pieceLength: Int) {
    precondition(totalLength >= 0 && pieceLength > 0 && pieceLength <= Int(UInt32.max))
    let count = totalLength == 0 ? 0 : (totalLength - 1) / Int64(pieceLength) + 1
    precondition(count <= Int64(Int32.max))
    self.totalLength = totalLength
    self.pieceLength = pieceLength
    self.pieceCount = Int(count)
  }

  @inlinable public func contains(_ piece: PieceIndex) -> Bool { piece.offset < pieceCount }

  /// Bytes in `piece`. Zero for an index outside the torrent.
  @inlinable public func length(of piece: PieceIndex) -> Int {
    let offset = piece.offset
    if offset + 1 < pieceCount { return pieceLength }
    guard offset < pieceCount else { return 0 }
    return Int(totalLength - Int64(offset) * Int64(pieceLength))
  }

  /// Offset of the first byte of `piece` in the torrent's contents.
  @inlinable public func start(of piece: PieceIndex) -> Int64 { Int64(piece.offset) * Int64(pieceLength) }

  /// Blocks in `piece`, the short last one counted. Zero for an index outside the torrent.
  @inlinable public func blockCount(of piece: PieceIndex) -> Int {
    (length(of: piece) + blockLength - 1) / blockLength
  }

  /// The most blocks any piece has.
  @inlinable public var maxBlocksPerPiece: Int {
    pieceCount == 0 ? 0 : blockCount(of: PieceIndex(0))
  }

  /// Bytes in block number `block` of `piece`; zero when there is no such block.
  @inlinable public func length(ofBlock block: Int, in piece: PieceIndex) -> Int {
    let rest = length(of: piece) - block * blockLength
    return block < 0 ? 0 : max(0, min(blockLength, rest))
  }

  /// The request for block number `block` of `piece`.
  @inlinable public func request(block: Int, of piece: PieceIndex) -> BlockRequest {
    BlockRequest(
      piece: piece, begin: UInt32(block * blockLength), length: UInt32(length(ofBlock: block, in: piece)))
  }

  /// Whether `request` names exactly one of our blocks.
  @inlinable public func isBlock(_ request: BlockRequest) -> Bool {
    contains(request.piece) && request.begin % UInt32(blockLength) == 0 && request.length > 0
      && length(ofBlock: Int(request.begin) / blockLength, in: request.piece) == Int(request.length)
  }

  /// Whether `request` lies inside its piece and is not empty. Overflow-safe for any input.
  @inlinable public func isInside(_ request: BlockRequest) -> Bool {
    request.length > 0 && UInt64(request.begin) + UInt64(request.length) <= UInt64(length(of: request.piece))
  }

  /// The pieces that hold any of `length` bytes at `offset` of the contents. Empty for an empty run.
  public func pieces(from offset: Int64, length: Int64) -> Range<Int> {
    guard length > 0, offset >= 0, offset < totalLength else { return 0..<0 }
    let first = Int(offset / Int64(pieceLength))
    let last = Int(min(totalLength - 1, offset + length - 1) / Int64(pieceLength))
    return first..<(last + 1)
  }
}
