import TorrentModel

/// What the picker keeps for each peer.
struct PickState {
  /// The slot of the piece the peer is working on, -1 for none.
  var slot: Int32 = -1
  /// Where the next search through the peer's own pieces begins.
  var cursor: UInt32 = 0
  /// ``PiecePicker/returns`` at the time when the peer had no piece that could be begun; such a search need not be
  /// repeated before a piece is given back or the peer gets another one.
  var barrenSince: UInt64?
}

/// How a peer is to be given blocks.
enum PickStyle {
  /// It is quick enough to take whole pieces.
  case whole
  /// It shares pieces with others that are slow.
  case shared
  /// Only pieces that nobody else sends blocks of: it is under suspicion.
  case alone
}

/// A block to ask for.
struct Pick: Hashable {
  var slot: Int
  var block: Int
}

/// Which block to ask of which peer.
///
/// Pieces are begun rarest first; a peer that is quick enough takes a piece as a whole, so that pieces finish early and
/// one sender is to blame for a bad one. Pieces that were begun and left come before new ones. Blocks of a piece are
/// asked for in ascending order, because they are hashed in that order.
///
/// Asking for the next block of a peer's piece is a look at one slot. Beginning a piece looks at no more than
/// ``PiecePicker/searchBound`` places of the order, and then at the peer's own pieces, 64 at a time from where
/// the last such search stopped.
struct PiecePicker: ~Copyable {
  let geometry: PieceGeometry
  /// Pieces that are wanted and not here, begun or not.
  private(set) var missing: Bitfield
  /// Pieces that may be begun, by rank.
  private var openable: [Bitfield]
  /// By rank: no piece before this one is openable.
  private var hints: [Int]
  private var order: AvailabilityOrder
  private(set) var open: OpenPieces
  private var slots: [PieceIndex: Int32] = [:]

  /// Bounds, set by the swarm.
  var openBlockBudget = 2048
  var minimumOpenPieces = 4
  var isSequential = false
  /// Pick at random: nothing to trade yet.
  var isRandom = false
  /// Pieces that came out wrong with blocks of several peers. Each is taken from one peer alone the next time.
  var suspects: Set<PieceIndex> = []

  /// Counts the times when a piece became one that may be begun.
  private(set) var returns: UInt64 = 0
  /// Counts the times when something that could not be picked may have become pickable.
  private(set) var changes: UInt64 = 0

  /// Places of the order, or of a list of open pieces, that one search looks at.
  static let searchBound = 64
  /// Peers that one block is asked of at once, at most.
  private static let maximumRequestsPerBlock = 3
  /// Blocks that a search for one to ask for again looks at, or those of one piece.
  private static let endGameSearchBound = 1024
  /// Pieces a search through a peer's own pieces compares.
  private static let sampleSize = 32

  /// - Parameter have: the pieces that are here.
  init(geometry: PieceGeometry, have: PieceSet, priorities: [PiecePriority]?, random: inout SeededRandom) {
    self.geometry = geometry
    missing = Bitfield(capacity: geometry.pieceCount)
    openable = []
    hints = []
    order = AvailabilityOrder(pieceCount: geometry.pieceCount)
    open = OpenPieces(maxBlocksPerPiece: geometry.maxBlocksPerPiece)
    _ = setPriorities(priorities, have: have, random: &random)
  }

  /// The limit on blocks in open pieces changed.
  mutating func budgetChanged(_ budget: Int) {
    openBlockBudget = budget
    changes += 1
  }

  /// The piece in a slot, if it is this one.
  @inline(__always) func openPiece(_ slot: Int, _ piece: PieceIndex) -> OpenPiece? {
    guard slot < open.slotCount, open.isOpen(slot), open[slot].piece == piece else { return nil }
    return open[slot]
  }

  /// Whether there is a block that somebody could be asked for.
  var hasSomething: Bool {
    !open.freeIsEmpty || isEndGame || (order.count > 0 && canBegin(PieceIndex(0), isOwned: true))
  }

  /// Copies of `piece` among the peers that do not have everything.
  func copies(of piece: PieceIndex) -> Int { Int(order.copies[piece.offset]) }
  func slot(of piece: PieceIndex) -> Int? { slots[piece].map { Int($0) } }
  func isOpenable(_ piece: PieceIndex) -> Bool { order.contains(piece) }
  /// Pieces that may be begun.
  var openableCount: Int { order.count }

  // MARK: What is wanted

  /// Takes up new priorities. Returns the open pieces that are no longer wanted; the caller closes them.
  mutating func setPriorities(
    _ priorities: [PiecePriority]?, have: PieceSet, random: inout SeededRandom
  ) -> [PieceIndex] {
    precondition(priorities == nil || priorities?.count == geometry.pieceCount)
    var isUsed: InlineArray<4, Bool> = [false, false, false, false]
    for priority in priorities ?? [.normal] { isUsed[Int(priority.rawValue)] = true }
    // Ranks count down from the highest priority in use, so that there are no buckets nobody needs.
    var rankOf: InlineArray<4, UInt8> = [0, 0, 0, 0]
    var rankCount = 0
    for priority in [PiecePriority.high, .normal, .low] where isUsed[Int(priority.rawValue)] {
      rankOf[Int(priority.rawValue)] = UInt8(rankCount)
      rankCount += 1
    }
    rankCount = max(1, rankCount)
    let ranks = rankCount > 1 ? (priorities ?? []).map { rankOf[Int($0.rawValue)] } : []
    order.setRanks(ranks, rankCount: rankCount)
    openable = (0..<rankCount).map { _ in Bitfield(capacity: geometry.pieceCount) }
    hints = [Int](repeating: 0, count: rankCount)
    missing.removeAll()
    var unwanted: [PieceIndex] = []
    for p in 0..<geometry.pieceCount {
      let piece = PieceIndex(p)
      let isWanted = priorities.map { $0[p] != .skip } ?? true
      let isMissing = isWanted && !have[piece]
      if isMissing { missing.insert(piece) }
      let slot = slots[piece]
      if let slot, !isMissing, !open[Int(slot)].isAwaitingVerdict { unwanted.append(piece) }
      let isListed = order.contains(piece)
      if isMissing && slot == nil {
        openable[order.rank(of: piece)].insert(piece)
        if !isListed { order.insert(piece, random: &random) }
      } else if isListed {
        order.remove(piece)
      }
    }
    returns += 1
    changes += 1
    return unwanted
  }

  /// The piece is here: it was verified, or found on disk. Returns whether it was missing.
  mutating func pieceCame(_ piece: PieceIndex) -> Bool {
    if order.contains(piece) { unlist(piece) }
    return missing.remove(piece)
  }

  /// The piece is gone and wanted again.
  mutating func pieceWent(_ piece: PieceIndex, random: inout SeededRandom) {
    missing.insert(piece)
    if slots[piece] == nil, !order.contains(piece) { list(piece, random: &random) }
  }

  private mutating func list(_ piece: PieceIndex, random: inout SeededRandom) {
    let rank = order.rank(of: piece)
    openable[rank].insert(piece)
    hints[rank] = min(hints[rank], piece.offset)
    order.insert(piece, random: &random)
    returns += 1
    changes += 1
  }

  private mutating func unlist(_ piece: PieceIndex) {
    openable[order.rank(of: piece)].remove(piece)
    order.remove(piece)
  }

  // MARK: What peers have

  mutating func peerGained(_ piece: PieceIndex, random: inout SeededRandom) {
    order.increment(piece, random: &random)
  }
  mutating func peerLost(_ piece: PieceIndex, random: inout SeededRandom) {
    order.decrement(piece, random: &random)
  }
  /// A peer with these pieces is here. Not to be called for a peer that has everything.
  mutating func peerCame(_ set: Bitfield) { order.addCopies(of: set) }
  mutating func peerWent(_ set: Bitfield) { order.removeCopies(of: set) }

  // MARK: Picking

  /// The next block to ask of a peer that is not choking us; `nil` when there is none for it at present.
  mutating func pick(
    _ peer: PeerKey, have: borrowing PieceSet, state: inout PickState, style: PickStyle,
    suggested: PieceIndex?,
    random: inout SeededRandom, now: Moment
  ) -> Pick? {
    if state.slot >= 0 {
      let slot = Int(state.slot)
      if open[slot].owner == peer, open[slot].free > 0 { return take(slot, peer, &state) }
      state.slot = -1
    }
    if let slot = idlePiece(for: peer, have: have, style: style) {
      if style != .shared { adopt(slot, peer, style, &state) }
      return take(slot, peer, &state)
    }
    if let piece = newPiece(
      have: have, style: style, state: &state, suggested: suggested, random: &random)
    {
      let owner = style == .shared && !suspects.contains(piece) ? PeerKey.none : peer
      let slot = begin(
        piece, owner: owner, isExclusive: style == .alone || suspects.contains(piece), now: now)
      if owner != .none { state.slot = Int32(slot) }
      return take(slot, peer, &state)
    }
    if style == .alone {
      // Nothing it could have for itself. Rather than leave mixed pieces for ever, if all are under suspicion, it helps.
      guard let slot = idlePiece(for: peer, have: have, style: .shared) else { return nil }
      return take(slot, peer, &state)
    }
    guard let slot = busyPiece(have: have, random: &random) else { return nil }
    return take(slot, peer, &state)
  }

  /// The next block of one of these pieces, which the peer gives us although it chokes us (BEP 6).
  mutating func pick(
    _ peer: PeerKey, allowed: [PieceIndex], have: borrowing PieceSet, state: inout PickState,
    style: PickStyle,
    now: Moment
  ) -> Pick? {
    for piece in allowed where have[piece] {
      if let slot = slots[piece] {
        let entry = open[Int(slot)]
        let isOurs = entry.owner == peer
        let isUntouched = entry.free == entry.blockCount
        if entry.free > 0, isOurs || (!entry.isExclusive && (style != .alone || isUntouched)) {
          return take(Int(slot), peer, &state)
        }
      } else if order.contains(piece), canBegin(piece, isOwned: style == .alone) {
        let isAlone = style == .alone || suspects.contains(piece)
        return take(begin(piece, owner: isAlone ? peer : .none, isExclusive: isAlone, now: now), peer, &state)
      }
    }
    return nil
  }

  /// Whether another piece may be begun: its blocks fit the budget, or few pieces are open. Pieces may be so long
  /// that one alone is above the budget; then storage writes blocks before the piece is complete.
  func canBegin(_ piece: PieceIndex, isOwned: Bool) -> Bool {
    let weight = OpenPieces.weight(of: geometry.blockCount(of: piece), isOwned: isOwned)
    if open.weight + weight <= openBlockBudget { return true }
    return open.awaitingVerdict < minimumOpenPieces && open.count - open.awaitingVerdict < minimumOpenPieces
  }

  /// Whether every piece still missing was begun and every block of it asked for.
  var isEndGame: Bool { order.count == 0 && open.freeIsEmpty }

  private mutating func take(_ slot: Int, _ peer: PeerKey, _ state: inout PickState) -> Pick {
    let block = open.requestFirstFree(in: slot, from: peer)
    if state.slot == Int32(slot), open[slot].free == 0 { state.slot = -1 }
    return Pick(slot: slot, block: block)
  }

  private mutating func adopt(
    _ slot: Int, _ peer: PeerKey, _ style: PickStyle, _ state: inout PickState
  ) {
    let isUntouched = open[slot].free == open[slot].blockCount
    open.setOwner(
      peer, isExclusive: isUntouched && (style == .alone || suspects.contains(open[slot].piece)), of: slot)
    state.slot = Int32(slot)
  }

  private mutating func begin(_ piece: PieceIndex, owner: PeerKey, isExclusive: Bool, now: Moment) -> Int {
    unlist(piece)
    let slot = open.open(
      piece, blockCount: geometry.blockCount(of: piece), owner: owner, isExclusive: isExclusive, now: now)
    slots[piece] = Int32(slot)
    return slot
  }

  /// A piece that was begun and that nobody is working on. Of several the one with the fewest free blocks, or the
  /// first when pieces are wanted in order.
  private func idlePiece(for peer: PeerKey, have: borrowing PieceSet, style: PickStyle) -> Int? {
    if open.exclusive > 0, let own = ownExclusivePiece(peer) { return own }
    var best: Int?
    for slot in open.idle.prefix(Self.searchBound) {
      let entry = open[Int(slot)]
      guard have[entry.piece], style != .alone || entry.free == entry.blockCount else { continue }
      if let other = best {
        let isBetter = isSequential ? entry.piece < open[other].piece : entry.free < open[other].free
        if !isBetter { continue }
      }
      best = Int(slot)
    }
    return best
  }

  /// A block of an exclusive piece may have become free again after its owner went on to another piece.
  private func ownExclusivePiece(_ peer: PeerKey) -> Int? {
    for slot in open.busy.prefix(Self.searchBound) {
      let entry = open[Int(slot)]
      if entry.isExclusive && entry.owner == peer { return Int(slot) }
    }
    return nil
  }

  /// A piece that another peer is working on, to help with. The one with most left to do, or the first when pieces are
  /// wanted in order.
  private func busyPiece(have: borrowing PieceSet, random: inout SeededRandom) -> Int? {
    let busy = open.busy.count
    guard busy > 0 else { return nil }
    var place = busy > Self.searchBound ? random.below(busy) : 0
    var best: Int?
    for _ in 0..<min(busy, Self.searchBound) {
      let slot = Int(open.busy[place])
      place = place + 1 == busy ? 0 : place + 1
      let entry = open[slot]
      guard !entry.isExclusive, have[entry.piece] else { continue }
      if let other = best {
        let isBetter = isSequential ? entry.piece < open[other].piece : entry.free > open[other].free
        if !isBetter { continue }
      }
      best = slot
    }
    return best
  }

  // MARK: Asking twice

  /// A block to ask for although it is asked of others: in the end game, or because nothing came of its piece since
  /// `stalledSince`; and one that is late with the peer it is asked of. The search begins at a random piece and is bounded.
  mutating func pickAgain(
    _ peer: PeerKey, have: borrowing PieceSet, stalledSince: Moment?, random: inout SeededRandom,
    isLate: (PeerKey) -> Bool
  ) -> Pick? {
    let slots = open.slotCount
    guard slots > 0 else { return nil }
    var slot = random.below(slots)
    var looked = 0
    for _ in 0..<slots {
      let entry = open[slot]
      let isStalled = stalledSince.map { entry.changedAt <= $0 } ?? true
      if open.isOpen(slot), !entry.isAwaitingVerdict, entry.free == 0, !entry.isExclusive, isStalled,
        have[entry.piece]
      {
        let n = Int(entry.blockCount)
        var block = random.below(n)
        for _ in 0..<n {
          let record = open.record(slot, block)
          if record.state == .requested, record.requests < Self.maximumRequestsPerBlock,
            !open.isRequested(slot, block, from: peer), isLate(record.requester)
          {
            open.requestAgain(slot, block, from: peer)
            return Pick(slot: slot, block: block)
          }
          block = block + 1 == n ? 0 : block + 1
        }
        looked += n
        if looked >= Self.endGameSearchBound { return nil }
      }
      slot = slot + 1 == slots ? 0 : slot + 1
    }
    return nil
  }

  // MARK: Beginning a piece

  private mutating func newPiece(
    have: borrowing PieceSet, style: PickStyle, state: inout PickState, suggested: PieceIndex?,
    random: inout SeededRandom
  ) -> PieceIndex? {
    guard order.count > 0, state.barrenSince != returns else { return nil }
    // The last piece may be shorter; judged by a full one the search is not begun in vain.
    guard canBegin(PieceIndex(0), isOwned: style != .shared) else { return nil }
    if let suggested, order.contains(suggested), have[suggested] { return suggested }
    if isSequential {
      for rank in openable.indices {
        guard let first = openable[rank].first(from: hints[rank]) else { continue }
        hints[rank] = first.offset
        if let piece = have.first(in: openable[rank], from: first.offset) { return piece }
      }
    } else {
      order.sort()
      let count = order.count
      var place = isRandom ? random.below(count) : 0
      for _ in 0..<min(count, Self.searchBound) {
        let piece = order[place]
        if have[piece] { return piece }
        place = place + 1 == count ? 0 : place + 1
      }
      if count > Self.searchBound, let piece = sample(have: have, state: &state) { return piece }
    }
    state.barrenSince = returns
    return nil
  }

  /// The rarest of some pieces that the peer has, beginning where the last search stopped.
  private func sample(have: borrowing PieceSet, state: inout PickState) -> PieceIndex? {
    for set in openable {
      let words = set.words.count
      var w = Int(state.cursor) % words
      var seen = 0
      var best: PieceIndex?
      for _ in 0..<words {
        var word = set.words[w] & have.word(w)
        while word != 0 {
          let lead = word.leadingZeroBitCount
          word &= ~(1 << UInt64(63 - lead))
          let piece = PieceIndex(w * 64 + lead)
          seen += 1
          if let other = best, order.copies[piece.offset] >= order.copies[other.offset] { continue }
          best = piece
        }
        w = w + 1 == words ? 0 : w + 1
        if seen >= Self.sampleSize { break }
      }
      state.cursor = UInt32(w)
      if let best { return best }
    }
    return nil
  }

  // MARK: Blocks

  /// A peer that a block was asked of will not send it after all.
  mutating func release(_ slot: Int, _ block: Int, by peer: PeerKey) {
    if open.release(slot, block, by: peer) { changes += 1 }
  }

  /// A block came. Appends to `others` the other peers that it is asked of. Returns false, and takes nothing, when it is
  /// here already, or its piece is not the one under way in the slot, or is somebody else's.
  mutating func accept(
    _ block: BlockRequest, in slot: Int, from peer: PeerKey, sender: UInt32, others: inout [PeerKey],
    now: Moment
  ) -> Bool {
    let number = block.blockOffset
    guard let entry = openPiece(slot, block.piece), open.record(slot, number).state != .arrived,
      !entry.isExclusive || entry.owner == peer
    else { return false }
    open.arrive(slot, number, from: peer, sender: sender, others: &others, now: now)
    return true
  }

  /// The peer gives up every piece that it has for itself: others may take it.
  mutating func disown(_ peer: PeerKey, state: inout PickState) {
    if state.slot >= 0, open[Int(state.slot)].owner == peer {
      open.setOwner(.none, isExclusive: false, of: Int(state.slot))
      changes += 1
    }
    state.slot = -1
    // Pieces it is not working on at the moment belong to it only if they are exclusive, which is rare.
    guard open.exclusive > 0 else { return }
    for slot in 0..<open.slotCount where open[slot].owner == peer {
      open.setOwner(.none, isExclusive: false, of: slot)
      changes += 1
    }
  }

  /// The piece is no longer under way. If it is still missing it may be begun anew.
  mutating func close(_ slot: Int, random: inout SeededRandom) {
    let piece = open[slot].piece
    open.close(slot)
    slots[piece] = nil
    changes += 1
    if missing[piece] { list(piece, random: &random) }
  }

  func checkInvariants(have: PieceSet) throws(BrokenInvariant) {
    try order.checkInvariants()
    try open.checkInvariants()
    try require(slots.count == open.count)
    for rank in openable.indices { try require((openable[rank].first()?.offset ?? .max) >= hints[rank]) }
    var listed = 0
    for p in 0..<geometry.pieceCount {
      let piece = PieceIndex(p)
      let isOpenable = openable.contains { $0[piece] }
      try require(isOpenable == order.contains(piece), "the order and the sets differ")
      try require(isOpenable == (missing[piece] && slots[piece] == nil), "a piece is lost")
      try require(!(missing[piece] && have[piece]), "a piece is here and missing")
      if isOpenable { listed += 1 }
    }
    try require(listed == order.count)
  }
}
