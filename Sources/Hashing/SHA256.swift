/// SHA-256 of bytes that are all there. For blocks use ``HashLanes``, which hashes many at once.
public enum SHA256 {
  public static func digest(of bytes: RawSpan, engine: HashEngine = .current) -> SHA256Digest {
    var hasher = SHA256Hasher(engine: engine)
    hasher.update(bytes)
    return hasher.digest()
  }

  public static func digest(of bytes: Span<UInt8>, engine: HashEngine = .current) -> SHA256Digest {
    unsafe digest(of: bytes.bytes, engine: engine)
  }
}

/// SHA-256 of one message that comes in runs of any length. A value: a copy goes its own way.
public struct SHA256Hasher: Sendable {
  private var message: MessageHasher

  public init(engine: HashEngine = .current) {
    message = MessageHasher(.sha256, engine: engine)
  }

  public mutating func update(_ bytes: RawSpan) { message.update(bytes) }
  public mutating func update(_ bytes: Span<UInt8>) { unsafe message.update(bytes.bytes) }

  /// The digest of all bytes so far. More may follow.
  public func digest() -> SHA256Digest {
    var message = message
    return SHA256Digest(state: message.finish())
  }
}
