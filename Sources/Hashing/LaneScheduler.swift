import BlockPool
import CHash

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The scheduler behind ``HashLanes``, for either algorithm: both chain 64-byte blocks and pad alike.
///
/// A stream with something to hash is in the ready list, first in first out. A pass takes streams from its front,
/// asks each for its next work, and hands the shim two batches: the tails (a message block pieced together from two
/// pool blocks, or padding), one or two message blocks each, and then the runs of whole message blocks that lie in
/// pool blocks. They are kept apart because a lane with padding would run dry at once beside lanes with 256 message
/// blocks.
@safe
final class LaneScheduler {
  static let messageBlock = Int(SPATE_HASH_BLOCK_BYTES)
  static let lanes = Int(SPATE_HASH_MAX_LANES)
  /// Streams in a batch. A few times the lanes: where one ends early another takes its lane.
  static let batchLimit = 4 * lanes

  let pool: BlockPool
  let engine: HashEngine
  let algorithm: HashAlgorithm
  var streams = LaneStreams()
  private var readyFirst: Int32 = -1
  private var readyLast: Int32 = -1
  /// Two batches being gathered: what the shim gets, and whose it is.
  private var runs: Batch
  private var tails: Batch
  /// Digests of the last pass, to be delivered before the next.
  private(set) var finished: [Finished] = []

  struct Finished {
    let stream: StreamID
    let state: HashState
  }

  @safe
  private struct Batch: ~Copyable {
    let jobs: UnsafeMutablePointer<spate_hash_job>
    var slots = InlineArray<64, Int32>(repeating: -1)
    var count = 0

    init() { unsafe jobs = .allocate(capacity: LaneScheduler.batchLimit) }
    deinit { unsafe jobs.deallocate() }

    var isFull: Bool { count == LaneScheduler.batchLimit }

    mutating func add(
      _ slot: Int32, state: UnsafeMutablePointer<UInt32>, data: UnsafePointer<UInt8>, blocks: Int
    ) {
      unsafe (jobs + count).initialize(to: spate_hash_job(state: state, data: data, blocks: blocks))
      slots[count] = slot
      count += 1
    }
  }

  /// What a stream needs next.
  @safe
  private enum Work {
    /// Nothing, until more is queued.
    case nothing
    /// The message blocks in its tail.
    case tail(blocks: Int)
    /// Whole message blocks at the front of its queue.
    case run(UnsafePointer<UInt8>, blocks: Int)
  }

  init(pool: BlockPool, engine: HashEngine, algorithm: HashAlgorithm) {
    self.pool = pool
    self.engine = engine
    self.algorithm = algorithm
    runs = Batch()
    tails = Batch()
    precondition(runs.slots.count == LaneScheduler.batchLimit)
  }

  var isIdle: Bool { readyFirst < 0 }

  // MARK: Streams

  func open() -> StreamID {
    let stream = streams.open()
    unsafe streams.state(stream.slot).initialize(repeating: 0, count: LaneStreams.stateWords)
    unsafe spate_hash_start(algorithm.shimValue, streams.state(stream.slot))
    return stream
  }

  func append(_ stream: StreamID, block: BlockID, offset: Int, count: Int) {
    let slot = openSlot(stream)
    precondition(Int(block.rawValue) < pool.capacity, "no block of this pool")
    precondition(offset >= 0 && count >= 0 && offset <= BlockPool.blockLength - count, "outside the block")
    guard count > 0 else { return }
    streams.queue(block, offset: UInt32(offset), count: UInt32(count), on: slot)
    makeReady(slot)
  }

  func append(_ stream: StreamID, bytes: RawSpan) {
    let slot = openSlot(stream)
    drain(slot)
    unsafe bytes.withUnsafeBytes { bytes in
      guard var next = unsafe bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
      var left = bytes.count
      unsafe streams.slots[Int(slot)].consumed &+= UInt64(left)
      if unsafe streams.slots[Int(slot)].carried > 0 {
        let taken = unsafe carry(next, count: left, on: slot)
        unsafe next += taken
        left -= taken
        if unsafe Int(streams.slots[Int(slot)].carried) == LaneScheduler.messageBlock {
          unsafe streams.slots[Int(slot)].carried = 0
          unsafe hashAlone(slot, streams.tail(slot), blocks: 1)
        }
      }
      let blocks = left / LaneScheduler.messageBlock
      if blocks > 0 { unsafe hashAlone(slot, next, blocks: blocks) }
      let rest = left - blocks * LaneScheduler.messageBlock
      if rest > 0 { _ = unsafe carry(next + (left - rest), count: rest, on: slot) }
    }
  }

  func finish(_ stream: StreamID) {
    let slot = openSlot(stream)
    unsafe streams.slots[Int(slot)].phase = .finishing
    makeReady(slot)
  }

  func cancel(_ stream: StreamID) {
    let slot = streams.slot(of: stream)
    while unsafe streams.slots[Int(slot)].firstSegment >= 0 { streams.dropFirstSegment(of: slot) }
    streams.retire(slot)
    if unsafe streams.slots[Int(slot)].isReady {
      unsafe streams.slots[Int(slot)].phase = .cancelled
    } else {
      streams.free(slot)
    }
  }

  func consumedBytes(of stream: StreamID) -> UInt64 {
    unsafe streams.slots[Int(streams.slot(of: stream))].consumed
  }

  private func openSlot(_ stream: StreamID) -> Int32 {
    let slot = streams.slot(of: stream)
    precondition(unsafe streams.slots[Int(slot)].phase == .open, "the stream is finishing")
    return slot
  }

  // MARK: The ready list

  private func makeReady(_ slot: Int32) {
    guard unsafe !streams.slots[Int(slot)].isReady else { return }
    unsafe streams.slots[Int(slot)].isReady = true
    unsafe streams.slots[Int(slot)].next = -1
    if readyLast < 0 {
      readyFirst = slot
    } else {
      unsafe streams.slots[Int(readyLast)].next = slot
    }
    readyLast = slot
  }

  private func makeReadyFirst(_ slot: Int32) {
    unsafe streams.slots[Int(slot)].isReady = true
    unsafe streams.slots[Int(slot)].next = readyFirst
    if readyFirst < 0 { readyLast = slot }
    readyFirst = slot
  }

  private func takeReady() -> Int32? {
    let slot = readyFirst
    guard slot >= 0 else { return nil }
    unsafe readyFirst = streams.slots[Int(slot)].next
    if readyFirst < 0 { readyLast = -1 }
    unsafe streams.slots[Int(slot)].isReady = false
    return slot
  }

  // MARK: Passes

  /// Hashes one batch and collects the digests that came out of it in `finished`. Returns false when nothing was
  /// queued.
  func runPass() -> Bool {
    finished.removeAll(keepingCapacity: true)
    guard !isIdle else { return false }
    while !runs.isFull, !tails.isFull, let slot = takeReady() {
      if unsafe streams.slots[Int(slot)].phase == .cancelled {
        streams.free(slot)
        continue
      }
      switch nextWork(of: slot) {
      case .nothing: break
      case .tail(let blocks):
        unsafe tails.add(slot, state: streams.state(slot), data: streams.tail(slot), blocks: blocks)
      case .run(let data, let blocks):
        unsafe runs.add(slot, state: streams.state(slot), data: data, blocks: blocks)
      }
    }
    // Full passes only, while there is one: those left over go first next time, together with what is ready by then.
    if runs.count > LaneScheduler.lanes {
      while runs.count % LaneScheduler.lanes != 0 {
        runs.count -= 1
        makeReadyFirst(runs.slots[runs.count])
      }
    }
    hashTails()
    hashRuns()
    return true
  }

  private func hashTails() {
    unsafe spate_hash_update_many(engine.table, algorithm.shimValue, tails.jobs, tails.count)
    for index in 0..<tails.count {
      let slot = tails.slots[index]
      unsafe streams.slots[Int(slot)].carried = 0
      let entry = unsafe streams.slots[Int(slot)]
      if entry.isPadded {
        complete(slot)
      } else {
        makeReady(slot)
      }
    }
    tails.count = 0
  }

  private func hashRuns() {
    unsafe spate_hash_update_many(engine.table, algorithm.shimValue, runs.jobs, runs.count)
    for index in 0..<runs.count {
      let slot = runs.slots[index]
      unsafe streams.consume(runs.jobs[index].blocks * LaneScheduler.messageBlock, from: slot)
      let entry = unsafe streams.slots[Int(slot)]
      if entry.firstSegment >= 0 || entry.phase == .finishing { makeReady(slot) }
    }
    runs.count = 0
  }

  private func complete(_ slot: Int32) {
    let stream = unsafe StreamID(slot: slot, generation: streams.slots[Int(slot)].generation)
    var state = HashState(repeating: 0)
    for word in 0..<LaneStreams.stateWords { unsafe state[word] = streams.state(slot)[word] }
    finished.append(Finished(stream: stream, state: state))
    streams.retire(slot)
    streams.free(slot)
  }

  /// Takes what is too short to hash into the tail, and says what to hash then. Asking again gives the same run; a
  /// tail must be hashed before the stream is asked again.
  private func nextWork(of slot: Int32) -> Work {
    while true {
      let entry = unsafe streams.slots[Int(slot)]
      guard entry.firstSegment >= 0 else {
        guard entry.phase == .finishing else { return .nothing }
        unsafe streams.slots[Int(slot)].isPadded = true
        let blocks = unsafe spate_hash_pad(streams.tail(slot), Int(entry.carried), entry.consumed)
        return .tail(blocks: blocks)
      }
      let segment = streams.segment(entry.firstSegment)
      let data = unsafe UnsafePointer(
        pool.address(of: segment.block).assumingMemoryBound(to: UInt8.self) + Int(segment.offset))
      let count = Int(segment.count)
      if entry.carried == 0 && count >= LaneScheduler.messageBlock {
        return unsafe .run(data, blocks: count / LaneScheduler.messageBlock)
      }
      streams.consume(unsafe carry(data, count: count, on: slot), from: slot)
      if unsafe Int(streams.slots[Int(slot)].carried) == LaneScheduler.messageBlock {
        return .tail(blocks: 1)
      }
    }
  }

  /// Copies as much into the tail as completes a message block. Returns how much.
  private func carry(_ data: UnsafePointer<UInt8>, count: Int, on slot: Int32) -> Int {
    let carried = unsafe Int(streams.slots[Int(slot)].carried)
    let taken = min(LaneScheduler.messageBlock - carried, count)
    unsafe memcpy(streams.tail(slot) + carried, data, taken)
    unsafe streams.slots[Int(slot)].carried = UInt8(carried + taken)
    return taken
  }

  // MARK: One stream alone

  private func drain(_ slot: Int32) {
    while true {
      switch nextWork(of: slot) {
      case .nothing: return
      case .tail(let blocks):
        unsafe streams.slots[Int(slot)].carried = 0
        unsafe hashAlone(slot, streams.tail(slot), blocks: blocks)
      case .run(let data, let blocks):
        unsafe hashAlone(slot, data, blocks: blocks)
        streams.consume(blocks * LaneScheduler.messageBlock, from: slot)
      }
    }
  }

  private func hashAlone(_ slot: Int32, _ data: UnsafePointer<UInt8>, blocks: Int) {
    var job = unsafe spate_hash_job(state: streams.state(slot), data: data, blocks: blocks)
    unsafe spate_hash_update_many(engine.table, algorithm.shimValue, &job, 1)
  }
}
