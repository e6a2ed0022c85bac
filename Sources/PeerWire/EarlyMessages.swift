import TorrentModel

/// What a peer said before the metadata of the torrent was here, and what it comes to once it is (BEP 9).
///
/// Without metadata nobody knows how many pieces there are, so what a peer says of its pieces cannot be judged. It is
/// kept, and held against the torrent as soon as that is known.
public struct EarlyMessages: Sendable {
  private enum Availability: Hashable {
    case untold
    case all
    case none
    /// A bitfield of so many bytes.
    case bitfield(length: Int)
  }

  private var availability = Availability.untold
  /// The pieces of the bitfield and of every `have`, as on the wire.
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
    case .bitfield(let set):
      guard availability == .untold else { return }
      availability = .bitfield(length: set.wireLength)
      var told: [UInt8] = []
      set.appendWire(to: &told)
      grow(to: told.count)
      for index in told.indices { bits[index] |= told[index] }
    case .haveAll: if availability == .untold { availability = .all }
    case .haveNone: if availability == .untold { availability = .none }
    case .allowedFast(let piece):
      if allowedFast.count < Self.allowedFastLimit, !allowedFast.contains(piece) { allowedFast.append(piece) }
    // A suggestion is stale by then, blocks cannot be asked for, and the others are for the driver.
    case .keepAlive, .request, .piece, .cancel, .port, .suggest, .reject, .extended: break
    }
  }

  private mutating func noteHave(_ piece: PieceIndex) {
    guard piece.offset < Limits.pieceCount, availability != .all else { return }
    greatestHave = max(greatestHave ?? piece, piece)
    grow(to: piece.offset / 8 + 1)
    bits[piece.offset / 8] |= 0x80 >> UInt8(piece.offset % 8)
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
    if case .bitfield(let length) = availability, length != expected {
      throw .wrongLength(.bitfield, length: UInt32(truncatingIfNeeded: length + 1), expected: expected + 1)
    }
    if let greatestHave, !geometry.contains(greatestHave) { throw .noSuchPiece(.have, greatestHave) }
    switch availability {
    case .all: result.append(.haveAll)
    case .bitfield: result.append(.bitfield(try pieces(expected, geometry)))
    case .none where greatestHave == nil: result.append(.haveNone)
    case .none, .untold:
      // A bitfield may still come if none was told, and would be a second one after a bitfield made up here.
      try pieces(expected, geometry).forEach { result.append(.have($0)) }
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
