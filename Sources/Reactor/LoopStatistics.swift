/// What a loop has been doing.
public struct LoopStatistics: Sendable {
  /// Nothing counted yet.
  public static let empty = LoopStatistics()

  /// Times the loop went around.
  public internal(set) var turns: UInt64 = 0
  /// Completions dispatched.
  public internal(set) var completions: UInt64 = 0
  public internal(set) var timersFired: UInt64 = 0
  /// How long after its deadline the latest timer fired.
  public internal(set) var maxTimerLatenessNanoseconds: UInt64 = 0
  /// The longest a turn took, waiting not counted: for that long nothing else could happen on the loop.
  public internal(set) var maxTurnNanoseconds: UInt64 = 0
  /// Timers by lateness: entry `n` counts those late by less than 2^n microseconds (and not by less than 2^(n−1)).
  public internal(set) var timerLateness: [UInt64] = Array(repeating: 0, count: 32)

  mutating func timerFired(latenessNanoseconds: UInt64) {
    timersFired += 1
    maxTimerLatenessNanoseconds = max(maxTimerLatenessNanoseconds, latenessNanoseconds)
    let microseconds = latenessNanoseconds / 1000
    timerLateness[min(UInt64.bitWidth - microseconds.leadingZeroBitCount, timerLateness.count - 1)] += 1
  }

  /// A lateness that the given share of timers (0.99 for p99) did not exceed, in nanoseconds, rounded up to a power of
  /// two of microseconds. 0 when no timer fired yet.
  public func timerLatenessNanoseconds(quantile: Double) -> UInt64 {
    let wanted = UInt64((Double(timersFired) * quantile).rounded(.up))
    var seen: UInt64 = 0
    for (exponent, count) in timerLateness.enumerated() where count > 0 {
      seen += count
      if seen >= wanted { return min((1 << UInt64(exponent)) * 1000, maxTimerLatenessNanoseconds) }
    }
    return 0
  }
}
