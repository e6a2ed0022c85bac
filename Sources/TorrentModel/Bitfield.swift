/// A set of pieces. Bit 0 is the most significant bit of the first byte on the wire (BEP 3); in memory 64 pieces a word.
///
/// `count` (how many are set) is kept up to date, so asking for it is free.
@frozen
public struct Bitfield: Hashable, Sendable {
  /// Bits of the set: piece `i` is bit `63 - i % 64` of word `i / 64`, so a word read big-endian is eight wire bytes.
  public private(set) var words: [UInt64]
  /// How many pieces the set can hold.
  public let capacity: Int
  /// How many pieces are in the set.
  public private(set) var count: Int

  /// An empty set over `capacity` pieces.
  public init(capacity: Int) {
    precondition(capacity >= 0)
    self.capacity = capacity
    self.words = [UInt64](repeating: 0, count: (capacity + 63) / 64)
    self.count = 0
  }

  /// A full set over `capacity` pieces.
  public init(fullCapacity capacity: Int) {
    self.init(capacity: capacity)
    fill()
  }

  public enum WireError: Error, Hashable, Sendable {
    /// The message has `actual` bytes; the torrent needs `expected`.
    case wrongLength(actual: Int, expected: Int)
    /// A bit behind the last piece is set (BEP 3: "spare bits are zero").
    case spareBitsSet
  }

  /// Reads the payload of a `bitfield` message.
  public init(wire: Span<UInt8>, capacity: Int) throws(WireError) {
    let expected = (capacity + 7) / 8
    guard wire.count == expected else { throw .wrongLength(actual: wire.count, expected: expected) }
    self.init(capacity: capacity)
    var total = 0
    for w in words.indices {
      var word: UInt64 = 0
      let base = w * 8
      for i in 0..<8 { word = word << 8 | (base + i < expected ? UInt64(wire[base + i]) : 0) }
      words[w] = word
      total += word.nonzeroBitCount
    }
    let spare = words.count * 64 - capacity
    if spare > 0, let last = words.last, last & ((1 << UInt64(spare)) - 1) != 0 { throw .spareBitsSet }
    count = total
  }

  @inlinable public var isEmpty: Bool { count == 0 }
  @inlinable public var isFull: Bool { count == capacity }

  /// Length of the wire form, in bytes.
  @inlinable public var wireLength: Int { (capacity + 7) / 8 }

  /// Appends the payload of a `bitfield` message.
  public func appendWire(to output: inout [UInt8]) {
    output.reserveCapacity(output.count + wireLength)
    for i in 0..<wireLength {
      output.append(UInt8(truncatingIfNeeded: words[i >> 3] >> UInt64(56 - 8 * (i & 7))))
    }
  }

  @inlinable static func mask(_ i: Int) -> UInt64 { 1 << UInt64(63 - (i & 63)) }

  /// Whether `piece` is in the set. False for a piece outside of it.
  @inlinable public subscript(piece: PieceIndex) -> Bool {
    let i = piece.offset
    return i < capacity && words[i >> 6] & Bitfield.mask(i) != 0
  }

  /// Adds `piece`; returns whether it was missing. A piece outside the set is ignored.
  @discardableResult
  public mutating func insert(_ piece: PieceIndex) -> Bool {
    let i = piece.offset
    guard i < capacity else { return false }
    let mask = Bitfield.mask(i)
    if words[i >> 6] & mask != 0 { return false }
    words[i >> 6] |= mask
    count += 1
    return true
  }

  /// Takes `piece` out; returns whether it was in.
  @discardableResult
  public mutating func remove(_ piece: PieceIndex) -> Bool {
    let i = piece.offset
    guard i < capacity else { return false }
    let mask = Bitfield.mask(i)
    if words[i >> 6] & mask == 0 { return false }
    words[i >> 6] &= ~mask
    count -= 1
    return true
  }

  public mutating func fill() {
    for w in words.indices { words[w] = .max }
    let spare = words.count * 64 - capacity
    if spare > 0 { words[words.count - 1] = ~((1 << UInt64(spare)) - 1) }
    count = capacity
  }

  public mutating func removeAll() {
    for w in words.indices { words[w] = 0 }
    count = 0
  }

  /// The sets must have the same capacity.
  public mutating func formUnion(_ other: Bitfield) { combine(other) { $0 | $1 } }
  public mutating func formIntersection(_ other: Bitfield) { combine(other) { $0 & $1 } }
  public mutating func subtract(_ other: Bitfield) { combine(other) { $0 & ~$1 } }

  private mutating func combine(_ other: Bitfield, _ operation: (UInt64, UInt64) -> UInt64) {
    precondition(capacity == other.capacity)
    var total = 0
    for w in words.indices {
      words[w] = operation(words[w], other.words[w])
      total += words[w].nonzeroBitCount
    }
    count = total
  }

  /// Whether `self` holds a piece that `other` lacks: "am I interested in this peer?". Capacities must match.
  public func hasAny(notIn other: Bitfield) -> Bool {
    precondition(capacity == other.capacity)
    if count > other.count { return true }
    for w in words.indices where words[w] & ~other.words[w] != 0 { return true }
    return false
  }

  /// How many pieces are in both. Capacities must match.
  public func intersectionCount(_ other: Bitfield) -> Int {
    precondition(capacity == other.capacity)
    var total = 0
    for w in words.indices { total += (words[w] & other.words[w]).nonzeroBitCount }
    return total
  }

  /// The first piece at or after `start` that is in the set.
  public func first(from start: Int = 0) -> PieceIndex? {
    guard start < capacity else { return nil }
    var w = start >> 6
    var word = words[w] & (.max >> UInt64(start & 63))
    while true {
      if word != 0 { return PieceIndex(w * 64 + word.leadingZeroBitCount) }
      w += 1
      if w == words.count { return nil }
      word = words[w]
    }
  }

  /// The first piece at or after `start` that is not in the set.
  public func firstMissing(from start: Int = 0) -> PieceIndex? {
    guard start < capacity else { return nil }
    var w = start >> 6
    var word = ~words[w] & (.max >> UInt64(start & 63))
    while true {
      if word != 0 {
        let index = w * 64 + word.leadingZeroBitCount
        return index < capacity ? PieceIndex(index) : nil
      }
      w += 1
      if w == words.count { return nil }
      word = ~words[w]
    }
  }

  /// Calls `body` for each piece in the set, ascending.
  @inlinable public func forEach(_ body: (PieceIndex) -> Void) {
    for w in 0..<words.count {
      var word = words[w]
      while word != 0 {
        let lead = word.leadingZeroBitCount
        body(PieceIndex(w * 64 + lead))
        word &= ~(1 << UInt64(63 - lead))
      }
    }
  }
}
