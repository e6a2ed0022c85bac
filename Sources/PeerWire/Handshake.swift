import TorrentModel

/// The 68 bytes that open a connection (BEP 3): protocol name, reserved bits, info-hash and peer id.
@frozen
public struct Handshake: Hashable, Sendable {
  public var reserved: ReservedBits
  public var infoHash: InfoHash
  public var peerID: PeerID

  @inlinable public init(reserved: ReservedBits = .supported, infoHash: InfoHash, peerID: PeerID) {
    self.reserved = reserved
    self.infoHash = infoHash
    self.peerID = peerID
  }

  /// Bytes in a handshake.
  public static let length = 68
  /// Bytes up to the end of the info-hash: all that is needed to know which torrent the peer is after.
  public static let lengthToInfoHash = 48

  /// How far a handshake has come.
  public enum Progress: Hashable, Sendable {
    /// Right so far, but the info-hash is not complete.
    case incomplete
    /// The info-hash is known and the peer id is still to come: some clients wait for our half before they send it.
    case infoHash(InfoHash, ReservedBits)
    /// The first ``Handshake/length`` bytes were the handshake. What follows them belongs to the first message.
    case complete(Handshake)
  }

  /// Reads as much of a handshake as has arrived.
  ///
  /// - Parameter bytes: everything received so far, from the first byte of the connection.
  /// - Throws: ``PeerProtocolError/notBitTorrent`` as soon as one byte differs from what the protocol begins with.
  public static func decode(_ bytes: Span<UInt8>) throws(PeerProtocolError) -> Progress {
    for index in 0..<min(bytes.count, prologue.count) where bytes[index] != prologue[index] {
      throw .notBitTorrent
    }
    guard bytes.count >= lengthToInfoHash, let infoHash = InfoHash(bytes.extracting(28..<48)) else {
      return .incomplete
    }
    var reserved = ReservedBits()
    for index in 20..<28 { reserved.rawValue = reserved.rawValue << 8 | UInt64(bytes[index]) }
    guard bytes.count >= length, let peerID = Bytes20(bytes.extracting(48..<68)) else {
      return .infoHash(infoHash, reserved)
    }
    return .complete(Handshake(reserved: reserved, infoHash: infoHash, peerID: PeerID(peerID)))
  }

  /// Appends the 68 bytes.
  public func append(to output: inout [UInt8]) {
    output.reserveCapacity(output.count + Self.length)
    for index in Self.prologue.indices { output.append(Self.prologue[index]) }
    for shift in stride(from: 56, through: 0, by: -8) {
      output.append(UInt8(truncatingIfNeeded: reserved.rawValue >> UInt64(shift)))
    }
    infoHash.bytes.append(to: &output)
    peerID.bytes.append(to: &output)
  }

  /// The length of the protocol's name and the name.
  static let prologue: [UInt8] = [19] + Array("BitTorrent protocol".utf8)
}
