import BlockPool
import DHT
import Reactor
import Synchronization
import TorrentModel

/// Asks the DHT (BEP 5) and stores things there, through a node of its own or that of a session.
///
/// ```swift
/// let dht = try await DHTClient.start()
/// try await dht.findPeers(of: infoHash) { print($0) }
/// await dht.shutdown()
/// ```
///
/// Questions wait until there is a way into the network, and end after their time in any case, with what is known by
/// then. Cancelling the task ends them at once.
public final class DHTClient: Sendable {
  /// What happens to the node.
  public enum Event: Sendable {
    /// Others agree on how they see us (BEP 42).
    case externalAddress(IPAddress)
    /// Something a person should know of, but nothing failed for it.
    case warning(String)
  }

  /// How long questions may take unless told otherwise, in seconds.
  public static let defaultTime = 30.0

  /// Where the node's sockets are bound.
  public let localAddresses: [Endpoint]
  private let loop: EventLoop
  private let driver: LoopBound<DHTDriver>
  private let ownsLoop: Bool
  private let isShutDown = Lock(false)

  /// Starts a node on a loop of its own. ``shutdown()`` ends it in order.
  ///
  /// - Parameters:
  ///   - bind: local address or interface of its sockets; nil for any.
  ///   - report: called on the node's loop.
  public static func start(
    _ options: DHTOptions = DHTOptions(), bind: String? = nil,
    report: @escaping @Sendable (Event) -> Void = { _ in }
  ) async throws(DHTFailure) -> DHTClient {
    try options.validate()
    let loop: EventLoop
    var place = LocalBinding.unrestricted
    if let bind {
      do { place = try LocalBinding(parsing: bind) } catch { throw .cannotBind(error.description) }
    }
    let binding = place
    do throws(ReactorError) {
      loop = try EventLoop(name: "spate-dht")
      try loop.start()
    } catch {
      throw .outOfResources(error.description)
    }
    do {
      return try await loop.run { () throws(ReactorError) -> DHTClient in
        let driver = try DHTDriver(options: options, binding: binding, listenPort: 0, loop: loop)
        driver.warn = { report(.warning($0)) }
        driver.addressChanged = { report(.externalAddress($0)) }
        driver.start()
        return DHTClient(driver, ownsLoop: true)
      }
    } catch {
      loop.stop()
      throw .cannotBind(error.description)
    }
  }

  /// Uses a node that somebody else looks after. On its loop.
  convenience init(sharing driver: DHTDriver) { self.init(driver, ownsLoop: false) }

  private init(_ driver: DHTDriver, ownsLoop: Bool) {
    loop = driver.loop
    localAddresses = driver.localAddresses
    self.driver = LoopBound(driver, on: driver.loop)
    self.ownsLoop = ownsLoop
  }

  deinit { if ownsLoop { loop.stop() } }

  /// UDP port of the node.
  public var port: UInt16 { localAddresses.first?.port ?? 0 }

  /// Saves the node's table and ends it. A session's node stays. Questions that are under way end as cancelled.
  public func shutdown() async {
    guard ownsLoop else { return }
    let isFirst = isShutDown.withLock { isShutDown in
      defer { isShutDown = true }
      return !isShutDown
    }
    guard isFirst else { return }
    let (loop, driver) = (loop, driver)
    await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
      loop.post { driver.value.close { continuation.resume() } }
    }
    loop.stop()
  }

  // MARK: Asking

  /// Work for the loop that is certain to be done: nothing is posted behind the end.
  private func post(_ work: @escaping @Sendable (DHTDriver) -> Void) throws(DHTFailure) {
    let (loop, driver) = (loop, driver)
    let isPosted = isShutDown.withLock { isShutDown in
      if !isShutDown { loop.post { work(driver.value) } }
      return !isShutDown
    }
    if !isPosted { throw .shutDown }
  }

  private func run<Value: Sendable>(
    _ body: @escaping @Sendable (DHTDriver) -> Value
  ) async throws(DHTFailure) -> Value {
    let result: Result<Value, DHTFailure> = await withCheckedContinuation { continuation in
      do throws(DHTFailure) {
        try post { continuation.resume(returning: .success(body($0))) }
      } catch {
        continuation.resume(returning: .failure(error))
      }
    }
    return try result.get()
  }

  private func ask(
    _ question: DHTRequests.Question, within seconds: Double,
    found: @escaping @Sendable (DHTRequests.Finding) -> Void = { _ in }
  ) async throws(DHTFailure) -> DHTRequests.Answer {
    let ticket = Ticket()
    let result: Result<DHTRequests.Answer, DHTFailure> = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        do throws(DHTFailure) {
          try post { driver in
            let id = driver.requests.ask(question, within: .seconds(max(0, seconds)), found: found) {
              continuation.resume(returning: .success($0))
            }
            if ticket.isIssued(id) { driver.requests.cancel(id) }
          }
        } catch {
          continuation.resume(returning: .failure(error))
        }
      }
    } onCancel: {
      try? post { driver in
        if let id = ticket.cancel() { driver.requests.cancel(id) }
      }
    }
    return try result.get()
  }

  /// A lookup. One that ran out of time ends with what it found by then.
  func look(
    _ goal: LookupGoal, within seconds: Double,
    found: @escaping @Sendable (DHTRequests.Finding) -> Void = { _ in }
  ) async throws(DHTFailure) -> LookupResult {
    guard case .lookup(let result) = try await ask(.lookup(goal), within: seconds, found: found) else {
      throw .noNodes
    }
    if result.outcome == .noNodes || (result.outcome == .cancelled && result.replies == 0) { throw .noNodes }
    if result.outcome == .queueFull { throw .outOfResources("too many lookups are under way") }
    return result
  }

  private func askNode(
    _ question: DHTRequests.Question, within seconds: Double,
    found: @escaping @Sendable (DHTRequests.Finding) -> Void = { _ in }
  ) async throws(DHTFailure) -> (DHTContact, seconds: Double) {
    guard case .direct(let result) = try await ask(question, within: seconds, found: found) else {
      throw .timedOut
    }
    switch result {
    case .replied(let contact, let roundTrip): return (contact, roundTrip.seconds)
    case .refused(let code, let text): throw .refused(code: code, text: text)
    case .timedOut: throw .timedOut
    }
  }

  // MARK: Nodes

  /// Asks a node whether it is there.
  /// - Returns: its id and how long the answer took, in seconds.
  public func ping(
    _ endpoint: Endpoint, within seconds: Double = defaultTime
  ) async throws(DHTFailure) -> (contact: DHTContact, roundTrip: Double) {
    let (contact, time) = try await askNode(.ping(endpoint), within: seconds)
    return (contact, time)
  }

  /// Names a node, which is asked whether it is there and gets a place in the table if it is.
  public func addNode(_ endpoint: Endpoint) async throws(DHTFailure) {
    try await run { $0.addNode(endpoint) }
  }

  /// The nodes closest to a point, the closest first.
  public func nodes(
    closestTo target: NodeID, within seconds: Double = defaultTime
  ) async throws(DHTFailure) -> DHTLookupResult {
    try await look(.nodes(target), within: seconds)
  }

  /// The nodes in our table.
  public func table() async throws(DHTFailure) -> [DHTContact] {
    try await run { driver in DHTFamily.allCases.flatMap { driver.node?.contacts(in: $0) ?? [] } }
  }

  /// The node as it stands; nil until it has read its state file.
  public func status() async throws(DHTFailure) -> DHTStatus? { try await run { $0.status() } }

  // MARK: Torrents

  /// Looks for a torrent's peers.
  ///
  /// - Parameters:
  ///   - isCounting: ask for how many there are, too (BEP 33): then the result has a `scrape`.
  ///   - found: told of peers as they come, each once, on the node's loop.
  @discardableResult
  public func findPeers(
    of infoHash: InfoHash, isCounting: Bool = false, within seconds: Double = defaultTime,
    found: @escaping @Sendable ([Endpoint]) -> Void
  ) async throws(DHTFailure) -> DHTLookupResult {
    try await look(.peers(infoHash, scraping: isCounting), within: seconds) { finding in
      if case .peers(let peers) = finding { found(peers) }
    }
  }

  /// All peers that a lookup finds.
  public func peers(
    of infoHash: InfoHash, within seconds: Double = defaultTime
  ) async throws(DHTFailure) -> [Endpoint] {
    let all = Gathered<Endpoint>()
    try await findPeers(of: infoHash, within: seconds) { all.append($0) }
    return all.elements
  }

  /// Tells the closest nodes that this machine has a torrent. They remember it for about half an hour.
  ///
  /// - Parameters:
  ///   - port: where peers are taken.
  ///   - usesImpliedPort: others take the UDP port they see instead (BEP 5).
  /// - Throws: ``DHTFailure/notStored(reason:)`` when no node took it.
  @discardableResult
  public func announce(
    _ infoHash: InfoHash, port: UInt16, isSeed: Bool = false, usesImpliedPort: Bool = false,
    within seconds: Double = defaultTime
  ) async throws(DHTFailure) -> DHTLookupResult {
    let announcement = LookupGoal.Announcement(port: port, usesImpliedPort: usesImpliedPort, isSeed: isSeed)
    let result = try await look(.peers(infoHash, announcing: announcement), within: seconds)
    return try Self.stored(result)
  }

  static func stored(_ result: LookupResult) throws(DHTFailure) -> LookupResult {
    guard result.storedCount > 0 else { throw .notStored(reason: refusal(result)) }
    return result
  }

  static func refusal(_ result: LookupResult) -> String? {
    result.refusal.map { "\($0.text) (\($0.code))" }
  }

  // MARK: Samples (BEP 51)

  /// Asks one node which info-hashes it has peers of.
  public func sample(
    _ endpoint: Endpoint, toward target: NodeID, within seconds: Double = defaultTime
  ) async throws(DHTFailure) -> InfoHashSamples {
    let all = Gathered<InfoHashSamples>()
    _ = try await askNode(.sample(endpoint, toward: target), within: seconds) { finding in
      if case .samples(let samples) = finding { all.append([samples]) }
    }
    guard let samples = all.elements.first else {
      throw .refused(code: 204, text: "it does not know the question")
    }
    return samples
  }

  /// Asks the nodes on the way to a point. Each that knows the question has its place in the answer.
  public func samples(
    toward target: NodeID, within seconds: Double = defaultTime
  ) async throws(DHTFailure) -> [InfoHashSamples] {
    let all = Gathered<InfoHashSamples>()
    _ = try await look(.samples(toward: target), within: seconds) { finding in
      if case .samples(let samples) = finding { all.append([samples]) }
    }
    return all.elements
  }
}

/// Links a question on the loop with the task that waits for it.
private final class Ticket: Sendable {
  private let state = Lock((id: nil as LookupID?, isCancelled: false))

  /// Returns whether it was cancelled before.
  func isIssued(_ id: LookupID) -> Bool {
    state.withLock { state in
      state.id = id
      return state.isCancelled
    }
  }

  func cancel() -> LookupID? {
    state.withLock { state in
      state.isCancelled = true
      return state.id
    }
  }
}

/// What comes in parts on a loop, for a task that waits for all.
final class Gathered<Element: Sendable>: Sendable {
  private let all = Lock<[Element]>([])

  func append(_ elements: [Element]) { all.withLock { $0 += elements } }
  var elements: [Element] { all.withLock { $0 } }
}
