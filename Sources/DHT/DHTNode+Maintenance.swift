import TorrentModel

/// What a node does for itself: finding a way in, keeping its table fresh, and its id right.
extension DHTNode {
  /// The pace of maintenance while there is something to ask.
  static let maintenancePace = Moment.Interval.seconds(1)
  /// The pace while nothing comes in at all: then it is our own line that is down.
  static let offlinePace = Moment.Interval.seconds(15)
  static let offlineTime = Moment.Interval.seconds(30)
  /// How long it rests at most.
  static let maintenanceRest = Moment.Interval.seconds(60)
  /// A healthy node looks for its neighbours this often.
  static let neighborSearchInterval = Moment.Interval.seconds(15 * 60)
  /// The wait after the first bootstrap that found too little; it doubles to ``maximumBootstrapDelay``.
  static let bootstrapDelay = Moment.Interval.seconds(5)
  static let maximumBootstrapDelay = Moment.Interval.seconds(300)
  /// Bootstrap hosts that are kept for a network.
  static let routerLimit = 32
  /// An id is not changed more often than this, whatever others say (BEP 42).
  static let minimumIDTime = Moment.Interval.seconds(300)

  /// Adds hosts to begin with: they are asked while there are too few nodes, and get no place in the table. The search
  /// for our neighbours begins anew.
  public mutating func bootstrap(
    from routers: [Endpoint], now: Moment, random: inout some RandomNumberGenerator,
    into actions: inout [DHTAction]
  ) {
    for router in routers where rules.allows(router) {
      let index = DHTFamily(router.address).rawValue
      guard let known = families[index]?.routers, known.count < Self.routerLimit, !known.contains(router)
      else { continue }
      families[index]?.routers.append(router)
    }
    for index in 0..<2 where families[index] != nil {
      families[index]?.nextBootstrap = now
      families[index]?.bootstrapFailures = 0
    }
    maintain(now, &random, &actions)
  }

  /// A node that may be there, of a PORT message (BEP 5), a torrent's `nodes` or the user. It is asked, and gets a place
  /// if it answers.
  public mutating func addNode(
    _ endpoint: Endpoint, now: Moment, random: inout some RandomNumberGenerator,
    into actions: inout [DHTAction]
  ) {
    let index = DHTFamily(endpoint.address).rawValue
    guard rules.allows(endpoint), let family = families[index], pending.count < Self.addLimit else { return }
    // With find_node instead of a ping, a table that is empty fills at once.
    let query: KRPCQuery = family.table.count < 4 * RoutingTable.bucketSize ? .findNode(family.id) : .ping
    ask(
      query, endpoint, node: nil, purpose: .maintenance, wantsBoth: !family.isReady, now, &random, &actions)
    if !family.isReady { families[index]?.nextBootstrap = min(family.nextBootstrap, now + .seconds(1)) }
    nextMaintenance = min(nextMaintenance, now + Self.maintenancePace)
  }

  /// Queries under way above which nodes are no longer added.
  private static let addLimit = 512

  mutating func maintain(
    _ now: Moment, _ random: inout some RandomNumberGenerator, _ actions: inout [DHTAction]
  ) {
    mint.rotate(now: now, random: &random)
    if now >= nextExpiry {
      nextExpiry = now + Self.expiryInterval
      peers.expire(now: now)
      items.expire(now: now)
    }
    held.removeAll { now - $0.arrived > Self.heldTime }
    if held.isEmpty { held = [] }
    var next = min(now + Self.maintenanceRest, nextExpiry)
    for index in 0..<2 where families[index] != nil {
      next = min(next, maintain(index, now, &random, &actions))
    }
    let isOffline = now - lastReply > Self.offlineTime && now - start > Self.offlineTime
    nextMaintenance = max(next, now + (isOffline ? Self.offlinePace : Self.maintenancePace))
  }

  /// Looks after one network. Returns when it wants to be looked after again.
  private mutating func maintain(
    _ index: Int, _ now: Moment, _ random: inout some RandomNumberGenerator, _ actions: inout [DHTAction]
  ) -> Moment {
    setReady(index, &actions)
    guard let family = families[index] else { return .distantFuture }
    if now >= family.nextBootstrap, family.maintenance == nil {
      startBootstrap(index, now, &random, &actions)
    }
    fillOrRefresh(index, now, &random, &actions)
    guard let family = families[index] else { return .distantFuture }
    var next = min(family.table.nextNeed(now), family.nextBootstrap)
    if family.fillBucket != nil { next = now }
    if let slot = family.table.nextToPing(now) {
      let node = family.table.slots[slot]
      families[index]?.table.markPinged(slot)
      ask(
        maintenanceQuery(family, node, &random), node.endpoint, node: node.id, purpose: .maintenance, now,
        &random, &actions)
      next = now
    }
    return next
  }

  /// A ping; where the bucket has room, a search for a point in it, whose answer may name somebody for it.
  private func maintenanceQuery(
    _ family: Family, _ node: TableNode, _ random: inout some RandomNumberGenerator
  ) -> KRPCQuery {
    let bucket = family.table.bucketIndex(node.id)
    guard family.table.liveSlots(bucket).count < RoutingTable.bucketSize else { return .ping }
    return .findNode(family.table.target(in: bucket, random: &random))
  }

  /// Looks for our own neighbours.
  private mutating func startBootstrap(
    _ index: Int, _ now: Moment, _ random: inout some RandomNumberGenerator, _ actions: inout [DHTAction]
  ) {
    guard let family = families[index] else { return }
    let count = family.table.count
    guard count > 0 || !family.routers.isEmpty else {
      families[index]?.nextBootstrap = .distantFuture
      return
    }
    // When it ends, there may be more nodes, and the next is put off.
    let delay = min(Self.bootstrapDelay * (1 << min(family.bootstrapFailures, 6)), Self.maximumBootstrapDelay)
    families[index]?.nextBootstrap = now + delay
    families[index]?.bootstrapFailures += 1
    families[index]?.isBootstrapping = true
    startMaintenanceLookup(.nodes(family.id), index, now, &random, &actions)
  }

  private mutating func startMaintenanceLookup(
    _ goal: LookupGoal, _ index: Int, _ now: Moment, _ random: inout some RandomNumberGenerator,
    _ actions: inout [DHTAction]
  ) {
    guard let family = DHTFamily(rawValue: index) else { return }
    lastMaintenanceID += 1
    let id = LookupID(lastMaintenanceID)
    families[index]?.maintenance = id
    begin(goal, id, in: [family], now, &random, &actions)
  }

  mutating func maintenanceEnded(_ lookup: Lookup) {
    for index in 0..<2 {
      guard let family = families[index], family.maintenance == lookup.id else { continue }
      families[index]?.maintenance = nil
      guard family.isBootstrapping else { continue }
      families[index]?.isBootstrapping = false
      guard lookup.replies > 0, family.table.count > 0 else { continue }
      if family.bootstrapFailures > 0, family.table.count >= RoutingTable.bucketSize {
        // A way in: now for the buckets that are far away, which the way to our neighbours has hardly touched.
        families[index]?.fillBucket = 0
      }
      families[index]?.bootstrapFailures = 0
      families[index]?.needsNeighborSearch = true
    }
  }

  private mutating func fillOrRefresh(
    _ index: Int, _ now: Moment, _ random: inout some RandomNumberGenerator, _ actions: inout [DHTAction]
  ) {
    guard var family = families[index] else { return }
    if family.needsNeighborSearch {
      families[index]?.needsNeighborSearch = false
      let jitter = Moment.Interval(nanoseconds: Int64.random(in: 0..<120_000_000_000, using: &random))
      let isPoor = family.table.count < RoutingTable.bucketSize
      families[index]?.nextBootstrap = now + (isPoor ? .seconds(60) : Self.neighborSearchInterval + jitter)
    }
    guard family.maintenance == nil, family.table.count > 0 else { return }
    while let bucket = family.fillBucket {
      let isLast = bucket >= family.table.buckets.count - 1
      family.fillBucket = isLast ? nil : bucket + 1
      families[index]?.fillBucket = family.fillBucket
      guard bucket < family.table.buckets.count,
        family.table.liveSlots(bucket).count < RoutingTable.bucketSize
      else { continue }
      let target = family.table.target(in: bucket, random: &random)
      return startMaintenanceLookup(.nodes(target), index, now, &random, &actions)
    }
    if let (bucket, target) = family.table.nextToRefresh(now, random: &random) {
      families[index]?.table.markRefreshed(bucket, now)
      startMaintenanceLookup(.nodes(target), index, now, &random, &actions)
    }
  }

  /// A node says how it sees us (BEP 42). When enough agree and our id does not fit, we take one that does.
  mutating func voteArrived(
    _ address: IPAddress, _ voter: Endpoint, _ now: Moment, _ random: inout some RandomNumberGenerator,
    _ actions: inout [DHTAction]
  ) {
    let index = DHTFamily(voter.address).rawValue
    guard let family = families[index], address.isV4 == (family.family == .v4),
      !address.isLocalOrSpecial || rules.isLocal(address),
      let agreed = families[index]?.votes.vote(for: address, by: voter, rules: rules),
      agreed != family.externalAddress
    else { return }
    let fits = family.id.complies(with: agreed)
    let isFirst = family.externalAddress == nil
    guard fits || isFirst || now - family.idSince >= Self.minimumIDTime else { return }
    families[index]?.externalAddress = agreed
    guard !fits else {
      return actions.append(.externalAddressChanged(agreed, family.id))
    }
    let id = NodeID(for: agreed, using: &random)
    families[index]?.id = id
    families[index]?.idSince = now
    families[index]?.table = family.table.rebuilt(for: id, now: now)
    families[index]?.nextBootstrap = now
    nextMaintenance = min(nextMaintenance, now)
    actions.append(.externalAddressChanged(agreed, id))
  }
}
