import TorrentModel

/// How many peers are unchoked at once.
///
/// There should be as many slots as the uplink can serve well, and no more: each further one takes bandwidth from the
/// others and so lessens what is given in return. Slots that are all served very well are doubled every second. Beyond
/// that the number is found by trying: one more for a round, kept if more was uploaded; fewer, if those there are carry too
/// little, taken back if less was uploaded.
struct UploadSlots {
  private(set) var count: Int
  private let minimum: Int
  private let maximum: Int
  /// What was tried in the last round.
  private var trial = 0
  private var rateBefore = 0
  /// Fewer slots were tried and less was uploaded.
  private var isShrinkingVain = false
  /// Rounds before something is tried again.
  private var rest = 0

  private static let restAfterFailure = 6

  init(_ setting: SwarmConfiguration.UploadSlots) {
    switch setting {
    case .fixed(let slots):
      (count, minimum, maximum) = (max(0, slots), max(0, slots), max(0, slots))
    case .adaptive(let least, let initial, let most):
      minimum = max(1, least)
      maximum = max(minimum, most)
      count = min(max(initial, minimum), maximum)
    }
  }

  /// What a slot must carry to be worth having, in bytes a second, for slot number `index` counted from zero: the more
  /// slots there are, the more each must carry.
  static func worthwhileRate(_ index: Int) -> Int { 4096 + 2048 * index }

  /// Of these upload rates, how many carry their slot.
  static func servedWell(_ rates: [Int]) -> Int {
    var served = 0
    for rate in rates.sorted(by: >) {
      if rate < worthwhileRate(served) { break }
      served += 1
    }
    return served
  }

  /// Once a second. `rates` are those of the peers that have a slot and use it, `wanting` how many peers want one.
  /// Doubles the slots if they would all be served well even if twice as many shared the same bandwidth. Returns whether
  /// there are more slots now.
  mutating func grow(rates: [Int], wanting: Int) -> Bool {
    guard count < maximum, wanting > count, rates.count >= count, let least = rates.min(),
      least >= 2 * Self.worthwhileRate(2 * count)
    else { return false }
    count = min(maximum, max(1, count * 2))
    trial = 0
    return true
  }

  /// Once a choking round. `total` is the whole upload rate.
  mutating func adjust(rates: [Int], wanting: Int, total: Int) {
    guard minimum < maximum else { return }
    let (now, before) = (Double(total), Double(rateBefore))
    rateBefore = total
    if trial > 0, now < before * (1 + 0.25 * Double(trial) / Double(count)) {
      undo()
      isShrinkingVain = false
    } else if trial < 0, now < before * 0.95 {
      // Those who were choked had used what the others cannot: they are the slow part, not the uplink.
      undo()
      isShrinkingVain = true
    } else if rest > 0 {
      rest -= 1
      trial = 0
    } else if wanting <= count {
      // Nobody waits: there is nothing to learn.
      trial = 0
    } else {
      let worthwhile = max(minimum, Self.servedWell(rates) + 1)
      let size = max(1, count / 8)
      step(worthwhile < count && !isShrinkingVain ? -min(count - worthwhile, size) : size)
    }
  }

  private mutating func undo() {
    step(-trial)
    trial = 0
    rest = Self.restAfterFailure
  }

  private mutating func step(_ change: Int) {
    let before = count
    count = min(max(count + change, minimum), maximum)
    trial = count - before
  }
}
