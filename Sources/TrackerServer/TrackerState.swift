import Reactor
import TorrentModel
import TrackerProtocol

/// What a tracker does, on its loop.
final class TrackerState: DatagramHandler {
  private let options: TrackerServer.Options
  private let loop: EventLoop
  private let expiry: Int
  private var table: SwarmTable
  private var random = SystemRandomNumberGenerator()
  private let connectionIDs: ConnectionIDs
  private var http: HTTPServer?
  private var sockets: [DatagramSocket] = []
  private var counts = TrackerServer.Statistics()
  private let startedAt: Moment
  private var sweep: TimerID?

  init(_ options: TrackerServer.Options, on loop: EventLoop) {
    self.options = options
    self.loop = loop
    expiry = options.expiry ?? 2 * options.interval + 60
    table = SwarmTable(limits: options.limits)
    connectionIDs = ConnectionIDs(using: &random)
    startedAt = Moment(nanoseconds: Int64(loop.nowNanoseconds))
  }

  private var now: Moment { Moment(nanoseconds: Int64(loop.nowNanoseconds)) }

  /// Listens over TCP and UDP on one port. Returns it.
  func listen() throws(ReactorError) -> UInt16 {
    var binding = LocalBinding.unrestricted
    if let bind = options.bind { binding = try LocalBinding(parsing: bind) }
    let http = try HTTPServer(on: loop) { [unowned self] exchange in self.answer(exchange) }
    self.http = http
    var socketOptions = DatagramSocket.Options()
    socketOptions.binding = binding
    socketOptions.receiveBufferBytes = 4 << 20
    var port = options.port
    var failure: ReactorError?
    var isListening = false
    for family in [SocketAddress.Family.v4, .v6] where binding.allows(family) {
      do throws(ReactorError) {
        port = try http.listen(family: family, port: port, binding: binding)
        sockets.append(
          try DatagramSocket(family: family, port: port, options: socketOptions, on: loop, handler: self))
        isListening = true
      } catch {
        failure = error
      }
    }
    if !isListening, let failure {
      close()
      throw failure
    }
    scheduleSweep()
    return port
  }

  func close() {
    http?.close()
    http = nil
    for socket in sockets { socket.close() }
    sockets = []
    if let sweep { loop.cancel(sweep) }
    sweep = nil
  }

  private func scheduleSweep() {
    let period = UInt64(max(1, min(60, expiry / 4)))
    sweep = loop.schedule(afterNanoseconds: period * 1_000_000_000) { [weak self] in
      guard let self else { return }
      self.table.expire(before: self.now - .seconds(self.expiry))
      self.scheduleSweep()
    }
  }

  func statistics() -> TrackerServer.Statistics {
    var result = counts
    result.torrents = table.torrentCount
    result.peers = table.peerCount
    result.seeds = table.seedCount
    result.seconds = (now - startedAt).seconds
    return result
  }

  // MARK: Announces

  private static let defaultWanted = 50

  private func announce(
    _ request: AnnounceRequest, from address: IPAddress, onlySameFamily: Bool
  ) -> Result<(reply: AnnounceReply, ids: [PeerID]), Refused> {
    counts.announces += 1
    if let allowed = options.allowed, !allowed.contains(request.infoHash) {
      counts.refusals += 1
      return .failure(Refused(reason: "this tracker does not track that torrent", retry: .never))
    }
    guard request.port != 0 else {
      counts.refusals += 1
      return .failure(Refused(reason: "a port of 0 cannot be connected to", retry: nil))
    }
    do {
      let found = try table.announce(
        request, from: Endpoint(address: address, port: request.port),
        wanted: request.event == .stopped ? 0 : request.numberWanted ?? Self.defaultWanted,
        onlySameFamily: onlySameFamily, now: now, random: &random)
      let reply = AnnounceReply(
        interval: .seconds(options.interval),
        minimumInterval: .seconds(min(options.minimumInterval, options.interval)),
        peers: found.peers.map(\.endpoint), seeds: found.counts.seeds, leechers: found.counts.leechers,
        downloaded: found.counts.downloaded, externalAddress: address)
      return .success((reply, found.peers.map(\.peerID)))
    } catch {
      counts.refusals += 1
      return .failure(Refused(reason: error.description, retry: nil))
    }
  }

  private struct Refused: Error {
    var reason: String
    var retry: RetryAdvice?
  }

  // MARK: HTTP

  private func answer(_ exchange: HTTPServerExchange) {
    guard exchange.method == "GET" || exchange.method == "HEAD" else {
      return exchange.respond(status: 405, contentType: "text/plain", body: Array("only GET\n".utf8))
    }
    guard let peer = exchange.peer else { return }
    switch exchange.path {
    case "/announce": answerAnnounce(exchange, IPAddress(peer.unmapped))
    case "/scrape": answerScrape(exchange)
    case "/stats":
      exchange.respond(status: 200, contentType: "application/json", body: Array(statisticsText.utf8))
    default:
      exchange.respond(
        status: 404, contentType: "text/plain", body: Array("announce, scrape or stats\n".utf8))
    }
  }

  private func respond(_ exchange: HTTPServerExchange, _ body: [UInt8]) {
    exchange.respond(status: 200, contentType: "text/plain", body: body)
  }

  private func answerAnnounce(_ exchange: HTTPServerExchange, _ address: IPAddress) {
    let query: AnnounceQuery
    do { query = try AnnounceQuery(Array(exchange.query).span) } catch {
      counts.refusals += 1
      return respond(exchange, HTTPTrackerAnswer.failure(error.description))
    }
    switch announce(query.request, from: address, onlySameFamily: false) {
    case .success(let (reply, ids)):
      if query.isCompact {
        respond(exchange, HTTPTrackerAnswer.compact(reply))
      } else {
        respond(exchange, HTTPTrackerAnswer.list(reply, peerIDs: query.omitsPeerIDs ? [] : ids))
      }
    case .failure(let refused):
      respond(exchange, HTTPTrackerAnswer.failure(refused.reason, retry: refused.retry))
    }
  }

  private func answerScrape(_ exchange: HTTPServerExchange) {
    counts.scrapes += 1
    do {
      let query = try ScrapeQuery(Array(exchange.query).span)
      respond(
        exchange,
        HTTPTrackerAnswer.scrape(
          query.infoHashes.compactMap { hash in table.counts(of: hash).map { (infoHash: hash, entry: $0) } }))
    } catch {
      counts.refusals += 1
      respond(exchange, HTTPTrackerAnswer.failure(error.description))
    }
  }

  private var statisticsText: String {
    let now = statistics()
    return """
      {"torrents": \(now.torrents), "peers": \(now.peers), "seeds": \(now.seeds), "leechers": \(now.peers - now.seeds), \
      "announces": \(now.announces), "scrapes": \(now.scrapes), "refusals": \(now.refusals), \
      "uptime": \(Int(now.seconds))}

      """
  }

  // MARK: UDP

  func datagramReceived(_ bytes: RawSpan, from sender: SocketAddress, on socket: DatagramSocket) {
    guard let request = UDPTrackerRequest([UInt8](copying: bytes).span) else { return }
    let endpoint = Endpoint(address: IPAddress(sender.unmapped), port: sender.port)
    let isV4 = endpoint.address.isV4
    let reply: UDPTrackerReply
    switch request {
    case .connect(let transaction):
      reply = .connect(transaction: transaction, connection: connectionIDs.id(for: endpoint, now: now))
    case .announce(let connection, let transaction, var request, _, _):
      // Whoever has no id may have a forged address: nothing is sent there but what is shorter than the question.
      guard connectionIDs.isValid(connection, for: endpoint, now: now) else {
        reply = .error(transaction: transaction, message: "connection id expired")
        break
      }
      request.numberWanted = min(
        request.numberWanted ?? Self.defaultWanted, UDPTrackerReply.peerLimit(isV4: isV4))
      switch announce(request, from: endpoint.address, onlySameFamily: true) {
      case .success(let answer): reply = .announce(transaction: transaction, answer.reply)
      case .failure(let refused): reply = .error(transaction: transaction, message: refused.reason)
      }
    case .scrape(let connection, let transaction, let hashes):
      guard connectionIDs.isValid(connection, for: endpoint, now: now) else {
        reply = .error(transaction: transaction, message: "expired")
        break
      }
      counts.scrapes += 1
      reply = .scrape(
        transaction: transaction,
        hashes.map { table.counts(of: $0) ?? ScrapeEntry(seeds: 0, downloaded: 0, leechers: 0) })
    }
    socket.send(reply.encoded(isV4: isV4), to: sender)
  }
}

extension IPAddress {
  fileprivate init(_ address: SocketAddress) {
    if let v4 = address.v4 { self.init(v4: v4) } else { self.init(high: address.high, low: address.low) }
  }
}
