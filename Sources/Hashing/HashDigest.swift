import CHash

/// A hash function of the SHA family (FIPS 180-4).
@frozen
public enum HashAlgorithm: Hashable, Sendable, CaseIterable, CustomStringConvertible {
  /// 20-byte digests: pieces and info-hashes of BitTorrent v1 (BEP 3).
  case sha1
  /// 32-byte digests: block hashes, merkle roots and info-hashes of BitTorrent v2 (BEP 52).
  case sha256

  public var description: String {
    switch self {
    case .sha1: "SHA-1"
    case .sha256: "SHA-256"
    }
  }

  var shimValue: spate_hash_algorithm {
    switch self {
    case .sha1: SPATE_SHA1
    case .sha256: SPATE_SHA256
    }
  }
}

/// The words between two blocks of a message: five (SHA-1) or eight (SHA-256), in host order; the rest is zero.
public typealias HashState = InlineArray<8, UInt32>

/// The result of a hash function: ``SHA1Digest`` or ``SHA256Digest``.
///
/// Digests compare and hash word by word and keep their bytes in the order they are written in files and messages.
public protocol HashDigest: Hashable, Sendable, BitwiseCopyable, CustomStringConvertible {
  static var algorithm: HashAlgorithm { get }
  /// Bytes in a digest.
  static var byteCount: Int { get }

  /// The digest in `bytes`, or nil unless there are exactly ``byteCount`` of them.
  init?(_ bytes: RawSpan)
  /// The digest that the state after a message's last block stands for (FIPS 180-4, 6.1.2 and 6.2.2).
  init(state: HashState)
}

extension HashDigest {
  /// The digest in `bytes`, or nil unless there are exactly ``byteCount`` of them.
  @inlinable
  public init?(_ bytes: Span<UInt8>) {
    unsafe self.init(bytes.bytes)
  }

  /// Reads the digest's bytes in place.
  @inlinable
  public func withBytes<Result, Failure: Error>(
    _ body: (Span<UInt8>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    // Digests are plain words in memory order, so their memory is their bytes.
    var copy = self
    return try unsafe withUnsafeMutablePointer(to: &copy) { pointer throws(Failure) in
      let bytes = unsafe UnsafeRawPointer(pointer).assumingMemoryBound(to: UInt8.self)
      return try body(unsafe Span(_unsafeStart: bytes, count: Self.byteCount))
    }
  }

  /// Appends the digest's bytes.
  public func append(to output: inout [UInt8]) {
    withBytes { bytes in
      for index in bytes.indices { output.append(bytes[index]) }
    }
  }

  /// The digest's bytes in an array of their own.
  public var bytes: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Self.byteCount)
    append(to: &bytes)
    return bytes
  }

  /// Lower-case hexadecimal.
  public var description: String {
    let digits: StaticString = "0123456789abcdef"
    var text: [UInt8] = []
    text.reserveCapacity(2 * Self.byteCount)
    withBytes { bytes in
      for index in bytes.indices {
        let byte = Int(bytes[index])
        text.append(unsafe digits.utf8Start[byte >> 4])
        text.append(unsafe digits.utf8Start[byte & 15])
      }
    }
    return String(decoding: text, as: UTF8.self)
  }
}

/// Twenty bytes of SHA-1.
@frozen
public struct SHA1Digest: HashDigest {
  // As they lie in memory, big-endian: an array of digests is a metainfo's `pieces`.
  let word0: UInt32
  let word1: UInt32
  let word2: UInt32
  let word3: UInt32
  let word4: UInt32

  @inlinable public static var algorithm: HashAlgorithm { .sha1 }
  @inlinable public static var byteCount: Int { 20 }

  public init?(_ bytes: RawSpan) {
    guard bytes.byteCount == Self.byteCount else { return nil }
    word0 = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: 0, as: UInt32.self)
    word1 = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: 4, as: UInt32.self)
    word2 = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: 8, as: UInt32.self)
    word3 = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: 12, as: UInt32.self)
    word4 = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: 16, as: UInt32.self)
  }

  public init(state: HashState) {
    word0 = state[0].bigEndian
    word1 = state[1].bigEndian
    word2 = state[2].bigEndian
    word3 = state[3].bigEndian
    word4 = state[4].bigEndian
  }
}

/// Thirty-two bytes of SHA-256.
@frozen
public struct SHA256Digest: HashDigest {
  // As they lie in memory, big-endian: an array of digests is a layer of a merkle tree.
  let word0: UInt64
  let word1: UInt64
  let word2: UInt64
  let word3: UInt64

  @inlinable public static var algorithm: HashAlgorithm { .sha256 }
  @inlinable public static var byteCount: Int { 32 }

  public init?(_ bytes: RawSpan) {
    guard bytes.byteCount == Self.byteCount else { return nil }
    word0 = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: 0, as: UInt64.self)
    word1 = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: 8, as: UInt64.self)
    word2 = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: 16, as: UInt64.self)
    word3 = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: 24, as: UInt64.self)
  }

  public init(state: HashState) {
    func pair(_ index: Int) -> UInt64 { (UInt64(state[index]) << 32 | UInt64(state[index + 1])).bigEndian }
    word0 = pair(0)
    word1 = pair(2)
    word2 = pair(4)
    word3 = pair(6)
  }
}
