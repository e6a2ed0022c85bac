import CHash

/// A message hashed as it comes, in runs of any length: what ``SHA1Hasher`` and ``SHA256Hasher`` share.
struct MessageHasher: Sendable {
  static let blockBytes = Int(SPATE_HASH_BLOCK_BYTES)

  let algorithm: HashAlgorithm
  let engine: HashEngine
  private var state = HashState(repeating: 0)
  /// The bytes since the last whole block in front; room for padding behind.
  private var tail = InlineArray<128, UInt8>(repeating: 0)
  private var carried = 0
  private var totalBytes: UInt64 = 0

  init(_ algorithm: HashAlgorithm, engine: HashEngine) {
    self.algorithm = algorithm
    self.engine = engine
    var words = state.mutableSpan
    unsafe words.withUnsafeMutableBufferPointer { words in
      unsafe spate_hash_start(algorithm.shimValue, words.baseAddress)
    }
  }

  mutating func update(_ bytes: RawSpan) {
    totalBytes &+= UInt64(bytes.byteCount)
    var rest = bytes
    if carried > 0 {
      let count = min(MessageHasher.blockBytes - carried, rest.byteCount)
      carry(rest.extracting(first: count))
      rest = rest.extracting(droppingFirst: count)
      guard carried == MessageHasher.blockBytes else { return }
      hashTail(blocks: 1)
      carried = 0
    }
    let blocks = rest.byteCount / MessageHasher.blockBytes
    if blocks > 0 {
      unsafe rest.withUnsafeBytes { bytes in
        unsafe hash(bytes.baseAddress!.assumingMemoryBound(to: UInt8.self), blocks: blocks)
      }
    }
    carry(rest.extracting(droppingFirst: blocks * MessageHasher.blockBytes))
  }

  /// Keeps less than a block for later.
  private mutating func carry(_ bytes: RawSpan) {
    for offset in 0..<bytes.byteCount {
      tail[carried + offset] = unsafe bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
    }
    carried += bytes.byteCount
  }

  /// The state after padding; the hasher is spent.
  mutating func finish() -> HashState {
    let (carried, totalBytes) = (carried, totalBytes)
    var span = tail.mutableSpan
    let blocks = unsafe span.withUnsafeMutableBufferPointer { tail in
      unsafe spate_hash_pad(tail.baseAddress, carried, totalBytes)
    }
    hashTail(blocks: blocks)
    return state
  }

  private mutating func hashTail(blocks: Int) {
    let tail = self.tail
    unsafe tail.span.withUnsafeBufferPointer { unsafe hash($0.baseAddress!, blocks: blocks) }
  }

  private mutating func hash(_ data: UnsafePointer<UInt8>, blocks: Int) {
    var words = state.mutableSpan
    unsafe words.withUnsafeMutableBufferPointer { words in
      var job = unsafe spate_hash_job(state: words.baseAddress, data: data, blocks: blocks)
      unsafe spate_hash_update_many(engine.table, algorithm.shimValue, &job, 1)
    }
  }
}
