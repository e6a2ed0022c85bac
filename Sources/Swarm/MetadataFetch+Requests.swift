import PeerWire
import TorrentModel

// Whom to ask for what.
extension MetadataFetch {
  func source(_ key: PeerKey) -> Source? { key.offset < sources.count ? sources[key.offset] : nil }

  func place(of length: Int) -> Int? { groups.firstIndex { $0.length == length } }

  mutating func remove(_ key: PeerKey) {
    forgetRequests(key.offset)
    sources[key.offset] = nil
    areGroupsStale = true
  }

  /// The peer is asked for nothing any more, for now.
  mutating func forgetRequests(_ offset: Int) {
    guard let source = sources[offset] else { return }
    for (piece, _) in source.requests { _ = endRequest(PeerKey(offset), piece) }
    noteLate(source.requests.map(\.piece), of: offset)
  }

  /// Answers to these requests may still come.
  mutating func noteLate(_ pieces: [Int], of offset: Int) {
    guard let count = sources[offset]?.late.count else { return }
    sources[offset]?.late += pieces
    let excess = count + pieces.count - Self.lateLimit
    if excess > 0 { sources[offset]?.late.removeFirst(excess) }
  }

  /// Takes a request off the list. False if there is none, not even one that timed out.
  mutating func endRequest(_ key: PeerKey, _ piece: Int) -> Bool {
    guard let source = source(key) else { return false }
    if let index = source.requests.firstIndex(where: { $0.piece == piece }) {
      sources[key.offset]?.requests.remove(at: index)
      if source.alone != nil {
        sources[key.offset]?.alone?.ended(piece)
      } else if let place = place(of: source.length) {
        groups[place].attempt?.ended(piece)
      }
      return true
    }
    guard let index = source.late.firstIndex(of: piece) else { return false }
    sources[key.offset]?.late.remove(at: index)
    return true
  }

  /// The peer does not give anything: others are asked, and it only after a while.
  mutating func leaveAlone(_ key: PeerKey, now: Moment) {
    forgetRequests(key.offset)
    guard let source = source(key) else { return }
    let delay = configuration.retryDelay * (1 << min(source.retries, 10))
    sources[key.offset]?.retryAt = now + min(delay, configuration.maximumRetryDelay)
    sources[key.offset]?.retries += 1
    sources[key.offset]?.timeouts = 0
    // Another one may have its turn.
    sources[key.offset]?.alone = nil
    areGroupsStale = true
  }

  // MARK: Groups

  /// Counts who claims which length, and decides which are fetched.
  mutating func countVotes(now: Moment) {
    areGroupsStale = false
    var voters: [Int: Set<IPAddress>] = [:]
    for offset in sources.indices {
      guard let source = sources[offset] else { continue }
      if source.retryAt <= now { sources[offset]?.retryAt = .zero }
      // Those that give nothing have no say, and one address has one vote. On loopback an address says nothing.
      let isHeard = source.retryAt <= now
      let address = source.endpoint.address
      let voter =
        address.isLoopback
        ? IPAddress(high: .max, low: UInt64(source.endpoint.port))
        : address.isV4 ? address : IPAddress(high: address.high, low: 0)
      if isHeard {
        voters[source.length, default: []].insert(voter)
      } else {
        voters[source.length, default: []].formUnion([])
      }
    }
    // Who lied about a length that nobody claims any more may still come to light, but not at any price.
    let keepsFailed = groups.count <= Self.groupLimit
    groups.removeAll { voters[$0.length] == nil && !($0.failed != nil && keepsFailed) }
    for length in voters.keys.sorted() where place(of: length) == nil { groups.append(Group(length: length)) }
    for place in groups.indices { groups[place].votes = voters[groups[place].length]?.count ?? 0 }
    groups.sort { ($1.votes, $0.length) < ($0.votes, $1.length) }
    // The smallest claims beside the first: they cost least to be found wrong.
    var room = configuration.lengthLimit
    let others = groups.indices.dropFirst().sorted { groups[$0].length < groups[$1].length }
    for (rank, place) in (groups.indices.prefix(1) + others).enumerated() {
      let fits = rank == 0 || (groups[place].length <= room && rank < Self.groupLimit)
      if rank > 0, fits { room -= groups[place].length }
      groups[place].isActive = fits
      if !fits { suspend(place) }
    }
  }

  /// The group has to wait: what it holds is given back.
  private mutating func suspend(_ place: Int) {
    for offset in sources.indices where sources[offset]?.length == groups[place].length {
      forgetRequests(offset)
      sources[offset]?.alone = nil
    }
    groups[place].attempt = nil
  }

  // MARK: Requests

  /// Asks for what can be asked for, and sets the clock.
  mutating func pump(now: Moment) {
    guard !isComplete else { return }
    if areGroupsStale || sources.contains(where: { isBack($0, now: now) }) { countVotes(now: now) }
    for place in groups.indices where groups[place].isActive {
      if groups[place].failed != nil { beginAlone(place, now: now) }
      request(place, now: now)
    }
    setDeadline(now: now)
  }

  /// A peer that was left alone may be asked again.
  private func isBack(_ source: Source?, now: Moment) -> Bool {
    guard let source, source.retryAt > .zero else { return false }
    return source.retryAt <= now && source.requests.isEmpty
  }

  /// One request each in turn, so that the pieces are spread over the peers.
  private mutating func request(_ place: Int, now: Moment) {
    var isAsking = true
    while isAsking {
      isAsking = false
      for offset in sources.indices {
        guard let source = sources[offset], source.length == groups[place].length, source.retryAt <= now,
          source.requests.count < (source.timeouts > 0 ? 1 : configuration.requestsPerPeer)
        else { continue }
        let isAsked: (Int) -> Bool = { piece in source.requests.contains { $0.piece == piece } }
        let piece: Int?
        if source.alone != nil {
          piece = sources[offset]?.alone?.nextPiece(
            now: now, patience: configuration.requestTimeout, isAsked: isAsked)
          if let piece { sources[offset]?.alone?.requested(piece, now: now) }
        } else if groups[place].failed == nil {
          if groups[place].attempt == nil {
            groups[place].attempt = MetadataAttempt(length: groups[place].length)
          }
          piece = groups[place].attempt?.nextPiece(
            now: now, patience: configuration.patience, isAsked: isAsked)
          if let piece { groups[place].attempt?.requested(piece, now: now) }
        } else {
          piece = nil
        }
        guard let piece else { continue }
        sources[offset]?.requests.append((piece, now))
        actions.append(.request(PeerKey(offset), piece: piece))
        isAsking = true
      }
    }
  }

  /// Starts tries of single peers: those that sent nothing of what turned out wrong first.
  private mutating func beginAlone(_ place: Int, now: Moment) {
    let length = groups[place].length
    let most = max(1, min(8, configuration.lengthLimit / 4 / length))
    var running = sources.count { $0?.length == length && $0?.alone != nil }
    for wantsSuspects in [false, true] {
      for offset in sources.indices where running < most {
        guard let source = sources[offset], source.length == length, source.alone == nil,
          source.retryAt <= now, groups[place].failed?.isSuspect(source.endpoint) == wantsSuspects
        else { continue }
        sources[offset]?.alone = MetadataAttempt(length: length)
        running += 1
      }
    }
  }

  private mutating func setDeadline(now: Moment) {
    var moment = Moment.distantFuture
    var hasIdle = false
    for case let source? in sources {
      if source.retryAt > now {
        moment = min(moment, source.retryAt)
        continue
      }
      if source.requests.count < configuration.requestsPerPeer { hasIdle = true }
      for request in source.requests { moment = min(moment, request.sentAt + configuration.requestTimeout) }
    }
    if hasIdle {
      for group in groups where group.isActive {
        let next = group.attempt?.nextPatience(configuration.patience) ?? .distantFuture
        // One that has passed already waits for a peer that was not asked for the piece, and none is there.
        if next > now { moment = min(moment, next) }
      }
    }
    nextDeadline = moment
  }
}
