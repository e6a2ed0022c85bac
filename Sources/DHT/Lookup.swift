import TorrentModel

/// A search for the nodes around a target, with what it finds on the way.
struct Lookup: Sendable {
  enum Stage: Sendable { case searching, storing }

  let id: LookupID
  let goal: LookupGoal
  let target: NodeID
  /// One for each family that it runs in.
  var frontiers: [Frontier?] = [nil, nil]
  var stage = Stage.searching
  var seenPeers: Set<Endpoint> = []
  var seeds = BloomFilter()
  var peers = BloomFilter()
  var hasFilters = false
  /// Peers of nodes that know nothing of filters; counted at the end, so that known seeds are left out (BEP 33).
  var unfiltered: [IPAddress] = []
  var item: DHTItem?
  var copies = 0
  var storesOut = 0
  var storedCount = 0
  var refusal: (code: Int, text: String)?
  var queries = 0
  var replies = 0

  init(id: LookupID, goal: LookupGoal, target: NodeID) {
    self.id = id
    self.goal = goal
    self.target = target
  }

  /// Both networks are asked for nodes of both, while one of them has few (BEP 32).
  var wantsBoth = false

  static let unfilteredLimit = 2000

  func result(_ outcome: LookupResult.Outcome, sha1: (Span<UInt8>) -> Bytes20) -> LookupResult {
    var result = LookupResult(outcome: outcome)
    let nodes = frontiers.flatMap { $0?.closest() ?? [] }.sorted { $0.distance < $1.distance }
    result.closest = nodes.map { DHTContact(id: $0.id, endpoint: $0.endpoint) }
    result.peerCount = seenPeers.count
    result.item = item
    result.copies = copies
    result.isWellStored = isWellStored
    result.storedCount = storedCount
    result.refusal = refusal
    result.queries = queries
    result.replies = replies
    result.hops = frontiers.compactMap { $0?.hops }.max() ?? 0
    if case .peers(_, _, true, _) = goal, hasFilters || !unfiltered.isEmpty {
      var peers = peers
      for address in unfiltered {
        let bits = BloomFilter.Bits(hash: sha1(address.compactBytes.span))
        if !seeds.contains(bits) { peers.insert(bits) }
      }
      result.scrape = ScrapeEstimate(
        seeds: Int(seeds.estimatedCount.rounded()), peers: Int(peers.estimatedCount.rounded()))
    }
    return result
  }

  /// BEP 44, "Expiration": more than eight copies, and the eight closest have one.
  private var isWellStored: Bool {
    guard copies > RoutingTable.bucketSize else { return false }
    return frontiers.allSatisfy { frontier in
      guard let closest = frontier?.closest().prefix(RoutingTable.bucketSize) else { return true }
      return closest.allSatisfy { $0.hasItem && $0.sequence == item?.mutable?.sequence }
    }
  }
}

/// A query of ours that may still be answered.
struct PendingQuery: Sendable {
  enum Purpose: Sendable, Equatable {
    case lookup(LookupID)
    case store(LookupID)
    /// Looks after the table.
    case maintenance
    /// Asked for by the driver.
    case direct(LookupID)
  }

  var endpoint: Endpoint
  /// Whom we take it to be.
  var node: NodeID?
  var purpose: Purpose
  var firstSent: Moment
  var timeout: Moment.Interval
  /// Sent once or twice; 3 when it is late for good.
  var attempt: UInt8 = 1
  /// To be sent again.
  var bytes: [UInt8]
}
