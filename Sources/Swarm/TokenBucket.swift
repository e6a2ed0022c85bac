import TorrentModel

/// A rate limit: tokens are bytes, they come in evenly and a bucket holds a short while's worth of them.
@frozen
public struct TokenBucket: Hashable, Sendable {
  /// Bytes a second; `nil` is unlimited.
  public private(set) var rate: Int?
  /// Tokens in the bucket, times 2^20 to carry fractions; negative after a grant that was forced.
  var scaledTokens: Int64 = 0
  var filledAt = Moment.zero

  public init(rate: Int? = nil, now: Moment) {
    self.rate = rate
    self.filledAt = now
  }
}
