import TorrentModel

/// Queries of ours: sending, answers, and what becomes of those that are late.
extension DHTNode {
  /// Sends a query and waits for its answer.
  mutating func ask(
    _ query: KRPCQuery, _ endpoint: Endpoint, node: NodeID?, purpose: PendingQuery.Purpose,
    wantsBoth: Bool = false, _ now: Moment, _ random: inout some RandomNumberGenerator,
    _ actions: inout [DHTAction]
  ) {
    guard let family = families[DHTFamily(endpoint.address).rawValue] else { return }
    var transaction: Transaction
    let challenge = mint.challenge(for: endpoint)
    repeat {
      transaction = Transaction(UInt32(truncatingIfNeeded: random.next() >> 16))
    } while pending[transaction] != nil || transaction == challenge
    let bytes = query.encoded(
      transaction,
      .init(
        id: family.id, version: configuration.version, isReadOnly: configuration.isReadOnly,
        wantsBoth: wantsBoth && families[0] != nil && families[1] != nil))
    let timeout = timeout(for: node, family.table)
    pending[transaction] = PendingQuery(
      endpoint: endpoint, node: node, purpose: purpose, firstSent: now, timeout: timeout, bytes: bytes)
    deadlines.insert(Deadline(moment: now + timeout, transaction: transaction))
    statistics.queriesSent += 1
    send(bytes, endpoint, &actions)
  }

  /// How long an answer may take before something else is tried: by what the node took before, else by what all take.
  private func timeout(for node: NodeID?, _ table: RoutingTable) -> Moment.Interval {
    var timeout = configuration.initialTimeout
    if let node, let slot = table.slot(of: node), table.slots[slot].roundTrip > 0 {
      timeout = .milliseconds(3 * Int(table.slots[slot].roundTrip) + 50)
    } else if smoothedRoundTrip > 0 {
      timeout = Moment.Interval(nanoseconds: 2 * smoothedRoundTrip + 4 * roundTripVariation)
    }
    return min(max(timeout, configuration.minimumTimeout), configuration.maximumTimeout)
  }

  /// RFC 6298's smoothing.
  private mutating func noteRoundTrip(_ interval: Moment.Interval) {
    let sample = min(max(1, interval.nanoseconds), 30_000_000_000)
    if smoothedRoundTrip == 0 {
      smoothedRoundTrip = sample
      roundTripVariation = sample / 2
    } else {
      roundTripVariation += (abs(smoothedRoundTrip - sample) - roundTripVariation) / 4
      smoothedRoundTrip += (sample - smoothedRoundTrip) / 8
    }
  }

  mutating func replyArrived(
    _ message: KRPCMessage, _ bytes: Span<UInt8>, from sender: Endpoint, _ now: Moment,
    _ random: inout some RandomNumberGenerator, _ actions: inout [DHTAction]
  ) {
    guard let transaction = Transaction(bytes.extracting(message.transaction.range)) else {
      statistics.unsolicitedReplies += 1
      return
    }
    guard let query = pending[transaction], query.endpoint == sender else {
      if pending[transaction] == nil, message.kind == .reply, transaction == mint.challenge(for: sender) {
        nodeAnswered(message, sender, roundTrip: nil, isRouter: false, now, &actions)
        challengePassed(sender, now, &random, &actions)
      } else {
        statistics.unsolicitedReplies += 1
      }
      return
    }
    pending[transaction] = nil
    lastReply = now
    statistics.repliesReceived += 1
    sources.prove(sender.address, seconds(now))
    // Of a query that was sent twice nobody knows which one was answered.
    let roundTrip: Moment.Interval? = query.attempt == 1 ? now - query.firstSent : nil
    if let roundTrip { noteRoundTrip(roundTrip) }
    let isRouter = families[DHTFamily(sender.address).rawValue]?.routers.contains(sender) ?? false
    if message.kind == .reply {
      nodeAnswered(message, sender, roundTrip: roundTrip, isRouter: isRouter, now, &actions)
    }
    if let observed = message.observed { voteArrived(observed.address, sender, now, &random, &actions) }
    switch query.purpose {
    case .lookup(let id): lookupAnswered(id, message, bytes, sender, now, &random, &actions)
    case .store(let id): storeAnswered(id, message, bytes, now, &random, &actions)
    case .maintenance: noteNodes(message, bytes, now)
    case .direct(let id):
      directAnswered(id, message, bytes, sender, roundTrip ?? now - query.firstSent, &actions)
    }
    nextMaintenance = min(nextMaintenance, now + Self.maintenancePace)
  }

  private mutating func nodeAnswered(
    _ message: KRPCMessage, _ sender: Endpoint, roundTrip: Moment.Interval?, isRouter: Bool, _ now: Moment,
    _ actions: inout [DHTAction]
  ) {
    let index = DHTFamily(sender.address).rawValue
    guard let id = message.id, !isRouter else { return }
    families[index]?.table.nodeReplied(id, at: sender, roundTrip: roundTrip, now: now)
    setReady(index, &actions)
    if families[index]?.nextBootstrap == .distantFuture {
      // Others have come to us, and now there is somebody to ask for our neighbours.
      families[index]?.nextBootstrap = now
      nextMaintenance = min(nextMaintenance, now + Self.maintenancePace)
    }
  }

  mutating func setReady(_ index: Int, _ actions: inout [DHTAction]) {
    guard let family = families[index] else { return }
    let isReady = (family.table.buckets.contains { $0.live > 0 })
    guard isReady != family.isReady else { return }
    families[index]?.isReady = isReady
    actions.append(.readinessChanged(family.family, isReady: isReady))
  }

  /// Nodes that an answer names are worth asking where the table has room.
  mutating func noteNodes(_ message: KRPCMessage, _ bytes: Span<UInt8>, _ now: Moment) {
    for index in 0..<2 where families[index] != nil {
      KRPCMessage.forEachNode(
        index == 0 ? message.nodes : message.nodes6, isV4: index == 0, in: bytes
      ) { id, endpoint in
        guard endpoint.address.isV4 == (index == 0) else { return }
        families[index]?.table.nodeHeardOf(id, at: endpoint, now: now)
      }
    }
  }

  private mutating func directAnswered(
    _ id: LookupID, _ message: KRPCMessage, _ bytes: Span<UInt8>, _ sender: Endpoint,
    _ roundTrip: Moment.Interval, _ actions: inout [DHTAction]
  ) {
    guard message.kind == .reply, let node = message.id else {
      let (code, text) = Self.refusal(message, bytes)
      return actions.append(.queryFinished(id, .refused(code: code, text: text)))
    }
    let contact = DHTContact(id: node, endpoint: sender)
    if let samples = Self.samples(message, bytes, contact) { actions.append(.samplesFound(id, samples)) }
    actions.append(.queryFinished(id, .replied(contact, roundTrip: roundTrip)))
  }

  /// What an error says. The text is a stranger's: cut, and only what can be printed.
  static func refusal(_ message: KRPCMessage, _ bytes: Span<UInt8>) -> (code: Int, text: String) {
    var text = ""
    for byte in message.errorText.map({ KRPCMessage.copy($0, of: bytes) })?.prefix(100) ?? [] {
      text.unicodeScalars.append(byte >= 0x20 && byte < 0x7f ? Unicode.Scalar(byte) : "?")
    }
    return (Int(message.errorCode ?? 201), text)
  }

  /// A sample of info-hashes, if the answer has one (BEP 51).
  static func samples(
    _ message: KRPCMessage, _ bytes: Span<UInt8>, _ contact: DHTContact
  ) -> InfoHashSamples? {
    guard let range = message.samples?.range else { return nil }
    var samples: [InfoHash] = []
    var at = range.lowerBound
    while at + 20 <= range.upperBound {
      samples.append(NodeID(bytes, at: at).infoHash)
      at += 20
    }
    return InfoHashSamples(
      contact: contact, samples: samples,
      count: Int(clamping: max(Int64(samples.count), message.sampledCount ?? 0)),
      interval: .seconds(Int(min(max(0, message.interval ?? 0), 21_600))))
  }

  /// A deadline of a query has come: the first, the second, or the last.
  mutating func queryIsLate(
    _ transaction: Transaction, _ now: Moment, _ random: inout some RandomNumberGenerator,
    _ actions: inout [DHTAction]
  ) {
    guard var query = pending[transaction] else { return }
    let last = query.firstSent + configuration.finalTimeout
    if query.attempt == 1, now < last, isWorthRetrying(query) {
      query.attempt = 2
      pending[transaction] = query
      deadlines.insert(Deadline(moment: min(last, now + query.timeout * 2), transaction: transaction))
      statistics.queriesSent += 1
      send(query.bytes, query.endpoint, &actions)
      if case .lookup(let id) = query.purpose { setState(.retrying, id, query.endpoint) }
      advanceIfLookup(query, now, &random, &actions)
    } else if query.attempt < 3, now < last {
      query.attempt = 3
      query.bytes = []
      pending[transaction] = query
      deadlines.insert(Deadline(moment: last, transaction: transaction))
      switch query.purpose {
      case .lookup(let id): setState(.slow, id, query.endpoint)
      case .store(let id):
        // Nobody waits for it any longer than this.
        forget(transaction, query, now, &actions)
        storeFailed(id, now, &random, &actions)
      default: break
      }
      advanceIfLookup(query, now, &random, &actions)
    } else {
      forget(transaction, query, now, &actions)
      switch query.purpose {
      case .lookup(let id): setState(.failed, id, query.endpoint)
      case .store(let id): storeFailed(id, now, &random, &actions)
      case .direct(let id): actions.append(.queryFinished(id, .timedOut))
      case .maintenance: break
      }
      advanceIfLookup(query, now, &random, &actions)
    }
  }

  private func isWorthRetrying(_ query: PendingQuery) -> Bool {
    switch query.purpose {
    case .store, .direct: return true
    case .maintenance: return false
    case .lookup(let id):
      guard let lookup = lookups.first(where: { $0.id == id }),
        let frontier = lookup.frontiers[DHTFamily(query.endpoint.address).rawValue],
        let index = frontier.index(of: query.endpoint)
      else { return false }
      return frontier.isWorthRetrying(index)
    }
  }

  private mutating func setState(_ state: Frontier.State, _ id: LookupID, _ endpoint: Endpoint) {
    let family = DHTFamily(endpoint.address).rawValue
    guard let place = lookups.firstIndex(where: { $0.id == id }),
      let index = lookups[place].frontiers[family]?.index(of: endpoint)
    else { return }
    lookups[place].frontiers[family]?.setState(state, index)
  }

  private mutating func advanceIfLookup(
    _ query: PendingQuery, _ now: Moment, _ random: inout some RandomNumberGenerator,
    _ actions: inout [DHTAction]
  ) {
    if case .lookup(let id) = query.purpose { advance(id, now, &random, &actions) }
  }

  /// A query will not be answered any more. The node is to blame only if others have answered since: else it is our own
  /// line that is down.
  private mutating func forget(
    _ transaction: Transaction, _ query: PendingQuery, _ now: Moment, _ actions: inout [DHTAction]
  ) {
    pending[transaction] = nil
    statistics.timeouts += 1
    let index = DHTFamily(query.endpoint.address).rawValue
    guard let node = query.node else { return }
    if lastReply > query.firstSent {
      families[index]?.table.nodeFailed(node, at: query.endpoint, now: now)
      setReady(index, &actions)
    } else {
      families[index]?.table.pingForgotten(node)
    }
  }
}
