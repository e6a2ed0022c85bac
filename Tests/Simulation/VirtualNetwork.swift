import PeerWire
import Swarm
import TorrentModel

/// What travels.
enum Packet {
  /// The answer to a connection attempt: the connection stands.
  case accepted
  /// Encoded messages.
  case messages([UInt8])
  /// The header of a block, encoded, and the block.
  case block([UInt8], content: UInt64)
  /// The other side closed.
  case closed
}

/// One end of a connection.
struct ConnectionEnd {
  var node: Int
  /// Nil before the connection stands at this end, and after it was closed.
  var key: PeerKey?
  var parser: MessageParser
  var wasOpen = false
}

struct Connection {
  var initiator: ConnectionEnd
  var responder: ConnectionEnd
  /// Where the initiator dialled.
  var endpoint: Endpoint

  subscript(isInitiator: Bool) -> ConnectionEnd {
    get { isInitiator ? initiator : responder }
    set { if isInitiator { initiator = newValue } else { responder = newValue } }
  }
}

/// The line of a node: what it sends leaves one after the other, and so does arrive what it is sent.
struct Line {
  var up: Int
  var down: Int
  var latency: Moment.Interval
  var upFreeAt = Moment.zero
  var downFreeAt = Moment.zero

  /// When `bytes` have left, if they are sent now.
  mutating func send(_ bytes: Int, now: Moment) -> Moment {
    upFreeAt = max(upFreeAt, now) + .seconds(Double(bytes) / Double(up))
    return upFreeAt
  }

  mutating func receive(_ bytes: Int, arriving: Moment) -> Moment {
    downFreeAt = max(downFreeAt, arriving) + .seconds(Double(bytes) / Double(down))
    return downFreeAt
  }
}
