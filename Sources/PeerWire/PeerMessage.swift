import TorrentModel

/// What one peer says to another once they have shaken hands (BEP 3, BEP 5, BEP 6, BEP 10).
///
/// The bytes of a block are never part of a message: ``piece(_:)`` is the header only, and its payload goes from
/// the socket into a block of the pool, or from there to the socket, beside this type.
@frozen
public enum PeerMessage: Hashable, Sendable {
  /// An empty message, so that a quiet connection is not taken for a dead one.
  case keepAlive
  case choke
  case unchoke
  case interested
  case notInterested
  /// The sender has this piece from now on.
  case have(PieceIndex)
  /// Every piece the sender has.
  case bitfield(Bitfield)
  case request(BlockRequest)
  /// The header of a block: `length` bytes of payload follow it.
  case piece(BlockRequest)
  case cancel(BlockRequest)
  /// The port of the sender's DHT node (BEP 5).
  case port(UInt16)
  /// A piece the sender would like to be asked for (BEP 6).
  case suggest(PieceIndex)
  /// The sender has every piece (BEP 6).
  case haveAll
  /// The sender has no piece (BEP 6).
  case haveNone
  /// The request will not be answered with a block (BEP 6).
  case reject(BlockRequest)
  /// A piece that is given even to a choked peer (BEP 6).
  case allowedFast(PieceIndex)
  /// A message of an extension (BEP 10). Id 0 is the extended handshake; other ids are those that the *receiver* chose.
  case extended(id: UInt8, payload: [UInt8])
}

extension PeerMessage {
  /// The number that stands behind the length prefix.
  @frozen
  public enum ID: UInt8, Hashable, Sendable {
    case choke = 0
    case unchoke = 1
    case interested = 2
    case notInterested = 3
    case have = 4
    case bitfield = 5
    case request = 6
    case piece = 7
    case cancel = 8
    case port = 9
    case suggest = 13
    case haveAll = 14
    case haveNone = 15
    case reject = 16
    case allowedFast = 17
    case extended = 20
  }

  /// `nil` for a keep-alive, which has no id.
  @inlinable public var id: ID? {
    switch self {
    case .keepAlive: nil
    case .choke: .choke
    case .unchoke: .unchoke
    case .interested: .interested
    case .notInterested: .notInterested
    case .have: .have
    case .bitfield: .bitfield
    case .request: .request
    case .piece: .piece
    case .cancel: .cancel
    case .port: .port
    case .suggest: .suggest
    case .haveAll: .haveAll
    case .haveNone: .haveNone
    case .reject: .reject
    case .allowedFast: .allowedFast
    case .extended: .extended
    }
  }
}

extension PeerMessage: CustomStringConvertible {
  /// One line for a log.
  public var description: String {
    switch self {
    case .have(let piece): "have \(piece)"
    case .bitfield(let pieces): "bitfield with \(pieces.count) of \(pieces.capacity) pieces"
    case .request(let block): "request \(block)"
    case .piece(let block): "block \(block)"
    case .cancel(let block): "cancel \(block)"
    case .port(let port): "port \(port)"
    case .suggest(let piece): "suggest \(piece)"
    case .reject(let block): "reject \(block)"
    case .allowedFast(let piece): "allowed fast \(piece)"
    case .extended(let id, let payload): "extended \(id) with \(payload.count) bytes"
    case .keepAlive, .choke, .unchoke, .interested, .notInterested, .haveAll, .haveNone:
      id?.description ?? "keep-alive"
    }
  }
}

extension PeerMessage.ID: CustomStringConvertible {
  public var description: String {
    switch self {
    case .choke: "choke"
    case .unchoke: "unchoke"
    case .interested: "interested"
    case .notInterested: "not interested"
    case .have: "have"
    case .bitfield: "bitfield"
    case .request: "request"
    case .piece: "piece"
    case .cancel: "cancel"
    case .port: "port"
    case .suggest: "suggest"
    case .haveAll: "have all"
    case .haveNone: "have none"
    case .reject: "reject"
    case .allowedFast: "allowed fast"
    case .extended: "extended"
    }
  }
}
