import TorrentModel

extension PeerMessage {
  /// Bytes of the encoded message, length prefix included, and without the payload of a ``piece(_:)``.
  public var encodedLength: Int {
    switch self {
    case .keepAlive: 4
    case .choke, .unchoke, .interested, .notInterested, .haveAll, .haveNone: 5
    case .have, .suggest, .allowedFast: 9
    case .request, .cancel, .reject: 17
    case .piece: PieceHeader.length
    case .port: 7
    case .bitfield(let pieces): 5 + pieces.wireLength
    case .extended(_, let payload): 6 + payload.count
    }
  }

  /// Appends the message as it goes over the wire. Of a ``piece(_:)`` that is the header: its payload follows.
  public func append(to output: inout [UInt8]) {
    switch self {
    case .keepAlive:
      output.append(addingCapacity: 4) { $0.append(bigEndian: 0) }
    case .choke: Self.append(bare: .choke, to: &output)
    case .unchoke: Self.append(bare: .unchoke, to: &output)
    case .interested: Self.append(bare: .interested, to: &output)
    case .notInterested: Self.append(bare: .notInterested, to: &output)
    case .haveAll: Self.append(bare: .haveAll, to: &output)
    case .haveNone: Self.append(bare: .haveNone, to: &output)
    case .have(let piece): Self.append(.have, piece, to: &output)
    case .suggest(let piece): Self.append(.suggest, piece, to: &output)
    case .allowedFast(let piece): Self.append(.allowedFast, piece, to: &output)
    case .request(let block): Self.append(.request, block, to: &output)
    case .cancel(let block): Self.append(.cancel, block, to: &output)
    case .reject(let block): Self.append(.reject, block, to: &output)
    case .piece(let block): PieceHeader.append(block, to: &output)
    case .port(let port):
      output.append(addingCapacity: 7) { span in
        span.append(bigEndian: 3)
        span.append(ID.port.rawValue)
        span.append(UInt8(port >> 8))
        span.append(UInt8(port & 255))
      }
    case .bitfield(let pieces):
      output.append(addingCapacity: 5) { span in
        span.append(bigEndian: UInt32(truncatingIfNeeded: 1 + pieces.wireLength))
        span.append(ID.bitfield.rawValue)
      }
      pieces.appendWire(to: &output)
    case .extended(let id, let payload):
      output.append(addingCapacity: 6) { span in
        span.append(bigEndian: UInt32(truncatingIfNeeded: 2 + payload.count))
        span.append(ID.extended.rawValue)
        span.append(id)
      }
      output.append(contentsOf: payload)
    }
  }

  @inlinable
  static func append(bare id: ID, to output: inout [UInt8]) {
    output.append(addingCapacity: 5) { span in
      span.append(bigEndian: 1)
      span.append(id.rawValue)
    }
  }

  @inlinable
  static func append(_ id: ID, _ piece: PieceIndex, to output: inout [UInt8]) {
    output.append(addingCapacity: 9) { span in
      span.append(bigEndian: 5)
      span.append(id.rawValue)
      span.append(bigEndian: piece.rawValue)
    }
  }

  @inlinable
  static func append(_ id: ID, _ block: BlockRequest, to output: inout [UInt8]) {
    output.append(addingCapacity: 17) { span in
      span.append(bigEndian: 13)
      span.append(id.rawValue)
      span.append(bigEndian: block.piece.rawValue)
      span.append(bigEndian: block.begin)
      span.append(bigEndian: block.length)
    }
  }

  /// Appends a `request`. The same as `PeerMessage.request(block).append(to:)`, for the one message that is sent
  /// for every block.
  @inlinable
  public static func appendRequest(_ block: BlockRequest, to output: inout [UInt8]) {
    append(.request, block, to: &output)
  }
}
