import Reactor
import TorrentModel
import TrackerProtocol

/// Carries announces and scrapes to trackers over HTTP, HTTPS and UDP, for all torrents of a loop.
///
/// A tracker that has addresses of both families is asked over both, since each knows only the family it was asked over
/// (BEP 7). The answers are joined, or told one by one so that peers of one family need not wait for the other.
final class TrackerClient {
  typealias Answer<Value> = Result<Value, TrackerError>

  let loop: EventLoop
  private let resolver: Resolver
  private let http: HTTPClient
  private let binding: LocalBinding
  let udp: UDPTrackerClient

  init(loop: EventLoop, binding: LocalBinding, userAgent: String, tls: TLSContext?) {
    self.loop = loop
    self.binding = binding
    self.resolver = Resolver(on: loop)
    var options = HTTPClient.Options()
    options.binding = binding
    options.userAgent = userAgent
    options.tls = tls
    self.http = HTTPClient(on: loop, resolver: resolver, options: options)
    self.udp = UDPTrackerClient(loop: loop, binding: binding)
  }

  /// What is under way; cancelling it means that nothing is called back.
  final class Operation {
    fileprivate var resolution: Resolution?
    fileprivate var exchanges: [HTTPExchange] = []
    fileprivate var requests: [UDPTrackerClient.Ticket] = []
    fileprivate var udp: UDPTrackerClient?
    fileprivate var waiting = 0
    fileprivate var isOver = false

    func cancel() {
      guard !isOver else { return }
      isOver = true
      resolution?.cancel()
      for exchange in exchanges { exchange.cancel() }
      for request in requests { udp?.cancel(request) }
    }
  }

  // MARK: Announce

  /// - Parameter more: what the other family said after `completion` was called with what the first said. Without it,
  ///   `completion` waits for both: a `stopped` should reach both.
  func announce(
    _ url: TrackerURL, _ request: AnnounceRequest, isFromUser: Bool, retransmissions: Int,
    more: ((AnnounceReply) -> Void)? = nil, completion: @escaping (Answer<AnnounceReply>) -> Void
  ) -> Operation {
    perform(url, isFromUser: isFromUser, merge: AnnounceReply.joined, more: more, completion: completion) {
      [self] target, operation, done in
      switch target {
      case .http(let family):
        get(url, request.httpParameters, family, isFromUser, operation) { answer in
          done(Self.read(answer) { (body) throws(TrackerError) in try AnnounceReply.decode(http: body.span) })
        }
      case .udp(let endpoint):
        let ticket = udp.announce(request, at: url, endpoint, retransmissions: retransmissions, done)
        operation.requests.append(ticket)
      }
    }
  }

  // MARK: Scrape (BEP 48)

  /// One entry for each info-hash, in order; nil where the tracker says nothing.
  func scrape(
    _ url: TrackerURL, _ infoHashes: [InfoHash], isFromUser: Bool,
    completion: @escaping (Answer<[ScrapeEntry?]>) -> Void
  ) -> Operation {
    guard let scrapeURL = url.scrapeURL else {
      let operation = Operation()
      loop.schedule(afterNanoseconds: 0) {
        if !operation.isOver { completion(.failure(.scrapeNotSupported)) }
      }
      return operation
    }
    return perform(scrapeURL, isFromUser: isFromUser, merge: { first, _ in first }, completion: completion) {
      [self] target, operation, done in
      switch target {
      case .http(let family):
        get(scrapeURL, ScrapeRequest.httpParameters(infoHashes), family, isFromUser, operation) { answer in
          done(
            Self.read(answer) { (body) throws(TrackerError) in
              try ScrapeEntry.decode(http: body.span, for: infoHashes)
            })
        }
      case .udp(let endpoint):
        operation.requests.append(
          udp.scrape(infoHashes, at: endpoint, retransmissions: 1) { done($0.map { $0.map(Optional.some) }) })
      }
    }
  }

  // MARK: Both

  private enum Target {
    case http(SocketAddress.Family)
    case udp(Endpoint)
  }

  /// Finds the tracker's addresses, asks over each family, and joins the answers, or with `more` tells them one by one:
  /// one that succeeded is enough.
  private func perform<Value>(
    _ url: TrackerURL, isFromUser: Bool, merge: @escaping (Value, Value) -> Value,
    more: ((Value) -> Void)? = nil, completion: @escaping (Answer<Value>) -> Void,
    ask: @escaping (Target, Operation, @escaping (Answer<Value>) -> Void) -> Void
  ) -> Operation {
    let operation = Operation()
    operation.udp = udp
    let host: String =
      switch url.host {
      case .name(let name): name
      case .address(let address): address.description
      }
    operation.resolution = resolver.resolve(host, port: url.port) { [self] result in
      operation.resolution = nil
      let targets: [Target]
      switch result {
      case .failure(let error):
        operation.isOver = true
        return completion(.failure(.cannotResolve(error.description)))
      case .success(let addresses):
        var error = TrackerError.cannotConnect(
          "the local address in use cannot reach the tracker's address family")
        targets = self.targets(url, addresses, isFromUser: isFromUser, &error)
        guard !targets.isEmpty else {
          operation.isOver = true
          return completion(.failure(error))
        }
      }
      operation.waiting = targets.count
      var joined: Answer<Value>?
      var isTold = false
      for target in targets {
        ask(target, operation) { answer in
          guard !operation.isOver else { return }
          switch (joined, answer) {
          case (.success(let a)?, .success(let b)): joined = .success(merge(a, b))
          case (.success?, .failure): break
          default: joined = answer
          }
          operation.waiting -= 1
          operation.isOver = operation.waiting == 0
          if let more, case .success(let value) = answer {
            if isTold { more(value) } else { completion(answer) }
            isTold = true
          } else if operation.isOver, !isTold, let joined {
            completion(joined)
          }
        }
      }
    }
    return operation
  }

  private func targets(
    _ url: TrackerURL, _ addresses: [SocketAddress], isFromUser: Bool, _ error: inout TrackerError
  ) -> [Target] {
    var result: [Target] = []
    for family in [SocketAddress.Family.v4, .v6] where binding.allows(family) {
      guard let address = addresses.first(where: { $0.family == family }) else { continue }
      guard url.scheme == .udp else {
        result.append(.http(family))
        continue
      }
      let endpoint = Endpoint(address)
      guard TrackerPolicy.admits(url, endpoint.address, isFromUser: isFromUser) else {
        error = .localAddressRefused(endpoint.address)
        continue
      }
      result.append(.udp(endpoint))
    }
    return result
  }

  private func get(
    _ url: TrackerURL, _ parameters: String, _ family: SocketAddress.Family, _ isFromUser: Bool,
    _ operation: Operation, _ done: @escaping (Answer<HTTPResponse>) -> Void
  ) {
    let parts: URLParts
    do {
      parts = try URLParts(parsing: url.origin + url.requestTarget(parameters))
    } catch {
      return done(.failure(.cannotConnect(error.description)))
    }
    let policy = TrackerPolicy(isFromUser: isFromUser)
    var request = HTTPClient.Request(url: parts)
    if let authorization = url.basicAuthorization { request.headers.append(("Authorization", authorization)) }
    request.family = family
    request.maximumBodyBytes = Limits.trackerReplyLength
    request.maximumRedirects = 5
    request.admit = { url, address, previous in policy.admit(url, address, redirectedFrom: previous) }
    operation.exchanges.append(
      http.get(request) { result in
        switch result {
        case .success(let response): done(.success(response))
        case .failure(let error):
          if let address = policy.refused { return done(.failure(.localAddressRefused(address))) }
          done(.failure(TrackerError(error)))
        }
      })
  }

  /// A tracker may refuse with any status, and say why in the body (BEP 3).
  private static func read<Value>(
    _ answer: Answer<HTTPResponse>, _ decode: ([UInt8]) throws(TrackerError) -> Value
  ) -> Answer<Value> {
    switch answer {
    case .failure(let error): return .failure(error)
    case .success(let response):
      do {
        let value = try decode(response.body)
        guard response.status == 200 else { return .failure(.httpStatus(response.status)) }
        return .success(value)
      } catch {
        if case .failure = error { return .failure(error) }
        return .failure(response.status == 200 ? error : .httpStatus(response.status))
      }
    }
  }

  func close() {
    udp.close()
    resolver.close()
  }
}

extension TrackerError {
  init(_ error: HTTPError) {
    self =
      switch error {
      case .timedOut: .timedOut
      case .resolution(_, let error): .cannotResolve(error.description)
      case .certificateRefused, .tlsFailed, .tlsUnavailable: .notTrusted(error.description)
      case .tooLarge: .replyTooLong
      case .tooManyRedirects(let limit): .tooManyRedirects(limit: limit)
      default: .cannotConnect(error.description)
      }
  }
}

extension AnnounceReply {
  /// What two families of one tracker said.
  static func joined(_ a: AnnounceReply, _ b: AnnounceReply) -> AnnounceReply {
    var result = a
    let known = Set(a.peers)
    result.peers += b.peers.filter { !known.contains($0) }
    result.ignoredPeers += b.ignoredPeers
    func larger<T: Comparable>(_ x: T?, _ y: T?) -> T? {
      guard let x, let y else { return x ?? y }
      return max(x, y)
    }
    result.interval = larger(a.interval, b.interval)
    result.minimumInterval = larger(a.minimumInterval, b.minimumInterval)
    result.seeds = larger(a.seeds, b.seeds)
    result.leechers = larger(a.leechers, b.leechers)
    result.downloaded = larger(a.downloaded, b.downloaded)
    result.trackerID = a.trackerID ?? b.trackerID
    result.warning = a.warning ?? b.warning
    result.externalAddress = a.externalAddress ?? b.externalAddress
    return result
  }
}
