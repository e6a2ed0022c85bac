import TorrentModel

/// Something that happened in a session, for whoever watches it. Counts are asked for with `status()`.
public enum SessionEvent: Sendable {
  /// The torrent entered another state.
  case stateChanged(InfoHash, TorrentState)
  /// Every wanted piece is there and verified.
  case completed(InfoHash)
  /// The disk failed; the torrent waits and tries again.
  case failed(InfoHash, TorrentFailure)
  /// A tracker answered: with peers, a refusal or a warning.
  case trackerReplied(InfoHash, url: String, peers: Int)
  case trackerFailed(InfoHash, url: String, reason: String)
  case trackerWarned(InfoHash, url: String, text: String)
  case peerConnected(InfoHash, Endpoint, client: String)
  case peerDisconnected(InfoHash, Endpoint, reason: String)
  /// A peer sent bad data and is not talked to again.
  case peerBanned(InfoHash, IPAddress, reason: String)
  /// A piece is good and written. Only with ``SessionConfiguration/reportsPieces``.
  case pieceVerified(InfoHash, PieceIndex)
  /// A piece's hash was wrong; its blocks are fetched again.
  case pieceFailed(InfoHash, PieceIndex)
  /// Something a person should know of, but nothing failed for it.
  case warning(InfoHash?, String)
}

/// Why a session or a torrent could not be started.
public enum SessionError: Error, Sendable, CustomStringConvertible {
  case cannotListen(port: UInt16, reason: String)
  case cannotBind(String, reason: String)
  case outOfResources(String)
  case memoryTooSmall(minimum: Int)
  /// A torrent with this info-hash is in the session already.
  case alreadyAdded(InfoHash)
  case noSuchFile(Int)
  case notATracker(String, reason: String)
  /// The metadata of a magnet link came, and has the right hash, but describes no torrent that can be used.
  case unusableMetadata(MetainfoError)
  /// The link names a torrent by a key in the DHT (BEP 46), which was not found there.
  case notInDHT(reason: String)
  case notANode(String, reason: String)
  case shutDown

  public var description: String {
    switch self {
    case .cannotListen(let port, let reason): "cannot listen on port \(port): \(reason)"
    case .cannotBind(let what, let reason): "cannot bind to \(what): \(reason)"
    case .outOfResources(let reason): reason
    case .memoryTooSmall(let minimum): "the memory limit must be at least \(minimum >> 20) MiB"
    case .alreadyAdded(let hash): "the torrent \(hash) was added already"
    case .noSuchFile(let number): "the torrent has no file number \(number + 1)"
    case .notATracker(let url, let reason): "'\(url)' is no tracker that can be used: \(reason)"
    case .unusableMetadata(let error): "the metadata is of no use: \(error.description)"
    case .notInDHT(let reason): "what the link's key names was not found in the DHT: \(reason)"
    case .notANode(let text, let reason): "'\(text)' is no DHT node: \(reason)"
    case .shutDown: "the session was shut down"
    }
  }
}
