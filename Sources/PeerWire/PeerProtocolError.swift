import Bencode
import TorrentModel

/// What a peer did that the protocol does not allow. Each is a reason to close the connection.
public enum PeerProtocolError: Error, Hashable, Sendable {
  // Handshake.
  /// The first bytes are not those of the BitTorrent protocol (BEP 3). They may be those of an encrypted handshake.
  case notBitTorrent
  /// The handshake is for another torrent than the one we asked for.
  case infoHashMismatch
  /// Nobody here has the torrent that the peer asks for.
  case unknownInfoHash
  /// The peer is not the one that a tracker or another peer said lives at this address (BEP 3).
  case peerIDMismatch
  /// The peer id is our own: we have connected to ourselves.
  case selfConnection

  // Framing.
  /// A message of this id never has this length. `expected` is the only, or the greatest, length in bytes, id included.
  case wrongLength(PeerMessage.ID, length: UInt32, expected: Int)
  /// A message with an id that we do not know is longer than what we are willing to skip.
  case unknownMessageTooLong(id: UInt8, length: UInt32)
  /// A message of an extension that was not agreed on in the handshake (BEP 6, BEP 10).
  case notNegotiated(PeerMessage.ID)
  /// An extended message is longer than its extension allows.
  case extendedMessageTooLong(id: UInt8, length: UInt32, limit: Int)

  /// A message about blocks on a connection on which the pieces of the torrent are not known yet: nothing can have been
  /// offered or asked for.
  case beforeMetadata(PeerMessage.ID)

  // Contents.
  /// The torrent has no such piece.
  case noSuchPiece(PeerMessage.ID, PieceIndex)
  /// Empty, larger than 128 KiB, or not inside one piece.
  case badBlock(PeerMessage.ID, BlockRequest)
  /// A bit behind the last piece is set (BEP 3).
  case spareBitsSet
  /// An extended handshake that is not a bencoded dictionary (BEP 10).
  case badExtendedHandshake(BencodeError)
  /// The extended handshake is bencode, but not a dictionary (BEP 10).
  case extendedHandshakeIsNotADictionary
  /// A message of an extension has contents that the extension does not allow.
  case badExtensionMessage(extension: String, reason: String)

  // Conduct.
  /// A block that was never requested (BEP 6: "the peer MUST close the connection").
  case unrequestedBlock(BlockRequest)
  /// A rejection of a request that was never sent (BEP 6).
  case unrequestedReject(BlockRequest)
  /// More requests at once than we said we take (BEP 10, `reqq`).
  case tooManyRequests(limit: Int)
  /// The peer goes on sending far more messages of an extension than anybody has a use for.
  case tooManyExtensionMessages(extension: String)
}

extension PeerProtocolError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .notBitTorrent: "the peer does not speak the BitTorrent protocol"
    case .infoHashMismatch: "the peer answered for another torrent"
    case .unknownInfoHash: "the peer asked for a torrent that is not here"
    case .peerIDMismatch: "another peer answered than the one expected"
    case .selfConnection: "connected to ourselves"
    case .wrongLength(let id, let length, let expected):
      "a '\(id)' message of \(length) bytes, expected \(expected)"
    case .unknownMessageTooLong(let id, let length): "a message of unknown id \(id) with \(length) bytes"
    case .notNegotiated(let id): "a '\(id)' message, which was not agreed on"
    case .extendedMessageTooLong(let id, let length, let limit):
      "an extended message \(id) of \(length) bytes, more than the limit of \(limit)"
    case .beforeMetadata(let id): "a '\(id)' message before the torrent's metadata is here"
    case .noSuchPiece(let id, let piece): "a '\(id)' message names \(piece), which the torrent does not have"
    case .badBlock(let id, let block):
      "a '\(id)' message names \(block), which is no part of a piece or too large"
    case .spareBitsSet: "a bitfield has bits set behind the last piece"
    case .badExtendedHandshake(let error): "the extended handshake is malformed: \(error)"
    case .extendedHandshakeIsNotADictionary: "the extended handshake is not a dictionary"
    case .badExtensionMessage(let name, let reason): "a malformed '\(name)' message: \(reason)"
    case .tooManyExtensionMessages(let name): "a flood of '\(name)' messages"
    case .unrequestedBlock(let block): "a block that was not requested: \(block)"
    case .unrequestedReject(let block): "the rejection of a request that was not made: \(block)"
    case .tooManyRequests(let limit): "more than \(limit) requests at once"
    }
  }
}
