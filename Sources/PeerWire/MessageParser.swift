import TorrentModel

/// Takes messages off the stream of one peer.
///
/// The parser holds no bytes. It looks at what has arrived from the start of a message on, and checks each length
/// prefix against what a message of that id may carry on this connection, before anybody waits for or buffers the
/// rest. Of a `piece` message it reads the thirteen bytes before the payload.
@frozen
public struct MessageParser: Sendable {
  /// What the torrent looks like, or `nil` while its metadata is still being fetched (BEP 9). Without it a piece can be
  /// any below `Limits.pieceCount`, a bitfield can be as long as those need, and there are no blocks; ``EarlyMessages``
  /// keeps what comes. Set it as soon as it is known: the next message is judged by it.
  public var geometry: PieceGeometry?
  /// Whether both sides set the bit of BEP 6.
  public var isFast: Bool
  /// The extensions in use, or `nil` unless both sides set the bit of BEP 10.
  public var extensions: ExtensionRegistry?

  public init(geometry: PieceGeometry?, isFast: Bool, extensions: ExtensionRegistry?) {
    self.geometry = geometry
    self.isFast = isFast
    self.extensions = extensions
  }

  /// A parser for a connection on which these bits were exchanged.
  public init(
    geometry: PieceGeometry?, ours: ReservedBits, theirs: ReservedBits, extensions: ExtensionRegistry
  ) {
    let both = ours.intersection(theirs)
    self.init(
      geometry: geometry, isFast: both.contains(.fast),
      extensions: both.contains(.extensionProtocol) ? extensions : nil)
  }

  /// What is at the start of the bytes.
  @frozen
  public enum Step: Hashable, Sendable {
    /// Not enough to tell, or to have the whole message: call again when at least `needed` bytes from the start of
    /// the message are there. It is the length of the message once that is known and accepted.
    case incomplete(needed: Int)
    /// A message that takes up `length` bytes. Of a `piece` these are the ``PieceHeader/length`` bytes of its
    /// header, and as many bytes of payload follow as the block is long.
    case message(PeerMessage, length: Int)
    /// A message that is none of ours: drop this many bytes, of which not all may have arrived.
    case skip(length: Int)
  }

  /// The longest message of an unknown id, or of an extension that was not agreed on, that is skipped rather than
  /// refused: more than any known extension sends.
  public static let skippedLengthLimit = 256 << 10
  /// The longest bitfield in bytes while the number of pieces is not known.
  public static let bitfieldLengthLimitBeforeMetadata = Limits.pieceCount / 8
  /// The longest extended handshake in bytes; real ones have a few hundred.
  public static let extendedHandshakeLengthLimit = 32 << 10

  /// Looks at the next message.
  ///
  /// - Parameter bytes: what has arrived, from the first byte of a message on; more than one message may be there.
  public func next(in bytes: Span<UInt8>) throws(PeerProtocolError) -> Step {
    guard bytes.count >= 4 else { return .incomplete(needed: 4) }
    let prefix = bytes.bigEndian32(at: 0)
    if prefix == 0 { return .message(.keepAlive, length: 4) }
    guard bytes.count >= 5 else { return .incomplete(needed: 5) }
    guard let id = PeerMessage.ID(rawValue: bytes[4]) else {
      guard Int(prefix) <= Self.skippedLengthLimit else {
        throw .unknownMessageTooLong(id: bytes[4], length: prefix)
      }
      return .skip(length: 4 + Int(prefix))
    }
    switch id {
    case .have, .request, .piece, .cancel, .choke, .unchoke, .interested, .notInterested, .port, .bitfield:
      break
    case .suggest, .haveAll, .haveNone, .reject, .allowedFast:
      guard isFast else { throw .notNegotiated(id) }
    case .extended:
      return try nextExtended(prefix, in: bytes)
    }
    if geometry == nil, id == .request || id == .piece || id == .cancel || id == .reject {
      throw .beforeMetadata(id)
    }
    if id == .piece { return try nextPiece(prefix, in: bytes) }

    let expected = id == .bitfield ? try bitfieldLength(prefix) : Self.length(of: id)
    guard prefix == UInt32(truncatingIfNeeded: expected) else {
      throw .wrongLength(id, length: prefix, expected: expected)
    }
    let length = 4 &+ expected
    guard bytes.count >= length else { return .incomplete(needed: length) }
    return .message(try message(id, in: bytes.extracting(first: length)), length: length)
  }

  /// What the length prefix of a message of this id must be, where it is always the same.
  @inlinable
  static func length(of id: PeerMessage.ID) -> Int {
    switch id {
    case .choke, .unchoke, .interested, .notInterested, .haveAll, .haveNone: 1
    case .have, .suggest, .allowedFast: 5
    case .request, .cancel, .reject: 13
    case .port: 3
    case .bitfield, .piece, .extended: 0
    }
  }

  /// What the length prefix of a bitfield must be.
  private func bitfieldLength(_ prefix: UInt32) throws(PeerProtocolError) -> Int {
    if let geometry { return 1 + (geometry.pieceCount + 7) / 8 }
    let longest = 1 + Self.bitfieldLengthLimitBeforeMetadata
    guard prefix > 1, Int(prefix) <= longest else {
      throw .wrongLength(.bitfield, length: prefix, expected: longest)
    }
    return Int(prefix)
  }

  private func message(
    _ id: PeerMessage.ID, in bytes: Span<UInt8>
  ) throws(PeerProtocolError) -> PeerMessage {
    switch id {
    case .choke: return .choke
    case .unchoke: return .unchoke
    case .interested: return .interested
    case .notInterested: return .notInterested
    case .have: return .have(try piece(id, in: bytes))
    case .suggest: return .suggest(try piece(id, in: bytes))
    case .allowedFast: return .allowedFast(try piece(id, in: bytes))
    case .request: return .request(try block(id, in: bytes))
    case .cancel: return .cancel(try block(id, in: bytes))
    case .reject: return .reject(try block(id, in: bytes))
    case .port: return .port(bytes.bigEndian16(at: 5))
    case .haveAll: return .haveAll
    case .haveNone: return .haveNone
    case .bitfield: return .bitfield(try bitfield(bytes.extracting(droppingFirst: 5)))
    case .piece, .extended: preconditionFailure("these have readers of their own")
    }
  }

  private func bitfield(_ bytes: Span<UInt8>) throws(PeerProtocolError) -> Bitfield {
    do {
      return try Bitfield(wire: bytes, capacity: geometry?.pieceCount ?? bytes.count * 8)
    } catch {
      switch error {
      case .wrongLength(let actual, let expected):
        throw .wrongLength(.bitfield, length: UInt32(truncatingIfNeeded: actual + 1), expected: expected + 1)
      case .spareBitsSet: throw .spareBitsSet
      }
    }
  }

  private func piece(_ id: PeerMessage.ID, in bytes: Span<UInt8>) throws(PeerProtocolError) -> PieceIndex {
    let piece = PieceIndex(rawValue: bytes.bigEndian32(at: 5))
    guard piece.offset < geometry?.pieceCount ?? Limits.pieceCount else { throw .noSuchPiece(id, piece) }
    return piece
  }

  private func block(_ id: PeerMessage.ID, in bytes: Span<UInt8>) throws(PeerProtocolError) -> BlockRequest {
    let block = BlockRequest(
      piece: try piece(id, in: bytes), begin: bytes.bigEndian32(at: 9), length: bytes.bigEndian32(at: 13))
    try check(id, block)
    return block
  }

  /// A block must lie in one piece. Without the metadata there are no blocks.
  private func check(_ id: PeerMessage.ID, _ block: BlockRequest) throws(PeerProtocolError) {
    guard geometry?.isInside(block) == true, block.length <= UInt32(Limits.requestLength) else {
      throw .badBlock(id, block)
    }
  }

  private func nextPiece(_ prefix: UInt32, in bytes: Span<UInt8>) throws(PeerProtocolError) -> Step {
    let longest = 9 + Limits.requestLength
    guard prefix > 9, Int(prefix) <= longest else {
      throw .wrongLength(.piece, length: prefix, expected: longest)
    }
    guard bytes.count >= PieceHeader.length else { return .incomplete(needed: PieceHeader.length) }
    let block = BlockRequest(
      piece: try piece(.piece, in: bytes), begin: bytes.bigEndian32(at: 9), length: prefix &- 9)
    try check(.piece, block)
    return .message(.piece(block), length: PieceHeader.length)
  }

  private func nextExtended(_ prefix: UInt32, in bytes: Span<UInt8>) throws(PeerProtocolError) -> Step {
    guard let extensions else { throw .notNegotiated(.extended) }
    guard prefix >= 2 else { throw .wrongLength(.extended, length: prefix, expected: 2) }
    guard bytes.count >= 6 else { return .incomplete(needed: 6) }
    let id = bytes[5]
    let limit: Int
    if id == 0 {
      limit = Self.extendedHandshakeLengthLimit
    } else if let registered = extensions[id] {
      limit = registered.messageLengthLimit
    } else {
      guard Int(prefix) <= Self.skippedLengthLimit else {
        throw .extendedMessageTooLong(id: id, length: prefix &- 2, limit: Self.skippedLengthLimit &- 2)
      }
      return .skip(length: 4 + Int(prefix))
    }
    guard Int(prefix) - 2 <= limit else {
      throw .extendedMessageTooLong(id: id, length: prefix &- 2, limit: limit)
    }
    let length = 4 + Int(prefix)
    guard bytes.count >= length else { return .incomplete(needed: length) }
    let payload = bytes.extracting(6..<length)
    let copy = [UInt8](capacity: payload.count) { output in
      for index in payload.indices { output.append(payload[index]) }
    }
    return .message(.extended(id: id, payload: copy), length: length)
  }
}
