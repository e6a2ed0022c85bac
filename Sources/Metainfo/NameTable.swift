/// Names, each within a folder, with a number for every pair: the folders of a torrent, and which names are taken.
///
/// An open-addressing table over one array of bytes: a million names cost a few bytes each beyond their own. Hashes
/// are keyed per process, so no torrent can aim at collisions; numbers follow the order of insertion and so are the
/// same everywhere.
struct NameTable {
  /// All names, one after the other.
  private(set) var bytes: [UInt8] = []
  /// Where each name ends in ``bytes``.
  private(set) var ends: [UInt32] = []
  /// The folder each name is in.
  private(set) var folders: [UInt32] = []
  /// Numbers plus one; zero is a free slot. The count is a power of two.
  private var slots: [UInt32] = []

  var count: Int { ends.count }

  /// The number of the name in `folder`, and whether it is a new one.
  mutating func insert(_ name: Span<UInt8>, in folder: UInt32) -> (number: Int, isNew: Bool) {
    if (count + 1) * 4 > slots.count * 3 { grow() }
    var slot = Self.hash(name, in: folder) & (slots.count - 1)
    while slots[slot] != 0 {
      let number = Int(slots[slot]) - 1
      if holds(name, in: folder, at: number) { return (number, false) }
      slot = (slot + 1) & (slots.count - 1)
    }
    let number = count
    for index in name.indices { bytes.append(name[index]) }
    ends.append(UInt32(truncatingIfNeeded: bytes.count))
    folders.append(folder)
    slots[slot] = UInt32(truncatingIfNeeded: number + 1)
    return (number, true)
  }

  /// The number of the name in `folder`, if it was inserted.
  func find(_ name: Span<UInt8>, in folder: UInt32) -> Int? {
    guard !slots.isEmpty else { return nil }
    var slot = Self.hash(name, in: folder) & (slots.count - 1)
    while slots[slot] != 0 {
      let number = Int(slots[slot]) - 1
      if holds(name, in: folder, at: number) { return number }
      slot = (slot + 1) & (slots.count - 1)
    }
    return nil
  }

  /// Where name `number` lies in ``bytes``.
  func range(of number: Int) -> Range<Int> {
    (number == 0 ? 0 : Int(ends[number - 1]))..<Int(ends[number])
  }

  private func holds(_ name: Span<UInt8>, in folder: UInt32, at number: Int) -> Bool {
    let range = range(of: number)
    guard folders[number] == folder, range.count == name.count else { return false }
    for index in name.indices where bytes[range.lowerBound + index] != name[index] { return false }
    return true
  }

  private mutating func grow() {
    slots = [UInt32](repeating: 0, count: max(16, slots.count * 2))
    for number in 0..<count {
      let range = range(of: number)
      var slot = Self.hash(bytes.span.extracting(range), in: folders[number]) & (slots.count - 1)
      while slots[slot] != 0 { slot = (slot + 1) & (slots.count - 1) }
      slots[slot] = UInt32(truncatingIfNeeded: number + 1)
    }
  }

  private static func hash(_ name: Span<UInt8>, in folder: UInt32) -> Int {
    var hasher = Hasher()
    hasher.combine(UInt64(folder) << 32 | UInt64(truncatingIfNeeded: name.count))
    var word: UInt64 = 0
    for index in name.indices {
      word = word << 8 | UInt64(name[index])
      if index & 7 == 7 {
        hasher.combine(word)
        word = 0
      }
    }
    hasher.combine(word)
    return hasher.finalize()
  }
}
