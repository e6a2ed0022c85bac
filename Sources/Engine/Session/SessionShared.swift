import BlockPool
import PeerWire
import Reactor
import Storage
import Synchronization
import TorrentModel

/// What all loops of a session share. Immutable, atomic or itself safe to share.
final class SessionShared: Sendable {
  let configuration: SessionConfiguration
  let pool: BlockPool
  let disk: DiskService
  /// Our peer id (BEP 3, BEP 20): one for the whole session, so that a connection to ourselves is noticed.
  let peerID: PeerID
  /// `key` of announces: lets a tracker know us again when our address changes (BEP 7).
  let announceKey: UInt32
  /// Whom HTTPS trusts; nil takes the system's authorities when first needed.
  let tls: TLSContext?
  /// The port for incoming connections, 0 while there is none.
  let listenPort = Atomic<UInt16>(0)
  /// Connected peers and connections in the making, over all loops.
  let connections = Atomic<Int>(0)
  let halfOpen = Atomic<Int>(0)
  private let continuation: AsyncStream<SessionEvent>.Continuation
  private let storedDiscovery = Lock<SessionDiscovery?>(nil)

  init(
    configuration: SessionConfiguration, pool: BlockPool, disk: DiskService, peerID: PeerID,
    announceKey: UInt32,
    tls: TLSContext?, continuation: AsyncStream<SessionEvent>.Continuation
  ) {
    self.configuration = configuration
    self.pool = pool
    self.disk = disk
    self.peerID = peerID
    self.announceKey = announceKey
    self.tls = tls
    self.continuation = continuation
  }

  /// Where peers come from beside trackers; nil where the user wants neither DHT nor local discovery.
  var discovery: SessionDiscovery? {
    get { storedDiscovery.withLock { $0 } }
    set { storedDiscovery.withLock { $0 = newValue } }
  }

  /// The port that others are told to connect to; nil where nobody can.
  var announcedPort: UInt16? {
    let port = listenPort.load(ordering: .relaxed)
    return port == 0 ? nil : port
  }

  func report(_ event: SessionEvent) { continuation.yield(event) }
  func finishEvents() { continuation.finish() }
}
