import BlockPool

/// The disk of a session: threads that hash, write, read and check for any number of torrents. See ``DiskJob``.
///
/// Nothing a caller does here waits for a disk or a hash, except ``shutdown()``.
public final class DiskService: Sendable {
  /// Blocks of the pool kept for reading back and checking, from start to shutdown.
  public let reservedBlocks: Int

  /// - Parameters:
  ///   - workers: threads that hash and write pieces. A piece belongs to one of them.
  ///   - fileLimit: files to have open at once; nil takes what `RLIMIT_NOFILE` leaves beside sockets.
  public init(
    pool: BlockPool, workers: Int, fileSystem: any FileSystem = RealFileSystem(), fileLimit: Int? = nil
  ) {
    reservedBlocks = 0
  }

  /// Hands over a batch: once per turn of a loop. The array is emptied and keeps its space. Jobs of one torrent keep
  /// their order when they are posted from one thread.
  public func submit(_ jobs: inout [DiskJob]) { jobs.removeAll(keepingCapacity: true) }

  /// Tells the workers that the pool ran dry: they write out what they hold, complete or not. Cheap to call again.
  public func relievePool() {}

  /// Finishes all jobs posted before, gives all blocks back and ends the threads. Blocks the caller; call it once, last.
  public func shutdown() {}
}
