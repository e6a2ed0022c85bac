import TorrentModel

/// A rate limit. A token is a byte; tokens come in evenly, and the bucket holds a short while's worth of them.
public struct TokenBucket: Hashable, Sendable {
  /// Bytes a second; `nil` is unlimited.
  public private(set) var rate: Int?
  /// Tokens that may be saved up: a quarter of a second's worth, and at least one block with its header.
  public private(set) var capacity: Int
  /// Tokens in the bucket, in units of 1/10^9 token so that nothing is lost to rounding. Below zero after a charge.
  private var nanotokens: Int128
  private var filledAt: Moment

  static let minimumCapacity = 17 * 1024
  private static let unit: Int128 = 1_000_000_000

  public init(rate: Int?, now: Moment) {
    self.rate = nil
    self.capacity = 0
    self.nanotokens = 0
    self.filledAt = now
    setRate(rate, now: now)
    nanotokens = Int128(capacity) * Self.unit
  }

  /// `rate` below one byte a second counts as one.
  public mutating func setRate(_ rate: Int?, now: Moment) {
    fill(now: now)
    self.rate = rate.map { max(1, $0) }
    capacity = self.rate.map { max($0 / 4, Self.minimumCapacity) } ?? 0
    nanotokens = min(nanotokens, Int128(capacity) * Self.unit)
  }

  /// Tokens that could be taken now; `Int.max` when unlimited.
  public mutating func available(now: Moment) -> Int {
    guard rate != nil else { return .max }
    fill(now: now)
    return max(0, Int(nanotokens / Self.unit))
  }

  /// Takes up to `wanted` tokens; returns how many.
  public mutating func grant(_ wanted: Int, now: Moment) -> Int {
    let granted = min(max(0, wanted), available(now: now))
    charge(granted, now: now)
    return granted
  }

  /// Takes `tokens` even if the bucket goes below zero. It stops at minus one second's worth, so that a long burst
  /// that could not be held back does not block everything for minutes.
  public mutating func charge(_ tokens: Int, now: Moment) {
    guard let rate else { return }
    fill(now: now)
    nanotokens = max(nanotokens - Int128(tokens) * Self.unit, -Int128(max(rate, capacity)) * Self.unit)
  }

  /// When `tokens`, or a full bucket if that is less, will be there.
  public func nextAvailable(_ tokens: Int, now: Moment) -> Moment {
    guard let rate else { return now }
    let goal = Int128(min(max(1, tokens), capacity)) * Self.unit
    let missing = goal - nanotokens
    guard missing > 0 else { return now }
    let wait = (missing + Int128(rate) - 1) / Int128(rate)
    return max(now, filledAt + Moment.Interval(nanoseconds: Int64(min(wait, Int128(Int64.max)))))
  }

  private mutating func fill(now: Moment) {
    guard now > filledAt else { return }
    if let rate {
      let gained = Int128((now - filledAt).nanoseconds) * Int128(rate)
      nanotokens = min(nanotokens + gained, Int128(capacity) * Self.unit)
    }
    filledAt = now
  }
}
