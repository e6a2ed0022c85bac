import TorrentModel

/// Bytes a second, smoothed over about eight seconds, and how many bytes there were in all.
///
/// Time is cut into steps of half a second. A finished step moves the mean by a sixteenth of the difference, and the
/// mean is divided by the share of the weights seen so far, so that the first seconds count in full.
struct TransferRate: Hashable {
  /// Bytes since the start.
  private(set) var total: Int64 = 0
  /// Bytes in the step that is under way.
  private var pending: Int64 = 0
  /// The step that is under way; -1 before the first byte.
  private var step: Int64 = -1
  private var mean = 0.0
  /// 1 - (1 - alpha)^steps.
  private var weight = 0.0

  private static let stepLength: Int64 = 500_000_000
  private static let alpha = 1.0 / 16
  /// Steps after which less than a byte in a gigabyte is left: (15/16)^512 < 10^-14.
  private static let horizon: Int64 = 512

  mutating func add(_ bytes: Int, now: Moment) {
    roll(to: now)
    pending += Int64(bytes)
    total += Int64(bytes)
  }

  /// Bytes a second at `now`.
  func rate(now: Moment) -> Int {
    var copy = self
    copy.roll(to: now)
    guard copy.weight > 0 else { return 0 }
    return Int(copy.mean / copy.weight * (1e9 / Double(Self.stepLength)))
  }

  private mutating func roll(to now: Moment) {
    let current = now.nanoseconds / Self.stepLength
    guard current != step else { return }
    guard step >= 0, current > step else {
      // The first byte, or a clock that went back: begin here.
      if step < 0 { step = current }
      return
    }
    let steps = current - step
    step = current
    mean += (Double(pending) - mean) * Self.alpha
    weight += (1 - weight) * Self.alpha
    pending = 0
    guard steps > 1 else { return }
    guard steps < Self.horizon else {
      (mean, weight) = (0, 0)
      return
    }
    let kept = Self.power(1 - Self.alpha, steps - 1)
    mean *= kept
    weight = 1 - (1 - weight) * kept
  }

  private static func power(_ base: Double, _ exponent: Int64) -> Double {
    var (result, square, rest) = (1.0, base, exponent)
    while rest > 0 {
      if rest & 1 == 1 { result *= square }
      square *= square
      rest >>= 1
    }
    return result
  }
}
