import Metainfo
import Reactor
import TorrentModel

/// A torrent in a session. The object is a handle; what it stands for lives on one of the session's event loops.
public final class Torrent: Sendable {
  public let infoHash: InfoHash
  public let metainfo: TorrentMetainfo
  let home: LoopHome
  let driver: LoopBound<TorrentDriver>
  let host: LoopBound<PeerHost>

  init(_ driver: TorrentDriver, home: LoopHome) {
    self.infoHash = driver.infoHash
    self.metainfo = driver.metainfo
    self.home = home
    self.driver = LoopBound(driver, on: home.loop)
    self.host = LoopBound(driver, on: home.loop)
  }

  private func onLoop<R: Sendable>(_ body: @escaping @Sendable (TorrentDriver) -> R) async -> R {
    let driver = driver
    return await home.loop.run { body(driver.value) }
  }

  /// Counts at this moment.
  public func status() async -> TorrentStatus { await onLoop { $0.status() } }

  /// Every file and how much of it is verified, in the torrent's order.
  public func files() async -> [FileStatus] { await onLoop { $0.files() } }

  /// The connected peers.
  public func peers() async -> [PeerStatus] { await onLoop { $0.peerList() } }

  /// Closes all connections, and makes none until ``resume()``.
  public func pause() async { await onLoop { $0.pause() } }
  public func resume() async { await onLoop { $0.unpause() } }

  /// Chooses the files to have, by number from 0; nil for all.
  public func select(files: Set<Int>?) async throws(SessionError) {
    let selection = try FileSelection(files, of: metainfo.info)
    await onLoop { $0.select(selection) }
  }

  /// Bytes per second; nil is unlimited.
  public func setLimits(download: Int?, upload: Int?) async {
    await onLoop { $0.setLimits(download: download, upload: upload) }
  }

  /// Peers to try, as if a tracker had named them.
  public func addPeers(_ peers: [Endpoint]) async { await onLoop { $0.addPeers(peers) } }

  /// Reads and hashes everything on the disk again.
  public func check() async { await onLoop { $0.recheck() } }

  /// Writes the resume record, announces `stopped`, closes the files. Returns when that is done.
  func close(deletingFiles: Bool) async {
    let driver = driver
    let loop = home.loop
    await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
      loop.post { driver.value.close(deletingFiles: deletingFiles) { continuation.resume() } }
    }
  }
}
