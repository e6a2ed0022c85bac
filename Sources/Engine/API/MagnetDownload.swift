import Metainfo
import Reactor
import Swarm
import TorrentModel

/// A magnet link in a session: its metadata is being fetched from peers (BEP 9).
///
/// ```swift
/// let magnet = try await session.add(try MagnetLink(parsing: text), options)
/// let torrent = try await session.add(try await magnet.metainfo(), options)
/// ```
///
/// The torrent made of the metadata takes the connections and the peers over. The object is a handle, as ``Torrent`` is.
public final class MagnetDownload: Sendable {
  public let infoHash: InfoHash
  public let link: MagnetLink
  /// Metadata that an earlier run has kept.
  let kept: TorrentMetainfo?
  /// Peers that it has kept beside the metadata.
  let knownPeers: [PeerRecord]
  let driver: LoopBound<MagnetDriver>?
  let host: LoopBound<PeerHost>?
  let home: LoopHome

  init(
    _ link: MagnetLink, infoHash: InfoHash, kept: TorrentMetainfo?, knownPeers: [PeerRecord] = [],
    driver: LoopBound<MagnetDriver>?, host: LoopBound<PeerHost>?, home: LoopHome
  ) {
    self.infoHash = infoHash
    self.link = link
    self.kept = kept
    self.knownPeers = knownPeers
    self.driver = driver
    self.host = host
    self.home = home
  }

  /// Whether the metadata is there from an earlier run, so that nothing has to be fetched.
  public var isKnown: Bool { kept != nil }

  /// Waits for the metadata.
  /// - Throws: `.unusableMetadata` when it does not describe a torrent that can be used, `.shutDown` when the link was removed
  ///   before.
  public func metainfo() async throws(SessionError) -> TorrentMetainfo {
    if let kept { return kept }
    guard let driver else { throw .shutDown }
    let result = await withCheckedContinuation {
      (continuation: CheckedContinuation<Result<TorrentMetainfo, SessionError>, Never>) in
      driver.loop.post { driver.value.whenDone { continuation.resume(returning: $0) } }
    }
    return try result.get()
  }

  /// Counts at this moment.
  public func status() async -> MagnetStatus {
    guard let driver else {
      return MagnetStatus(infoHash: infoHash, name: link.name)
    }
    return await driver.loop.run { driver.value.status() }
  }

  /// Peers to try, as if a tracker had named them.
  public func addPeers(_ peers: [Endpoint]) async {
    guard let driver else { return }
    await driver.loop.run { driver.value.addPeers(peers) }
  }
}

/// How far a magnet link has come.
public struct MagnetStatus: Sendable {
  public var infoHash: InfoHash
  /// What the link calls it.
  public var name: String?
  /// Pieces of the metadata, of 16 KiB, that are here; and how many there are, nil while no peer is known to have any.
  public var havePieces = 0
  public var pieces: Int?
  public var peers = 0
  /// Peers known but not connected.
  public var knownPeers = 0
  /// Where the connected peers were found.
  public var sources = PeerSources()
  /// Since the link was added.
  public var seconds = 0.0
  public var everHadPeer = false
  public var everHadTrackerReply = false
  public var trackers: [TrackerStatus] = []
}
