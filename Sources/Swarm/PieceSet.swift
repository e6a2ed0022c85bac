import TorrentModel

/// A set of pieces that takes no memory while it is empty or full, which is what most peers and all idle torrents have.
struct PieceSet: Hashable {
  let capacity: Int
  /// Nil while the set is empty or full.
  private var bits: Bitfield?
  private var isAll: Bool

  init(capacity: Int) {
    self.capacity = capacity
    self.isAll = false
  }

  init(fullCapacity capacity: Int) {
    self.capacity = capacity
    self.isAll = capacity > 0
  }

  init(_ bits: Bitfield) {
    self.capacity = bits.capacity
    self.isAll = bits.isFull && bits.capacity > 0
    self.bits = bits.isEmpty || bits.isFull ? nil : bits
  }

  var count: Int { bits?.count ?? (isAll ? capacity : 0) }
  var isEmpty: Bool { bits == nil && !isAll }
  /// A set over no pieces is full: such a torrent is complete from the start.
  var isFull: Bool { isAll || capacity == 0 }

  subscript(piece: PieceIndex) -> Bool {
    if let bits { return bits[piece] }
    return isAll && piece.offset < capacity
  }

  /// Adds `piece`; returns whether it was missing.
  mutating func insert(_ piece: PieceIndex) -> Bool {
    guard piece.offset < capacity, !isAll else { return false }
    if bits == nil { bits = Bitfield(capacity: capacity) }
    guard bits?.insert(piece) == true else { return false }
    if bits?.isFull == true {
      bits = nil
      isAll = true
    }
    return true
  }

  /// Takes `piece` out; returns whether it was in.
  mutating func remove(_ piece: PieceIndex) -> Bool {
    guard piece.offset < capacity, !isEmpty else { return false }
    if isAll {
      bits = Bitfield(fullCapacity: capacity)
      isAll = false
    }
    guard bits?.remove(piece) == true else { return false }
    if bits?.isEmpty == true { bits = nil }
    return true
  }

  /// The set with its storage.
  var bitfield: Bitfield {
    bits ?? (isAll ? Bitfield(fullCapacity: capacity) : Bitfield(capacity: capacity))
  }

  /// 64 pieces, in the layout of ``Bitfield/words``; spare bits of a full set may be set.
  @inline(__always) func word(_ index: Int) -> UInt64 {
    if let bits { return bits.words[index] }
    return isAll ? .max : 0
  }

  /// The first piece of both sets at or after `start`.
  func first(in other: Bitfield, from start: Int) -> PieceIndex? {
    guard let bits else { return isAll ? other.first(from: start) : nil }
    return bits.withFirstCommon(other, from: start)
  }
}

extension Bitfield {
  /// The first piece of both sets at or after `start`. Capacities must match.
  func withFirstCommon(_ other: Bitfield, from start: Int) -> PieceIndex? {
    precondition(capacity == other.capacity)
    guard start < capacity else { return nil }
    var w = start >> 6
    var word = words[w] & other.words[w] & (.max >> UInt64(start & 63))
    while word == 0 {
      w += 1
      if w == words.count { return nil }
      word = words[w] & other.words[w]
    }
    return PieceIndex(w * 64 + word.leadingZeroBitCount)
  }
}

extension SeededRandom {
  /// A number in `0 ..< bound`, without the loop of the exact method: the bias is below 2^-32 for our bounds.
  @inline(__always) mutating func below(_ bound: Int) -> Int {
    Int(truncatingIfNeeded: next().multipliedFullWidth(by: UInt64(bitPattern: Int64(bound))).high)
  }
}
