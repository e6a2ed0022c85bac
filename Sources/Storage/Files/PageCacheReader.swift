import BlockPool
import Synchronization
import TorrentModel

/// Reads for upload what the system holds in memory, on the caller's own thread, and never waits for a device.
///
/// A hop to a reading thread and back costs more than copying a block, and what comes from another core comes through a
/// slower cache: where the bytes are at hand, the thread that sends them is the best one to fetch them. What is not at hand
/// (or not simple: several files, a part file, a file that was not opened yet) is for ``DiskJob/Work/read(_:)``.
///
/// For the thread that posts the torrent's jobs, and for one thread.
public struct PageCacheReader: ~Copyable {
  private let core: DiskCore
  private var segments: [BlockSegment] = []

  init(core: DiskCore) { self.core = core }

  /// Fills the blocks of `read`, whose token means nothing here, if that takes no waiting.
  /// - Returns: false when a ``DiskJob/Work/read(_:)`` has to do it; what is in the blocks then is of no use. Failures are
  ///   also left to that.
  public mutating func fill(_ read: BlockRead, of storage: TorrentStorage) -> Bool {
    guard read.length > 0, read.offset >= 0,
      read.offset + Int64(read.length) <= storage.geometry.totalLength,
      storage.gate.withLock({ $0.isOpen }), !storage.isStopped.load(ordering: .relaxed)
    else { return false }
    var spans = storage.layout.spans(from: read.offset, length: Int64(read.length))
    guard let span = spans.next(), span.length == Int64(read.length),
      storage.map.placements[span.file] == .own,
      let file = core.cache.lookup(
        FileCache.Key(torrent: storage.id, file: Int32(span.file)), writing: false),
      file.canReadAtHand.load(ordering: .relaxed), file.wasLookedAt(now: monotonicNow())
    else { return false }
    segments.removeAll(keepingCapacity: true)
    var left = read.length
    for i in 0..<read.blockCount {
      let count = min(left, BlockPool.blockLength)
      segments.append(BlockSegment(block: read.blocks[i], count: count))
      left -= count
    }
    do throws(SystemError) {
      let count = try core.cache.fileSystem.readAtHand(
        into: segments.span, of: core.pool, from: file.descriptor, at: span.offset)
      guard count == read.length else { return false }
      storage.writing.noteRead(Int64(count))
      return true
    } catch {
      file.canReadAtHand.store(false, ordering: .relaxed)
      return false
    }
  }
}
