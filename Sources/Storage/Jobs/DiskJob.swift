import BlockPool
import TorrentModel

/// One thing for the disk to do for one torrent. Jobs carry block numbers, never bytes.
public struct DiskJob: Sendable {
  public let storage: TorrentStorage
  public let work: Work

  public init(_ storage: TorrentStorage, _ work: Work) {
    self.storage = storage
    self.work = work
  }

  public enum Work: Sendable {
    /// Blocks of a piece arrived, each filled from its start. Storage owns the pool's blocks from now on and gives them
    /// back itself. Ends in `pieceVerified`, `pieceFailed`, `pieceDropped` or, for each block, `blockDropped`.
    ///
    /// Post blocks only of pieces that are not verified. A block posted twice is dropped without a word.
    case blocks(PieceIndex, BlockRun)
    /// Forgets all blocks held of a piece. Says nothing back.
    case abandon(PieceIndex)
    /// Fills blocks from the disk. The blocks stay the caller's, who leaves them alone until `blocksRead` or `readFailed`.
    case read(BlockRead)

    // What follows runs alone: after all jobs of the torrent posted before it, before all posted after it.

    /// Compares the files with the resume record, makes links and empty files, reserves space in mode `full`. The first
    /// job of a torrent, and the one that ends a failure. Ends in `opened` or `operationFailed`.
    case open(OpenOptions)
    /// Reads and hashes pieces (nil: all), on all cores. Missing files make missing pieces, not errors. Progress comes as
    /// `checkProgress`; ends in `checked` or `operationFailed`. ``TorrentStorage/cancelLongJob()`` stops it early.
    case check(Bitfield?)
    /// Hashes all pieces of a torrent in the making, on all cores; every file must have its exact length. Progress comes
    /// as `checkProgress`; ends in `hashed` or `operationFailed`. ``TorrentStorage/cancelLongJob()`` stops it early.
    case hash
    /// Which files are wanted from now on, by number. Ends in `wantedChanged` or `operationFailed`.
    case setWanted([Bool])
    /// Forgets all blocks held and closes the files. Saves nothing: `save` before. Ends in `closed`.
    case close
    /// As `close`, then removes the torrent's files, its part file, its resume record and the folders left empty. Ends in
    /// `deleted` or `operationFailed`.
    case delete
    /// Takes all files below another root, copying where renaming cannot. Ends in `moved` or `operationFailed`; then the
    /// files are where they were.
    case move(root: String)

    // This one runs beside other jobs.

    /// Syncs what was written so far, then writes the resume record, which names `verified`: pieces reported verified,
    /// trusted or checked before this job was posted. `userData` comes back with `opened`. Ends in `saved` or
    /// `operationFailed`.
    case save(verified: Bitfield, userData: [UInt8])
  }
}

/// Blocks of a piece, one behind the other. Peers send them so, and one job for all costs little more than for one.
public struct BlockRun: Sendable {
  public static let maximumBlocks = 16

  /// Number of the first block in its piece.
  public let first: Int
  public private(set) var count = 1
  private var ids: InlineArray<16, BlockID>

  public init(_ first: Int, _ id: BlockID) {
    self.first = first
    ids = InlineArray(repeating: id)
  }

  /// Takes in block `number` of the piece. Returns false when it is not the next one, or the run is full.
  public mutating func append(_ number: Int, _ id: BlockID) -> Bool {
    guard count < BlockRun.maximumBlocks, number == first + count else { return false }
    ids[count] = id
    count += 1
    return true
  }

  /// Where the block is that is `index` behind the first.
  public subscript(index: Int) -> BlockID {
    precondition(index < count)
    return ids[index]
  }

  /// Calls `body` with the number of each block in its piece, and where it is.
  public func forEach(_ body: (_ number: Int, BlockID) -> Void) {
    for i in 0..<count { body(first + i, self[i]) }
  }
}

/// A read into up to ``maximumBlocks`` blocks.
public struct BlockRead: Sendable {
  /// Blocks of one read. Neighbouring reads posted together become one system call, so a long run is several of these.
  public static let maximumBlocks = 16

  /// Comes back with the completion.
  public var token: UInt64
  /// Bytes from the start of the torrent's contents; may lie anywhere in a piece and the run may cross pieces.
  public var offset: Int64
  /// Bytes, at most 16 KiB for each block; blocks are filled one after the other.
  public var length: Int
  /// The first ``blockCount`` entries are meant.
  public var blocks: InlineArray<16, BlockID>

  public init(token: UInt64, offset: Int64, length: Int, blocks: InlineArray<16, BlockID>) {
    precondition(length >= 0 && length <= BlockRead.maximumBlocks * BlockPool.blockLength)
    self.token = token
    self.offset = offset
    self.length = length
    self.blocks = blocks
  }

  /// A read into one block.
  public init(token: UInt64, offset: Int64, length: Int, block: BlockID) {
    precondition(length <= BlockPool.blockLength)
    self.init(token: token, offset: offset, length: length, blocks: InlineArray(repeating: block))
  }

  /// Blocks that `length` bytes need.
  public var blockCount: Int { (length + BlockPool.blockLength - 1) / BlockPool.blockLength }
}

/// How to open a torrent.
public struct OpenOptions: Sendable {
  /// Whether missing folders, links, empty files and (in mode `full`) space may be made. Off for a torrent that is only
  /// read: then nothing on the disk changes.
  public var createsFiles = true
  /// Pieces this process verified itself and still vouches for: what a torrent had when it failed. Trusted as far as the
  /// files did not change since the failure; nil trusts the resume record alone.
  public var known: Bitfield?

  public init(createsFiles: Bool = true, known: Bitfield? = nil) {
    self.createsFiles = createsFiles
    self.known = known
  }
}
