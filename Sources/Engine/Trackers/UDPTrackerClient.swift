import BlockPool
import Reactor
import TorrentModel
import TrackerProtocol

/// The UDP sockets of a loop and the machines that talk to trackers over them (BEP 15): one for each tracker address,
/// kept as long as its connection id may be of use.
final class UDPTrackerClient: DatagramHandler {
  private let loop: EventLoop
  private let binding: LocalBinding
  private var sockets: [SocketAddress.Family: DatagramSocket] = [:]
  private var machines: [Endpoint: UDPTrackerMachine] = [:]
  private var lastUsed: [Endpoint: Moment] = [:]
  private var timer: TimerID?
  private var timerDeadline = Moment.distantFuture
  private var random = SystemRandomNumberGenerator()
  private var lastID: UInt64 = 0
  private var waiting: [UInt64: (Result<Reply, TrackerError>) -> Void] = [:]

  private enum Reply {
    case announce(AnnounceReply)
    case scrape([ScrapeEntry])
  }

  struct Ticket {
    fileprivate var id: UInt64
    fileprivate var endpoint: Endpoint
  }

  init(loop: EventLoop, binding: LocalBinding) {
    self.loop = loop
    self.binding = binding
  }

  private var now: Moment { Moment(nanoseconds: Int64(loop.nowNanoseconds)) }

  func announce(
    _ request: AnnounceRequest, at url: TrackerURL, _ endpoint: Endpoint, retransmissions: Int,
    _ completion: @escaping (Result<AnnounceReply, TrackerError>) -> Void
  ) -> Ticket {
    submit(
      .announce(request, urlData: Array(url.pathAndQuery.utf8)), to: endpoint,
      retransmissions: retransmissions
    ) { result in
      switch result {
      case .success(.announce(let reply)): completion(.success(reply))
      case .success(.scrape): completion(.failure(.malformedScrape))
      case .failure(let error): completion(.failure(error))
      }
    }
  }

  func scrape(
    _ infoHashes: [InfoHash], at endpoint: Endpoint, retransmissions: Int,
    _ completion: @escaping (Result<[ScrapeEntry], TrackerError>) -> Void
  ) -> Ticket {
    submit(.scrape(infoHashes), to: endpoint, retransmissions: retransmissions) { result in
      switch result {
      case .success(.scrape(let entries)): completion(.success(entries))
      case .success(.announce): completion(.failure(.malformedPeers))
      case .failure(let error): completion(.failure(error))
      }
    }
  }

  private func submit(
    _ request: UDPTrackerMachine.Request, to endpoint: Endpoint, retransmissions: Int,
    _ completion: @escaping (Result<Reply, TrackerError>) -> Void
  ) -> Ticket {
    lastID += 1
    let id = lastID
    waiting[id] = completion
    lastUsed[endpoint] = now
    run(endpoint) { machine, actions, now, random in
      machine.submit(
        request, as: .init(id), retransmissions: retransmissions, now: now, random: &random, into: &actions)
    }
    return Ticket(id: id, endpoint: endpoint)
  }

  func cancel(_ ticket: Ticket) {
    guard waiting.removeValue(forKey: ticket.id) != nil else { return }
    run(ticket.endpoint) { machine, actions, now, random in
      machine.cancel(.init(ticket.id), now: now, random: &random, into: &actions)
    }
  }

  private func run(
    _ endpoint: Endpoint,
    _ body: (
      inout UDPTrackerMachine, inout [UDPTrackerMachine.Action], Moment, inout SystemRandomNumberGenerator
    )
      -> Void
  ) {
    var actions: [UDPTrackerMachine.Action] = []
    body(&machines[endpoint, default: UDPTrackerMachine(tracker: endpoint)], &actions, now, &random)
    for action in actions { carryOut(action, at: endpoint) }
    rearm()
  }

  private func carryOut(_ action: UDPTrackerMachine.Action, at endpoint: Endpoint) {
    switch action {
    case .send(let bytes): send(bytes, to: endpoint)
    case .completeAnnounce(let id, let reply): finish(id, .success(.announce(reply)))
    case .completeScrape(let id, let entries): finish(id, .success(.scrape(entries)))
    case .fail(let id, let error): finish(id, .failure(error))
    }
  }

  private func finish(_ id: UDPTrackerMachine.RequestID, _ result: Result<Reply, TrackerError>) {
    guard let completion = waiting.removeValue(forKey: id.rawValue) else { return }
    // In a later turn: whoever asks next must not find the machine in use.
    loop.schedule(afterNanoseconds: 0) { completion(result) }
  }

  private func send(_ bytes: [UInt8], to endpoint: Endpoint) {
    let address = SocketAddress(endpoint)
    do throws(ReactorError) {
      try socket(address.family).send(bytes, to: address)
    } catch {
      unreachable(endpoint, error.description)
    }
  }

  private func socket(_ family: SocketAddress.Family) throws(ReactorError) -> DatagramSocket {
    if let socket = sockets[family] { return socket }
    var options = DatagramSocket.Options()
    options.binding = binding
    options.reportsUnreachable = true
    let socket = try DatagramSocket(family: family, port: 0, options: options, on: loop, handler: self)
    sockets[family] = socket
    return socket
  }

  private func unreachable(_ endpoint: Endpoint, _ reason: String) {
    loop.schedule(afterNanoseconds: 0) { [weak self] in
      self?.run(endpoint) { machine, actions, _, _ in machine.networkFailed(reason, into: &actions) }
    }
  }

  // MARK: DatagramHandler

  func datagramReceived(_ bytes: RawSpan, from sender: SocketAddress, on socket: DatagramSocket) {
    let endpoint = Endpoint(sender.unmapped)
    guard machines[endpoint] != nil else { return }
    let copy = [UInt8](copying: bytes)
    run(endpoint) { machine, actions, now, random in
      machine.datagramArrived(copy.span, from: endpoint, now: now, random: &random, into: &actions)
    }
  }

  func datagramUnreachable(_ receiver: SocketAddress, error: SystemError, on socket: DatagramSocket) {
    let endpoint = Endpoint(receiver.unmapped)
    if machines[endpoint] != nil { unreachable(endpoint, error.description) }
  }

  // MARK: Time

  private func rearm() {
    let deadline = machines.values.lazy.compactMap(\.nextDeadline).min() ?? .distantFuture
    guard deadline < timerDeadline else { return }
    if let timer { loop.cancel(timer) }
    timerDeadline = deadline
    timer = loop.schedule(atNanoseconds: UInt64(max(0, deadline.nanoseconds))) { [weak self] in self?.wake() }
  }

  private func wake() {
    timer = nil
    timerDeadline = .distantFuture
    let now = now
    for endpoint in Array(machines.keys) {
      run(endpoint) { machine, actions, now, random in
        machine.timerFired(now: now, random: &random, into: &actions)
      }
      let isOld = now - (lastUsed[endpoint] ?? .zero) > UDPTrackerMachine.connectionLifetime
      if isOld && machines[endpoint]?.isIdle == true {
        machines[endpoint] = nil
        lastUsed[endpoint] = nil
      }
    }
  }

  func close() {
    if let timer { loop.cancel(timer) }
    for socket in sockets.values { socket.close() }
    sockets = [:]
    machines = [:]
    waiting = [:]
  }
}
