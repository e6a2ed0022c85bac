import TorrentModel

/// Up to eight nodes, the closest first, without memory of its own.
struct ClosestNodes {
  private(set) var slots: InlineArray<8, Int32> = InlineArray(repeating: 0)
  private var distances: InlineArray<8, NodeID> = InlineArray(repeating: .zero)
  private(set) var count = 0

  subscript(index: Int) -> Int { Int(slots[index]) }

  @inline(__always)
  mutating func insert(_ slot: Int, _ distance: NodeID) {
    var place = count
    if count == RoutingTable.bucketSize {
      guard distance < distances[count - 1] else { return }
      place -= 1
    } else {
      count += 1
    }
    while place > 0, distance < distances[place - 1] {
      distances[place] = distances[place - 1]
      slots[place] = slots[place - 1]
      place -= 1
    }
    distances[place] = distance
    slots[place] = Int32(truncatingIfNeeded: slot)
  }
}

extension RoutingTable {
  /// The nodes in places that are closest to a target: good ones only, or all that are not bad.
  func closest(to target: NodeID, goodOnly: Bool, now: Moment) -> ClosestNodes {
    var result = ClosestNodes()
    let own = bucketIndex(target)
    // Nodes in the target's bucket agree with it on more bits than any other; then come those closer to us, all of
    // which differ from it at the same bit; then the buckets before, each farther than the one behind it.
    collect(own, target, goodOnly, now, &result)
    guard result.count < Self.bucketSize else { return result }
    for bucket in own + 1..<max(own + 1, buckets.count) { collect(bucket, target, goodOnly, now, &result) }
    var bucket = own - 1
    while bucket >= 0, result.count < Self.bucketSize {
      collect(bucket, target, goodOnly, now, &result)
      bucket -= 1
    }
    return result
  }

  @inline(__always)
  private func collect(
    _ bucket: Int, _ target: NodeID, _ goodOnly: Bool, _ now: Moment, _ result: inout ClosestNodes
  ) {
    for slot in liveSlots(bucket) {
      let standing = slots[slot].standing(now)
      if standing == .bad || (goodOnly && standing != .good) { continue }
      result.insert(slot, slots[slot].id ^ target)
    }
  }

  /// Whom maintenance should ask next: a spare where a place is free, else the node that has been silent longest, once
  /// it is questionable or bad.
  func nextToPing(_ now: Moment) -> Int? {
    var found: Int?
    for bucket in buckets.indices {
      let live = liveSlots(bucket)
      let maySplit = bucket == buckets.count - 1 && buckets.count < Self.bucketLimit
      var hasRoom = live.count < Self.bucketSize || maySplit
      for slot in live {
        let standing = slots[slot].standing(now)
        if standing == .bad { hasRoom = true }
        if standing == .good || slots[slot].flags.contains(.pinged) { continue }
        if let best = found, slots[best].lastSeen <= slots[slot].lastSeen { continue }
        found = slot
      }
      guard hasRoom else { continue }
      for slot in spareSlots(bucket) where slots[slot].flags.isDisjoint(with: [.verified, .pinged]) {
        return slot
      }
    }
    return found
  }

  /// A bucket that needs looking after, and a point in it to look for.
  func nextToRefresh(
    _ now: Moment, random: inout some RandomNumberGenerator
  ) -> (bucket: Int, target: NodeID)? {
    for bucket in buckets.indices where now - buckets[bucket].lastChanged >= Self.refreshTime {
      return (bucket, target(in: bucket, random: &random))
    }
    return nil
  }

  /// A random point in the range of a bucket.
  func target(in bucket: Int, random: inout some RandomNumberGenerator) -> NodeID {
    ownID.neighbor(sharing: bucket, using: &random)
  }

  /// When ``nextToRefresh(_:random:)`` or ``nextToPing(_:)`` will have something to say.
  func nextNeed(_ now: Moment) -> Moment {
    var need = Moment.distantFuture
    guard count > 0 else { return need }
    for bucket in buckets { need = min(need, bucket.lastChanged + Self.refreshTime) }
    forEachLive { node in
      need = min(need, node.standing(now) == .good ? node.lastSeen + TableNode.goodTime : now)
    }
    return need
  }
}
