import CCrypto

/// Ed25519 (RFC 8032), by OpenSSL.
enum Ed25519 {
  static let seedLength = 32
  static let publicKeyLength = 32
  static let signatureLength = 64

  /// The key that belongs to a seed of 32 bytes; nil where OpenSSL's configuration forbids the algorithm.
  static func publicKey(seed: [UInt8]) -> [UInt8]? {
    guard seed.count == seedLength else { return nil }
    var key = [UInt8](repeating: 0, count: publicKeyLength)
    return unsafe spate_ed25519_public_key(seed, &key) ? key : nil
  }

  static func sign(_ message: [UInt8], seed: [UInt8]) -> [UInt8]? {
    guard seed.count == seedLength else { return nil }
    var signature = [UInt8](repeating: 0, count: signatureLength)
    return unsafe spate_ed25519_sign(seed, message, message.count, &signature) ? signature : nil
  }

  static func verify(_ signature: Span<UInt8>, of message: Span<UInt8>, key: Span<UInt8>) -> Bool {
    guard signature.count == signatureLength, key.count == publicKeyLength else { return false }
    return unsafe key.withUnsafeBufferPointer { key in
      unsafe message.withUnsafeBufferPointer { message in
        unsafe signature.withUnsafeBufferPointer { signature in
          guard let key = key.baseAddress, let signature = signature.baseAddress else { return false }
          var nothing: UInt8 = 0
          guard let start = message.baseAddress else {
            return unsafe spate_ed25519_verify(key, &nothing, 0, signature)
          }
          return unsafe spate_ed25519_verify(key, start, message.count, signature)
        }
      }
    }
  }

  /// Bytes that nobody can guess; nil when the system's generator fails.
  static func secretBytes(_ count: Int) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    return unsafe spate_random_bytes(&bytes, count) ? bytes : nil
  }
}
