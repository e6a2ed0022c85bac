import TorrentModel

/// What a peer said before the metadata of the torrent was here, and what it comes to once it is (BEP 9).
///
/// Without metadata nobody knows how many pieces there are, so what a peer says of its pieces cannot be judged. It is
/// kept, and held against the torrent as soon as that is known.
public struct EarlyMessages: Sendable {
  /// `have all` was said.
  private var hasAll = false
  /// `have none` was said.
  private var hasNone = false
  /// Bytes of the bitfields that were sent: more than one may come, and an honest peer's are all of one length.
  private var bitfieldLengths: ClosedRange<Int>?
  /// The pieces of every bitfield and of every `have`, as on the wire.
  private var bits: [UInt8] = []
  private var greatestHave: PieceIndex?
  private var isUnchoked = false
  private var isInterested = false
  private var allowedFast: [PieceIndex] = []

  /// Pieces of the allowed-fast set that are kept.
  static let allowedFastLimit = 64

  public init() {}

  /// Bytes this value holds: at most one for each eight of `Limits.pieceCount`.
  public var heldLength: Int { bits.count + allowedFast.count * 4 }

  /// Takes in a message of a peer, as a parser without a geometry gave it. What is of no use later is passed over.
  public mutating func note(_ message: PeerMessage) {
    switch message {
    case .choke: isUnchoked = false
    case .unchoke: isUnchoked = true
    case .interested: isInterested = true
    case .notInterested: isInterested = false
    case .have(let piece): noteHave(piece)
    case .bitfield(let set): noteBitfield(set)
    case .haveAll: hasAll = true
    case .haveNone: hasNone = true
    case .allowedFast(let piece):
      if allowedFast.count < Self.allowedFastLimit, !allowedFast.contains(piece) { allowedFast.append(piece) }
    // A suggestion is stale by then, blocks cannot be asked for, and the others are for the driver.
    case .keepAlive, .request, .piece, .cancel, .port, .suggest, .reject, .extended: break
    }
  }

  private mutating func noteHave(_ piece: PieceIndex) {
    guard piece.offset < Limits.pieceCount else { return }
    greatestHave = max(greatestHave ?? piece, piece)
    grow(to: piece.offset / 8 + 1)
    bits[piece.offset / 8] |= 0x80 >> UInt8(piece.offset % 8)
  }

  /// A list may come again, as some clients send one in place of many `have`s. It takes nothing back.
  private mutating func noteBitfield(_ set: Bitfield) {
    let length = set.wireLength
    let lengths = bitfieldLengths ?? length...length
    bitfieldLengths = min(lengths.lowerBound, length)...max(lengths.upperBound, length)
    var told: [UInt8] = []
    set.appendWire(to: &told)
    grow(to: told.count)
    for index in told.indices { bits[index] |= told[index] }
  }

  private mutating func grow(to length: Int) {
    guard length > bits.count else { return }
    bits.append(contentsOf: repeatElement(0, count: length - bits.count))
  }

  /// The messages that say the same of a torrent whose pieces are known, to be taken as if they came just now.
  ///
  /// - Throws: what a ``MessageParser`` that had known the torrent would have refused the peer for.
  public func messages(for geometry: PieceGeometry) throws(PeerProtocolError) -> [PeerMessage] {
    var result: [PeerMessage] = []
    let expected = (geometry.pieceCount + 7) / 8
    if let lengths = bitfieldLengths, lengths != expected...expected {
      let length = lengths.lowerBound == expected ? lengths.upperBound : lengths.lowerBound
      throw .wrongLength(.bitfield, length: UInt32(truncatingIfNeeded: length + 1), expected: expected + 1)
    }
    if let greatestHave, !geometry.contains(greatestHave) { throw .noSuchPiece(.have, greatestHave) }
    let pieces = try pieces(expected, geometry)
    if hasAll {
      result.append(.haveAll)
    } else if bitfieldLengths != nil {
      result.append(.bitfield(pieces))
    } else if hasNone, pieces.isEmpty {
      result.append(.haveNone)
    } else {
      pieces.forEach { result.append(.have($0)) }
    }
    for piece in allowedFast {
      guard geometry.contains(piece) else { throw .noSuchPiece(.allowedFast, piece) }
      result.append(.allowedFast(piece))
    }
    if isInterested { result.append(.interested) }
    if isUnchoked { result.append(.unchoke) }
    return result
  }

  private func pieces(_ length: Int, _ geometry: PieceGeometry) throws(PeerProtocolError) -> Bitfield {
    let padded = bits + repeatElement(0, count: max(0, length - bits.count))
    do {
      return try Bitfield(wire: padded.span, capacity: geometry.pieceCount)
    } catch {
      // The length is right, so this is all that can be wrong.
      throw .spareBitsSet
    }
  }
}
