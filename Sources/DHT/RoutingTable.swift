import TorrentModel

/// The nodes of one family that we know, in buckets by their distance from us (BEP 5).
///
/// Bucket *i* holds nodes that share exactly *i* leading bits with our id, the last one those that share more. Only the
/// last splits, for only there lies our own id. Each has eight places and a cache of eight spare nodes that wait for
/// one. All lie in one array, sixteen slots a bucket, so that looking for the closest nodes walks over plain memory.
struct RoutingTable: Sendable {
  /// Nodes in a bucket (BEP 5's K).
  static let bucketSize = 8
  /// Nodes that wait for a place in a bucket.
  static let spareLimit = 8
  static let stride = bucketSize + spareLimit
  /// Buckets: enough for 2^32 times eight nodes, and a bound on what nodes with ids near ours can make us keep.
  static let bucketLimit = 36
  /// A bucket in which nothing has changed for so long is looked after (BEP 5).
  static let refreshTime = Moment.Interval.seconds(15 * 60)

  struct Bucket: Sendable {
    var live: UInt8 = 0
    var spare: UInt8 = 0
    var lastChanged: Moment
  }

  let ownID: NodeID
  let rules: AddressRules
  private(set) var slots: [TableNode] = []
  private(set) var buckets: [Bucket] = []

  init(ownID: NodeID, rules: AddressRules, now: Moment) {
    self.ownID = ownID
    self.rules = rules
    appendBucket(now)
  }

  private mutating func appendBucket(_ now: Moment) {
    buckets.append(Bucket(lastChanged: now))
    let empty = TableNode(id: .zero, endpoint: Endpoint(address: IPAddress(high: 0, low: 0), port: 0))
    // By what is needed, and not twice as much: tables of this size are kept for long.
    slots.reserveCapacity(slots.count + Self.stride)
    slots.append(contentsOf: repeatElement(empty, count: Self.stride))
  }

  /// Nodes in places.
  var count: Int { buckets.reduce(0) { $0 + Int($1.live) } }
  var spareCount: Int { buckets.reduce(0) { $0 + Int($1.spare) } }

  func goodCount(_ now: Moment) -> Int {
    var count = 0
    forEachLive { if $0.standing(now) == .good { count += 1 } }
    return count
  }

  func forEachLive(_ body: (TableNode) -> Void) {
    for bucket in buckets.indices {
      for slot in liveSlots(bucket) { body(slots[slot]) }
    }
  }

  @inline(__always)
  func bucketIndex(_ id: NodeID) -> Int {
    min((id ^ ownID).leadingZeroBitCount, buckets.count - 1)
  }

  @inline(__always)
  func liveSlots(_ bucket: Int) -> Range<Int> {
    let start = bucket * Self.stride
    return start..<start + Int(buckets[bucket].live)
  }

  @inline(__always)
  func spareSlots(_ bucket: Int) -> Range<Int> {
    let start = bucket * Self.stride + Self.bucketSize
    return start..<start + Int(buckets[bucket].spare)
  }

  /// The slot of the node with this id, place or spare.
  func slot(of id: NodeID) -> Int? {
    let bucket = bucketIndex(id)
    for slot in liveSlots(bucket) where slots[slot].id == id { return slot }
    for slot in spareSlots(bucket) where slots[slot].id == id { return slot }
    return nil
  }

  private func isLive(_ slot: Int) -> Bool { slot % Self.stride < Self.bucketSize }
}

// MARK: What is learned of nodes

extension RoutingTable {
  /// A node has answered a query of ours. It gets a place, becomes a spare, or is forgotten.
  mutating func nodeReplied(
    _ id: NodeID, at endpoint: Endpoint, roundTrip: Moment.Interval?, now: Moment
  ) {
    guard id != ownID else { return }
    if let slot = slot(of: id) {
      if slots[slot].endpoint != endpoint {
        // Somebody has taken the id of a node that is well: the first one keeps it.
        guard slots[slot].standing(now) != .good, !isTaken(endpoint, except: slot) else { return }
        let flags = slots[slot].flags.intersection(.pinged)
        slots[slot] = TableNode(id: id, endpoint: endpoint, flags: flags)
      }
      slots[slot].failures = 0
      slots[slot].lastReplied = now
      slots[slot].flags.insert(.verified)
      slots[slot].flags.remove(.pinged)
      if let roundTrip { slots[slot].noteRoundTrip(roundTrip) }
      if isLive(slot) {
        buckets[slot / Self.stride].lastChanged = now
      } else {
        let node = slots[slot]
        removeSpare(slot)
        insert(node, now)
      }
      return
    }
    // The address has another id now, or two: one is as good as gone (BEP 45).
    if let slot = takenSlot(endpoint) {
      guard slots[slot].endpoint == endpoint || slots[slot].standing(now) == .bad else { return }
      remove(slot, now)
    }
    var node = TableNode(id: id, endpoint: endpoint, flags: .verified, lastReplied: now)
    if let roundTrip { node.noteRoundTrip(roundTrip) }
    insert(node, now)
  }

  /// A node has asked us something. Returns whether it is known, with an address that fits.
  mutating func nodeQueried(_ id: NodeID, at endpoint: Endpoint, now: Moment) -> Bool {
    guard let slot = slot(of: id), slots[slot].port == endpoint.port,
      slots[slot].address == endpoint.address
    else { return false }
    slots[slot].lastQueried = now
    return true
  }

  /// Somebody has named a node. It waits as a spare where one may be needed, to be asked itself.
  ///
  /// - Returns: whether it is new here, and waits to be asked.
  @discardableResult
  mutating func nodeHeardOf(_ id: NodeID, at endpoint: Endpoint, now: Moment) -> Bool {
    guard id != ownID, rules.allows(endpoint), wants(id, now), slot(of: id) == nil else { return false }
    let bucket = bucketIndex(id)
    guard takenSlot(endpoint) == nil else { return false }
    guard Int(buckets[bucket].spare) < Self.spareLimit else { return false }
    appendSpare(TableNode(id: id, endpoint: endpoint), bucket)
    return true
  }

  /// Whether the bucket of this id has room or a place that is not held by a good node.
  func wants(_ id: NodeID, _ now: Moment) -> Bool {
    let bucket = bucketIndex(id)
    if Int(buckets[bucket].live) < Self.bucketSize { return true }
    if bucket == buckets.count - 1 && buckets.count < Self.bucketLimit { return true }
    for slot in liveSlots(bucket) where slots[slot].standing(now) != .good { return true }
    return false
  }

  /// A node of a saved table takes a place, questionable until it answers.
  mutating func nodeRestored(_ id: NodeID, at endpoint: Endpoint, now: Moment) {
    guard id != ownID, rules.allows(endpoint), slot(of: id) == nil, takenSlot(endpoint) == nil else { return }
    insert(TableNode(id: id, endpoint: endpoint), now)
  }

  /// A node has not answered a query. One that never has, or is bad while another waits, loses its place.
  mutating func nodeFailed(_ id: NodeID, at endpoint: Endpoint, now: Moment) {
    guard let slot = slot(of: id), slots[slot].endpoint == endpoint else { return }
    slots[slot].flags.remove(.pinged)
    if slots[slot].failures < .max { slots[slot].failures += 1 }
    guard isLive(slot) else { return removeSpare(slot) }
    let isVerified = slots[slot].flags.contains(.verified)
    guard slots[slot].standing(now) == .bad || !isVerified else { return }
    if let spare = bestSpare(slot / Self.stride, for: slot) {
      let node = slots[spare]
      removeSpare(spare)
      slots[slot] = node
      buckets[slot / Self.stride].lastChanged = now
    } else if !isVerified || slots[slot].failures >= 5 {
      remove(slot, now)
    }
  }

  /// A ping under way ended without a verdict.
  mutating func pingForgotten(_ id: NodeID) {
    if let slot = slot(of: id) { slots[slot].flags.remove(.pinged) }
  }
}

extension RoutingTable {
  /// The same nodes around another id.
  func rebuilt(for id: NodeID, now: Moment) -> RoutingTable {
    var table = RoutingTable(ownID: id, rules: rules, now: now)
    forEachLive { node in
      guard node.id != id, node.standing(now) != .bad else { return }
      var node = node
      node.flags.remove(.pinged)
      table.insert(node, now)
    }
    return table
  }
}

// MARK: Places

extension RoutingTable {
  private mutating func insert(_ node: TableNode, _ now: Moment) {
    while true {
      let bucket = bucketIndex(node.id)
      if let rival = subnetRival(of: node, bucket) {
        // One node of a subnet, and the one that was there first unless it is no good any more.
        guard slots[rival].standing(now) == .bad else { return }
        place(node, rival, now)
        return
      }
      let live = liveSlots(bucket)
      guard !isCrowded(node, live) else { return }
      if live.count < Self.bucketSize {
        slots[live.upperBound] = node
        buckets[bucket].live += 1
        buckets[bucket].lastChanged = now
        return
      }
      if bucket == buckets.count - 1 && buckets.count < Self.bucketLimit {
        split(now)
        continue
      }
      guard let victim = victim(for: node, live, now) else {
        if Int(buckets[bucket].spare) == Self.spareLimit { removeSpare(oldestSpare(bucket)) }
        appendSpare(node, bucket)
        return
      }
      place(node, victim, now)
      return
    }
  }

  private mutating func place(_ node: TableNode, _ slot: Int, _ now: Moment) {
    slots[slot] = node
    buckets[slot / Self.stride].lastChanged = now
  }

  /// Whose place a node may take in a full bucket: a bad one's; one's that does not comply with BEP 42 if the node does,
  /// for an attacker can draw as many such ids as it likes.
  private func victim(for node: TableNode, _ live: Range<Int>, _ now: Moment) -> Int? {
    for slot in live where slots[slot].standing(now) == .bad { return slot }
    let isVerified = node.flags.contains(.verified)
    if isVerified {
      for slot in live where !slots[slot].flags.contains(.verified) { return slot }
    }
    guard isVerified, node.flags.contains(.complying) else { return nil }
    var found: Int?
    for slot in live where !slots[slot].flags.contains(.complying) {
      if let best = found, slots[best].lastSeen <= slots[slot].lastSeen { continue }
      found = slot
    }
    return found
  }

  /// Parts the last bucket into the nodes that share one bit more with us and those that do not.
  private mutating func split(_ now: Moment) {
    let old = buckets.count - 1
    let nodes = liveSlots(old).map { slots[$0] }
    let spares = spareSlots(old).map { slots[$0] }
    let lastChanged = buckets[old].lastChanged
    appendBucket(now)
    buckets[old + 1].lastChanged = lastChanged
    buckets[old].live = 0
    buckets[old].spare = 0
    for node in nodes {
      let bucket = bucketIndex(node.id)
      slots[liveSlots(bucket).upperBound] = node
      buckets[bucket].live += 1
    }
    for node in spares { appendSpare(node, bucketIndex(node.id)) }
  }

  private mutating func remove(_ slot: Int, _ now: Moment) {
    guard isLive(slot) else { return removeSpare(slot) }
    let bucket = slot / Self.stride
    slots[slot] = slots[liveSlots(bucket).upperBound - 1]
    buckets[bucket].live -= 1
    if let spare = bestSpare(bucket, for: nil) {
      let node = slots[spare]
      removeSpare(spare)
      slots[liveSlots(bucket).upperBound] = node
      buckets[bucket].live += 1
      buckets[bucket].lastChanged = now
    }
  }

  /// The latest spare that has answered, and that may stand in the bucket once the node in `slot` is gone.
  private func bestSpare(_ bucket: Int, for slot: Int?) -> Int? {
    for spare in spareSlots(bucket).reversed() where slots[spare].flags.contains(.verified) {
      let rival = subnetRival(of: slots[spare], bucket)
      guard rival == nil || rival == slot else { continue }
      if !isCrowded(slots[spare], liveSlots(bucket), except: slot) { return spare }
    }
    return nil
  }

  private mutating func appendSpare(_ node: TableNode, _ bucket: Int) {
    guard Int(buckets[bucket].spare) < Self.spareLimit else { return }
    slots[spareSlots(bucket).upperBound] = node
    buckets[bucket].spare += 1
  }

  /// The spare to give up: one that has never answered, else the first.
  private func oldestSpare(_ bucket: Int) -> Int {
    let spares = spareSlots(bucket)
    for slot in spares where !slots[slot].flags.contains(.verified) { return slot }
    return spares.lowerBound
  }

  private mutating func removeSpare(_ slot: Int) {
    let bucket = slot / Self.stride
    let end = spareSlots(bucket).upperBound
    var place = slot
    while place + 1 < end {
      slots[place] = slots[place + 1]
      place += 1
    }
    buckets[bucket].spare -= 1
  }

  /// The node in the bucket that is in the same /24 or /64.
  private func subnetRival(of node: TableNode, _ bucket: Int) -> Int? {
    if rules.isLocal(node.address) { return nil }
    let subnet = AddressRules.subnet(node.address)
    for slot in liveSlots(bucket) where AddressRules.subnet(slots[slot].address) == subnet {
      if slots[slot].address.isV4 == node.address.isV4 && slots[slot].id != node.id { return slot }
    }
    return nil
  }

  /// Whether the bucket has as many nodes of the same network as it may.
  private func isCrowded(_ node: TableNode, _ live: Range<Int>, except: Int? = nil) -> Bool {
    if rules.isLocal(node.address) { return false }
    let network = AddressRules.network(node.address)
    var share = 0
    for slot in live where slot != except && AddressRules.network(slots[slot].address) == network {
      share += 1
    }
    return share >= AddressRules.networkShare
  }

  /// The node that has this address already: one of a kind in the whole table.
  private func takenSlot(_ endpoint: Endpoint) -> Int? {
    let isLocal = rules.isLocal(endpoint.address)
    for bucket in buckets.indices {
      for slot in liveSlots(bucket) where slots[slot].address.low == endpoint.address.low {
        if slots[slot].address == endpoint.address && (!isLocal || slots[slot].port == endpoint.port) {
          return slot
        }
      }
      for slot in spareSlots(bucket) where slots[slot].address.low == endpoint.address.low {
        if slots[slot].address == endpoint.address && (!isLocal || slots[slot].port == endpoint.port) {
          return slot
        }
      }
    }
    return nil
  }

  private func isTaken(_ endpoint: Endpoint, except slot: Int) -> Bool {
    guard let taken = takenSlot(endpoint) else { return false }
    return taken != slot
  }

  mutating func markPinged(_ slot: Int) { slots[slot].flags.insert(.pinged) }

  mutating func markRefreshed(_ bucket: Int, _ now: Moment) { buckets[bucket].lastChanged = now }
}
