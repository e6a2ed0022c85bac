import Reactor
import TorrentModel
import TrackerProtocol

/// Finds peers in the local network (BEP 14): one socket for each interface and address family, one machine for all, one
/// timer. Confined to its loop.
final class LocalDiscoveryDriver: DatagramHandler {
  private struct Place: Hashable {
    var interface: String
    var group: LocalAnnounce.Group
  }

  private let binding: LocalBinding
  private let loop: EventLoop
  private var machine: LocalDiscovery
  private var sockets: [Place: DatagramSocket] = [:]
  private var receivers: [InfoHash: @Sendable ([Endpoint]) -> Void] = [:]
  private var timer: TimerID?
  private var timerDeadline = Moment.distantFuture
  private var interfaceTimer: TimerID?
  private var isClosed = false

  /// How often it is looked for interfaces that came and went.
  private static let interfaceInterval: UInt64 = 60_000_000_000

  /// - Parameter listenPort: where peers are taken; 0: nothing is announced, and others are still heard.
  init(binding: LocalBinding, listenPort: UInt16, loop: EventLoop) {
    self.binding = binding
    self.loop = loop
    var random = SystemRandomNumberGenerator()
    machine = LocalDiscovery(port: listenPort, cookie: LocalDiscovery.makeCookie(using: &random))
  }

  private var now: Moment { Moment(nanoseconds: Int64(loop.nowNanoseconds)) }

  /// Opens what sockets can be had. Where there are none (yet), it is tried again now and then.
  func start() {
    guard !isClosed else { return }
    openSockets()
    interfaceTimer = loop.schedule(afterNanoseconds: Self.interfaceInterval) { [unowned self] in start() }
  }

  /// Interfaces that are listened on.
  var interfaces: Set<String> { Set(sockets.keys.map(\.interface)) }

  private func openSockets() {
    var present: Set<Place> = []
    for interface in NetworkInterface.forMulticast(under: binding) {
      for group in LocalAnnounce.Group.allCases {
        let family: SocketAddress.Family = group == .v4 ? .v4 : .v6
        guard interface.has(family), binding.allows(family) else { continue }
        let place = Place(interface: interface.name, group: group)
        present.insert(place)
        // An interface that cannot be used is none: multicast may be forbidden there.
        if sockets[place] == nil { sockets[place] = open(place, family) }
      }
    }
    for place in sockets.keys where !present.contains(place) {
      sockets.removeValue(forKey: place)?.close()
    }
  }

  private func open(_ place: Place, _ family: SocketAddress.Family) -> DatagramSocket? {
    let group = place.group.endpoint
    var options = DatagramSocket.Options()
    options.sharesPort = true
    guard
      let socket = try? DatagramSocket(
        family: family, port: group.port, options: options, on: loop, handler: self)
    else { return nil }
    do throws(ReactorError) {
      // Heard on this machine, too: another client may run here.
      try socket.join(SocketAddress(group), interface: place.interface, hopLimit: 1, loopback: true)
      return socket
    } catch {
      socket.close()
      return nil
    }
  }

  // MARK: Torrents

  /// A torrent takes part from now on, unless it is private (BEP 27).
  ///
  /// - Parameter deliver: told of peers, on this loop.
  func added(
    _ infoHash: InfoHash, isPrivate: Bool, deliver: @escaping @Sendable ([Endpoint]) -> Void
  ) {
    guard !isClosed, !isPrivate else { return }
    receivers[infoHash] = deliver
    machine.added(infoHash, isPrivate: isPrivate, now: now)
    rearm()
  }

  func removed(_ infoHash: InfoHash) {
    receivers[infoHash] = nil
    machine.removed(infoHash)
  }

  // MARK: Time

  private func rearm() {
    let deadline = machine.nextDeadline
    guard !isClosed, deadline < timerDeadline else { return }
    if let timer { loop.cancel(timer) }
    timerDeadline = deadline
    timer = loop.schedule(atNanoseconds: UInt64(max(0, deadline.nanoseconds))) { [unowned self] in wake() }
  }

  private func wake() {
    timer = nil
    timerDeadline = .distantFuture
    if let announce = machine.tick(now: now) {
      for group in LocalAnnounce.Group.allCases {
        let bytes = announce.encoded(for: group)
        for (place, socket) in sockets where place.group == group {
          socket.send(bytes, to: SocketAddress(group.endpoint))
        }
      }
    }
    rearm()
  }

  // MARK: DatagramHandler

  func datagramReceived(_ bytes: RawSpan, from sender: SocketAddress, on socket: DatagramSocket) {
    let neighbour = Endpoint(keepingScopeOf: sender.unmapped)
    // A link-local address means nothing without its interface.
    guard neighbour.address.isV4 || !neighbour.address.isLinkLocal || neighbour.scope != 0 else { return }
    let now = now
    let discoveries = bytes.withBytes { bytes in
      machine.datagramArrived(bytes, from: neighbour, now: now)
    }
    for discovery in discoveries { receivers[discovery.infoHash]?([discovery.endpoint]) }
  }

  /// Leaves the groups.
  func close() {
    isClosed = true
    if let timer { loop.cancel(timer) }
    if let interfaceTimer { loop.cancel(interfaceTimer) }
    (timer, interfaceTimer) = (nil, nil)
    for socket in sockets.values { socket.close() }
    sockets = [:]
    receivers = [:]
  }
}
