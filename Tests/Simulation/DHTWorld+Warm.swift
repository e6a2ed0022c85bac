import TorrentModel

@testable import DHT

extension DHTWorld {
  /// Gives every node the table it would have after hours: nodes at random of each bucket's range, seen at random times
  /// within the last quarter of an hour. What follows then is real messages alone.
  func warm(_ members: Range<Int>) {
    let order = members.sorted { id($0) < id($1) }
    let ids = order.map { id($0) }
    for node in members where conducts[node] == .honest {
      let own = id(node)
      var table = RoutingTable(ownID: own, rules: configuration.rules, now: now)
      // Halves the range of ids around our own again and again; the half we are not in is a bucket.
      var range = 0..<ids.count
      var bit = 0
      while range.count > 1, bit < 160 {
        let middle = split(ids, range, bit)
        let isUpper = own.bit(bit)
        let other = isUpper ? range.lowerBound..<middle : middle..<range.upperBound
        range = isUpper ? middle..<range.upperBound : range.lowerBound..<middle
        bit += 1
        guard !other.isEmpty else { continue }
        let start = Int.random(in: 0..<other.count, using: &random)
        for place in 0..<min(8, other.count) {
          // Spread over the bucket.
          let index = other.lowerBound + (start + place * max(1, other.count / 8)) % other.count
          let age = Moment.Interval.milliseconds(Int.random(in: 0..<900_000, using: &random))
          table.nodeReplied(
            ids[index], at: endpoints[order[index]], roundTrip: .milliseconds(100), now: now - age)
        }
      }
      nodes[node].families[0]?.table = table
      nodes[node].families[0]?.isReady = true
      nodes[node].families[0]?.nextBootstrap =
        now + .milliseconds(Int.random(in: 0..<900_000, using: &random))
      arm(node)
    }
  }

  /// Where in a sorted range the ids begin that have this bit.
  private func split(_ ids: [NodeID], _ range: Range<Int>, _ bit: Int) -> Int {
    var low = range.lowerBound
    var high = range.upperBound
    while low < high {
      let middle = (low + high) / 2
      if ids[middle].bit(bit) { high = middle } else { low = middle + 1 }
    }
    return low
  }

  /// A newcomer that knows two nodes.
  func join() {
    let node = add(.honest)
    var known: [Endpoint] = []
    while known.count < 2 {
      let other = Int.random(in: 0..<node, using: &random)
      if isUp[other], conducts[other] == .honest { known.append(endpoints[other]) }
    }
    with(node) { machine, now, random, actions in
      for endpoint in known { machine.addNode(endpoint, now: now, random: &random, into: &actions) }
    }
  }

  /// A node that works.
  func drawHonest() -> Int {
    while true {
      let node = Int.random(in: nodes.indices, using: &random)
      if isUp[node], conducts[node] == .honest, nodes[node].isReady(in: .v4) { return node }
    }
  }
}

extension NodeID {
  fileprivate func bit(_ index: Int) -> Bool { self[index / 8] >> UInt8(7 - index % 8) & 1 == 1 }
}
