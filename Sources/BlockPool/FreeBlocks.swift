/// The blocks of a pool that nobody holds, and which of them to take next.
///
/// A block is *ready* when it was never taken, or came back from anywhere but a device; of these the lowest is taken
/// first. A block that a device has just read is *resting*. On a virtual machine the host may well read it with a
/// processor: it then still lies in a cache far away, from where each of its lines has to be called back before it can be
/// written (measured: 20 ns a line instead of 2 to 5), and memory that was left alone for longer is cheaper. So resting
/// blocks are taken in turn, round the slab, and only when many of them rest or some time has passed. Until then blocks
/// are taken that were never used, up to seven eighths of the pool: the last eighth is for what is really in use.
///
/// Both kinds are bits, not a stack: whole pieces come back at once and small batches are taken, so free blocks stay
/// together in runs as long as the batches. A stack would mix them for good.
struct FreeBlocks: Sendable {
  /// Bit `n % 64` of word `n / 64` is set while block `n` is ready.
  private var ready: [UInt64]
  private var readyCount: Int
  /// No word before this one has a ready block.
  private var first = 0
  /// Blocks from this one on were never taken.
  private(set) var touched = 0

  /// Bit `n % 64` of word `n / 64` is set while block `n` rests.
  private var resting: [UInt64]
  private var restingCount = 0
  /// The block to go on from; what comes back behind it waits until it has been round.
  private var turn = 0
  /// For each word of `resting` when the last of its blocks came back, in nanoseconds.
  private var since: [UInt64]
  private let rest: Int
  /// Where so many blocks were taken at least once, no more are touched to let others rest.
  private let enough: Int

  /// Nanoseconds after which a block has rested, however few do so: so slow transfers need little memory.
  static let longestRest: UInt64 = 50_000_000

  /// - Parameter rest: how many blocks rest before one of them is taken again.
  init(capacity: Int, rest: Int) {
    let count = (capacity + 63) / 64
    ready = Array(repeating: .max, count: count)
    if capacity % 64 != 0 { ready[count - 1] = (1 << UInt64(capacity % 64)) - 1 }
    readyCount = capacity
    resting = Array(repeating: 0, count: count)
    since = Array(repeating: 0, count: count)
    self.rest = rest
    enough = capacity - capacity / 8
  }

  var count: Int { readyCount + restingCount }

  /// Whether the time makes a difference to what is taken next.
  var hasResting: Bool { restingCount > 0 }

  /// Takes a free block, or nil when there is none. `now` is in nanoseconds, from any clock that does not go back.
  mutating func takeFirst(at now: UInt64) -> BlockID? {
    count > 0 ? takeNext(at: now) : nil
  }

  /// Appends `number` free blocks to `output`, neighbours in the order of their addresses.
  /// - Precondition: so many are free.
  mutating func take(_ number: Int, at now: UInt64, into output: inout [BlockID]) {
    precondition(number <= count)
    for _ in 0..<number { output.append(takeNext(at: now)) }
  }

  /// Gives a block back. With `restingSince`, a device has just read it, at that time.
  mutating func insert(_ id: BlockID, restingSince now: UInt64? = nil) {
    let (word, bit) = (Int(id.rawValue / 64), UInt64(1) << UInt64(id.rawValue % 64))
    assert((ready[word] | resting[word]) & bit == 0, "a block was given back twice")
    if let now {
      resting[word] |= bit
      restingCount += 1
      since[word] = now
    } else {
      ready[word] |= bit
      readyCount += 1
      first = min(first, word)
    }
  }

  private mutating func takeNext(at now: UInt64) -> BlockID {
    let number: Int
    if takesResting(at: now) {
      number = turn
      resting[number / 64] &= ~(1 << UInt64(number % 64))
      restingCount -= 1
      turn += 1
    } else {
      number = first * 64 + ready[first].trailingZeroBitCount
      ready[first] &= ready[first] - 1
      readyCount -= 1
      touched = max(touched, number + 1)
    }
    return BlockID(rawValue: UInt32(number))
  }

  /// Whether the next block is one that rests, at `turn`, or the lowest that is ready, in the word `first`.
  private mutating func takesResting(at now: UInt64) -> Bool {
    if readyCount > 0 {
      while ready[first] == 0 { first += 1 }
      if first * 64 + ready[first].trailingZeroBitCount < touched { return false }
    }
    guard restingCount > 0 else { return false }
    goToTurn()
    return restingCount >= rest || readyCount == 0 || touched >= enough
      || now >= since[turn / 64] + Self.longestRest
  }

  /// Moves `turn` on to the next block that rests. There must be one.
  private mutating func goToTurn() {
    var word = turn / 64
    var bits = word < resting.count ? resting[word] & (UInt64.max << UInt64(turn % 64)) : 0
    while bits == 0 {
      word = word + 1 < resting.count ? word + 1 : 0
      bits = resting[word]
    }
    turn = word * 64 + bits.trailingZeroBitCount
  }
}
