import DHT
import Glibc
import Hashing
import Reactor
import Storage
import TorrentModel

/// A node of the DHT on an event loop: its sockets, its one timer, its state file, and its way into the network.
///
/// Confined to its loop. Torrents on any loop are served through ``track(_:announcePort:isSeed:deliver:)``, a
/// ``DHTClient`` through ``requests``.
final class DHTDriver: DatagramHandler {
  let options: DHTOptions
  let binding: LocalBinding
  let loop: EventLoop
  /// Told what a person should know of, though nothing failed for it. On the loop.
  var warn: (String) -> Void = { _ in }
  /// Told when others agree on how they see us. On the loop.
  var addressChanged: (IPAddress) -> Void = { _ in }

  private var sockets: [DHTFamily: DatagramSocket] = [:]
  /// Made when the state file was read and the user's nodes have addresses.
  private(set) var node: DHTNode?
  private var actions: [DHTAction] = []
  private var batch: [DHTAction] = []
  private var isCarryingOut = false
  private var random = SystemRandomNumberGenerator()
  private var timer: TimerID?
  private var timerDeadline = Moment.distantFuture
  private(set) var isClosed = false

  private lazy var wayIn = WayIn(options, binding, loop: loop) { [unowned self] in isReady }
  private var stateFile: StateFile?
  private var savedState: [UInt8]?
  private var isWaitingForFile: Bool
  private var isSaving = false
  private var nextSave = Moment.distantFuture

  var torrents = DHTTorrents()
  private(set) lazy var requests = DHTRequests(self)

  static let saveInterval = Moment.Interval.seconds(600)
  /// Lookups at once, of torrents and of requests.
  static let lookupLimit = 24

  /// Opens the sockets. On the loop; ``start()`` begins.
  /// - Throws: when no family can be bound, or not on the port that ``DHTOptions/port`` asks for.
  init(options: DHTOptions, binding: LocalBinding, listenPort: UInt16, loop: EventLoop) throws(ReactorError) {
    self.options = options
    self.binding = binding
    self.loop = loop
    isWaitingForFile = options.stateFile != nil
    try open(preferring: listenPort)
  }

  var now: Moment { Moment(nanoseconds: Int64(loop.nowNanoseconds)) }

  /// The port of the UDP sockets, as PORT messages tell it (BEP 5).
  var port: UInt16 { (sockets[.v4] ?? sockets[.v6])?.localAddress.port ?? 0 }

  /// Where the sockets are bound.
  var localAddresses: [Endpoint] {
    DHTFamily.allCases.compactMap { sockets[$0].map { Endpoint($0.localAddress) } }
  }

  var isReady: Bool {
    guard let node else { return false }
    return node.isReady(in: .v4) || node.isReady(in: .v6)
  }

  // MARK: Sockets

  private func open(preferring listenPort: UInt16) throws(ReactorError) {
    if let port = options.port { return try open(port: port) }
    do throws(ReactorError) { try open(port: listenPort) } catch {
      guard listenPort != 0 else { throw error }
      try open(port: 0)
    }
  }

  /// Both families on one port, as far as they can be had.
  private func open(port: UInt16) throws(ReactorError) {
    var socketOptions = DatagramSocket.Options()
    socketOptions.binding = binding
    socketOptions.receiveBufferBytes = 1 << 20
    var failure = ReactorError("cannot bind UDP", errno: EAFNOSUPPORT)
    // A port that the system chose for one family may be somebody's in the other: then it chooses again.
    for _ in 0..<(port == 0 ? 8 : 1) {
      var chosen = port
      var isTaken = false
      for (kind, family) in [(DHTFamily.v4, SocketAddress.Family.v4), (.v6, .v6)] where binding.allows(family)
      {
        do throws(ReactorError) {
          let socket = try DatagramSocket(
            family: family, port: chosen, options: socketOptions, on: loop, handler: self)
          sockets[kind] = socket
          chosen = socket.localAddress.port
        } catch {
          failure = error
          isTaken = isTaken || error.cause.code == EADDRINUSE
        }
      }
      if !isTaken, !sockets.isEmpty { return }
      closeSockets()
    }
    throw failure
  }

  private func closeSockets() {
    for socket in sockets.values { socket.close() }
    sockets = [:]
  }

  // MARK: Beginning

  /// Reads the state file and looks for a way into the network.
  func start() {
    wayIn.warn = { [unowned self] in warn($0) }
    wayIn.start { [unowned self] in wayInChanged() }
    if let path = options.stateFile {
      readState(path)
    } else {
      wayIn.askPublicNodes()
      wayInChanged()
    }
  }

  private func readState(_ path: String) {
    let bound = LoopBound(self, on: loop)
    let (loop, isVisit) = (loop, options.isVisit || options.isReadOnly)
    // Files are read where waiting holds nobody up.
    Task.detached {
      let state = DHTState.load(path, isVisit: isVisit)
      loop.post { bound.value.stateCame(state) }
    }
  }

  private func stateCame(_ state: DHTState) {
    guard !isClosed else { return }
    if let problem = state.problem { warn("the DHT begins without its saved nodes: \(problem)") }
    savedState = state.bytes
    stateFile = state.file
    isWaitingForFile = false
    if stateFile != nil { nextSave = now + Self.saveInterval }
    if savedState == nil { wayIn.askPublicNodes() }
    wayInChanged()
  }

  /// Hosts have got addresses, or will get none.
  private func wayInChanged() {
    guard !isClosed, !isWaitingForFile, wayIn.isSettled else { return }
    if node == nil { makeNode() }
    let addresses = wayIn.takeAddresses()
    for node in addresses.nodes { self.node?.addNode(node, now: now, random: &random, into: &actions) }
    if !addresses.routers.isEmpty {
      node?.bootstrap(from: addresses.routers, now: now, random: &random, into: &actions)
    }
    carryOut()
  }

  static func sha1(_ bytes: Span<UInt8>) -> Bytes20 {
    SHA1.digest(of: bytes).withBytes { Bytes20($0) ?? Bytes20() }
  }

  static func verify(_ signature: Span<UInt8>, _ message: Span<UInt8>, _ key: Span<UInt8>) -> Bool {
    Ed25519.verify(signature, of: message, key: key)
  }

  private func makeNode() {
    var configuration = DHTConfiguration(
      sha1: { Self.sha1($0) }, verifySignature: { Self.verify($0, $1, $2) })
    configuration.usesV4 = sockets[.v4] != nil
    configuration.usesV6 = sockets[.v6] != nil
    configuration.isReadOnly = options.isReadOnly
    configuration.allowsLocalAddresses = wayIn.isLocal
    configuration.maximumLookups = Self.lookupLimit
    configuration.queriesPerSecond = max(1, options.answersPerSecond)
    configuration.queriesPerSecondAndAddress = max(1, options.answersPerSecondAndAddress)
    configuration.queryBurstPerAddress = min(max(100, 5 * options.answersPerSecondAndAddress), 10_000)
    // Beyond what answers of one second need, more addresses are of no use.
    configuration.maximumSources = min(max(1024, options.answersPerSecond / 2), 1 << 18)
    configuration.maximumStoredPeers = max(0, options.maximumStoredPeers)
    configuration.maximumTorrents = max(0, options.maximumStoredTorrents)
    configuration.maximumItems = max(0, options.maximumStoredItems)
    node = DHTNode(configuration, saved: savedState, now: now, random: &random)
    savedState = nil
    node?.bootstrap(from: [], now: now, random: &random, into: &actions)
    carryOut()
    requests.startWaiting()
  }

  /// A node that may be there: of a PORT message (BEP 5), or a torrent's `nodes`.
  func addNode(_ endpoint: Endpoint) {
    node?.addNode(endpoint, now: now, random: &random, into: &actions)
    carryOut()
  }

  /// The node as it stands; nil until the state file was read.
  func status() -> DHTStatus? { node?.status(now: now) }

  // MARK: What the node is asked for, and what it wants done

  func startLookup(_ goal: LookupGoal, as id: LookupID) {
    node?.startLookup(goal, as: id, now: now, random: &random, into: &actions)
    carryOut()
  }

  func cancelLookup(_ id: LookupID) {
    node?.cancelLookup(id, now: now, random: &random, into: &actions)
    carryOut()
  }

  func ping(_ endpoint: Endpoint, as id: LookupID) {
    node?.ping(endpoint, as: id, now: now, random: &random, into: &actions)
    carryOut()
  }

  func sample(_ endpoint: Endpoint, toward target: NodeID, as id: LookupID) {
    node?.sample(endpoint, toward: target, as: id, now: now, random: &random, into: &actions)
    carryOut()
  }

  /// Carries out what has gathered. Whatever that leads to joins in behind.
  private func carryOut() {
    guard !isCarryingOut else { return }
    isCarryingOut = true
    while !actions.isEmpty || startDueLookups() {
      swap(&actions, &batch)
      for action in batch { carryOut(action) }
      batch.removeAll(keepingCapacity: true)
    }
    isCarryingOut = false
    rearm()
  }

  private func carryOut(_ action: DHTAction) {
    switch action {
    case .send(let bytes, let endpoint):
      sockets[endpoint.address.isV4 ? .v4 : .v6]?.send(bytes, to: SocketAddress(endpoint))
    case .peersFound(let id, let peers):
      if DHTTorrents.owns(id) {
        torrents.found(peers.count, by: id)?(peers)
      } else {
        requests.found(.peers(peers), by: id)
      }
    case .itemFound(let id, let item): requests.found(.item(item), by: id)
    case .samplesFound(let id, let samples): requests.found(.samples(samples), by: id)
    case .lookupFinished(let id, let result):
      if DHTTorrents.owns(id) {
        torrents.finished(id, result, now: now, random: &random)
      } else {
        requests.finished(id, result)
      }
    case .queryFinished(let id, let result): requests.finished(id, result)
    case .externalAddressChanged(let address, _): addressChanged(address)
    case .readinessChanged(_, let isReady):
      guard isReady else { return }
      torrents.schedule.networkReturned(now: now)
      requests.startWaiting()
    }
  }

  /// Begins lookups of torrents that are due. Returns whether it did.
  private func startDueLookups() -> Bool {
    guard isReady else { return false }
    while let (id, goal) = torrents.next(now: now) {
      node?.startLookup(goal, as: id, now: now, random: &random, into: &actions)
    }
    return !actions.isEmpty
  }

  /// The torrents have changed.
  func torrentsChanged() { carryOut() }

  // MARK: DatagramHandler

  func datagramReceived(_ bytes: RawSpan, from sender: SocketAddress, on socket: DatagramSocket) {
    // Others may share the port; and no other message of the DHT is a dictionary.
    guard bytes.byteCount > 8 else { return }
    bytes.withBytes { bytes in
      guard bytes[0] == UInt8(ascii: "d") else { return }
      node?.datagramArrived(
        bytes, from: Endpoint(sender.unmapped), now: now, random: &random, into: &actions)
    }
    carryOut()
  }

  // MARK: Time

  private func rearm() {
    guard !isClosed, var deadline = node?.nextDeadline else { return }
    deadline = min(deadline, nextSave)
    if isReady { deadline = min(deadline, torrents.schedule.nextDeadline) }
    guard deadline < timerDeadline else { return }
    if let timer { loop.cancel(timer) }
    timerDeadline = deadline
    timer = loop.schedule(atNanoseconds: UInt64(max(0, deadline.nanoseconds))) { [unowned self] in wake() }
  }

  private func wake() {
    timer = nil
    timerDeadline = .distantFuture
    node?.timerFired(now: now, random: &random, into: &actions)
    if now >= nextSave {
      nextSave = now + Self.saveInterval
      save {}
    }
    carryOut()
  }

  // MARK: The end

  /// Writes the state file, if this run has learnt anything, and calls `done` on the loop.
  private func save(_ done: @escaping () -> Void) {
    guard let node, let stateFile, node.statistics.repliesReceived > 0, !isSaving else { return done() }
    isSaving = true
    let bytes = node.savedState(now: now)
    let bound = LoopBound((driver: self, done: done), on: loop)
    let loop = loop
    Task.detached {
      let problem = DHTState.save(bytes, to: stateFile)
      loop.post {
        bound.value.driver.isSaving = false
        if let problem { bound.value.driver.warn("the nodes of the DHT are not saved: \(problem)") }
        bound.value.done()
      }
    }
  }

  /// Ends everything, saves, and calls `done` on the loop. Requests that are under way end as cancelled.
  func close(_ done: @escaping () -> Void) {
    guard !isClosed else { return done() }
    isClosed = true
    if let timer { loop.cancel(timer) }
    timer = nil
    wayIn.close()
    closeSockets()
    torrents = DHTTorrents()
    requests.close()
    save { [self] in
      // The task that wrote it may still refer to the file: the next who wants it must not find it taken.
      stateFile?.letGo()
      stateFile = nil
      done()
    }
  }
}
