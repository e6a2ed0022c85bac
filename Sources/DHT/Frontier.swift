import TorrentModel

/// The nodes that a lookup knows of in one family, in order of their distance from the target.
struct Frontier: Sendable {
  struct Candidate: Sendable {
    var id: NodeID
    var endpoint: Endpoint
    var distance: NodeID
    var state = State.fresh
    /// How many nodes led to this one.
    var depth: UInt8
    /// Its id is one that its address allows (BEP 42).
    var complies: Bool
    /// A bootstrap host: its id is unknown, and it is no result.
    var isRouter = false
    var token: [UInt8] = []
    /// It has the item, or said so by `seq`.
    var sequence: Int64?
    var hasItem = false
  }

  enum State: Sendable {
    case fresh
    /// Asked, and still in time.
    case waiting
    /// Late, and asked again: others may be asked meanwhile, but the lookup does not end without it.
    case retrying
    /// Later still: if it answers, well.
    case slow
    case replied
    case failed
  }

  /// What a frontier has to gather before it is done: eight nodes that comply with BEP 42, of which each counts two;
  /// of those that do not, each counts one.
  static let neededWeight = 16
  static let candidateLimit = 100
  /// Candidates of one /16 or /32, so that a network cannot crowd out all others.
  static let networkCandidates = 8

  let target: NodeID
  let rules: AddressRules
  private(set) var candidates: [Candidate] = []
  var queries = 0

  init(target: NodeID, rules: AddressRules) {
    self.target = target
    self.rules = rules
  }

  /// Adds a node that somebody has named. Of an address or subnet only the first is taken.
  mutating func add(_ id: NodeID, _ endpoint: Endpoint, depth: UInt8) {
    let distance = id ^ target
    if candidates.count >= Self.candidateLimit, let last = candidates.last, distance >= last.distance {
      return
    }
    let isLocal = rules.isLocal(endpoint.address)
    let subnet = AddressRules.subnet(endpoint.address)
    let network = AddressRules.network(endpoint.address)
    var share = 0
    for candidate in candidates {
      if candidate.distance == distance, !candidate.isRouter { return }
      if isLocal {
        if candidate.endpoint == endpoint { return }
      } else if AddressRules.subnet(candidate.endpoint.address) == subnet,
        candidate.state != .failed || candidate.endpoint.address == endpoint.address
      {
        return
      } else if AddressRules.network(candidate.endpoint.address) == network {
        share += 1
      }
    }
    guard share < Self.networkCandidates else { return }
    insert(
      Candidate(
        id: id, endpoint: endpoint, distance: distance, depth: depth,
        complies: id.complies(with: endpoint.address)))
  }

  mutating func addRouter(_ endpoint: Endpoint) {
    guard !candidates.contains(where: { $0.endpoint == endpoint }) else { return }
    insert(
      Candidate(
        id: .zero, endpoint: endpoint, distance: NodeID(.max, .max, .max), depth: 0, complies: true,
        isRouter: true))
  }

  private mutating func insert(_ candidate: Candidate) {
    if candidates.count >= Self.candidateLimit {
      guard let last = candidates.lastIndex(where: { $0.state == .fresh || $0.state == .failed }) else {
        return
      }
      candidates.remove(at: last)
    }
    var low = 0
    var high = candidates.count
    while low < high {
      let middle = (low + high) / 2
      if candidates[middle].distance < candidate.distance { low = middle + 1 } else { high = middle }
    }
    candidates.insert(candidate, at: low)
  }

  func index(of endpoint: Endpoint) -> Int? { candidates.firstIndex { $0.endpoint == endpoint } }

  /// The next one to ask while at most `limit` wait, or `nil`; and whether there is nothing left to do or to wait for.
  func next(limit: Int) -> (index: Int?, isDone: Bool) {
    var weight = 0
    var waiting = 0
    var isBlocked = false
    var networks: InlineArray<32, UInt64> = InlineArray(repeating: .max)
    var seen = 0
    for index in candidates.indices {
      guard weight < Self.neededWeight else { break }
      let candidate = candidates[index]
      if candidate.state == .failed || candidate.state == .slow { continue }
      if !candidate.isRouter, !rules.isLocal(candidate.endpoint.address) {
        let network = AddressRules.network(candidate.endpoint.address)
        var share = 0
        for place in 0..<min(seen, 32) where networks[place] == network { share += 1 }
        if share >= AddressRules.networkShare {
          // Its answer, should it have been asked before it was crowded out, is nothing to wait for.
          continue
        }
        if seen < 32 { networks[seen] = network }
        seen += 1
      }
      switch candidate.state {
      case .replied: if !candidate.isRouter { weight += candidate.complies ? 2 : 1 }
      case .waiting: waiting += 1
      case .retrying: isBlocked = true
      case .fresh: if waiting < limit { return (index, false) } else { isBlocked = true }
      case .slow, .failed: break
      }
    }
    return (nil, waiting == 0 && !isBlocked)
  }

  /// Whether asking a late one again is worth it: it would be among those the lookup ends with.
  func isWorthRetrying(_ index: Int) -> Bool {
    var weight = 0
    for candidate in candidates[..<index] where candidate.state == .replied && !candidate.isRouter {
      weight += candidate.complies ? 2 : 1
    }
    return weight < Self.neededWeight
  }

  mutating func setState(_ state: State, _ index: Int) { candidates[index].state = state }

  /// Takes an answer. The node's true id may be another than the one by which it was named.
  ///
  /// - Returns: where the candidate is now.
  mutating func noteReply(_ index: Int, id: NodeID, token: [UInt8]) -> Int {
    candidates[index].state = .replied
    candidates[index].token = token
    guard !candidates[index].isRouter, candidates[index].id != id else { return index }
    var candidate = candidates.remove(at: index)
    candidate.id = id
    candidate.distance = id ^ target
    candidate.complies = id.complies(with: candidate.endpoint.address)
    // Two addresses that claim one id: the one that was there first stands for it.
    if candidates.contains(where: { $0.distance == candidate.distance && $0.state == .replied }) {
      candidate.state = .failed
    }
    insert(candidate)
    return self.index(of: candidate.endpoint) ?? 0
  }

  mutating func noteItem(_ index: Int, sequence: Int64?) {
    guard candidates.indices.contains(index) else { return }
    candidates[index].hasItem = true
    candidates[index].sequence = sequence
  }

  /// The nodes that the lookup has ended with: those that have answered, closest first, within the same bounds that
  /// ``next(limit:)`` goes by.
  func closest() -> [Candidate] {
    var weight = 0
    var result: [Candidate] = []
    for candidate in candidates where candidate.state == .replied && !candidate.isRouter {
      guard weight < Self.neededWeight else { break }
      if !rules.isLocal(candidate.endpoint.address) {
        let network = AddressRules.network(candidate.endpoint.address)
        let share = result.count { AddressRules.network($0.endpoint.address) == network }
        if share >= AddressRules.networkShare { continue }
      }
      weight += candidate.complies ? 2 : 1
      result.append(candidate)
    }
    return result
  }

  /// The longest chain that led to an answer.
  var hops: Int {
    candidates.lazy.filter { $0.state == .replied && !$0.isRouter }.map { Int($0.depth) }.max() ?? 0
  }
}
