import BlockPool
import TorrentModel

/// Which 16 KiB of which torrent a cached block holds.
struct CacheKey: Equatable {
  /// The torrent's number on its loop.
  var torrent: UInt32
  var piece: UInt32
  /// Number of the block in its piece.
  var block: UInt32
}

/// Blocks read for uploading, shared by all torrents and peers of one loop.
///
/// A block stays after it was sent, so that the next peer who asks for it costs no read: least recently used blocks make
/// room. While a block is being read, or any peer's output refers to it, it is pinned. Blocks that the system has in memory
/// anyway are only passing: they leave when they were sent, so that the next ones are read where the last ones were, into
/// memory that is still in the processor's cache.
///
/// All bookkeeping is in arrays indexed by small numbers; nothing is allocated for a hit.
final class ReadCache {
  enum Lookup: Equatable {
    /// The block and how many bytes of it are meaningful.
    case ready(BlockID, count: Int)
    case reading
    case missing
  }

  private struct Entry {
    var key: CacheKey
    var block: BlockID
    /// Bytes; zero while the block is being read.
    var count: Int32
    /// Outputs that refer to the block, plus one while it is being read.
    var pins: Int32
    /// Neighbours in order of use; -1 at the ends. Only unpinned entries are in the list.
    var previous: Int32 = -1
    var next: Int32 = -1
    /// It leaves when it was sent.
    var isPassing: Bool
    /// The torrent went away while the block was pinned: it leaves with its last pin.
    var isDoomed = false
  }

  private let pool: BlockPool
  /// Most blocks the cache may hold.
  let limit: Int
  /// Blocks left in the pool for receiving: the cache evicts before it takes from these.
  let reserve: Int
  private var index = CacheIndex()
  private var entries: [Entry] = []
  private var freeSlots: [Int32] = []
  /// Entry of a pool block, -1 for none.
  private var owner: [Int32]
  private var newest: Int32 = -1
  private var oldest: Int32 = -1
  private(set) var hits: Int64 = 0
  private(set) var misses: Int64 = 0

  init(pool: BlockPool, limit: Int, reserve: Int) {
    self.pool = pool
    self.limit = max(1, limit)
    self.reserve = reserve
    self.owner = [Int32](repeating: -1, count: pool.capacity)
  }

  /// Blocks held, pinned ones included.
  var count: Int { index.count + doomed }
  private var doomed = 0

  func lookup(_ key: CacheKey) -> Lookup {
    guard let slot = index.find(key) else { return .missing }
    let entry = entries[Int(slot)]
    return entry.count == 0 ? .reading : .ready(entry.block, count: Int(entry.count))
  }

  /// An output refers to the block of `key`, which is ready: it stays until ``unpin(_:)``.
  func pin(_ key: CacheKey) {
    guard let slot = index.find(key) else { preconditionFailure("pinned a block that is not cached") }
    hits += 1
    if entries[Int(slot)].pins == 0 { unlink(slot) }
    entries[Int(slot)].pins += 1
  }

  /// An output no longer refers to the block. Returns false if the block is none of the cache's.
  func unpin(_ block: BlockID) -> Bool {
    let slot = owner[Int(block.rawValue)]
    guard slot >= 0 else { return false }
    if entries[Int(slot)].isPassing, entries[Int(slot)].pins == 1 { doom(slot) }
    dropPin(slot)
    return true
  }

  /// Takes a block to read `key` into, pinned until ``finishReading(_:count:)``. nil when there is no room.
  /// - Parameter isPassing: the block leaves when it was sent.
  func startReading(_ key: CacheKey, isPassing: Bool = false) -> BlockID? {
    guard let block = takeSpare() else { return nil }
    startReading(key, into: block, isPassing: isPassing)
    return block
  }

  /// Takes a block out of the pool, for a key that is not known yet or for none. nil when there is no room.
  func takeSpare() -> BlockID? {
    while count >= limit || pool.available <= reserve {
      if !evictOldest() { break }
    }
    guard count < limit, pool.available > reserve else { return nil }
    return pool.take()
  }

  /// Gives back a block of ``takeSpare()`` that was not needed.
  func returnSpare(_ block: BlockID) { pool.release(block) }

  /// As ``startReading(_:isPassing:)``, with a block of ``takeSpare()``.
  func startReading(_ key: CacheKey, into block: BlockID, isPassing: Bool) {
    misses += 1
    let entry = Entry(key: key, block: block, count: 0, pins: 1, isPassing: isPassing)
    let slot: Int32
    if let free = freeSlots.popLast() {
      slot = free
      entries[Int(slot)] = entry
    } else {
      slot = Int32(entries.count)
      entries.append(entry)
    }
    index.insert(key, slot)
    owner[Int(block.rawValue)] = slot
  }

  /// The read of `block` ended: `count` bytes are there, or none, and then the block leaves.
  func finishReading(_ block: BlockID, count: Int) {
    let slot = owner[Int(block.rawValue)]
    guard slot >= 0 else { return }
    entries[Int(slot)].count = Int32(count)
    if count == 0 { doom(slot) }
    dropPin(slot)
  }

  /// Forgets what is cached of a torrent; pinned blocks leave with their last pin.
  func removeAll(of torrent: UInt32) {
    var slots: [Int32] = []
    index.forEach { key, slot in
      if key.torrent == torrent { slots.append(slot) }
    }
    for slot in slots {
      if entries[Int(slot)].pins == 0 {
        unlink(slot)
        free(slot)
      } else {
        doom(slot)
      }
    }
  }

  /// Gives up to `wanted` unpinned blocks back to the pool.
  func shrink(by wanted: Int) {
    for _ in 0..<wanted where !evictOldest() { return }
  }

  private func evictOldest() -> Bool {
    guard oldest >= 0 else { return false }
    let slot = oldest
    unlink(slot)
    free(slot)
    return true
  }

  private func doom(_ slot: Int32) {
    guard !entries[Int(slot)].isDoomed else { return }
    entries[Int(slot)].isDoomed = true
    index.remove(entries[Int(slot)].key)
    doomed += 1
  }

  private func dropPin(_ slot: Int32) {
    entries[Int(slot)].pins -= 1
    guard entries[Int(slot)].pins == 0 else { return }
    if entries[Int(slot)].isDoomed {
      free(slot)
    } else {
      linkNewest(slot)
    }
  }

  private func free(_ slot: Int32) {
    let entry = entries[Int(slot)]
    owner[Int(entry.block.rawValue)] = -1
    if entry.isDoomed { doomed -= 1 } else { index.remove(entry.key) }
    pool.release(entry.block)
    freeSlots.append(slot)
  }

  private func linkNewest(_ slot: Int32) {
    entries[Int(slot)].next = -1
    entries[Int(slot)].previous = newest
    if newest >= 0 { entries[Int(newest)].next = slot } else { oldest = slot }
    newest = slot
  }

  private func unlink(_ slot: Int32) {
    let entry = entries[Int(slot)]
    if entry.previous >= 0 { entries[Int(entry.previous)].next = entry.next } else { oldest = entry.next }
    if entry.next >= 0 { entries[Int(entry.next)].previous = entry.previous } else { newest = entry.previous }
  }
}
