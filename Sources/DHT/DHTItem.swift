import Bencode
import TorrentModel

/// Something stored in the DHT (BEP 44).
///
/// An immutable item lies at the SHA-1 of its value; a mutable one at that of its owner's key and a salt, and its owner
/// may replace it by one with a higher sequence number.
public struct DHTItem: Hashable, Sendable {
  /// The value, encoded: any canonical bencode of at most ``valueLimit`` bytes.
  public var value: [UInt8]
  /// What makes it mutable.
  public var mutable: Mutable?

  public struct Mutable: Hashable, Sendable {
    /// Ed25519, ``DHTItem/publicKeyLength`` bytes.
    public var publicKey: [UInt8]
    /// At most ``DHTItem/saltLimit`` bytes.
    public var salt: [UInt8]
    /// 0 or greater.
    public var sequence: Int64
    /// Ed25519 over ``DHTItem/signedBytes(value:salt:sequence:)``, ``DHTItem/signatureLength`` bytes.
    public var signature: [UInt8]

    public init(publicKey: [UInt8], salt: [UInt8] = [], sequence: Int64, signature: [UInt8]) {
      self.publicKey = publicKey
      self.salt = salt
      self.sequence = sequence
      self.signature = signature
    }
  }

  public static let valueLimit = 1000
  public static let saltLimit = 64
  public static let publicKeyLength = 32
  public static let signatureLength = 64

  /// Why an item cannot be put.
  public enum Problem: Error, Hashable, Sendable, CustomStringConvertible {
    case valueTooLong(Int)
    case valueIsNotCanonicalBencode
    case saltTooLong(Int)
    case badKeyLength(Int)
    case badSignatureLength(Int)
    case negativeSequence(Int64)
    case badSignature

    public var description: String {
      switch self {
      case .valueTooLong(let count): "the value has \(count) bytes encoded, more than \(DHTItem.valueLimit)"
      case .valueIsNotCanonicalBencode: "the value is not canonical bencode"
      case .saltTooLong(let count): "the salt has \(count) bytes, more than \(DHTItem.saltLimit)"
      case .badKeyLength(let count): "the public key has \(count) bytes, not \(DHTItem.publicKeyLength)"
      case .badSignatureLength(let count):
        "the signature has \(count) bytes, not \(DHTItem.signatureLength)"
      case .negativeSequence(let number): "the sequence number \(number) is negative"
      case .badSignature: "the signature does not belong to this key and value"
      }
    }
  }

  public init(value: [UInt8], mutable: Mutable? = nil) {
    self.value = value
    self.mutable = mutable
  }

  /// Where an immutable item lies.
  public static func target(ofValue value: Span<UInt8>, sha1: (Span<UInt8>) -> Bytes20) -> NodeID {
    NodeID(sha1(value))
  }

  /// Where a mutable item lies (BEP 44; BEP 46 for a magnet's `btpk`).
  public static func target(
    ofPublicKey key: Span<UInt8>, salt: Span<UInt8>, sha1: (Span<UInt8>) -> Bytes20
  ) -> NodeID {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(key.count + salt.count)
    for index in key.indices { bytes.append(key[index]) }
    for index in salt.indices { bytes.append(salt[index]) }
    return NodeID(sha1(bytes.span))
  }

  /// Where this item lies.
  public func target(sha1: (Span<UInt8>) -> Bytes20) -> NodeID {
    guard let mutable else { return Self.target(ofValue: value.span, sha1: sha1) }
    return Self.target(ofPublicKey: mutable.publicKey.span, salt: mutable.salt.span, sha1: sha1)
  }

  /// What the owner signs (BEP 44).
  public static func signedBytes(value: Span<UInt8>, salt: Span<UInt8>, sequence: Int64) -> [UInt8] {
    var writer = KRPCWriter(reserving: value.count + salt.count + 48)
    if !salt.isEmpty {
      writer.literal("4:salt")
      writer.string(salt)
    }
    writer.literal("3:seq")
    writer.integer(sequence)
    writer.literal("1:v")
    writer.append(value)
    return writer.bytes
  }

  /// Whether `value` is one canonical bencoded value.
  static func isCanonical(_ value: Span<UInt8>) -> Bool {
    var parser = BencodeParser(limits: KRPCMessage.limits)
    guard let node = try? parser.parse(value) else { return false }
    return node.firstUnsortedKey == nil
  }

  /// Checks an item before it is put.
  ///
  /// - Throws: ``Problem``.
  public func validate(
    verifying verify: (_ signature: Span<UInt8>, _ message: Span<UInt8>, _ key: Span<UInt8>) -> Bool
  ) throws(Problem) {
    guard value.count <= Self.valueLimit else { throw .valueTooLong(value.count) }
    guard Self.isCanonical(value.span) else { throw .valueIsNotCanonicalBencode }
    guard let mutable else { return }
    guard mutable.salt.count <= Self.saltLimit else { throw .saltTooLong(mutable.salt.count) }
    guard mutable.publicKey.count == Self.publicKeyLength else {
      throw .badKeyLength(mutable.publicKey.count)
    }
    guard mutable.signature.count == Self.signatureLength else {
      throw .badSignatureLength(mutable.signature.count)
    }
    guard mutable.sequence >= 0 else { throw .negativeSequence(mutable.sequence) }
    let signed = Self.signedBytes(
      value: value.span, salt: mutable.salt.span, sequence: mutable.sequence)
    guard verify(mutable.signature.span, signed.span, mutable.publicKey.span) else { throw .badSignature }
  }
}

extension DHTItem {
  /// The value that says which torrent is current (BEP 46): `d2:ih20:…e`.
  public static func torrentPointer(to infoHash: InfoHash) -> [UInt8] {
    var writer = KRPCWriter(reserving: 32)
    writer.literal("d2:ih")
    writer.point(NodeID(infoHash))
    writer.literal("e")
    return writer.bytes
  }

  /// The torrent that the value points to (BEP 46), or `nil` if it is something else.
  public var pointedTorrent: InfoHash? {
    var parser = BencodeParser(limits: KRPCMessage.limits)
    guard let node = try? parser.parse(value.span), let hash = node["ih"]?.string else { return nil }
    return InfoHash(hash)
  }
}
