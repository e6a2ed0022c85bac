import BlockPool
import Glibc

/// Something `readv` can be called on.
public protocol VectoredSource: AnyObject {
  /// Fills the vectors in order. Returns the bytes delivered, 0 at the end of the stream, or a negated errno.
  func readVectors(_ vectors: UnsafeBufferPointer<iovec>) -> Int
}

extension Connection: VectoredSource {
  public func readVectors(_ vectors: UnsafeBufferPointer<iovec>) -> Int {
    switch unsafe readv(vectors) {
    case .bytes(let count): count
    case .endOfStream: 0
    case .wouldBlock: -Int(EAGAIN)
    case .error(let error): -Int(error.code)
    }
  }
}

/// Reads a peer's byte stream straight into pool blocks, by predicting what comes next.
///
/// A peer that was asked for blocks answers with frames of a short header and a block, nearly always one right behind
/// the other. So one `readv` is laid out as `[rest of the block under way][header][block][header][block]…[tail]`, and the
/// kernel puts each block where it will stay. Headers are compared afterwards; from the first that is not as predicted,
/// the bytes that landed are copied into one run (``linearize(from:skipping:)``) and read the slow way.
///
/// Use: ``begin()``, then add parts, then ``read(_:)``, then look at the parts in order. One reader serves all connections
/// of a loop, one after the other, so an idle connection holds no buffer at all.
@safe
public final class ScatterReader {
  /// Bytes in front of a block: length prefix, message id, piece and offset (BEP 3).
  public static let headerLength = 13
  /// Bytes behind the last predicted block, or all there is when nothing is predicted.
  public static let tailLength = 64 * 1024

  /// What ``maxFrames`` may be at most.
  public static let mostFrames = 64

  /// Blocks predicted in one read, at most.
  public let maxFrames: Int

  private let pool: BlockPool
  private let vectors: UnsafeMutableBufferPointer<iovec>
  private let headers: UnsafeMutableRawPointer
  private let tail: UnsafeMutableRawPointer
  /// Made when a prediction first fails.
  private var linear: UnsafeMutableRawPointer?

  private var vectorCount = 0
  /// Room for `maxFrames`. Not an array, which would be looked up, and checked to be nobody else's, for every block.
  private let frames: UnsafeMutablePointer<Frame>
  /// Blocks predicted.
  public private(set) var frameCount = 0
  private var remainder = 0
  private var headerPrefix = 0
  private var tailCount = 0
  /// Bytes the plan has room for.
  public private(set) var room = 0
  /// Blocks taken from the pool ahead of their use, so that a turn takes the pool's lock once for many connections. The
  /// last one is used next, and is the lowest: blocks that come one behind the other then lie so in the slab, too.
  private var spare: [BlockID] = []

  /// Payload bytes that had to be copied because of wrong predictions.
  public private(set) var copiedBytes: Int64 = 0
  /// Calls of `readv`.
  public private(set) var reads: Int64 = 0
  /// Bytes the last read delivered.
  public private(set) var landed = 0

  private struct Frame {
    var block: BlockID
    /// Where its header begins, counted from the first byte that the read delivers; below zero with a prefix.
    var start: Int
    /// Bytes, header counted.
    var length: Int
    var isTaken = false
  }

  public init(pool: BlockPool, maxFrames: Int = 32) {
    precondition(maxFrames > 0 && maxFrames <= ScatterReader.mostFrames)
    self.pool = pool
    self.maxFrames = maxFrames
    unsafe vectors = .allocate(capacity: 2 * maxFrames + 2)
    unsafe headers = .allocate(byteCount: maxFrames * ScatterReader.headerLength, alignment: 16)
    unsafe tail = .allocate(byteCount: ScatterReader.tailLength, alignment: 64)
    unsafe frames = .allocate(capacity: maxFrames)
    spare.reserveCapacity(2 * maxFrames)
  }

  deinit {
    releaseSpare()
    unsafe vectors.deallocate()
    unsafe headers.deallocate()
    unsafe tail.deallocate()
    unsafe frames.deallocate()
    if let linear = unsafe linear { unsafe linear.deallocate() }
  }

  // MARK: Laying out

  /// Forgets the last plan. Blocks of it that were not taken stay with the reader for the next one.
  public func begin() {
    takeFramesBack(from: 0)
    vectorCount = 0
    remainder = 0
    headerPrefix = 0
    tailCount = 0
    room = 0
    landed = 0
  }

  /// First of all: the missing `count` bytes of a block, from byte `offset` of it.
  public func addRemainder(of block: BlockID, from offset: Int, count: Int) {
    precondition(vectorCount == 0 && count > 0 && offset >= 0 && offset + count <= BlockPool.blockLength)
    unsafe append(pool.address(of: block) + offset, count)
    remainder = count
  }

  /// Blocks of frames from `index` on that nobody took are the reader's again, and the frames are gone.
  private func takeFramesBack(from index: Int) {
    var i = frameCount
    while i > index {
      i -= 1
      if unsafe !frames[i].isTaken { spare.append(unsafe frames[i].block) }
    }
    frameCount = index
  }

  /// Next: for each of `lengths` a header and a block of so many bytes, as far as the plan and the pool have room.
  /// `prefix` holds the first bytes of the first header if they came with an earlier read; then no remainder may be in
  /// front of it.
  ///
  /// - Parameter reserve: blocks to leave in the pool.
  /// - Returns: how many frames were added.
  /// - Precondition: called once for a plan; each length is 1 to 16 KiB.
  public func addFrames(_ lengths: Span<Int32>, prefix: Span<UInt8>, reserve: Int = 0) -> Int {
    precondition(prefix.count < ScatterReader.headerLength && (prefix.isEmpty || remainder == 0))
    precondition(frameCount == 0)
    // All in local variables: each look at a property of a class costs a check, and this is done for every block.
    var spare: [BlockID] = []
    swap(&spare, &self.spare)
    var vector = vectorCount
    var end = room
    var count = 0
    while count < min(lengths.count, maxFrames) {
      let length = Int(lengths[count])
      precondition(length > 0 && length <= BlockPool.blockLength)
      if spare.isEmpty {
        pool.take(maxFrames, leaving: reserve, into: &spare)
        spare.reverse()
      }
      guard let block = spare.popLast() else { break }
      let header = unsafe headers + count * ScatterReader.headerLength
      let before = count == 0 ? prefix.count : 0
      for i in 0..<before { unsafe header.storeBytes(of: prefix[i], toByteOffset: i, as: UInt8.self) }
      let missing = ScatterReader.headerLength - before
      unsafe vectors[vector] = iovec(iov_base: header + before, iov_len: missing)
      unsafe vectors[vector + 1] = iovec(iov_base: pool.address(of: block), iov_len: length)
      unsafe frames[count] = Frame(
        block: block, start: end - before, length: ScatterReader.headerLength + length)
      vector += 2
      end += missing + length
      count += 1
    }
    swap(&spare, &self.spare)
    headerPrefix = count > 0 ? prefix.count : 0
    vectorCount = vector
    room = end
    frameCount = count
    return count
  }

  /// Last: room for `count` bytes of whatever comes behind.
  public func addTail(count: Int) {
    precondition(count > 0 && count <= ScatterReader.tailLength && tailCount == 0)
    unsafe append(tail, count)
    tailCount = count
  }

  private func append(_ start: UnsafeMutableRawPointer, _ count: Int) {
    unsafe vectors[vectorCount] = iovec(iov_base: start, iov_len: count)
    vectorCount += 1
    room += count
  }

  /// Carries the plan out with one call of `readv`, asking for at most `limit` bytes. Returns what the call returned: the
  /// bytes it delivered, 0 at the end of the stream, or a negated errno.
  @discardableResult
  public func read(from source: some VectoredSource, limit: Int = .max) -> Int {
    var count = vectorCount
    if limit < room {
      // A rate limit is how many bytes the plan asks for.
      var rest = limit
      count = 0
      while rest > 0 {
        let length = unsafe min(rest, vectors[count].iov_len)
        unsafe vectors[count].iov_len = length
        rest -= length
        count += 1
      }
    }
    guard count > 0 else { return 0 }
    reads += 1
    let result = unsafe source.readVectors(UnsafeBufferPointer(rebasing: vectors[0..<count]))
    landed = max(0, result)
    return result
  }

  // MARK: Looking at what landed

  /// Bytes of the remainder that landed.
  public var remainderLanded: Int { min(landed, remainder) }

  /// Bytes of a frame, header and block together.
  public struct Landing {
    /// Those that are here, those of the prefix counted.
    public var landed: Int
    /// Those it was laid out for.
    public var length: Int
  }

  /// What landed of frame `index`.
  public func landing(ofFrame index: Int) -> Landing {
    precondition(index < frameCount)
    let (start, length) = unsafe (frames[index].start, frames[index].length)
    return Landing(
      landed: max(index == 0 ? headerPrefix : 0, min(landed - start, length)), length: length)
  }

  /// The header of frame `index`, thirteen bytes, of which ``Landing/landed`` are meaningful.
  public func withHeader<R, Failure: Error>(
    ofFrame index: Int, _ body: (Span<UInt8>) throws(Failure) -> R
  ) throws(Failure) -> R {
    precondition(index < maxFrames)
    let start = unsafe (headers + index * ScatterReader.headerLength).assumingMemoryBound(to: UInt8.self)
    return try body(unsafe Span(_unsafeStart: start, count: ScatterReader.headerLength))
  }

  /// The block of frame `index` becomes the caller's.
  public func takeBlock(ofFrame index: Int) -> BlockID {
    precondition(unsafe index < frameCount && !frames[index].isTaken)
    unsafe frames[index].isTaken = true
    return unsafe frames[index].block
  }

  /// The bytes that landed in the tail.
  public func withTail<R, Failure: Error>(_ body: (Span<UInt8>) throws(Failure) -> R) throws(Failure) -> R {
    var before = remainder
    if frameCount > 0 {
      let last = unsafe frames[frameCount - 1]
      before = last.start + last.length
    }
    let count = max(0, min(landed - before, tailCount))
    return try body(unsafe Span(_unsafeStart: tail.assumingMemoryBound(to: UInt8.self), count: count))
  }

  /// Copies what landed from frame `index` on (prefix bytes included) into one run, and gives `body` that run. The blocks
  /// of these frames are the reader's again, so `body` may take them with ``spareBlock()`` for what it finds.
  public func linearize<R, Failure: Error>(
    from index: Int, _ body: (Span<UInt8>) throws(Failure) -> R
  ) throws(Failure) -> R {
    let capacity = maxFrames * (ScatterReader.headerLength + BlockPool.blockLength) + ScatterReader.tailLength
    let buffer: UnsafeMutableRawPointer
    if let linear = unsafe linear {
      unsafe buffer = linear
    } else {
      unsafe buffer = .allocate(byteCount: capacity, alignment: 64)
      unsafe linear = buffer
    }
    var count = 0
    for i in index..<frameCount {
      precondition(unsafe !frames[i].isTaken)
      let here = landing(ofFrame: i).landed
      guard here > 0 else { break }
      let headerCount = min(here, ScatterReader.headerLength)
      unsafe (buffer + count).copyMemory(
        from: headers + i * ScatterReader.headerLength, byteCount: headerCount)
      let blockCount = here - headerCount
      unsafe (buffer + count + headerCount).copyMemory(
        from: pool.address(of: frames[i].block), byteCount: blockCount)
      copiedBytes += Int64(blockCount)
      count += here
    }
    let tailStart = count
    count += withTail { bytes in
      unsafe bytes.withUnsafeBytes {
        guard let base = $0.baseAddress else { return }
        unsafe (buffer + tailStart).copyMemory(from: base, byteCount: $0.count)
      }
      return bytes.count
    }
    takeFramesBack(from: index)
    return try body(unsafe Span(_unsafeStart: buffer.assumingMemoryBound(to: UInt8.self), count: count))
  }

  /// A block for bytes that were not predicted; nil when the pool is empty. The block becomes the caller's.
  public func spareBlock() -> BlockID? { spare.popLast() ?? pool.take() }

  /// Copies `bytes` into a block the caller holds, from byte `offset` of it.
  public func copy(_ bytes: Span<UInt8>, to block: BlockID, at offset: Int) {
    precondition(offset >= 0 && offset + bytes.count <= BlockPool.blockLength)
    unsafe bytes.withUnsafeBytes {
      guard let base = $0.baseAddress else { return }
      unsafe (pool.address(of: block) + offset).copyMemory(from: base, byteCount: $0.count)
    }
    copiedBytes += Int64(bytes.count)
  }

  /// Puts a block the caller holds back among the reader's spare ones.
  public func recycle(_ block: BlockID) { spare.append(block) }

  /// Gives blocks that are not in use back to the pool. Once a loop turn, so that other loops can have them.
  public func releaseSpare() {
    takeFramesBack(from: 0)
    guard !spare.isEmpty else { return }
    pool.release(spare)
    spare.removeAll(keepingCapacity: true)
  }
}
