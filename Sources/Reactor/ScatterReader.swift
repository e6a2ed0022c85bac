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

  /// Blocks predicted in one read, at most.
  public let maxFrames: Int

  private let pool: BlockPool
  private let vectors: UnsafeMutableBufferPointer<iovec>
  private let headers: UnsafeMutableRawPointer
  private let tail: UnsafeMutableRawPointer
  /// Made when a prediction first fails.
  private var linear: UnsafeMutableRawPointer?

  private var vectorCount = 0
  private var frames: [Frame] = []
  private var remainder = 0
  private var headerPrefix = 0
  private var tailCount = 0
  /// Bytes the plan has room for.
  public private(set) var room = 0
  /// Blocks taken from the pool ahead of their use, so that a turn takes the pool's lock once for many connections.
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
    precondition(maxFrames > 0 && maxFrames <= 256)
    self.pool = pool
    self.maxFrames = maxFrames
    unsafe vectors = .allocate(capacity: 2 * maxFrames + 2)
    unsafe headers = .allocate(byteCount: maxFrames * ScatterReader.headerLength, alignment: 16)
    unsafe tail = .allocate(byteCount: ScatterReader.tailLength, alignment: 64)
    frames.reserveCapacity(maxFrames)
    spare.reserveCapacity(2 * maxFrames)
  }

  deinit {
    releaseSpare()
    unsafe vectors.deallocate()
    unsafe headers.deallocate()
    unsafe tail.deallocate()
    if let linear = unsafe linear { unsafe linear.deallocate() }
  }

  // MARK: Laying out

  /// Forgets the last plan. Blocks of it that were not taken stay with the reader for the next one.
  public func begin() {
    for frame in frames where !frame.isTaken { spare.append(frame.block) }
    frames.removeAll(keepingCapacity: true)
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

  /// Next: a header and a block of `length` bytes. `prefix` holds the first bytes of this header if they came with an
  /// earlier read; only the first frame may have some, and only when no remainder is in front of it.
  ///
  /// Returns false, and adds nothing, when the pool is empty or the plan is full.
  public func addFrame(length: Int, prefix: Span<UInt8>, reserve: Int = 0) -> Bool {
    precondition(length > 0 && length <= BlockPool.blockLength && prefix.count < ScatterReader.headerLength)
    precondition(prefix.isEmpty || (frames.isEmpty && remainder == 0))
    guard frames.count < maxFrames else { return false }
    if spare.isEmpty {
      pool.take(maxFrames, leaving: reserve, into: &spare)
    }
    guard let block = spare.popLast() else { return false }
    let index = frames.count
    let header = unsafe headers + index * ScatterReader.headerLength
    for i in 0..<prefix.count { unsafe header.storeBytes(of: prefix[i], toByteOffset: i, as: UInt8.self) }
    if index == 0 { headerPrefix = prefix.count }
    let missing = ScatterReader.headerLength - prefix.count
    // In one go: each look at a property of a class costs a check, and this is done for every block.
    let at = vectorCount
    unsafe vectors[at] = iovec(iov_base: header + prefix.count, iov_len: missing)
    unsafe vectors[at + 1] = iovec(iov_base: pool.address(of: block), iov_len: length)
    vectorCount = at + 2
    let end = room
    room = end + missing + length
    frames.append(
      Frame(block: block, start: end - prefix.count, length: ScatterReader.headerLength + length))
    return true
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

  /// Blocks predicted.
  public var frameCount: Int { frames.count }

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

  /// Bytes of frame `index` that landed, header and block together, those of the prefix counted as landed.
  public func landed(inFrame index: Int) -> Int {
    let frame = frames[index]
    return max(index == 0 ? headerPrefix : 0, min(landed - frame.start, frame.length))
  }

  /// Bytes a frame was laid out for, header counted.
  public func length(ofFrame index: Int) -> Int { frames[index].length }

  /// The header of frame `index`, thirteen bytes, of which ``landed(inFrame:)`` are meaningful.
  public func withHeader<R, Failure: Error>(
    ofFrame index: Int, _ body: (Span<UInt8>) throws(Failure) -> R
  ) throws(Failure) -> R {
    precondition(index < frames.count)
    let start = unsafe (headers + index * ScatterReader.headerLength).assumingMemoryBound(to: UInt8.self)
    return try body(unsafe Span(_unsafeStart: start, count: ScatterReader.headerLength))
  }

  /// The block of frame `index` becomes the caller's.
  public func takeBlock(ofFrame index: Int) -> BlockID {
    precondition(!frames[index].isTaken)
    frames[index].isTaken = true
    return frames[index].block
  }

  /// The bytes that landed in the tail.
  public func withTail<R, Failure: Error>(_ body: (Span<UInt8>) throws(Failure) -> R) throws(Failure) -> R {
    let before = frames.last.map { $0.start + $0.length } ?? remainder
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
    for i in index..<frames.count {
      precondition(!frames[i].isTaken)
      let here = landed(inFrame: i)
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
    while frames.count > index { spare.append(frames.removeLast().block) }
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
    for frame in frames where !frame.isTaken { spare.append(frame.block) }
    frames.removeAll(keepingCapacity: true)
    guard !spare.isEmpty else { return }
    pool.release(spare)
    spare.removeAll(keepingCapacity: true)
  }
}
