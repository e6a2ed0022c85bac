import PeerWire
import TorrentModel

/// Decides which requests for metadata are answered (BEP 9).
///
/// A request of thirty bytes is answered with 16 KiB, so peers get what an honest one needs and some more, and all of
/// them together no more than a rate that leaves the line free.
public struct MetadataServer: Sendable {
  public enum Answer: Hashable, Sendable {
    /// Send the piece.
    case data
    /// Say that it is not given.
    case reject
    /// The peer goes on asking although it was told: close the connection.
    case disconnect
  }

  private struct Client {
    /// Pieces it may have now, in units of 1/60 piece.
    var credit: Int
    var creditedAt: Moment
    /// Rejections in a row.
    var rejections = 0
  }

  /// Bytes in the metadata; 0 while it is not here, or for a private torrent.
  public let length: Int
  private var clients: [Client?] = []
  private var bucket: TokenBucket

  /// Rejections in a row before a peer is sent away.
  static let rejectionLimit = 256

  /// - Parameters:
  ///   - length: bytes in the metadata, `nil` while it is being fetched.
  ///   - isPrivate: then nobody gets any: peers of a private torrent have it from its tracker (BEP 27).
  ///   - bytesPerSecond: the most that is sent to all peers together.
  public init(length: Int?, isPrivate: Bool, bytesPerSecond: Int = 8 << 20, now: Moment) {
    self.length = isPrivate ? 0 : length ?? 0
    bucket = TokenBucket(rate: bytesPerSecond, now: now)
  }

  /// What the extended handshake says; `nil` to leave `metadata_size` out.
  public var offeredLength: Int? { length > 0 ? length : nil }

  /// Pieces a peer may have at once: all of them twice, and some.
  private var burst: Int { 2 * Metadata.pieceCount(ofLength: length) + 8 }
  /// Pieces a peer gets credit for each minute: all of them once.
  private var perMinute: Int { Metadata.pieceCount(ofLength: length) + 4 }

  /// A peer asks for a piece.
  public mutating func requested(by key: PeerKey, piece: Int, now: Moment) -> Answer {
    while clients.count <= key.offset { clients.append(nil) }
    var client = clients[key.offset] ?? Client(credit: burst * 60, creditedAt: now)
    defer { clients[key.offset] = client }
    let seconds = Int((now - client.creditedAt).nanoseconds / 1_000_000_000)
    if seconds > 0 {
      client.credit = min(burst * 60, client.credit + min(seconds, 3600) * perMinute)
      client.creditedAt = client.creditedAt + .seconds(seconds)
    }
    let range = Metadata.range(ofPiece: piece, length: length)
    guard let range, client.credit >= 60, bucket.available(now: now) >= range.count else {
      client.rejections += 1
      return client.rejections > Self.rejectionLimit ? .disconnect : .reject
    }
    client.credit -= 60
    client.rejections = 0
    bucket.charge(range.count, now: now)
    return .data
  }

  /// The key is free again.
  public mutating func peerLeft(_ key: PeerKey) {
    if key.offset < clients.count { clients[key.offset] = nil }
  }
}
