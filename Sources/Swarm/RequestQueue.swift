import DequeModule
import TorrentModel

/// The blocks asked of one peer, in the order in which it was asked, and how many more it should be asked for.
///
/// The window is what the peer sends in a second and a half and two round trips, so that it never runs dry. It begins
/// small and grows by one with each block, that is, doubles with each round trip, until the rate no longer grows.
struct RequestQueue {
  struct Entry {
    var piece: PieceIndex
    var block: UInt32
    /// Slot of the open piece. It counts only while the piece there is this one.
    var slot: Int32
    /// The block was given back for others to fetch; the peer may still answer.
    var isReleased: Bool
    var sentAt: Moment
  }

  private(set) var entries = Deque<Entry>()
  /// Entries that are not released.
  private(set) var live = 0
  /// How many live entries there should be.
  private(set) var window: Int
  private(set) var isSlowStart = true
  /// Blocks that may still come for requests that were cancelled or dropped by a choke.
  private(set) var lateBlocks = 0
  /// Since when the first entry is the first, or bytes came.
  private(set) var waitingSince = Moment.zero
  private var headSince = Moment.zero
  /// From request to block, without the wait behind other blocks: the least ever seen.
  private var roundTrip = Moment.Interval.seconds(1)
  private var hasRoundTrip = false
  /// From request to block, seconds: mean and mean deviation (as RFC 6298 has it for round trips).
  private var mean = 0.0
  private var deviation = 0.0
  private var lastRate = 0
  /// Nothing is asked for before this moment: the peer has rejected requests.
  private(set) var holdUntil = Moment.zero
  private var holdTime = Moment.Interval.zero

  static let initialWindow = 4
  private static let lateBlockLimit = 4096

  init() { window = Self.initialWindow }

  /// The first entry for this block.
  @inline(__always) func index(of piece: PieceIndex, _ block: UInt32) -> Int? {
    // Peers answer in order nearly always.
    if let first = entries.first, first.piece == piece, first.block == block { return 0 }
    return entries.firstIndex { $0.piece == piece && $0.block == block }
  }

  /// The entry for this block that is not released.
  func liveIndex(of piece: PieceIndex, _ block: UInt32) -> Int? {
    entries.firstIndex { $0.piece == piece && $0.block == block && !$0.isReleased }
  }

  /// The block came for an entry that was released. If the peer was asked again meanwhile, it may send it once more.
  mutating func forgetRepeat(of piece: PieceIndex, _ block: UInt32, now: Moment) {
    guard let index = liveIndex(of: piece, block) else { return }
    remove(at: index, now: now)
    expectLateBlocks(1)
  }

  mutating func append(_ piece: PieceIndex, _ block: UInt32, slot: Int, now: Moment) {
    if entries.isEmpty {
      waitingSince = now
      headSince = now
    }
    entries.append(Entry(piece: piece, block: block, slot: Int32(slot), isReleased: false, sentAt: now))
    live += 1
  }

  @discardableResult
  @inline(__always) mutating func remove(at index: Int, now: Moment) -> Entry {
    if index == 0 { headSince = now }
    let entry = index == 0 ? entries.removeFirst() : entries.remove(at: index)
    if !entry.isReleased { live -= 1 }
    return entry
  }

  /// The block of the entry at `index` came.
  @inline(__always) mutating func arrived(at index: Int, maximum: Int, now: Moment) -> Entry {
    let entry = remove(at: index, now: now)
    waitingSince = now
    let time = now - entry.sentAt
    if !hasRoundTrip || time < roundTrip {
      roundTrip = time
      hasRoundTrip = true
    }
    let sample = time.seconds
    if mean == 0 {
      mean = sample
      deviation = sample / 2
    } else {
      deviation += (abs(sample - mean) - deviation) / 16
      mean += (sample - mean) / 16
    }
    if isSlowStart { window = min(window + 1, maximum) }
    holdTime = .zero
    return entry
  }

  /// Part of a block came.
  mutating func bytesArrived(now: Moment) { waitingSince = now }

  /// Gives the entry's block back; the entry stays, for the peer may still answer.
  mutating func release(at index: Int) {
    guard !entries[index].isReleased else { return }
    entries[index].isReleased = true
    live -= 1
  }

  /// Forgets everything that was asked for. Blocks may still come.
  mutating func removeAll() {
    expectLateBlocks(entries.count)
    entries.removeAll()
    live = 0
  }

  mutating func expectLateBlocks(_ count: Int) { lateBlocks = min(lateBlocks + count, Self.lateBlockLimit) }

  /// A block that is not among the entries came. Returns whether it was to be expected.
  mutating func takeLateBlock() -> Bool {
    guard lateBlocks > 0 else { return false }
    lateBlocks -= 1
    return true
  }

  /// The window begins anew: the peer unchoked us.
  mutating func restart() {
    window = Self.initialWindow
    isSlowStart = true
    lastRate = 0
  }

  /// Nothing came for too long: one request at a time until something does.
  mutating func snub(now: Moment) {
    window = 1
    isSlowStart = false
    waitingSince = now
    headSince = now
  }

  /// Something came after all.
  mutating func unsnub() { restart() }

  /// The peer rejected a request although it does not choke us. It is left alone for a while, longer each time.
  mutating func hold(now: Moment) {
    guard now >= holdUntil else { return }
    holdTime = min(max(.seconds(1), holdTime * 2), .seconds(64))
    holdUntil = now + holdTime
  }

  /// To be called about once a second.
  mutating func adapt(rate: Int, minimum: Int, maximum: Int) {
    if isSlowStart {
      if lastRate > 0, Double(rate) < Double(lastRate) * 1.1, window > Self.initialWindow {
        isSlowStart = false
      }
      lastRate = rate
    }
    let ahead = 1.5 + 2 * min(hasRoundTrip ? roundTrip.seconds : 1, 3)
    let wanted = Int(Double(rate) * ahead / Double(blockLength)) + 1
    // One block ahead is enough for a slow peer; with many such peers more would stand in line for minutes.
    let minimum = min(minimum, 2 * wanted)
    if isSlowStart {
      window = min(max(window, wanted, minimum), maximum)
    } else {
      window = min(max(wanted, minimum), maximum)
    }
  }

  /// From request to block, on average.
  var responseTime: Moment.Interval { .seconds(mean) }

  /// How long the peer may be silent.
  func timeout(minimum: Moment.Interval, maximum: Moment.Interval) -> Moment.Interval {
    guard mean > 0 else { return maximum }
    return min(max(.seconds(mean + 4 * deviation), minimum), maximum)
  }

  /// Whether the peer should be taken for snubbing: no byte for `timeout`, or none whole block for the longest timeout.
  func isOverdue(minimum: Moment.Interval, maximum: Moment.Interval, now: Moment) -> Bool {
    guard live > 0 else { return false }
    return now - waitingSince > timeout(minimum: minimum, maximum: maximum) || now - headSince > maximum
  }

  /// Drops entries that were released long ago and never answered.
  mutating func expire(before moment: Moment) {
    while let first = entries.first, first.isReleased, first.sentAt < moment {
      entries.removeFirst()
      expectLateBlocks(1)
    }
  }
}
