import Bencode
import TorrentModel

/// The extension by which peers give each other the info dictionary of a torrent (BEP 9), in pieces of 16 KiB.
public enum Metadata {
  public static let registration = WireExtension(
    name: "ut_metadata", localID: 2, messageLengthLimit: pieceLength + headerLengthLimit,
    handshakeKeys: [sizeKey])

  /// Bytes in a piece of the metadata. The last one may be shorter.
  public static let pieceLength = 16 << 10
  /// Bytes of the dictionary before the piece: far more than any client writes.
  static let headerLengthLimit = 1 << 10
  /// Its value in the extended handshake is the length of the info dictionary.
  static let sizeKey = "metadata_size"

  /// One message.
  public enum Message: Hashable, Sendable {
    /// The sender would like to have this piece.
    case request(piece: Int)
    /// A piece. `totalLength` is the length of the whole in bytes, which some clients leave out.
    case data(piece: Int, totalLength: Int?, bytes: [UInt8])
    /// The sender does not have, or does not give, this piece.
    case reject(piece: Int)
  }

  /// How many pieces metadata of so many bytes has.
  public static func pieceCount(ofLength length: Int) -> Int { (length + pieceLength - 1) / pieceLength }

  /// Where a piece lies in metadata of so many bytes; `nil` when it has no such piece.
  public static func range(ofPiece piece: Int, length: Int) -> Range<Int>? {
    guard piece >= 0, piece < pieceCount(ofLength: length) else { return nil }
    return piece * pieceLength..<min(length, (piece + 1) * pieceLength)
  }

  private static let limits = BencodeLimits(length: registration.messageLengthLimit, depth: 8, values: 64)
  /// One more than the greatest piece that metadata within the limit can have.
  private static let pieceLimit = pieceCount(ofLength: Limits.metadataLength)

  /// Reads the payload of a message.
  ///
  /// - Returns: `nil` for a type of message that is not known: it is to be ignored (BEP 9).
  public static func decode(_ payload: Span<UInt8>) throws(PeerProtocolError) -> Message? {
    var parser = BencodeParser(limits: limits)
    let root: BencodeNode
    do { root = try parser.parsePrefix(payload) } catch { throw failure("\(error)") }
    guard root.kind == .dictionary else { throw failure("it is not a dictionary") }
    guard let type = root["msg_type"]?.integer else { throw failure("it has no msg_type") }
    guard (0...2).contains(type) else { return nil }
    guard let number = root["piece"]?.integer else { throw failure("it names no piece") }
    guard number >= 0, number < Int64(pieceLimit) else { throw failure("it names piece \(number)") }
    let piece = Int(number)
    switch type {
    case 0: return .request(piece: piece)
    case 2: return .reject(piece: piece)
    default: break
    }
    let bytes = payload.extracting(droppingFirst: root.range.upperBound)
    guard (1...pieceLength).contains(bytes.count) else {
      throw failure("a piece of \(bytes.count) bytes")
    }
    var length: Int?
    if let value = root["total_size"]?.integer {
      guard value > 0, value <= Int64(Limits.metadataLength) else { throw failure("\(value) bytes in all") }
      length = Int(value)
    }
    return .data(
      piece: piece, totalLength: length,
      bytes: [UInt8](capacity: bytes.count) { copy in
        for index in bytes.indices { copy.append(bytes[index]) }
      })
  }

  private static func failure(_ reason: String) -> PeerProtocolError {
    .badExtensionMessage(extension: registration.name, reason: reason)
  }

  /// Appends a request for a piece to a peer that takes these messages under `remoteID`.
  public static func appendRequest(piece: Int, remoteID: UInt8, to output: inout [UInt8]) {
    PeerMessage.extended(id: remoteID, payload: header(type: 0, piece: piece)).append(to: &output)
  }

  /// Appends the answer that a piece is not given.
  public static func appendReject(piece: Int, remoteID: UInt8, to output: inout [UInt8]) {
    PeerMessage.extended(id: remoteID, payload: header(type: 2, piece: piece)).append(to: &output)
  }

  /// Appends a piece of `metadata`.
  ///
  /// - Precondition: the metadata has this piece.
  public static func appendData(
    piece: Int, of metadata: ArraySlice<UInt8>, remoteID: UInt8, to output: inout [UInt8]
  ) {
    guard let range = range(ofPiece: piece, length: metadata.count) else {
      preconditionFailure("the metadata has no such piece")
    }
    let header = header(type: 1, piece: piece, totalLength: metadata.count)
    let start = metadata.startIndex
    output.reserveCapacity(output.count + 6 + header.count + range.count)
    output.append(addingCapacity: 6) { span in
      span.append(bigEndian: UInt32(2 + header.count + range.count))
      span.append(PeerMessage.ID.extended.rawValue)
      span.append(remoteID)
    }
    output += header
    output += metadata[start + range.lowerBound..<start + range.upperBound]
  }

  private static func header(type: Int, piece: Int, totalLength: Int? = nil) -> [UInt8] {
    var writer = BencodeWriter()
    writer.beginDictionary()
    writer.entry("msg_type", integer: type)
    writer.entry("piece", integer: piece)
    if let totalLength { writer.entry("total_size", integer: totalLength) }
    writer.end()
    return writer.bytes
  }
}

extension ExtendedHandshake {
  /// `metadata_size`: bytes in the info dictionary (BEP 9). At least 1, at most `Limits.metadataLength`; a claim beyond
  /// that counts as none. Kept only where ``Metadata`` is registered.
  public var metadataSize: Int? {
    get {
      guard let entry = entries.first(where: { $0.key == Metadata.sizeKey }) else { return nil }
      var parser = BencodeParser(limits: BencodeLimits(length: Self.entryLengthLimit, depth: 1, values: 4))
      guard let node = try? parser.parsePrefix(entry.value.span), let size = node.integer, size > 0,
        size <= Int64(Limits.metadataLength)
      else { return nil }
      return Int(size)
    }
    set {
      entries.removeAll { $0.key == Metadata.sizeKey }
      guard let newValue else { return }
      var writer = BencodeWriter()
      writer.integer(newValue)
      entries.append(Entry(key: Metadata.sizeKey, value: writer.bytes))
    }
  }
}
