import Glibc
import Synchronization

/// Number of a block in a pool's slab.
@frozen
public struct BlockID: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt32
  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
}

public enum BlockPoolError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The operating system refused the address space for the slab.
  case cannotMap(bytes: Int, errno: CInt)

  public var description: String {
    switch self {
    case .cannotMap(let bytes, let code): "cannot reserve \(bytes) bytes for the block pool (error \(code))"
    }
  }
}

/// One slab of page-aligned 16 KiB blocks: every payload byte of the process lives here between socket and disk.
///
/// The kernel writes a received block into the slab once and reads it from there once. The slab is mapped at start and
/// touched lazily (in steps of 2 MiB where the system has huge pages). The lowest free blocks are taken first, so resident
/// memory follows what is really in use at once, and what is taken together lies side by side: the system then has few
/// long stretches to look after when a piece is written, instead of one for each block. Blocks that a device has just read
/// are an exception: they are left alone until many of them are, or some time has passed.
///
/// Any thread may take and give back blocks; batches take the lock once. Whoever holds a block's id, or its
/// ``BlockLease``, is alone in touching its bytes, or shares them read-only by agreement: the pool does not check this.
@safe
public final class BlockPool: @unchecked Sendable {
  // `base` never changes after init, and the bytes behind it belong to whoever holds the block's id; which blocks are
  // free is behind the mutex.

  /// Bytes in a block.
  public static let blockLength = 16 * 1024

  /// How many blocks that a device has read rest before one of them is taken again: 16 MiB. Measured with a loop
  /// that copies into memory a device reads: 15-22 ns a line with 3 to 6 MiB between, 3-5 with 8 and more, which is what
  /// memory costs that no device reads. Downloads of 4 GiB in turn: 0.49 CPU s/GiB instead of 0.61.
  static let restLength = 1024

  /// Blocks in the slab.
  public let capacity: Int
  @usableFromInline let base: UnsafeMutableRawPointer
  private let state: Lock<State>

  private struct State {
    var free: FreeBlocks
    /// Fewest blocks that were ever free: how close the pool came to running dry.
    var lowest: Int
    var waiters: [Waiter] = []
  }

  private struct Waiter {
    let minimum: Int
    let action: @Sendable () -> Void
  }

  /// Reserves address space for `capacity` blocks; memory is only taken as blocks are first used.
  public init(capacity: Int) throws(BlockPoolError) {
    precondition(capacity > 0 && capacity <= Int(UInt32.max))
    // Only lengths of whole huge pages are put where huge pages fit.
    let bytes = BlockPool.mappedLength(capacity)
    let address = unsafe mmap(
      nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | CInt(MAP_NORESERVE), -1, 0)
    guard let address = unsafe address, unsafe address != MAP_FAILED else {
      throw .cannotMap(bytes: bytes, errno: errno)
    }
    // One page-table entry for 2 MiB instead of 512: recv, the hash lanes and pwrite walk through the whole slab all the
    // time, and on virtual machines each miss of the translation cache walks two tables. Measured in 12 pairs of
    // downloads of 2 GiB: 15 % less CPU (user 9 %, system 21 %), 1 MiB more resident. Where the system has none, nothing
    // is lost, so a refusal is no error.
    unsafe madvise(address, bytes, Int32(MADV_HUGEPAGE))
    self.capacity = capacity
    unsafe self.base = address
    self.state = Lock(
      State(free: FreeBlocks(capacity: capacity, rest: BlockPool.restLength), lowest: capacity))
  }

  deinit {
    unsafe munmap(base, BlockPool.mappedLength(capacity))
  }

  private static func mappedLength(_ capacity: Int) -> Int {
    let huge = 2 << 20
    let bytes = capacity * blockLength
    return bytes < huge ? bytes : (bytes + huge - 1) / huge * huge
  }

  /// Blocks free now. Another thread may take them before you do.
  public var available: Int { state.withLock { $0.free.count } }

  /// Blocks in use now.
  public var inUse: Int { capacity - available }

  /// The most blocks that were in use at once.
  public var highWater: Int { capacity - state.withLock { $0.lowest } }

  /// Takes one block, or nil when the pool is empty.
  public func lease() -> BlockLease? {
    guard let id = take() else { return nil }
    return BlockLease(adopting: id, of: self)
  }

  /// Takes one block whose owner gives it back with ``release(_:)-(BlockID)``, or nil when the pool is empty.
  public func take() -> BlockID? {
    state.withLock { state in
      guard let id = state.free.takeFirst(at: BlockPool.now(for: state.free)) else { return nil }
      state.lowest = min(state.lowest, state.free.count)
      return id
    }
  }

  /// Appends up to `count` blocks to `output` under one lock, neighbours in the order of their addresses, leaving
  /// `reserve` behind. Returns how many.
  @discardableResult
  public func take(_ count: Int, leaving reserve: Int = 0, into output: inout [BlockID]) -> Int {
    state.withLock { state in
      let number = max(0, min(count, state.free.count - reserve))
      state.free.take(number, at: BlockPool.now(for: state.free), into: &output)
      state.lowest = min(state.lowest, state.free.count)
      return number
    }
  }

  /// Gives one block back. The caller must hold it.
  public func release(_ id: BlockID) { giveBack { $0.insert(id) } }

  /// Gives many blocks back under one lock. The caller must hold them.
  public func release(_ ids: [BlockID]) {
    giveBack { free in for id in ids { free.insert(id) } }
  }

  /// Gives the blocks of segments back under one lock. The caller must hold them. With `readByDevice`, a device has just
  /// read them and not the system: they are then left alone for a while, as long as there are others.
  public func release(_ segments: [BlockSegment], readByDevice: Bool = false) {
    let now = readByDevice ? coarseNow() : nil
    giveBack { free in for segment in segments { free.insert(segment.block, restingSince: now) } }
  }

  private func giveBack(_ insert: (inout FreeBlocks) -> Void) {
    let woken = state.withLock { state in
      insert(&state.free)
      return BlockPool.wakeable(&state)
    }
    for waiter in woken { waiter.action() }
  }

  private static func now(for free: borrowing FreeBlocks) -> UInt64 { free.hasResting ? coarseNow() : 0 }

  private static func wakeable(_ state: inout State) -> [Waiter] {
    guard !state.waiters.isEmpty else { return [] }
    let free = state.free.count
    let woken = state.waiters.filter { $0.minimum <= free }
    if !woken.isEmpty { state.waiters.removeAll { $0.minimum <= free } }
    return woken
  }

  /// Calls `action` once, on the thread that gives blocks back, as soon as `minimum` blocks are free; at once when they
  /// are already. This is how an event loop that ran out of blocks learns that it may read again.
  public func whenAvailable(_ minimum: Int, _ action: @escaping @Sendable () -> Void) {
    precondition(minimum <= capacity)
    let isThere = state.withLock { state in
      if state.free.count >= minimum { return true }
      state.waiters.append(Waiter(minimum: minimum, action: action))
      return false
    }
    if isThere { action() }
  }

  /// Address of the first byte of a block. Valid as long as the pool lives; the caller must hold the block.
  @unsafe
  @inlinable
  public func address(of id: BlockID) -> UnsafeMutableRawPointer {
    unsafe base + Int(id.rawValue) * BlockPool.blockLength
  }

  /// Reads the first `count` bytes of a block the caller holds.
  @inlinable
  public func withBytes<R>(of id: BlockID, count: Int = blockLength, _ body: (RawSpan) throws -> R) rethrows
    -> R
  {
    precondition(count >= 0 && count <= BlockPool.blockLength && Int(id.rawValue) < capacity)
    return try body(unsafe RawSpan(_unsafeStart: address(of: id), byteCount: count))
  }

  /// Writes into a block the caller holds.
  @inlinable
  public func withMutableBytes<R>(
    of id: BlockID, count: Int = blockLength, _ body: (inout MutableRawSpan) throws -> R
  ) rethrows -> R {
    precondition(count >= 0 && count <= BlockPool.blockLength && Int(id.rawValue) < capacity)
    var span = unsafe MutableRawSpan(_unsafeStart: address(of: id), byteCount: count)
    return try body(&span)
  }
}

/// Sole ownership of one block. Given back to its pool when it goes out of scope, unless ``detach()`` hands the number
/// on to an owner that calls ``BlockPool/release(_:)-(BlockID)`` itself.
@frozen
public struct BlockLease: ~Copyable, Sendable {
  public let id: BlockID
  public let pool: BlockPool
  @usableFromInline var isHeld = true

  /// Takes over a block that the caller holds.
  @inlinable
  public init(adopting id: BlockID, of pool: BlockPool) {
    self.id = id
    self.pool = pool
  }

  @inlinable deinit { if isHeld { pool.release(id) } }

  /// Ends the lease without giving the block back. The caller now holds the id.
  @inlinable
  public consuming func detach() -> BlockID {
    isHeld = false
    return id
  }
}

/// Nanoseconds of a clock that does not go back and moves every few milliseconds: cheaper than an exact one.
private func coarseNow() -> UInt64 {
  var time = timespec()
  unsafe clock_gettime(CLOCK_MONOTONIC_COARSE, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
