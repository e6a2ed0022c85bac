import DHT

/// Keys to mutable items (BEP 44): who has the seed may replace what lies at the public key.
public struct DHTKeyPair: Sendable {
  /// The secret: ``seedLength`` bytes.
  public let seed: [UInt8]
  /// 32 bytes.
  public let publicKey: [UInt8]

  public static let seedLength = Ed25519.seedLength

  /// - Throws: ``DHTFailure/cannotSign`` where Ed25519 is not available, or the seed is not of that length.
  public init(seed: [UInt8]) throws(DHTFailure) {
    guard let key = Ed25519.publicKey(seed: seed) else { throw .cannotSign }
    self.seed = seed
    publicKey = key
  }

  /// A new pair.
  public static func generate() throws(DHTFailure) -> DHTKeyPair {
    guard let seed = Ed25519.secretBytes(seedLength) else {
      throw .outOfResources("the system has no random bytes")
    }
    return try DHTKeyPair(seed: seed)
  }

  /// A signed item.
  public func item(_ value: [UInt8], salt: [UInt8], sequence: Int64) throws(DHTFailure) -> DHTItem {
    let signed = DHTItem.signedBytes(value: value.span, salt: salt.span, sequence: sequence)
    guard let signature = Ed25519.sign(signed, seed: seed) else { throw .cannotSign }
    return DHTItem(
      value: value,
      mutable: .init(publicKey: publicKey, salt: salt, sequence: sequence, signature: signature))
  }
}
