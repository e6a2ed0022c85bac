/// The blocks of a pool that nobody holds: a bit for each, and the lowest are taken first.
///
/// Whole pieces come back at once and small batches are taken, so free blocks stay together in runs as long as the batches.
/// A stack would mix them for good.
struct FreeBlocks: Sendable {
  /// Bit `n % 64` of word `n / 64` is set while block `n` is free.
  private var words: [UInt64]
  /// No word before this one has a free block.
  private var first = 0
  private(set) var count: Int

  init(capacity: Int) {
    count = capacity
    words = Array(repeating: .max, count: (capacity + 63) / 64)
    if capacity % 64 != 0 { words[words.count - 1] = (1 << UInt64(capacity % 64)) - 1 }
  }

  /// Takes the lowest free block, or nil when there is none.
  mutating func takeFirst() -> BlockID? {
    guard count > 0 else { return nil }
    while words[first] == 0 { first += 1 }
    let bit = words[first].trailingZeroBitCount
    words[first] &= words[first] - 1
    count -= 1
    return BlockID(rawValue: UInt32(first * 64 + bit))
  }

  /// Appends the `number` lowest free blocks to `output`, the lowest first.
  /// - Precondition: so many are free.
  mutating func take(_ number: Int, into output: inout [BlockID]) {
    precondition(number <= count)
    var left = number
    while left > 0 {
      var word = words[first]
      while word != 0, left > 0 {
        output.append(BlockID(rawValue: UInt32(first * 64 + word.trailingZeroBitCount)))
        word &= word - 1
        left -= 1
      }
      words[first] = word
      if word == 0, left > 0 { first += 1 }
    }
    count -= number
  }

  /// Gives a block back.
  mutating func insert(_ id: BlockID) {
    let (word, bit) = (Int(id.rawValue / 64), UInt64(1) << UInt64(id.rawValue % 64))
    assert(words[word] & bit == 0, "a block was given back twice")
    words[word] |= bit
    first = min(first, word)
    count += 1
  }
}
