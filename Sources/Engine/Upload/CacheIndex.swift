/// Where the entry of a key is: a hash table for the few thousand blocks of a ``ReadCache``.
///
/// Half a dozen look-ups go with each block that is sent, and a standard dictionary's hashing would take a twentieth of
/// seeding. Peers choose the keys, so the place of one depends on a drawn number that they do not know. Cells are probed
/// one after the other and closed up on removal: the table never gets worse with age.
struct CacheIndex {
  private struct Cell {
    var key: CacheKey
    /// -1: empty.
    var slot: Int32
  }

  private static let empty = Cell(key: CacheKey(torrent: 0, piece: 0, block: 0), slot: -1)

  /// A power of two of them, never more than half full.
  private var cells: [Cell]
  private let seed: UInt64
  private(set) var count = 0

  init(seed: UInt64 = .random(in: 0 ... .max)) {
    self.seed = seed
    self.cells = [Cell](repeating: CacheIndex.empty, count: 16)
  }

  /// The slot of `key`.
  func find(_ key: CacheKey) -> Int32? {
    let slot = cells[place(of: key)].slot
    return slot < 0 ? nil : slot
  }

  /// Adds a key that is not there yet.
  /// - Parameter slot: not negative.
  mutating func insert(_ key: CacheKey, _ slot: Int32) {
    if 2 * (count + 1) > cells.count { grow() }
    let place = place(of: key)
    precondition(cells[place].slot < 0 && slot >= 0, "a block is cached once")
    cells[place] = Cell(key: key, slot: slot)
    count += 1
  }

  /// Removes a key if it is there.
  mutating func remove(_ key: CacheKey) {
    let mask = cells.count - 1
    var hole = place(of: key)
    guard cells[hole].slot >= 0 else { return }
    count -= 1
    // Whoever stands behind moves up, unless that were before the place it belongs to.
    var next = (hole + 1) & mask
    while cells[next].slot >= 0 {
      if (next - home(of: cells[next].key)) & mask >= (next - hole) & mask {
        cells[hole] = cells[next]
        hole = next
      }
      next = (next + 1) & mask
    }
    cells[hole].slot = -1
  }

  func forEach(_ body: (CacheKey, Int32) -> Void) {
    for cell in cells where cell.slot >= 0 { body(cell.key, cell.slot) }
  }

  /// The cell of `key`, or the empty one where it would go.
  private func place(of key: CacheKey) -> Int {
    let mask = cells.count - 1
    var place = home(of: key)
    while cells[place].slot >= 0, cells[place].key != key { place = (place + 1) & mask }
    return place
  }

  private func home(of key: CacheKey) -> Int {
    let low = UInt64(key.piece) << 32 | UInt64(key.block)
    // Odd, so that torrents never multiply to nothing.
    let factor = 0x9E37_79B9_7F4A_7C15 ^ UInt64(key.torrent) << 1
    let product = (low ^ seed).multipliedFullWidth(by: factor)
    return Int(truncatingIfNeeded: product.high ^ product.low) & (cells.count - 1)
  }

  private mutating func grow() {
    var bigger = CacheIndex(seed: seed)
    bigger.cells = [Cell](repeating: CacheIndex.empty, count: 2 * cells.count)
    forEach { bigger.insert($0, $1) }
    self = bigger
  }
}
