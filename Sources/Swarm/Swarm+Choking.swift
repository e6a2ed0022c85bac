import TorrentModel

// Who may download from us.
extension Swarm {
  /// Every second: more slots if all are served well; every ten seconds: who has them.
  func updateSlots(now: Moment) {
    let isRound = now >= timers.chokeRound
    let wanting = wantingSlots
    if wanting > slots.count || isRound {
      let rates = slotRates(now: now)
      if slots.grow(rates: rates, wanting: wanting) { areSlotsStale = true }
      if isRound { slots.adjust(rates: rates, wanting: wanting, total: upload.rate(now: now)) }
    }
    guard isRound else { return }
    timers.chokeRound = now + configuration.chokeInterval
    let rotates = now >= timers.optimisticRound
    if rotates { timers.optimisticRound = now + configuration.optimisticUnchokeInterval }
    chokeRound(rotates: rotates, now: now)
  }

  private var wantingSlots: Int {
    peers.count { $0.phase == .connected && $0.has(.interested) }
  }

  /// Upload rates of the peers that have a slot and use it.
  private func slotRates(now: Moment) -> [Int] {
    var rates: [Int] = []
    for peer in peers where peer.phase == .connected && peer.has(.interested) && !peer.has(.choked) {
      rates.append(peer.upload.rate(now: now))
    }
    return rates
  }

  private var chokeMode: Choker.Mode { isFinished ? .seeding(configuration.seedChoking) : .leeching }

  private func candidate(_ i: Int, now: Moment) -> Choker.Candidate {
    var candidate = Choker.Candidate(key: PeerKey(i), isInterested: peers[i].has(.interested))
    candidate.isUnchoked = !peers[i].has(.choked)
    candidate.isOptimistic = peers[i].has(.optimistic)
    candidate.isSnubbed = peers[i].has(.snubbed)
    candidate.isNew = !peers[i].has(.wasUnchoked) && now - peers[i].connectedAt < .seconds(60)
    candidate.downloadRate = peers[i].download.rate(now: now)
    candidate.uploadRate = peers[i].upload.rate(now: now)
    candidate.isTurnOver = candidate.isUnchoked && isTurnOver(i, now: now)
    candidate.since = peers[i].chokeChangedAt
    return candidate
  }

  /// A turn of a peer that we seed to: some pieces, but at least a minute; five minutes if it takes little.
  private func isTurnOver(_ i: Int, now: Moment) -> Bool {
    let time = now - peers[i].chokeChangedAt
    let bytes = peers[i].upload.total - peers[i].uploadedBeforeUnchoke
    let quota = max(Int64(geometry.pieceLength) * 20, 4 << 20)
    return time >= .seconds(300) || (time >= .seconds(60) && bytes >= quota)
  }

  private func chokeRound(rotates: Bool, now: Moment) {
    guard activity == .running else { return }
    chokeCandidates.removeAll(keepingCapacity: true)
    for i in peers.indices
    where peers[i].phase == .connected && (!peers[i].isSatisfied || peers[i].has(.interested)) {
      chokeCandidates.append(candidate(i, now: now))
    }
    Choker.choose(&chokeCandidates, slots: slots.count, mode: chokeMode, rotates: rotates, random: &random)
    for candidate in chokeCandidates {
      let i = candidate.key.offset
      if candidate.isOptimistic {
        peers[i].flags.insert(.optimistic)
      } else {
        peers[i].flags.remove(.optimistic)
      }
      if candidate.isUnchoked { unchoke(candidate.key, now: now) } else { choke(candidate.key, now: now) }
    }
    areSlotsStale = false
  }

  /// Slots became free, or somebody became interested: free slots are filled at once, nobody loses one before the next
  /// round.
  func fillSlots(now: Moment) {
    areSlotsStale = false
    guard activity == .running else { return }
    var free = slots.count
    chokeCandidates.removeAll(keepingCapacity: true)
    for i in peers.indices where peers[i].phase == .connected && peers[i].has(.interested) {
      if peers[i].has(.choked) {
        chokeCandidates.append(candidate(i, now: now))
      } else {
        free -= 1
      }
    }
    guard free > 0, !chokeCandidates.isEmpty else { return }
    Choker.rank(&chokeCandidates, mode: chokeMode)
    for candidate in chokeCandidates.prefix(free) { unchoke(candidate.key, now: now) }
  }

  private func unchoke(_ key: PeerKey, now: Moment) {
    let i = key.offset
    guard peers[i].has(.choked) else { return }
    peers[i].flags.remove(.choked)
    peers[i].flags.insert(.wasUnchoked)
    peers[i].chokeChangedAt = now
    peers[i].uploadedBeforeUnchoke = peers[i].upload.total
    send(.sendUnchoke(key), to: key, now: now)
  }

  /// - Parameter keepingAllowed: pieces of the peer's allowed-fast set are served on (BEP 6).
  func choke(_ key: PeerKey, keepingAllowed: Bool = true, now: Moment) {
    let i = key.offset
    peers[i].flags.remove(.optimistic)
    if !peers[i].has(.choked) {
      peers[i].flags.insert(.choked)
      peers[i].chokeChangedAt = now
      send(.sendChoke(key), to: key, now: now)
    } else if keepingAllowed {
      return
    }
    // After the choke, so that the peer does not ask again (BEP 6).
    dropUploads(key, keepingAllowed: keepingAllowed, now: now)
  }
}
