import TorrentModel

/// Lookups: who is asked next, what the answers give, and how they end.
extension DHTNode {
  /// Begins a lookup, or puts it into the queue. `id` is the caller's, below 2^63.
  ///
  /// - Precondition: an item to be put is sound: see ``DHTItem/validate(verifying:)``.
  public mutating func startLookup(
    _ goal: LookupGoal, as id: LookupID, now: Moment, random: inout some RandomNumberGenerator,
    into actions: inout [DHTAction]
  ) {
    precondition(id.rawValue < 1 << 63, "the upper half of the ids is the node's own")
    guard queue.count < configuration.maximumQueuedLookups else {
      return actions.append(.lookupFinished(id, LookupResult(outcome: .queueFull)))
    }
    queue.append((id, goal))
    startQueued(now, &random, &actions)
  }

  /// Ends a lookup. What it has found so far is in its result.
  public mutating func cancelLookup(
    _ id: LookupID, now: Moment, random: inout some RandomNumberGenerator, into actions: inout [DHTAction]
  ) {
    if let place = queue.firstIndex(where: { $0.id == id }) {
      queue.remove(at: place)
      actions.append(.lookupFinished(id, LookupResult(outcome: .cancelled)))
    } else if let place = lookups.firstIndex(where: { $0.id == id }) {
      end(place, .cancelled, &actions)
      startQueued(now, &random, &actions)
    }
  }

  /// Asks one node whether it is there.
  public mutating func ping(
    _ endpoint: Endpoint, as id: LookupID, now: Moment, random: inout some RandomNumberGenerator,
    into actions: inout [DHTAction]
  ) {
    askDirectly(.ping, endpoint, id, now, &random, &actions)
  }

  /// Asks one node for a sample of its info-hashes (BEP 51).
  public mutating func sample(
    _ endpoint: Endpoint, toward target: NodeID, as id: LookupID, now: Moment,
    random: inout some RandomNumberGenerator, into actions: inout [DHTAction]
  ) {
    askDirectly(.sampleInfoHashes(target), endpoint, id, now, &random, &actions)
  }

  private mutating func askDirectly(
    _ query: KRPCQuery, _ endpoint: Endpoint, _ id: LookupID, _ now: Moment,
    _ random: inout some RandomNumberGenerator, _ actions: inout [DHTAction]
  ) {
    guard rules.allows(endpoint), families[DHTFamily(endpoint.address).rawValue] != nil else {
      return actions.append(.queryFinished(id, .timedOut))
    }
    ask(query, endpoint, node: nil, purpose: .direct(id), now, &random, &actions)
  }

  /// Begins as many of the lookups that wait as there is room for.
  mutating func startQueued(
    _ now: Moment, _ random: inout some RandomNumberGenerator, _ actions: inout [DHTAction]
  ) {
    while !queue.isEmpty, lookups.count < configuration.maximumLookups {
      let (id, goal) = queue.removeFirst()
      begin(goal, id, in: DHTFamily.allCases, now, &random, &actions)
    }
  }

  mutating func begin(
    _ goal: LookupGoal, _ id: LookupID, in wanted: [DHTFamily], _ now: Moment,
    _ random: inout some RandomNumberGenerator, _ actions: inout [DHTAction]
  ) {
    let target = goal.target(sha1: configuration.sha1)
    var lookup = Lookup(id: id, goal: goal, target: target)
    for family in wanted {
      guard let known = families[family.rawValue] else { continue }
      var frontier = Frontier(target: target, rules: rules)
      let closest = known.table.closest(to: target, goodOnly: false, now: now)
      for index in 0..<closest.count {
        let node = known.table.slots[closest[index]]
        frontier.add(node.id, node.endpoint, depth: 1)
      }
      if closest.count < RoutingTable.bucketSize {
        for router in known.routers { frontier.addRouter(router) }
        lookup.wantsBoth = true
      }
      lookup.frontiers[family.rawValue] = frontier
    }
    lookups.append(lookup)
    advance(id, now, &random, &actions)
  }

  /// Sends what is to be sent next, and ends the search when there is nothing more.
  mutating func advance(
    _ id: LookupID, _ now: Moment, _ random: inout some RandomNumberGenerator, _ actions: inout [DHTAction]
  ) {
    guard let place = lookups.firstIndex(where: { $0.id == id }), lookups[place].stage == .searching else {
      return
    }
    var isDone = true
    let query = lookups[place].goal.query(lookups[place].target)
    for family in 0..<2 {
      while let frontier = lookups[place].frontiers[family] {
        let step = frontier.next(limit: configuration.concurrency)
        guard let index = step.index, frontier.queries < configuration.maximumQueriesPerLookup else {
          isDone = isDone && (step.isDone || step.index != nil)
          break
        }
        let candidate = frontier.candidates[index]
        lookups[place].frontiers[family]?.setState(.waiting, index)
        lookups[place].frontiers[family]?.queries += 1
        lookups[place].queries += 1
        ask(
          query, candidate.endpoint, node: candidate.isRouter ? nil : candidate.id, purpose: .lookup(id),
          wantsBoth: lookups[place].wantsBoth, now, &random, &actions)
      }
    }
    if isDone { searchEnded(place, now, &random, &actions) }
  }

  private mutating func searchEnded(
    _ place: Int, _ now: Moment, _ random: inout some RandomNumberGenerator, _ actions: inout [DHTAction]
  ) {
    let lookup = lookups[place]
    guard lookup.goal.stores, lookup.replies > 0 else {
      return end(place, lookup.replies > 0 ? .completed : .noNodes, &actions)
    }
    lookups[place].stage = .storing
    for frontier in lookup.frontiers.compactMap({ $0 }) {
      for candidate in frontier.closest() where !candidate.token.isEmpty {
        guard
          let query = lookup.goal.storing(
            lookup.target, token: candidate.token, isKnownThere: candidate.hasItem)
        else { continue }
        lookups[place].storesOut += 1
        ask(
          query, candidate.endpoint, node: candidate.id, purpose: .store(lookup.id), now, &random, &actions)
      }
    }
    if lookups[place].storesOut == 0 { end(place, .completed, &actions) }
  }

  mutating func storeAnswered(
    _ id: LookupID, _ message: KRPCMessage, _ bytes: Span<UInt8>, _ now: Moment,
    _ random: inout some RandomNumberGenerator, _ actions: inout [DHTAction]
  ) {
    guard let place = lookups.firstIndex(where: { $0.id == id }) else { return }
    if message.kind == .reply {
      lookups[place].storedCount += 1
    } else if lookups[place].refusal == nil {
      lookups[place].refusal = Self.refusal(message, bytes)
    }
    storeFailed(id, now, &random, &actions)
  }

  /// One store less is under way.
  mutating func storeFailed(
    _ id: LookupID, _ now: Moment, _ random: inout some RandomNumberGenerator, _ actions: inout [DHTAction]
  ) {
    guard let place = lookups.firstIndex(where: { $0.id == id }) else { return }
    lookups[place].storesOut -= 1
    if lookups[place].storesOut == 0 { end(place, .completed, &actions) }
  }

  private mutating func end(_ place: Int, _ outcome: LookupResult.Outcome, _ actions: inout [DHTAction]) {
    let lookup = lookups.remove(at: place)
    if lookup.id.rawValue >= 1 << 63 { return maintenanceEnded(lookup) }
    actions.append(.lookupFinished(lookup.id, lookup.result(outcome, sha1: configuration.sha1)))
  }

  mutating func lookupAnswered(
    _ id: LookupID, _ message: KRPCMessage, _ bytes: Span<UInt8>, _ sender: Endpoint, _ now: Moment,
    _ random: inout some RandomNumberGenerator, _ actions: inout [DHTAction]
  ) {
    noteNodes(message, bytes, now)
    guard let place = lookups.firstIndex(where: { $0.id == id }) else { return }
    let family = DHTFamily(sender.address).rawValue
    guard let index = lookups[place].frontiers[family]?.index(of: sender) else { return }
    guard message.kind == .reply, let node = message.id, node != families[family]?.id else {
      lookups[place].frontiers[family]?.setState(.failed, index)
      return advance(id, now, &random, &actions)
    }
    lookups[place].replies += 1
    let depth = lookups[place].frontiers[family]?.candidates[index].depth ?? 0
    let token = message.token.map { KRPCMessage.copy($0, of: bytes) } ?? []
    let at = lookups[place].frontiers[family]?.noteReply(index, id: node, token: token) ?? 0
    takeNodes(place, message, bytes, depth: depth)
    takePeers(place, message, bytes, &actions)
    takeItem(place, family, at, message, bytes, &actions)
    if case .samples = lookups[place].goal,
      let samples = Self.samples(message, bytes, DHTContact(id: node, endpoint: sender))
    {
      actions.append(.samplesFound(id, samples))
    }
    advance(id, now, &random, &actions)
  }

  private mutating func takeNodes(
    _ place: Int, _ message: KRPCMessage, _ bytes: Span<UInt8>, depth: UInt8
  ) {
    for index in 0..<2 {
      guard lookups[place].frontiers[index] != nil, let family = families[index] else { continue }
      var left = 16
      KRPCMessage.forEachNode(
        index == 0 ? message.nodes : message.nodes6, isV4: index == 0, in: bytes
      ) { id, endpoint in
        guard left > 0, id != family.id, rules.allows(endpoint), endpoint.address.isV4 == (index == 0),
          endpoint.address != family.externalAddress || rules.isLocal(endpoint.address)
        else { return }
        left -= 1
        lookups[place].frontiers[index]?.add(id, endpoint, depth: depth == .max ? depth : depth + 1)
      }
    }
  }

  private mutating func takePeers(
    _ place: Int, _ message: KRPCMessage, _ bytes: Span<UInt8>, _ actions: inout [DHTAction]
  ) {
    guard case .peers = lookups[place].goal else { return }
    var found: [Endpoint] = []
    let hasFilters = message.seedFilter != nil && message.peerFilter != nil
    message.forEachValue(in: bytes) { peer in
      guard rules.allows(peer) else { return }
      if !hasFilters, lookups[place].unfiltered.count < Lookup.unfilteredLimit {
        lookups[place].unfiltered.append(peer.address)
      }
      guard lookups[place].seenPeers.count < configuration.maximumPeersPerLookup,
        lookups[place].seenPeers.insert(peer).inserted
      else { return }
      found.append(peer)
    }
    if !found.isEmpty { actions.append(.peersFound(lookups[place].id, found)) }
    if let seeds = message.seedFilter.flatMap({ BloomFilter(bytes.extracting($0.range)) }),
      let peers = message.peerFilter.flatMap({ BloomFilter(bytes.extracting($0.range)) })
    {
      lookups[place].seeds.formUnion(seeds)
      lookups[place].peers.formUnion(peers)
      lookups[place].hasFilters = true
    }
  }

  /// Takes an item that belongs to the target (BEP 44): its hash says so, or its key and signature.
  private mutating func takeItem(
    _ place: Int, _ family: Int, _ candidate: Int, _ message: KRPCMessage, _ bytes: Span<UInt8>,
    _ actions: inout [DHTAction]
  ) {
    let key: [UInt8]
    let salt: [UInt8]
    switch lookups[place].goal {
    case .immutableItem: return takeImmutable(place, family, candidate, message, bytes, &actions)
    case .put(let item, _):
      guard let mutable = item.mutable else {
        return takeImmutable(place, family, candidate, message, bytes, &actions)
      }
      (key, salt) = (mutable.publicKey, mutable.salt)
    case .mutableItem(let wanted, let wantedSalt, _): (key, salt) = (wanted, wantedSalt)
    case .nodes, .peers, .samples: return
    }
    guard let sequence = message.sequence, sequence >= 0 else { return }
    guard let value = message.value else {
      // It says that it has one that is not newer than ours.
      lookups[place].frontiers[family]?.noteItem(candidate, sequence: sequence)
      if let item = lookups[place].item, item.mutable?.sequence == sequence { lookups[place].copies += 1 }
      return
    }
    guard let signature = message.signature, let sent = message.publicKey,
      KRPCMessage.copy(sent, of: bytes) == key
    else { return }
    var item = DHTItem(value: KRPCMessage.copy(value, of: bytes))
    item.mutable = .init(
      publicKey: key, salt: salt, sequence: sequence, signature: KRPCMessage.copy(signature, of: bytes))
    guard (try? item.validate(verifying: configuration.verifySignature)) != nil else { return }
    lookups[place].frontiers[family]?.noteItem(candidate, sequence: sequence)
    guard let old = lookups[place].item?.mutable else { return found(item, place, &actions) }
    if sequence > old.sequence { return found(item, place, &actions) }
    if sequence == old.sequence { lookups[place].copies += 1 }
  }

  private mutating func takeImmutable(
    _ place: Int, _ family: Int, _ candidate: Int, _ message: KRPCMessage, _ bytes: Span<UInt8>,
    _ actions: inout [DHTAction]
  ) {
    guard let value = message.value,
      DHTItem.target(ofValue: bytes.extracting(value.range), sha1: configuration.sha1)
        == lookups[place].target
    else { return }
    lookups[place].frontiers[family]?.noteItem(candidate, sequence: nil)
    guard lookups[place].item == nil else { return lookups[place].copies += 1 }
    found(DHTItem(value: KRPCMessage.copy(value, of: bytes)), place, &actions)
  }

  private mutating func found(_ item: DHTItem, _ place: Int, _ actions: inout [DHTAction]) {
    lookups[place].item = item
    lookups[place].copies = 1
    actions.append(.itemFound(lookups[place].id, item))
  }
}
