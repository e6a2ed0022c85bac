import TorrentModel

/// Tokens that only the address that got one can have (BEP 5), for one target (BEP 44 allows that), without memory of
/// whom they were given to: the first eight bytes of the SHA-1 of a secret, the address and the target. The secret
/// changes every ``rotation``, and those of the secret before are taken too.
struct TokenMint: Sendable {
  static let rotation = Moment.Interval.seconds(5 * 60)
  static let tokenLength = 8
  private static let secretLength = 16

  private let sha1: @Sendable (Span<UInt8>) -> Bytes20
  /// Secret, address, target: 52 bytes, one block of SHA-1. The secret in use is kept in front.
  private var scratch: [UInt8]
  private var previous: [UInt8]
  private var since: Moment
  /// For challenges: never changes.
  private let challengeSecret: [UInt8]

  init(
    sha1: @escaping @Sendable (Span<UInt8>) -> Bytes20, now: Moment, random: inout some RandomNumberGenerator
  ) {
    self.sha1 = sha1
    previous = Self.secret(&random)
    scratch = Self.secret(&random) + [UInt8](repeating: 0, count: 36)
    challengeSecret = Self.secret(&random)
    since = now
  }

  private static func secret(_ random: inout some RandomNumberGenerator) -> [UInt8] {
    (0..<secretLength).map { _ in UInt8.random(in: .min ... .max, using: &random) }
  }

  /// Changes the secret if it is time.
  mutating func rotate(now: Moment, random: inout some RandomNumberGenerator) {
    guard now - since >= Self.rotation else { return }
    // After a long pause tokens of the last secret are too old as well.
    let isStale = now - since >= Self.rotation * 2
    previous = isStale ? Self.secret(&random) : Array(scratch[..<Self.secretLength])
    scratch.replaceSubrange(..<Self.secretLength, with: Self.secret(&random))
    since = now
  }

  mutating func token(for address: IPAddress, _ target: NodeID) -> UInt64 {
    fill(address, target)
    return first8(sha1(scratch.span))
  }

  mutating func accepts(_ token: Span<UInt8>, from address: IPAddress, _ target: NodeID) -> Bool {
    guard token.count == Self.tokenLength else { return false }
    var value: UInt64 = 0
    for index in token.indices { value = value << 8 | UInt64(token[index]) }
    if value == self.token(for: address, target) { return true }
    let old = previous + scratch[Self.secretLength...]
    return value == first8(sha1(old.span))
  }

  /// The transaction of a ping that asks an address to prove itself. It is known again without being kept.
  mutating func challenge(for endpoint: Endpoint) -> Transaction {
    var bytes = challengeSecret
    bytes.reserveCapacity(40)
    endpoint.appendCompact(to: &bytes)
    return Transaction(UInt32(truncatingIfNeeded: first8(sha1(bytes.span)) >> 32))
  }

  private mutating func fill(_ address: IPAddress, _ target: NodeID) {
    for index in 0..<8 {
      let shift = UInt64(56 - 8 * index)
      scratch[16 + index] = UInt8(truncatingIfNeeded: address.high >> shift)
      scratch[24 + index] = UInt8(truncatingIfNeeded: address.low >> shift)
    }
    for index in 0..<20 { scratch[32 + index] = target[index] }
  }

  private func first8(_ hash: Bytes20) -> UInt64 {
    var value: UInt64 = 0
    for index in 0..<8 { value = value << 8 | UInt64(hash[index]) }
    return value
  }
}
