import TorrentModel

/// Queries of others: who may ask, how much they may get, and when they must prove themselves first.
extension DHTNode {
  /// A ping with the shortest header: what it costs to have somebody prove itself.
  static let challengeLength = 58
  /// A query that waits longer than this for its sender's proof is forgotten.
  static let heldTime = Moment.Interval.seconds(3)

  mutating func queryArrived(
    _ message: KRPCMessage, _ bytes: Span<UInt8>, from sender: Endpoint, _ now: Moment,
    _ random: inout some RandomNumberGenerator, _ actions: inout [DHTAction]
  ) {
    statistics.queriesReceived += 1
    // A node that is read-only answers nothing (BEP 43).
    guard !configuration.isReadOnly else { return }
    let second = seconds(now)
    guard mayAnswer(second),
      let source = sources.queryArrived(
        from: sender.address, bytes: bytes.count, now: second, isLimited: !rules.isLocal(sender.address))
    else {
      statistics.limitedQueries += 1
      return
    }
    mint.rotate(now: now, random: &random)
    if message.complaint == nil, hasRightToken(message, bytes, sender) {
      sources.prove(sender.address, second)
    }
    let isProved = sources.isProved(source, second)
    if let id = message.id, !message.isReadOnly { senderSeen(id, sender, isProved: isProved, now) }
    if isProved {
      answer(message, bytes, to: sender, source: nil, now, &random, &actions)
    } else {
      answer(message, bytes, to: sender, source: source, now, &random, &actions)
    }
  }

  /// Takes one from this second's answers.
  private mutating func mayAnswer(_ second: UInt32) -> Bool {
    if second != allowanceSecond {
      allowanceSecond = second
      answerAllowance = configuration.queriesPerSecond
    }
    guard answerAllowance > 0 else { return false }
    answerAllowance -= 1
    return true
  }

  /// Whether an announce or a put carries a token that we gave to its sender.
  private mutating func hasRightToken(
    _ message: KRPCMessage, _ bytes: Span<UInt8>, _ sender: Endpoint
  ) -> Bool {
    guard let token = message.token, let target = storageTarget(message, bytes) else { return false }
    return mint.accepts(bytes.extracting(token.range), from: sender.address, target)
  }

  /// Where an announce or a put wants to store something.
  func storageTarget(_ message: KRPCMessage, _ bytes: Span<UInt8>) -> NodeID? {
    switch message.method {
    case .announcePeer: return message.target
    case .put:
      guard let value = message.value else { return nil }
      guard let key = message.publicKey else {
        return DHTItem.target(ofValue: bytes.extracting(value.range), sha1: configuration.sha1)
      }
      let salt = message.salt?.range ?? 0..<0
      return DHTItem.target(
        ofPublicKey: bytes.extracting(key.range), salt: bytes.extracting(salt), sha1: configuration.sha1)
    default: return nil
    }
  }

  /// Somebody who answers queries has asked something: the table may want it.
  private mutating func senderSeen(_ id: NodeID, _ sender: Endpoint, isProved: Bool, _ now: Moment) {
    let family = DHTFamily(sender.address).rawValue
    guard let isKnown = families[family]?.table.nodeQueried(id, at: sender, now: now), !isKnown, isProved
    else { return }
    // It is asked itself before it gets a place. One that has not proved itself is challenged anyway.
    if families[family]?.table.nodeHeardOf(id, at: sender, now: now) == true {
      nextMaintenance = min(nextMaintenance, now + Self.maintenancePace)
    }
  }

  /// Answers a query. `source` is given for a sender that has not proved itself: then its credit is the limit, and
  /// where a whole answer is longer, the query waits while the sender is challenged.
  ///
  /// A sender that leaves a challenge unanswered gets a short answer the next time, and so on in turn: behind some
  /// firewalls nodes can ask and never be asked.
  private mutating func answer(
    _ message: KRPCMessage, _ bytes: Span<UInt8>, to sender: Endpoint, source: Int?, _ now: Moment,
    _ random: inout some RandomNumberGenerator, _ actions: inout [DHTAction]
  ) {
    let limit = source.map { min(sources.credit($0), configuration.maximumReplyLength) }
    var plan = AnswerPlan(limit: limit ?? configuration.maximumReplyLength, isFrugal: source != nil)
    let answer = answer(message, bytes, sender, &plan, now, &random)
    if let source, plan.isCut || isWanted(message, sender, now), !message.isReadOnly,
      !sources.isChallenged(source), sources.credit(source) >= Self.challengeLength
    {
      hold(bytes, sender, now)
      challenge(sender, source, &actions)
      return
    }
    if plan.isCut, source != nil { statistics.shortenedReplies += 1 }
    guard let answer, answer.count <= limit ?? .max else { return }
    if message.complaint == nil && !plan.isError {
      statistics.repliesSent += 1
    } else {
      statistics.errorsSent += 1
    }
    send(answer, sender, &actions)
    guard let source else { return }
    sources.spend(answer.count, source)
    sources.setChallenged(false, source)
  }

  /// Whether the sender of a query other than a ping is a node that the table could use: it is challenged even if the
  /// answer would fit, for that is how a network that begins gets to know its nodes.
  private func isWanted(_ message: KRPCMessage, _ sender: Endpoint, _ now: Moment) -> Bool {
    guard let id = message.id, message.complaint == nil, message.method != .ping else { return false }
    return families[DHTFamily(sender.address).rawValue]?.table.wants(id, now) ?? false
  }

  private mutating func challenge(_ sender: Endpoint, _ source: Int, _ actions: inout [DHTAction]) {
    guard let id = families[DHTFamily(sender.address).rawValue]?.id else { return }
    let ping = KRPCQuery.ping.encoded(mint.challenge(for: sender), .init(id: id))
    sources.spend(ping.count, source)
    sources.setChallenged(true, source)
    statistics.challengesSent += 1
    send(ping, sender, &actions)
  }

  private mutating func hold(_ bytes: Span<UInt8>, _ sender: Endpoint, _ now: Moment) {
    held.removeAll { $0.sender == sender || now - $0.arrived > Self.heldTime }
    guard configuration.maximumHeldQueries > 0 else { return }
    if held.count >= configuration.maximumHeldQueries { held.removeFirst() }
    let copy = [UInt8](capacity: bytes.count) { output in
      for index in bytes.indices { output.append(bytes[index]) }
    }
    held.append(HeldQuery(sender: sender, bytes: copy, arrived: now))
  }

  /// A challenge was answered: the query that waited gets its whole answer.
  mutating func challengePassed(
    _ sender: Endpoint, _ now: Moment, _ random: inout some RandomNumberGenerator,
    _ actions: inout [DHTAction]
  ) {
    statistics.challengesPassed += 1
    sources.prove(sender.address, seconds(now))
    guard let index = held.firstIndex(where: { $0.sender == sender }) else { return }
    let query = held.remove(at: index)
    guard now - query.arrived <= Self.heldTime,
      let message = try? KRPCMessage.decode(query.bytes.span, with: &parser)
    else { return }
    answer(message, query.bytes.span, to: sender, source: nil, now, &random, &actions)
  }
}
