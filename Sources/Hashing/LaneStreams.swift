import BlockPool
import CHash

/// A stream of ``HashLanes``. Good from `open` until its digest is delivered or it is cancelled.
@frozen
public struct StreamID: Hashable, Sendable {
  let slot: Int32
  /// Tells apart the streams that follow one another in a slot.
  let generation: UInt32
}

/// What is left of a queued run of bytes in a pool block.
struct LaneSegment {
  var block: BlockID
  var offset: UInt32
  var count: UInt32
  /// Next of the same stream, or next free; −1 ends a list.
  var next: Int32
}

/// A stream's bookkeeping. Its state and tail lie in arrays beside, for the shim to point at.
struct LaneSlot {
  enum Phase: UInt8 {
    case free
    case open
    /// The digest is wanted once everything queued is hashed.
    case finishing
    /// Given up while in the ready list; free as soon as it is taken out.
    case cancelled
  }

  var generation: UInt32 = 0
  var phase = Phase.free
  var isReady = false
  /// The tail holds the padding.
  var isPadded = false
  /// Bytes in front of the tail that wait for a whole message block.
  var carried: UInt8 = 0
  var firstSegment: Int32 = -1
  var lastSegment: Int32 = -1
  /// Next in the ready list or in the list of free slots.
  var next: Int32 = -1
  /// Bytes taken out of the queue, hashed or carried.
  var consumed: UInt64 = 0
}

/// Storage of streams and segments for ``LaneScheduler``: plain arrays that grow by doubling and are reused, so that
/// opening a stream and queueing a block take no memory once warm.
@safe
struct LaneStreams: ~Copyable {
  static let stateWords = 8
  static let tailBytes = Int(SPATE_HASH_TAIL_BYTES)

  private(set) var slotCapacity = 0
  private(set) var slots: UnsafeMutablePointer<LaneSlot>
  private var states: UnsafeMutablePointer<UInt32>
  private var tails: UnsafeMutablePointer<UInt8>
  private var freeSlot: Int32 = -1
  private(set) var openCount = 0

  private var segmentCapacity = 0
  private var segments: UnsafeMutablePointer<LaneSegment>
  private var freeSegment: Int32 = -1
  private(set) var queuedBlocks = 0

  init() {
    unsafe slots = .allocate(capacity: 0)
    unsafe states = .allocate(capacity: 0)
    unsafe tails = .allocate(capacity: 0)
    unsafe segments = .allocate(capacity: 0)
  }

  deinit {
    unsafe slots.deallocate()
    unsafe states.deallocate()
    unsafe tails.deallocate()
    unsafe segments.deallocate()
  }

  func state(_ slot: Int32) -> UnsafeMutablePointer<UInt32> {
    unsafe states + Int(slot) * LaneStreams.stateWords
  }

  func tail(_ slot: Int32) -> UnsafeMutablePointer<UInt8> {
    unsafe tails + Int(slot) * LaneStreams.tailBytes
  }

  /// The slot of a stream that is open or finishing.
  func slot(of stream: StreamID) -> Int32 {
    precondition(stream.slot >= 0 && Int(stream.slot) < slotCapacity, "no such stream")
    let slot = unsafe slots[Int(stream.slot)]
    precondition(slot.generation == stream.generation && slot.phase != .free, "the stream has ended")
    return stream.slot
  }

  mutating func open() -> StreamID {
    if freeSlot < 0 { growSlots() }
    let index = freeSlot
    unsafe freeSlot = slots[Int(index)].next
    let generation = unsafe slots[Int(index)].generation
    unsafe slots[Int(index)] = LaneSlot(generation: generation, phase: .open)
    openCount += 1
    return StreamID(slot: index, generation: generation)
  }

  /// Makes the stream's id stale at once.
  mutating func retire(_ slot: Int32) {
    unsafe slots[Int(slot)].generation &+= 1
    openCount -= 1
  }

  /// Takes a retired slot back.
  mutating func free(_ slot: Int32) {
    unsafe slots[Int(slot)].phase = .free
    unsafe slots[Int(slot)].next = freeSlot
    freeSlot = slot
  }

  mutating func queue(_ block: BlockID, offset: UInt32, count: UInt32, on slot: Int32) {
    if freeSegment < 0 { growSegments() }
    let index = freeSegment
    unsafe freeSegment = segments[Int(index)].next
    unsafe segments[Int(index)] = LaneSegment(block: block, offset: offset, count: count, next: -1)
    let last = unsafe slots[Int(slot)].lastSegment
    if last < 0 {
      unsafe slots[Int(slot)].firstSegment = index
    } else {
      unsafe segments[Int(last)].next = index
    }
    unsafe slots[Int(slot)].lastSegment = index
    queuedBlocks += 1
  }

  func segment(_ index: Int32) -> LaneSegment { unsafe segments[Int(index)] }

  /// Takes `count` bytes off the front of the stream's queue: at most what its first segment has.
  mutating func consume(_ count: Int, from slot: Int32) {
    let index = unsafe slots[Int(slot)].firstSegment
    unsafe slots[Int(slot)].consumed &+= UInt64(count)
    unsafe segments[Int(index)].offset += UInt32(count)
    unsafe segments[Int(index)].count -= UInt32(count)
    if unsafe segments[Int(index)].count == 0 { dropFirstSegment(of: slot) }
  }

  mutating func dropFirstSegment(of slot: Int32) {
    let index = unsafe slots[Int(slot)].firstSegment
    let next = unsafe segments[Int(index)].next
    unsafe slots[Int(slot)].firstSegment = next
    if next < 0 { unsafe slots[Int(slot)].lastSegment = -1 }
    unsafe segments[Int(index)].next = freeSegment
    freeSegment = index
    queuedBlocks -= 1
  }

  private mutating func growSlots() {
    let capacity = max(32, slotCapacity * 2)
    precondition(capacity <= Int(Int32.max))
    unsafe LaneStreams.grow(&slots, from: slotCapacity, to: capacity)
    unsafe LaneStreams.grow(
      &states, from: slotCapacity * LaneStreams.stateWords, to: capacity * LaneStreams.stateWords)
    unsafe LaneStreams.grow(
      &tails, from: slotCapacity * LaneStreams.tailBytes, to: capacity * LaneStreams.tailBytes)
    for index in (slotCapacity..<capacity).reversed() {
      unsafe (slots + index).initialize(to: LaneSlot(next: freeSlot))
      freeSlot = Int32(index)
    }
    slotCapacity = capacity
  }

  private mutating func growSegments() {
    let capacity = max(256, segmentCapacity * 2)
    precondition(capacity <= Int(Int32.max))
    unsafe LaneStreams.grow(&segments, from: segmentCapacity, to: capacity)
    for index in (segmentCapacity..<capacity).reversed() {
      let segment = LaneSegment(block: BlockID(rawValue: 0), offset: 0, count: 0, next: freeSegment)
      unsafe (segments + index).initialize(to: segment)
      freeSegment = Int32(index)
    }
    segmentCapacity = capacity
  }

  /// Moves an array of trivial values to a longer one. What is new is not initialized.
  private static func grow<T: BitwiseCopyable>(
    _ array: inout UnsafeMutablePointer<T>, from count: Int, to capacity: Int
  ) {
    let longer = UnsafeMutablePointer<T>.allocate(capacity: capacity)
    unsafe longer.moveInitialize(from: array, count: count)
    unsafe array.deallocate()
    unsafe array = longer
  }
}
