import Reactor
import TorrentModel

/// Hosts that lead into the DHT: the user's nodes, and the public ones while no other is known. Finds their addresses,
/// and tries again while there is no way in.
final class WayIn {
  private struct Host {
    enum State { case unknown, asked, known }
    let address: NodeAddress
    let isPublic: Bool
    var state = State.unknown
    var endpoints: [Endpoint] = []
  }

  /// Addresses to be asked.
  struct Addresses {
    /// Nodes like others, which the user named.
    var nodes: [Endpoint] = []
    /// Public ones, which everybody asks: they are left alone as soon as others are known, and are in nobody's table.
    var routers: [Endpoint] = []

    var isEmpty: Bool { nodes.isEmpty && routers.isEmpty }
  }

  private let loop: EventLoop
  private let resolver: Resolver
  private let isFound: () -> Bool
  private let isBoundLocally: Bool
  private let usesPublicNodes: Bool
  private var hosts: [Host]
  private var found = Addresses()
  private var changed: () -> Void = {}
  private var timer: TimerID?
  private var pause = WayIn.firstPause
  private var isStarted = false
  private var namesLocalNode = false
  /// Told of a host of the user that has no address.
  var warn: (String) -> Void = { _ in }

  private var asksPublicNodes = false

  /// How long nodes have to answer before they are asked again, and after that, the public ones; it doubles.
  private static let firstPause: UInt64 = 2_000_000_000
  private static let longestPause: UInt64 = 300_000_000_000
  /// Addresses of one host that are asked.
  private static let addressLimit = 8

  /// - Parameter isFound: whether there is a way into the network already.
  init(
    _ options: DHTOptions, _ binding: LocalBinding, loop: EventLoop, isFound: @escaping () -> Bool
  ) {
    self.loop = loop
    self.isFound = isFound
    var resolving = Resolver.Options()
    resolving.timeoutNanoseconds = 5_000_000_000
    resolver = Resolver(on: loop, options: resolving)
    isBoundLocally = binding.isLocal
    usesPublicNodes = options.usesPublicNodes && !binding.isLoopback
    hosts = options.nodes.compactMap { NodeAddress($0).map { Host(address: $0, isPublic: false) } }
    if usesPublicNodes {
      hosts += DHTOptions.publicNodes.compactMap { NodeAddress($0).map { Host(address: $0, isPublic: true) } }
    }
  }

  /// Whether the network is a closed one, of addresses that mean nothing elsewhere. Whoever is bound to a private address
  /// and may ask public nodes is behind a NAT, and there such addresses are none to be talked to.
  var isLocal: Bool { namesLocalNode || (isBoundLocally && !usesPublicNodes) }

  /// Whether all of the user's hosts have their addresses, as far as they have any, so that it is known what ``isLocal``
  /// says.
  var isSettled: Bool { isStarted && !hosts.contains { !$0.isPublic && $0.state == .asked } }

  /// Looks for the user's hosts. `changed` is called whenever hosts have got addresses, or are found to have none.
  func start(_ changed: @escaping () -> Void) {
    self.changed = changed
    isStarted = true
    resolve()
    timer = loop.schedule(afterNanoseconds: pause) { [unowned self] in look() }
  }

  /// No node is known from an earlier run.
  func askPublicNodes() {
    asksPublicNodes = true
    resolve()
  }

  /// What is to be asked, and was not given by the last call.
  func takeAddresses() -> Addresses {
    defer { found = Addresses() }
    return found
  }

  /// While there is no way in, all are asked again: they, or this machine, may have been offline.
  private func look() {
    if !isFound() {
      for host in hosts where !host.isPublic { found.nodes += host.endpoints }
      if pause > Self.firstPause { asksPublicNodes = true }
      pause = min(pause * 2, Self.longestPause)
      resolve()
      changed()
    }
    timer = loop.schedule(afterNanoseconds: pause) { [unowned self] in look() }
  }

  private func resolve() {
    for index in hosts.indices where hosts[index].state == .unknown {
      let host = hosts[index]
      guard asksPublicNodes || !host.isPublic else { continue }
      hosts[index].state = .asked
      resolver.resolve(host.address.host, port: host.address.port) { [unowned self] result in
        resolved(index, result)
      }
    }
  }

  private func resolved(_ index: Int, _ result: Result<[SocketAddress], ResolveError>) {
    let host = hosts[index]
    switch result {
    case .success(let addresses):
      hosts[index].state = .known
      let endpoints = addresses.prefix(Self.addressLimit).map { Endpoint($0.unmapped) }
      hosts[index].endpoints = endpoints
      if host.isPublic { found.routers += endpoints } else { found.nodes += endpoints }
      if !host.isPublic, endpoints.contains(where: \.address.isOfThisNetwork) { namesLocalNode = true }
    case .failure(let error):
      hosts[index].state = .unknown
      if !host.isPublic { warn("the DHT node \(host.address) cannot be asked: \(error.description)") }
    }
    changed()
  }

  func close() {
    if let timer { loop.cancel(timer) }
    timer = nil
    resolver.close()
    changed = {}
  }
}

extension IPAddress {
  /// Loopback, private or link-local: where nodes of a closed network are.
  var isOfThisNetwork: Bool { isLoopback || isPrivate || isLinkLocal }
}
