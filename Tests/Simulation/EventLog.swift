/// Everything that happened, as one number: two runs are the same to the byte if their digests are equal. FNV-1a over
/// 64-bit words.
struct EventLog {
  private(set) var digest: UInt64 = 0xcbf2_9ce4_8422_2325
  private(set) var count = 0

  mutating func record(_ words: UInt64...) {
    count += 1
    for word in words { digest = (digest ^ word) &* 0x0000_0100_0000_01b3 }
    digest ^= digest >> 29
  }
}
