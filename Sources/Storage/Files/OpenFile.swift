import BlockPool
import Synchronization

/// A descriptor, closed when the last user lets go of it: the cache may forget a file while a worker writes to it.
final class OpenFile: Sendable {
  let descriptor: CInt
  let isWritable: Bool
  /// What the descriptor was opened as.
  let device: UInt64
  let inode: UInt64
  private let fileSystem: any FileSystem
  /// Bytes when it was opened.
  let size: Int64
  /// When the name was last compared with the descriptor.
  private let lookedAt: Atomic<Int64>
  private let reservation: Lock<Reservation>
  /// Cleared when the file system turns out not to know what is in memory.
  let canReadAtHand = Atomic<Bool>(true)

  /// Set once something was read at hand: the file system knows what is in memory.
  let wasReadAtHand = Atomic<Bool>(false)
  /// Cleared when the file turns out to be none to send from where it is.
  let canMap = Atomic<Bool>(true)
  private let mapping = Lock<FileMapping?>(nil)

  /// Cleared when the file turns out to be none to write past the page cache.
  let canWriteDirect = Atomic<Bool>(true)

  private struct Reservation {
    var isOn: Bool
    /// One bit for each chunk that space was taken for.
    var chunks: [UInt64] = []
  }

  init(
    descriptor: CInt, status: FileStatus, isWritable: Bool, reservesAhead: Bool, fileSystem: any FileSystem
  ) {
    self.descriptor = descriptor
    self.isWritable = isWritable
    self.device = status.device
    self.inode = status.inode
    self.fileSystem = fileSystem
    self.size = status.size
    self.lookedAt = Atomic(monotonicNow())
    self.reservation = Lock(Reservation(isOn: reservesAhead))
  }

  deinit { fileSystem.close(descriptor) }

  /// The file's bytes for the kernel to send from, `length` of them; nil where that is not to be had.
  func map(length: Int64) -> (mapping: FileMapping, isNew: Bool)? {
    mapping.withLock { mapping in
      if let mapping, mapping.length >= length { return (mapping, false) }
      mapping = fileSystem.map(descriptor, length: length)
      guard let mapping else { return nil }
      return (mapping, true)
    }
  }

  /// Gives back what the mapping takes, until it is needed again.
  func unmap() { mapping.withLock { $0 = nil } }

  private static let lookInterval: Int64 = 1_000_000_000

  /// Whether somebody looked within the last second whether the file is still there.
  func wasLookedAt(now: Int64) -> Bool { now - lookedAt.load(ordering: .relaxed) <= OpenFile.lookInterval }

  /// Whether it is time to look whether somebody removed or cut the file; true at most once a second.
  func isLookDue(now: Int64) -> Bool {
    let last = lookedAt.load(ordering: .relaxed)
    return now - last > OpenFile.lookInterval
      && lookedAt.compareExchange(expected: last, desired: now, ordering: .relaxed).exchanged
  }

  /// Bytes of a chunk of space taken ahead.
  static let chunkLength: Int64 = 16 << 20
  private static let leastLength: Int64 = 1 << 20

  /// Whether space is taken ahead of the writes.
  var reservesAhead: Bool { reservation.withLock { $0.isOn } }

  /// Takes space for the chunks that a write touches, as far as that was not done and the file system can. A failure is
  /// not one: the write itself will tell when the disk is full.
  func reserve(offset: Int64, length: Int64, of fileLength: Int64) {
    // A file that is written with one or two calls gains nothing.
    guard fileLength > OpenFile.leastLength else { return }
    reservation.withLock { reservation in
      guard reservation.isOn, length > 0 else { return }
      let first = Int(offset / OpenFile.chunkLength)
      let last = Int((offset + length - 1) / OpenFile.chunkLength)
      while reservation.chunks.count <= last >> 6 { reservation.chunks.append(0) }
      for chunk in first...last where reservation.chunks[chunk >> 6] & 1 << UInt64(chunk & 63) == 0 {
        let start = Int64(chunk) * OpenFile.chunkLength
        let end = min(start + OpenFile.chunkLength, fileLength)
        reservation.chunks[chunk >> 6] |= 1 << UInt64(chunk & 63)
        guard end > start else { continue }
        do {
          try fileSystem.reserve(descriptor, offset: start, length: end - start, growing: false)
        } catch {
          reservation.isOn = false
          return
        }
      }
    }
  }
}
