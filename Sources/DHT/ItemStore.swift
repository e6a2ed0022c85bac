import TorrentModel

/// Items that were put here (BEP 44). Bounded: at the limit, an item farther from our id makes room for a nearer one.
struct ItemStore: Sendable {
  struct Stored: Sendable {
    let target: NodeID
    var item: DHTItem
    var put: Moment
  }

  private let limit: Int
  private let lifetime: Moment.Interval
  private var items: [Stored] = []
  private var places: [NodeID: Int] = [:]

  init(limit: Int, lifetime: Moment.Interval) {
    self.limit = limit
    self.lifetime = lifetime
  }

  var count: Int { items.count }

  func place(of target: NodeID) -> Int? { items.isEmpty ? nil : places[target] }

  subscript(place: Int) -> DHTItem {
    _read { yield items[place].item }
  }

  /// Stores an item whose signature was checked.
  ///
  /// - Throws: ``KRPCComplaint``: an expected or a newer sequence number that does not fit (301, 302), or no room.
  mutating func put(
    _ item: DHTItem, at target: NodeID, expecting expected: Int64?, ownID: NodeID, now: Moment
  ) throws(KRPCComplaint) {
    if let place = places[target] {
      if let new = item.mutable, let old = items[place].item.mutable {
        // The very same again, sent twice or by way of both families, only lives on, whatever it expects.
        let isSame = new.sequence == old.sequence && item.value == items[place].item.value
        if let expected, expected != old.sequence, !isSame { throw .casMismatch }
        guard new.sequence >= old.sequence else { throw .oldSequence }
        // The same number with another value is no update; with the same value it only lives on.
        guard new.sequence > old.sequence || isSame else { throw .oldSequence }
        items[place].item = item
      }
      items[place].put = now
      return
    }
    if items.count >= limit {
      guard let farthest = items.indices.max(by: { items[$0].target ^ ownID < items[$1].target ^ ownID }),
        target ^ ownID < items[farthest].target ^ ownID
      else { throw .storeFull }
      remove(farthest)
    }
    items.append(Stored(target: target, item: item, put: now))
    places[target] = items.count - 1
  }

  private mutating func remove(_ place: Int) {
    places[items[place].target] = nil
    let last = items.removeLast()
    if place < items.count {
      items[place] = last
      places[last.target] = place
    }
  }

  /// Forgets items that were not put again in time.
  mutating func expire(now: Moment) {
    var place = items.count - 1
    while place >= 0 {
      if now - items[place].put > lifetime { remove(place) }
      place -= 1
    }
  }
}
