import TorrentModel

/// One block of a piece that is being downloaded. Eight bytes.
struct BlockRecord {
  enum State: UInt8 {
    /// Neither asked for nor here.
    case free
    /// Asked of at least one peer.
    case requested
    /// Here, in memory.
    case arrived
  }

  var state = State.free
  /// Peers it is asked of.
  var requests: UInt8 = 0
  /// One of these peers.
  var requester = PeerKey.none
  /// Who sent it, if it is here: a slot of the ``SenderTable``.
  var sender = SenderTable.none
}

/// A piece that was begun and is not yet verified.
struct OpenPiece {
  var piece: PieceIndex
  var blockCount: Int32
  /// Blocks of memory it is reckoned to need at once; see ``OpenPieces/weight``.
  var weight: Int32
  /// Blocks that are free.
  var free: Int32
  /// Blocks that are here.
  var arrived: Int32 = 0
  /// No block before this one is free.
  var firstFree: Int32 = 0
  /// Where it stands in the list of idle or of busy pieces, if it has free blocks.
  var listPlace: Int32 = -1
  /// The peer that takes this piece for itself. It lets go when no block is free, unless the piece is exclusive.
  var owner = PeerKey.none
  /// Nobody but the owner may be asked for blocks, so that it alone is to blame. Set while there is an owner.
  var isExclusive = false
  /// When the last block came, or the piece was opened.
  var changedAt: Moment

  /// Every block is here; storage has the last word.
  var isAwaitingVerdict: Bool { arrived == blockCount }
}

/// The pieces under way, and the state of each of their blocks.
///
/// Slots are reused. A slot has room for the blocks of the longest piece, all in one array, so that opening a piece
/// takes no memory once as many pieces have been open before.
struct OpenPieces: ~Copyable {
  private let stride: Int
  private(set) var slots: [OpenPiece] = []
  private var isOpen: [Bool] = []
  private var vacant: [Int32] = []
  private var records: [BlockRecord] = []

  /// A block asked of a second or third peer: in the end game, and when a peer is slow.
  private struct ExtraRequest: Equatable {
    var slot: Int32
    var block: Int32
    var peer: PeerKey
  }
  private var extras: [ExtraRequest] = []

  /// Slots with free blocks that no peer is working on.
  private(set) var idle: [Int32] = []
  /// Slots with free blocks that their owner is working on.
  private(set) var busy: [Int32] = []

  /// Open pieces.
  private(set) var count = 0
  /// Of these, pieces whose blocks are all here.
  private(set) var awaitingVerdict = 0
  /// Blocks of open pieces.
  private(set) var blockCount = 0
  /// Blocks of memory that the open pieces are reckoned to need at once: all their blocks, but for long pieces that one
  /// peer sends. Their blocks come in order, so storage hashes and writes them in segments, and only the segment being
  /// filled is held.
  private(set) var weight = 0
  /// What a long piece weighs whose blocks come in order: a segment of 1 MiB and half of one on its way.
  static let inOrderWeight = 96
  /// Blocks that are asked for and not here.
  private(set) var requestedBlocks = 0
  /// Pieces that are exclusive.
  private(set) var exclusive = 0

  init(maxBlocksPerPiece: Int) { stride = max(1, maxBlocksPerPiece) }

  var freeIsEmpty: Bool { idle.isEmpty && busy.isEmpty }
  /// A piece is open whose blocks are not all here.
  var hasUnfinished: Bool { count > awaitingVerdict }
  var slotCount: Int { slots.count }
  func isOpen(_ slot: Int) -> Bool { isOpen[slot] }

  subscript(slot: Int) -> OpenPiece {
    @inline(__always) get { slots[slot] }
  }

  @inline(__always) func record(_ slot: Int, _ block: Int) -> BlockRecord { records[slot * stride + block] }

  // MARK: Pieces

  mutating func open(_ piece: PieceIndex, blockCount n: Int, owner: PeerKey, isExclusive: Bool, now: Moment)
    -> Int
  {
    let entry = OpenPiece(
      piece: piece, blockCount: Int32(n), weight: Int32(OpenPieces.weight(of: n, isOwned: owner != .none)),
      free: Int32(n), owner: owner, isExclusive: isExclusive && owner != .none, changedAt: now)
    let slot: Int
    if let reused = vacant.popLast() {
      slot = Int(reused)
      slots[slot] = entry
      isOpen[slot] = true
      for i in slot * stride..<slot * stride + n { records[i] = BlockRecord() }
    } else {
      slot = slots.count
      slots.append(entry)
      isOpen.append(true)
      for _ in 0..<stride { records.append(BlockRecord()) }
    }
    count += 1
    blockCount += n
    weight += Int(entry.weight)
    if entry.isExclusive { exclusive += 1 }
    enlist(slot)
    return slot
  }

  /// Blocks of memory that a piece of `n` blocks needs at once.
  static func weight(of n: Int, isOwned: Bool) -> Int { isOwned ? min(n, inOrderWeight) : n }

  /// Forgets the piece. Its blocks' senders are released by the caller.
  mutating func close(_ slot: Int) {
    if slots[slot].free > 0 { delist(slot) }
    if slots[slot].isAwaitingVerdict { awaitingVerdict -= 1 }
    for block in 0..<Int(slots[slot].blockCount) where record(slot, block).state == .requested {
      requestedBlocks -= 1
    }
    if !extras.isEmpty { extras.removeAll { $0.slot == Int32(slot) } }
    count -= 1
    blockCount -= Int(slots[slot].blockCount)
    weight -= Int(slots[slot].weight)
    isOpen[slot] = false
    if slots[slot].isExclusive { exclusive -= 1 }
    slots[slot].isExclusive = false
    slots[slot].owner = .none
    vacant.append(Int32(slot))
  }

  /// Gives the piece to `owner`, or to nobody.
  mutating func setOwner(_ owner: PeerKey, isExclusive: Bool, of slot: Int) {
    let hasFree = slots[slot].free > 0
    if hasFree { delist(slot) }
    if slots[slot].isExclusive { exclusive -= 1 }
    slots[slot].owner = owner
    weight -= Int(slots[slot].weight)
    slots[slot].weight = Int32(
      OpenPieces.weight(of: Int(slots[slot].blockCount), isOwned: owner != .none))
    weight += Int(slots[slot].weight)
    slots[slot].isExclusive = isExclusive && owner != .none
    if slots[slot].isExclusive { exclusive += 1 }
    if hasFree { enlist(slot) }
  }

  private mutating func enlist(_ slot: Int) {
    if slots[slot].owner == .none {
      slots[slot].listPlace = Int32(idle.count)
      idle.append(Int32(slot))
    } else {
      slots[slot].listPlace = Int32(busy.count)
      busy.append(Int32(slot))
    }
  }

  private mutating func delist(_ slot: Int) {
    let place = Int(slots[slot].listPlace)
    slots[slot].listPlace = -1
    if slots[slot].owner == .none {
      let last = Int(idle.removeLast())
      if last != slot {
        idle[place] = Int32(last)
        slots[last].listPlace = Int32(place)
      }
    } else {
      let last = Int(busy.removeLast())
      if last != slot {
        busy[place] = Int32(last)
        slots[last].listPlace = Int32(place)
      }
    }
  }

  // MARK: Blocks

  /// Asks `peer` for the first free block of the piece. The piece must have one.
  @inline(__always) mutating func requestFirstFree(in slot: Int, from peer: PeerKey) -> Int {
    var block = Int(slots[slot].firstFree)
    let base = slot * stride
    while records[base + block].state != .free { block += 1 }
    records[base + block].state = .requested
    records[base + block].requests = 1
    records[base + block].requester = peer
    requestedBlocks += 1
    slots[slot].firstFree = Int32(block + 1)
    slots[slot].free -= 1
    if slots[slot].free == 0 {
      delist(slot)
      if !slots[slot].isExclusive { slots[slot].owner = .none }
    }
    return block
  }

  /// Asks one more peer for a block that is asked of others.
  mutating func requestAgain(_ slot: Int, _ block: Int, from peer: PeerKey) {
    precondition(records[slot * stride + block].state == .requested)
    records[slot * stride + block].requests += 1
    extras.append(ExtraRequest(slot: Int32(slot), block: Int32(block), peer: peer))
  }

  /// Whether the block is asked of this peer.
  func isRequested(_ slot: Int, _ block: Int, from peer: PeerKey) -> Bool {
    let record = record(slot, block)
    guard record.state == .requested else { return false }
    return record.requester == peer
      || (record.requests > 1
        && extras.contains(ExtraRequest(slot: Int32(slot), block: Int32(block), peer: peer)))
  }

  /// A peer that the block was asked of will not send it after all. Returns whether the block became free.
  mutating func release(_ slot: Int, _ block: Int, by peer: PeerKey) -> Bool {
    let i = slot * stride + block
    guard records[i].state == .requested else { return false }
    records[i].requests -= 1
    if records[i].requests > 0 {
      // Of the remaining ones, the first extra one takes the place of the peer.
      let isFirst = records[i].requester == peer
      let gone = extras.firstIndex {
        $0.slot == Int32(slot) && $0.block == Int32(block) && (isFirst || $0.peer == peer)
      }
      guard let gone else { preconditionFailure("a request is not accounted for") }
      if isFirst { records[i].requester = extras[gone].peer }
      extras.swapAt(gone, extras.count - 1)
      extras.removeLast()
      return false
    }
    precondition(records[i].requester == peer)
    records[i].state = .free
    records[i].requester = .none
    requestedBlocks -= 1
    slots[slot].free += 1
    slots[slot].firstFree = min(slots[slot].firstFree, Int32(block))
    if slots[slot].free == 1 { enlist(slot) }
    return true
  }

  /// The block is here. It must not have been before. Appends to `others` the peers besides `peer` that it is asked of.
  @inline(__always) mutating func arrive(
    _ slot: Int, _ block: Int, from peer: PeerKey, sender: UInt32, others: inout [PeerKey], now: Moment
  ) {
    let i = slot * stride + block
    if records[i].state == .requested, records[i].requests > 1 || records[i].requester != peer {
      if records[i].requester != peer { others.append(records[i].requester) }
      if records[i].requests > 1 { takeExtras(slot, block, except: peer, into: &others) }
    }
    switch records[i].state {
    case .free:
      // A late answer to a request that was given up.
      if slots[slot].free == 1 { delist(slot) }
      slots[slot].free -= 1
    case .requested:
      requestedBlocks -= 1
    case .arrived:
      preconditionFailure("a block arrives twice")
    }
    records[i] = BlockRecord(state: .arrived, requests: 0, requester: .none, sender: sender)
    slots[slot].arrived += 1
    slots[slot].changedAt = now
    if slots[slot].isAwaitingVerdict { awaitingVerdict += 1 }
  }

  private mutating func takeExtras(
    _ slot: Int, _ block: Int, except peer: PeerKey, into others: inout [PeerKey]
  ) {
    extras.removeAll {
      guard $0.slot == Int32(slot), $0.block == Int32(block) else { return false }
      if $0.peer != peer { others.append($0.peer) }
      return true
    }
  }

  func checkInvariants() throws(BrokenInvariant) {
    var (open, waiting, blocks, requested, additional) = (0, 0, 0, 0, 0)
    for slot in slots.indices where isOpen[slot] {
      let entry = slots[slot]
      var (free, arrived) = (0, 0)
      for block in 0..<Int(entry.blockCount) {
        let record = record(slot, block)
        switch record.state {
        case .free:
          free += 1
          try require(record.requests == 0 && record.requester == .none && record.sender == SenderTable.none)
          try require(block >= Int(entry.firstFree), "a free block before the first")
        case .requested:
          requested += 1
          additional += Int(record.requests) - 1
          try require(record.requests > 0 && record.requester != .none && record.sender == SenderTable.none)
        case .arrived:
          arrived += 1
          try require(record.requests == 0 && record.sender != SenderTable.none)
        }
      }
      try require(free == Int(entry.free) && arrived == Int(entry.arrived), "blocks are miscounted")
      try require(!entry.isExclusive || entry.owner != .none)
      open += 1
      blocks += Int(entry.blockCount)
      if entry.isAwaitingVerdict { waiting += 1 }
      if free > 0 {
        let list = entry.owner == .none ? idle : busy
        try require(list[Int(entry.listPlace)] == Int32(slot), "a piece with free blocks is not listed")
      } else {
        try require(entry.listPlace == -1)
      }
    }
    try require(open == count && waiting == awaitingVerdict && blocks == blockCount)
    try require(requested == requestedBlocks && additional == extras.count)
    try require(idle.count + busy.count == slots.indices.count(where: { isOpen[$0] && slots[$0].free > 0 }))
    try require(exclusive == slots.indices.count(where: { isOpen[$0] && slots[$0].isExclusive }))
    try require(vacant.count + open == slots.count)
  }
}
