import PeerWire
import TorrentModel

/// One try at putting the metadata together, from all peers that claim its length or from one of them alone.
struct MetadataAttempt {
  struct Piece {
    var bytes: [UInt8]?
    /// Who sent ``bytes``.
    var sender: Endpoint?
    /// Requests for it that are not answered.
    var requests: UInt8 = 0
    /// When it was last asked for.
    var requestedAt = Moment.zero
  }

  let length: Int
  private(set) var pieces: [Piece]
  private(set) var haveCount = 0
  /// Every piece before this one is here or was asked for.
  private var cursor = 0

  init(length: Int) {
    self.length = length
    pieces = [Piece](repeating: Piece(), count: Metadata.pieceCount(ofLength: length))
  }

  var isComplete: Bool { haveCount == pieces.count }

  /// The piece to ask for next: one that nobody was asked for; else, if others have been waited for long enough, the
  /// one that was asked for longest ago.
  mutating func nextPiece(now: Moment, patience: Moment.Interval, isAsked: (Int) -> Bool) -> Int? {
    while cursor < pieces.count, pieces[cursor].bytes != nil || pieces[cursor].requests > 0 { cursor += 1 }
    if cursor < pieces.count { return cursor }
    var best: Int?
    for index in pieces.indices where pieces[index].bytes == nil {
      guard pieces[index].requests < Self.requestLimit, pieces[index].requestedAt + patience <= now,
        !isAsked(index)
      else { continue }
      if let other = best, pieces[other].requestedAt <= pieces[index].requestedAt { continue }
      best = index
    }
    return best
  }

  /// Peers that are asked for one piece at once.
  static let requestLimit: UInt8 = 3

  mutating func requested(_ piece: Int, now: Moment) {
    pieces[piece].requests += 1
    pieces[piece].requestedAt = now
  }

  /// A request came to its end, with or without an answer.
  mutating func ended(_ piece: Int) {
    if pieces[piece].requests > 0 { pieces[piece].requests -= 1 }
    if pieces[piece].requests == 0, pieces[piece].bytes == nil { cursor = min(cursor, piece) }
  }

  /// Takes a piece in, unless it is here already. Its length must be right.
  mutating func store(_ piece: Int, _ bytes: [UInt8], from sender: Endpoint) {
    guard pieces[piece].bytes == nil else { return }
    pieces[piece].bytes = bytes
    pieces[piece].sender = sender
    haveCount += 1
  }

  /// When one of the pieces that are being waited for may be asked of somebody else too.
  func nextPatience(_ patience: Moment.Interval) -> Moment {
    var moment = Moment.distantFuture
    for piece in pieces where piece.bytes == nil && piece.requests > 0 && piece.requests < Self.requestLimit {
      moment = min(moment, piece.requestedAt + patience)
    }
    return moment
  }

  /// The pieces in a row.
  func joined() -> [UInt8] {
    var whole: [UInt8] = []
    whole.reserveCapacity(length)
    for piece in pieces { whole += piece.bytes ?? [] }
    return whole
  }

  /// Everybody who sent a piece.
  var senders: Set<Endpoint> { Set(pieces.compactMap(\.sender)) }

  /// Whoever sent a piece that differs from the one in the right metadata.
  func liars(_ right: [UInt8]) -> [Endpoint] {
    pieces.indices.compactMap { index in
      guard let bytes = pieces[index].bytes, let sender = pieces[index].sender else { return nil }
      let range = Metadata.range(ofPiece: index, length: right.count)
      return range.map { right[$0].elementsEqual(bytes) } == true ? nil : sender
    }
  }
}

/// What is remembered of metadata that several peers sent and that did not have the hash: enough to tell, once the right
/// one is here, who was wrong.
struct FailedMetadata {
  private var pieces: [(sender: Endpoint, digest: Bytes20)]

  init(_ attempt: MetadataAttempt, sha1: (Span<UInt8>) -> Bytes20) {
    pieces = attempt.pieces.compactMap { piece in
      guard let bytes = piece.bytes, let sender = piece.sender else { return nil }
      return (sender, sha1(bytes.span))
    }
  }

  func isSuspect(_ endpoint: Endpoint) -> Bool { pieces.contains { $0.sender == endpoint } }

  func liars(_ right: [UInt8], sha1: (Span<UInt8>) -> Bytes20) -> [Endpoint] {
    pieces.indices.compactMap { index in
      guard let range = Metadata.range(ofPiece: index, length: right.count) else { return nil }
      return sha1(right.span.extracting(range)) == pieces[index].digest ? nil : pieces[index].sender
    }
  }
}
