import TorrentModel

/// Connection ids of UDP (BEP 15) that need no memory: a keyed hash of the client's address and the time. An id is good
/// for one to two minutes, and only where it was sent: that is what keeps a spoofed source from being answered with peers.
struct ConnectionIDs {
  private let secret: (UInt64, UInt64)
  private static let period = Int64(60_000_000_000)

  init(using random: inout some RandomNumberGenerator) {
    secret = (random.next(), random.next())
  }

  func id(for endpoint: Endpoint, now: Moment) -> UInt64 { id(endpoint, now.nanoseconds / Self.period) }

  func isValid(_ id: UInt64, for endpoint: Endpoint, now: Moment) -> Bool {
    let slot = now.nanoseconds / Self.period
    return id == self.id(endpoint, slot) || id == self.id(endpoint, slot - 1)
  }

  /// SipHash, as the standard library has it, under a secret of our own.
  private func id(_ endpoint: Endpoint, _ slot: Int64) -> UInt64 {
    var hasher = Hasher()
    hasher.combine(secret.0)
    hasher.combine(slot)
    hasher.combine(endpoint)
    hasher.combine(secret.1)
    return UInt64(bitPattern: Int64(hasher.finalize()))
  }
}
