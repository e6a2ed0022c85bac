/// SHA-1 of bytes that are all there. For pieces use ``HashLanes``, which hashes many at once.
public enum SHA1 {
  public static func digest(of bytes: RawSpan, engine: HashEngine = .current) -> SHA1Digest {
    var hasher = SHA1Hasher(engine: engine)
    hasher.update(bytes)
    return hasher.digest()
  }

  public static func digest(of bytes: Span<UInt8>, engine: HashEngine = .current) -> SHA1Digest {
    unsafe digest(of: bytes.bytes, engine: engine)
  }
}

/// SHA-1 of one message that comes in runs of any length. A value: a copy goes its own way.
public struct SHA1Hasher: Sendable {
  private var message: MessageHasher

  public init(engine: HashEngine = .current) {
    message = MessageHasher(.sha1, engine: engine)
  }

  public mutating func update(_ bytes: RawSpan) { message.update(bytes) }
  public mutating func update(_ bytes: Span<UInt8>) { unsafe message.update(bytes.bytes) }

  /// The digest of all bytes so far. More may follow.
  public func digest() -> SHA1Digest {
    var message = message
    return SHA1Digest(state: message.finish())
  }
}
