import BlockPool
import Hashing
import TorrentModel

/// A piece on its way to the disk: which of its blocks are here, and how far it is hashed.
struct Assembly {
  /// Where a block of the piece is: the number of the pool's block that holds it, or one of three marks.
  typealias Place = UInt32
  static let missing: Place = .max
  static let onDisk: Place = .max - 1
  /// On its way past the page cache.
  static let inFlight: Place = .max - 2

  /// Nil for a slot of the table that is free.
  var storage: TorrentStorage?
  var piece = PieceIndex(0)
  /// One entry for each block. The array stays with the slot, so that steady work allocates nothing.
  var places: [Place] = []
  /// Blocks that arrived, in memory or on the disk.
  var present = 0
  /// Blocks in memory.
  var held = 0
  /// Blocks on their way past the page cache.
  var flying = 0
  /// All blocks before this one are hashed.
  var hashed = 0
  /// No block before this one is in memory.
  var settled = 0
  /// All blocks before this one have arrived.
  var frontier = 0
  /// Open from the first block that is hashed to the piece's end.
  var stream: StreamID?
  /// Whether all is hashed and the hash is the one it must have.
  var isRight = false
  /// Whether it is right and complete, but for writes that have not ended.
  var awaitsWrites = false
  /// Whether it is in the worker's list of pieces to hash and write.
  var isReady = false

  var isComplete: Bool { present == places.count }

  static func isHeld(_ place: Place) -> Bool { place < inFlight }

  mutating func begin(_ storage: TorrentStorage, _ piece: PieceIndex) {
    self.storage = storage
    self.piece = piece
    places.removeAll(keepingCapacity: true)
    places.append(contentsOf: repeatElement(Assembly.missing, count: storage.geometry.blockCount(of: piece)))
    present = 0
    held = 0
    flying = 0
    hashed = 0
    settled = 0
    frontier = 0
    isRight = false
    awaitsWrites = false
    isReady = false
  }

  /// Takes blocks in; those that are here already go to `refused`. Returns how many were taken.
  mutating func insert(_ run: BlockRun, refused: (BlockID) -> Void) -> Int {
    var taken = 0
    run.forEach { block, id in
      guard places[block] == Assembly.missing else { return refused(id) }
      places[block] = id.rawValue
      taken += 1
    }
    present += taken
    held += taken
    while frontier < places.count, places[frontier] != Assembly.missing { frontier += 1 }
    return taken
  }
}

/// The pieces that a worker is putting together.
struct AssemblyTable: ~Copyable {
  private(set) var slots: [Assembly] = []
  private var index: [UInt64: Int] = [:]
  private var free: [Int] = []

  private static func key(_ storage: TorrentStorage, _ piece: PieceIndex) -> UInt64 {
    UInt64(storage.id) << 32 | UInt64(piece.rawValue)
  }

  var count: Int { index.count }

  subscript(slot: Int) -> Assembly {
    _read { yield slots[slot] }
    _modify { yield &slots[slot] }
  }

  func find(_ storage: TorrentStorage, _ piece: PieceIndex) -> Int? {
    index[AssemblyTable.key(storage, piece)]
  }

  mutating func findOrBegin(_ storage: TorrentStorage, _ piece: PieceIndex) -> Int {
    let key = AssemblyTable.key(storage, piece)
    if let slot = index[key] { return slot }
    let slot: Int
    if let reused = free.popLast() {
      slot = reused
    } else {
      slot = slots.count
      slots.append(Assembly())
    }
    slots[slot].begin(storage, piece)
    index[key] = slot
    return slot
  }

  /// Frees the slot. Its blocks and its stream must be gone, and its writes have ended.
  mutating func remove(_ slot: Int) {
    guard let storage = slots[slot].storage else { return }
    index[AssemblyTable.key(storage, slots[slot].piece)] = nil
    slots[slot].storage = nil
    // A very long piece should not keep its place for ever.
    if slots[slot].places.capacity > 4096 { slots[slot].places = [] }
    free.append(slot)
  }

  /// Calls `body` with each slot in use.
  func forEach(_ body: (Int) -> Void) {
    for slot in slots.indices where slots[slot].storage != nil { body(slot) }
  }
}
