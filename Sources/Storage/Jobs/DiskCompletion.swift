import TorrentModel

/// What became of jobs of one torrent.
public struct DiskCompletion: Sendable {
  public let storage: TorrentStorage
  public let event: Event

  public enum Event: Sendable {
    /// The piece's hash is right and all its bytes were written. `digests` (one per block) come only with a piece that
    /// had failed before: blocks whose digests differ between the two were wrong then.
    case pieceVerified(PieceIndex, digests: [UInt64]?)
    /// The piece's hash is wrong; nothing of it is held any more. `digests`, keyed and comparable only within this
    /// process, tell its blocks apart; empty when they could not be had.
    case pieceFailed(PieceIndex, digests: [UInt64])
    /// This block was not taken; others of the piece are not affected.
    case blockDropped(PieceIndex, block: Int)
    /// Nothing of this unfinished piece is held any more: all its blocks have to come again.
    case pieceDropped(PieceIndex)

    /// The blocks hold all bytes asked for.
    case blocksRead(token: UInt64, length: Int)
    case readFailed(token: UInt64, StorageFailure)

    case opened(OpenResult)
    /// Bytes hashed so far by a `check` or `hash`, of how many.
    case checkProgress(done: Int64, total: Int64)
    case checked(CheckResult)
    /// Twenty bytes for each piece; nil when cancelled.
    case hashed([UInt8]?)
    case saved
    case wantedChanged
    case closed
    case deleted
    case moved(root: String)

    /// The torrent stopped: nothing of it is written until it is opened again. Comes once; unfinished pieces are dropped.
    case failed(StorageFailure)
    /// A job other than `block` and `read` could not be done. The torrent goes on as far as it can.
    case operationFailed(StorageFailure)
  }
}

/// What the files and the resume record of a torrent say when it is opened.
public struct OpenResult: Sendable {
  /// Pieces that can be relied on.
  public var verified: Bitfield
  /// Pieces that may be there: `check` them. All others are missing.
  public var unchecked: Bitfield
  /// What the last `save` was given, when a record was found.
  public var userData: [UInt8]?
  /// Why a record that exists was ignored.
  public var recordProblem: ResumeRecord.Problem?
}

/// What a check found.
public struct CheckResult: Sendable {
  /// Pieces whose hash is right.
  public var verified: Bitfield
  /// Pieces that were looked at; fewer than asked for when the check was cancelled.
  public var checked: Bitfield
  public var wasCancelled: Bool
}

/// Where completions go: one for each event loop. Called on Storage's threads, several at a time, with a batch; the
/// receiver takes the elements and leaves an empty array (a swap with its mailbox keeps both arrays' space).
public final class CompletionPort: Sendable {
  let deliver: @Sendable (inout [DiskCompletion]) -> Void

  public init(_ deliver: @escaping @Sendable (inout [DiskCompletion]) -> Void) { self.deliver = deliver }
}
