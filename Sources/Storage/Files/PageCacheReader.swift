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
  private let mapped = MappedFiles()

  init(core: DiskCore) { self.core = core }

  /// Fills the blocks of `read`, whose token means nothing here, if that takes no waiting.
  /// - Returns: false when a ``DiskJob/Work/read(_:)`` has to do it; what is in the blocks then is of no use. Failures are
  ///   also left to that.
  public mutating func fill(_ read: BlockRead, of storage: TorrentStorage) -> Bool {
    guard let place = place(read.offset, read.length, of: storage) else { return false }
    segments.removeAll(keepingCapacity: true)
    var left = read.length
    for i in 0..<read.blockCount {
      let count = min(left, BlockPool.blockLength)
      segments.append(BlockSegment(block: read.blocks[i], count: count))
      left -= count
    }
    do throws(SystemError) {
      let count = try core.cache.fileSystem.readAtHand(
        into: segments.span, of: core.pool, from: place.file.descriptor, at: place.offset)
      guard count == read.length else { return false }
      storage.writing.noteRead(Int64(count))
      place.file.wasReadAtHand.store(true, ordering: .relaxed)
      return true
    } catch {
      place.file.canReadAtHand.store(false, ordering: .relaxed)
      return false
    }
  }

  /// Lets `send` have `length` bytes from `offset` of the contents on where the system holds them, if that takes no waiting.
  ///
  /// Should the system take a page back between the look at what is in memory and the call that sends it, that call waits for
  /// the device, once; microseconds lie between.
  /// - Parameter send: is given the mapping of a file and where in it the bytes are, and returns how many it used, from the
  ///   first on. It hands them to a system call, and keeps nothing.
  /// - Returns: what `send` returned, or nil when the bytes have to be read.
  public mutating func send(
    _ offset: Int64, _ length: Int, of storage: TorrentStorage, through send: (FileMapping, Int64) -> Int
  ) -> Int? {
    guard let place = place(offset, length, of: storage),
      // Only where a read has shown that this file system knows what it has: others may ask a server at each fault.
      place.file.wasReadAtHand.load(ordering: .relaxed), place.file.canMap.load(ordering: .relaxed)
    else { return nil }
    guard let mapping = mapped.mapping(of: place.file, length: place.fileLength) else {
      place.file.canMap.store(false, ordering: .relaxed)
      return nil
    }
    // Behind the end of a file that was cut short the system may still hold pages, and fills up the last one with zeros.
    guard let size = try? core.cache.fileSystem.status(of: place.file.descriptor).size,
      size >= place.offset + Int64(length), mapping.isResident(place.offset, length)
    else { return nil }
    let count = send(mapping, place.offset)
    mapping.release(place.offset, length)
    storage.writing.noteRead(Int64(count))
    return count
  }

  /// The one open file that a range is in, and where.
  private func place(
    _ offset: Int64, _ length: Int, of storage: TorrentStorage
  ) -> (file: OpenFile, offset: Int64, fileLength: Int64)? {
    guard length > 0, offset >= 0, offset + Int64(length) <= storage.geometry.totalLength,
      storage.gate.withLock({ $0.isOpen }), !storage.isStopped.load(ordering: .relaxed)
    else { return nil }
    var spans = storage.layout.spans(from: offset, length: Int64(length))
    guard let span = spans.next(), span.length == Int64(length), storage.map.placements[span.file] == .own,
      let file = core.cache.lookup(
        FileCache.Key(torrent: storage.id, file: Int32(span.file)), writing: false),
      file.canReadAtHand.load(ordering: .relaxed), file.wasLookedAt(now: monotonicNow())
    else { return nil }
    return (file, span.offset, storage.layout.length(of: span.file))
  }
}
