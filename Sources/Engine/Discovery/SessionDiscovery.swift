import Reactor
import TorrentModel

/// What finds peers without trackers, for all torrents of a session: the DHT (BEP 5) and the local network (BEP 14). It lives
/// on the session's first loop; torrents of every loop ask it.
final class SessionDiscovery: Sendable {
  /// The port of our DHT node, for `port` messages (BEP 5); nil while there is none.
  let dhtPort: UInt16?
  let hasDHT: Bool
  private let loop: EventLoop
  private let drivers: LoopBound<Drivers>

  /// Confined to the loop.
  final class Drivers {
    var dht: DHTDriver?
    var local: LocalDiscoveryDriver?

    init(dht: DHTDriver?, local: LocalDiscoveryDriver?) {
      self.dht = dht
      self.local = local
    }
  }

  /// On the loop.
  init(dht: DHTDriver?, local: LocalDiscoveryDriver?, on loop: EventLoop) {
    self.loop = loop
    dhtPort = dht?.port
    hasDHT = dht != nil
    drivers = LoopBound(Drivers(dht: dht, local: local), on: loop)
  }

  private func onLoop(_ body: @escaping @Sendable (Drivers) -> Void) {
    let drivers = drivers
    if loop.isOnLoop { body(drivers.value) } else { loop.post { body(drivers.value) } }
  }

  /// Looks for peers of a torrent now and again and again, and lets others find it, until ``untrack(_:)``. The closures are
  /// called on this object's loop. A torrent that is tracked already is told of to the new ones.
  func track(
    _ infoHash: InfoHash, announcePort: UInt16?, isSeed: Bool,
    fromDHT: @escaping @Sendable ([Endpoint]) -> Void,
    fromNeighbours: @escaping @Sendable ([Endpoint]) -> Void
  ) {
    onLoop { drivers in
      drivers.dht?.track(infoHash, announcePort: announcePort, isSeed: isSeed, deliver: fromDHT)
      drivers.local?.added(infoHash, isPrivate: false, deliver: fromNeighbours)
    }
  }

  func update(_ infoHash: InfoHash, isSeed: Bool) { onLoop { $0.dht?.update(infoHash, isSeed: isSeed) } }

  func wantMore(_ infoHash: InfoHash) { onLoop { $0.dht?.wantMore(infoHash) } }

  func untrack(_ infoHash: InfoHash) {
    onLoop { drivers in
      drivers.dht?.untrack(infoHash)
      drivers.local?.removed(infoHash)
    }
  }

  /// A peer said where its DHT node listens (BEP 5).
  func addNode(_ endpoint: Endpoint) { onLoop { $0.dht?.addNode(endpoint) } }

  /// Saves the DHT's table and closes everything; `done` is called on the loop.
  func close(_ done: @escaping @Sendable () -> Void) {
    onLoop { drivers in
      drivers.local?.close()
      drivers.local = nil
      guard let dht = drivers.dht else { return done() }
      drivers.dht = nil
      dht.close(done)
    }
  }
}
