/// A small, fast, seeded generator (xoshiro256++, public domain design by Blackman and Vigna). The same seed gives the
/// same run of a swarm, which is what the simulator rests on. Not for secrets.
@frozen
public struct SeededRandom: RandomNumberGenerator, Sendable {
  @usableFromInline var s0: UInt64
  @usableFromInline var s1: UInt64
  @usableFromInline var s2: UInt64
  @usableFromInline var s3: UInt64

  public init(seed: UInt64) {
    // SplitMix64 spreads a poor seed over the whole state.
    var x = seed
    func mix() -> UInt64 {
      x &+= 0x9e37_79b9_7f4a_7c15
      var z = x
      z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
      z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
      return z ^ (z >> 31)
    }
    (s0, s1, s2, s3) = (mix(), mix(), mix(), mix())
  }

  @inlinable public mutating func next() -> UInt64 {
    @inline(__always) func rotate(_ x: UInt64, _ k: UInt64) -> UInt64 { (x << k) | (x >> (64 &- k)) }
    let result = rotate(s0 &+ s3, 23) &+ s0
    let t = s1 << 17
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= t
    s3 = rotate(s3, 45)
    return result
  }
}
