import TorrentModel

// What peers have and whether we want it.
extension Swarm {
  /// Sets or clears `interesting` or `interested`, and keeps count of peers with either.
  func setWish(_ flag: Peer.Flags, _ isOn: Bool, of i: Int) {
    let either: Peer.Flags = [.interesting, .interested]
    let before = !peers[i].flags.isDisjoint(with: either)
    if isOn { peers[i].flags.insert(flag) } else { peers[i].flags.remove(flag) }
    let after = !peers[i].flags.isDisjoint(with: either)
    if before != after { wantingCount += after ? 1 : -1 }
  }

  /// The picker exists from the moment when something is missing and somebody is connected.
  func preparePicker() {
    guard picker == nil, missingCount > 0, connectedCount > 0, activity == .running else { return }
    var new = PiecePicker(geometry: geometry, have: pieces, priorities: priorities, random: &random)
    new.openBlockBudget = openBlockBudget
    new.minimumOpenPieces = configuration.minimumOpenPieces
    new.isSequential = isSequential
    new.isRandom = pieces.count < configuration.randomFirstPieces
    for i in peers.indices
    where peers[i].phase == .connected && !peers[i].have.isEmpty && !peers[i].have.isFull {
      new.peerCame(peers[i].have.bitfield)
      peers[i].flags.insert(.counted)
    }
    seenChanges = new.changes
    picker = .some(new)
  }

  /// Nothing is left to pick, or nobody to ask.
  func dropPickerIfIdle() {
    guard picker?.open.count == 0, missingCount == 0 || connectedCount == 0 else { return }
    picker = nil
    for i in peers.indices { peers[i].flags.remove(.counted) }
  }

  // MARK: Pieces of a peer

  /// The peer told all its pieces (`bitfield`, `have all`, `have none`).
  func piecesTold(_ key: PeerKey, _ set: PieceSet, now: Moment) {
    let i = key.offset
    guard !peers[i].isIntroduced else { return piecesToldAgain(key, set, now: now) }
    peers[i].flags.insert(.introduced)
    peers[i].have = set
    if set.isFull {
      becameSeed(key, now: now)
    } else if !set.isEmpty, picker != nil {
      picker?.peerCame(set.bitfield)
      peers[i].flags.insert(.counted)
    }
    findWitness(i, now: now)
    offerAllowedFast(key, now: now)
    dropIfBothComplete(key, now: now)
  }

  /// BEP 6 wants exactly one of the three right after the handshakes. But a client that learns the metadata late sends it
  /// late, behind some `have`s even, and aria2 sends one again in place of many `have`s. It takes nothing back: that is what
  /// BEP 54 is for.
  private func piecesToldAgain(_ key: PeerKey, _ set: PieceSet, now: Moment) {
    // Five bytes must not make us look at every piece, again and again.
    if set.isEmpty || peers[key.offset].have.isFull { return }
    var gained = set.bitfield
    gained.subtract(peers[key.offset].have.bitfield)
    gained.forEach { if isConnected(key) { pieceGained(key, $0, now: now) } }
  }

  func pieceGained(_ key: PeerKey, _ piece: PieceIndex, now: Moment) {
    let i = key.offset
    guard geometry.contains(piece) else {
      strike(key, .badSequence, now: now)
      return
    }
    peers[i].flags.insert(.introduced)
    guard peers[i].have.insert(piece) else { return }
    if picker != nil {
      picker?.peerGained(piece, random: &random)
      peers[i].flags.insert(.counted)
      peers[i].pick.barrenSince = nil
    }
    if peers[i].have.isFull { becameSeed(key, now: now) }
    if picker?.missing[piece] == true {
      if witnesses[i] == .max { setWitness(i, piece.rawValue, now: now) }
      if peers[i].requests.live < peers[i].requests.window { touch(key) }
    }
    dropIfBothComplete(key, now: now)
  }

  /// The peer takes a `have` back (BEP 54).
  public func dontHaveReceived(_ peer: PeerKey, _ piece: PieceIndex, now: Moment) {
    guard isConnected(peer) else { return }
    let i = peer.offset
    peers[i].receivedAt = now
    let wasFull = peers[i].have.isFull
    guard geometry.contains(piece), peers[i].have.remove(piece) else { return }
    if wasFull { seedCount -= 1 }
    if picker != nil {
      if peers[i].has(.counted) {
        picker?.peerLost(piece, random: &random)
      } else {
        picker?.peerCame(peers[i].have.bitfield)
        peers[i].flags.insert(.counted)
      }
    }
    releaseRequests(of: peer, for: piece, now: now)
    if witnesses[i] == piece.rawValue { findWitness(i, now: now) }
  }

  private func becameSeed(_ key: PeerKey, now: Moment) {
    guard geometry.pieceCount > 0 else { return }
    seedCount += 1
  }

  /// Nothing can be said on this connection any more (BEP 21).
  func dropIfBothComplete(_ key: PeerKey, now: Moment) {
    if isFinished, peers[key.offset].isSatisfied { disconnect(key, .bothComplete, now: now) }
  }

  // MARK: Interest

  /// Looks for a missing piece that the peer has, beginning behind the one it had before.
  func findWitness(_ i: Int, now: Moment) {
    var found: PieceIndex?
    if missingCount > 0, let missing = picker?.missing {
      let start = witnesses[i] == .max ? 0 : Int(witnesses[i])
      found = peers[i].have.first(in: missing, from: start)
      if found == nil, start > 0 { found = peers[i].have.first(in: missing, from: 0) }
    }
    setWitness(i, found?.rawValue ?? .max, now: now)
  }

  private func setWitness(_ i: Int, _ witness: UInt32, now: Moment) {
    witnesses[i] = witness
    let isInteresting = witness != .max
    guard isInteresting != peers[i].has(.interesting) else { return }
    setWish(.interesting, isInteresting, of: i)
    areSuppliersStale = true
    let key = PeerKey(i)
    send(isInteresting ? .sendInterested(key) : .sendNotInterested(key), to: key, now: now)
    if isInteresting { touch(key) }
  }

  /// What is missing has changed throughout.
  func findAllWitnesses(now: Moment) {
    for i in peers.indices where peers[i].phase == .connected {
      findWitness(i, now: now)
      peers[i].pick.barrenSince = nil
      if peers[i].has(.interesting) { touch(PeerKey(i)) }
    }
  }

  /// This piece is no longer missing.
  func pieceNotMissing(_ piece: PieceIndex, now: Moment) {
    for i in witnesses.indices where witnesses[i] == piece.rawValue { findWitness(i, now: now) }
  }
}
