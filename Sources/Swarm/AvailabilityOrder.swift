import TorrentModel

/// The pieces that may be begun, rarest first.
///
/// One array holds them in buckets; a bucket is a rank of priority and a number of copies in the swarm. `starts` says
/// where each begins. A piece moves to the neighbouring bucket by one swap over the border, so a `have` costs the same
/// however large the torrent is. Within a bucket the order is random, and every piece that enters takes a random place.
///
/// The array grows and shrinks at its front: pieces are taken from the first buckets nearly always, so the hole that a
/// taken piece leaves wanders over few borders.
///
/// Copies held by full peers are the same for every piece and are not counted here.
struct AvailabilityOrder: ~Copyable {
  /// Buckets of one rank. Pieces with more copies share the last one: nothing is rare there.
  private static let levels = 256
  private static let absent = UInt32.max

  /// Pieces by place; those before `starts[0]` are not in the order.
  private var pieces: [UInt32]
  /// Place by piece, `absent` if it is not in the order.
  private var places: [UInt32]
  /// Copies by piece among peers that are not full.
  private(set) var copies: [UInt16]
  private var ranks: [UInt8]
  private var starts: [UInt32]
  /// Much changed at once: buckets are wrong until the next ``sort()``.
  private(set) var isStale = true

  /// An empty order. All pieces have rank 0.
  init(pieceCount: Int) {
    pieces = [UInt32](repeating: 0, count: pieceCount)
    places = [UInt32](repeating: Self.absent, count: pieceCount)
    copies = [UInt16](repeating: 0, count: pieceCount)
    ranks = []
    starts = [UInt32](repeating: UInt32(pieceCount), count: Self.levels + 1)
  }

  var count: Int { pieces.count - Int(starts[0]) }
  var rankCount: Int { (starts.count - 1) / Self.levels }

  func contains(_ piece: PieceIndex) -> Bool { places[piece.offset] != Self.absent }
  func rank(of piece: PieceIndex) -> Int { ranks.isEmpty ? 0 : Int(ranks[piece.offset]) }

  /// The piece at `index` in `0 ..< count`, rarest first. Call ``sort()`` before.
  @inline(__always) subscript(index: Int) -> PieceIndex {
    PieceIndex(rawValue: pieces[Int(starts[0]) + index])
  }

  private func bucket(of piece: Int) -> Int {
    let level = min(Int(copies[piece]), Self.levels - 1)
    return ranks.isEmpty ? level : Int(ranks[piece]) * Self.levels + level
  }

  // MARK: Members

  mutating func insert(_ piece: PieceIndex, random: inout SeededRandom) {
    let p = piece.offset
    precondition(places[p] == Self.absent)
    if isStale {
      // Any place will do until the next sort: a random one, so that ties are in random order after it.
      starts[0] -= 1
      let first = Int(starts[0])
      let other = first + random.below(pieces.count - first)
      if other != first { put(Int(pieces[other]), at: first) }
      put(p, at: other)
      return
    }
    let target = bucket(of: p)
    var hole = Int(starts[0]) - 1
    starts[0] -= 1
    // Each bucket before the target gives its last piece to the hole before it, and so moves down by one.
    for b in 0..<target {
      let last = Int(starts[b + 1]) - 1
      if last != hole {
        put(Int(pieces[last]), at: hole)
        hole = last
      }
      starts[b + 1] -= 1
    }
    put(p, at: hole)
    mix(hole, in: target, random: &random)
  }

  mutating func remove(_ piece: PieceIndex) {
    let p = piece.offset
    var hole = Int(places[p])
    precondition(places[p] != Self.absent)
    places[p] = Self.absent
    if isStale {
      let first = Int(starts[0])
      if first != hole { put(Int(pieces[first]), at: hole) }
      starts[0] += 1
      return
    }
    var b = bucket(of: p)
    while true {
      let first = Int(starts[b])
      if first != hole {
        put(Int(pieces[first]), at: hole)
        hole = first
      }
      starts[b] += 1
      if b == 0 { break }
      b -= 1
    }
  }

  private mutating func put(_ piece: Int, at place: Int) {
    pieces[place] = UInt32(truncatingIfNeeded: piece)
    places[piece] = UInt32(truncatingIfNeeded: place)
  }

  /// Gives the piece at `place` a random place in its bucket.
  private mutating func mix(_ place: Int, in bucket: Int, random: inout SeededRandom) {
    let first = Int(starts[bucket])
    let other = first + random.below(Int(starts[bucket + 1]) - first)
    guard other != place else { return }
    let (a, b) = (Int(pieces[place]), Int(pieces[other]))
    put(a, at: other)
    put(b, at: place)
  }

  // MARK: Copies

  mutating func increment(_ piece: PieceIndex, random: inout SeededRandom) {
    let p = piece.offset
    let old = copies[p]
    copies[p] = old &+ 1
    guard places[p] != Self.absent, !isStale, Int(old) < Self.levels - 1 else { return }
    let b = bucket(of: p) - 1
    let last = Int(starts[b + 1]) - 1
    exchange(Int(places[p]), last)
    starts[b + 1] -= 1
    mix(last, in: b + 1, random: &random)
  }

  mutating func decrement(_ piece: PieceIndex, random: inout SeededRandom) {
    let p = piece.offset
    precondition(copies[p] > 0)
    copies[p] -= 1
    guard places[p] != Self.absent, !isStale, Int(copies[p]) < Self.levels - 1 else { return }
    let b = bucket(of: p) + 1
    let first = Int(starts[b])
    exchange(Int(places[p]), first)
    starts[b] += 1
    mix(first, in: b - 1, random: &random)
  }

  private mutating func exchange(_ a: Int, _ b: Int) {
    guard a != b else { return }
    let (x, y) = (Int(pieces[a]), Int(pieces[b]))
    put(x, at: b)
    put(y, at: a)
  }

  /// A peer with these pieces came. The order is sorted anew when it is next needed: one pass, however many such
  /// peers came before it.
  mutating func addCopies(of set: Bitfield) {
    isStale = isStale || !set.isEmpty
    set.forEach { copies[$0.offset] &+= 1 }
  }

  /// A peer with these pieces left.
  mutating func removeCopies(of set: Bitfield) {
    isStale = isStale || !set.isEmpty
    set.forEach {
      precondition(copies[$0.offset] > 0)
      copies[$0.offset] -= 1
    }
  }

  /// Ranks by piece, each below `rankCount`; 0 comes first. Empty: all pieces have rank 0. The members stay.
  mutating func setRanks(_ ranks: [UInt8], rankCount: Int) {
    precondition(ranks.isEmpty || ranks.count == pieces.count)
    self.ranks = ranks
    let first = starts[0]
    starts = [UInt32](repeating: UInt32(pieces.count), count: rankCount * Self.levels + 1)
    starts[0] = first
    isStale = true
  }

  /// Puts every piece into its bucket, if that is not so already. Ties keep their order, which is random.
  mutating func sort() {
    guard isStale else { return }
    isStale = false
    let first = Int(starts[0])
    let members = Array(pieces[first...])
    for b in starts.indices { starts[b] = 0 }
    for piece in members { starts[bucket(of: Int(piece)) + 1] += 1 }
    var sum = UInt32(first)
    for b in starts.indices {
      sum += starts[b]
      starts[b] = sum
    }
    // `starts[b]` is where bucket b begins; it serves as the place of the next piece and is put right afterwards.
    for piece in members {
      let b = bucket(of: Int(piece))
      put(Int(piece), at: Int(starts[b]))
      starts[b] += 1
    }
    for b in stride(from: starts.count - 1, to: 0, by: -1) { starts[b] = starts[b - 1] }
    starts[0] = UInt32(first)
  }

  /// For tests: throws when the array does not hold what it should.
  func checkInvariants() throws(BrokenInvariant) {
    try require(starts.last == UInt32(pieces.count) || isStale)
    for place in Int(starts[0])..<pieces.count {
      try require(places[Int(pieces[place])] == UInt32(place), "places do not match")
    }
    try require(places.reduce(0) { $0 + ($1 == Self.absent ? 0 : 1) } == count, "members are lost")
    guard !isStale else { return }
    for b in 0..<(starts.count - 1) {
      try require(starts[b] <= starts[b + 1], "a border went astray")
      for place in Int(starts[b])..<Int(starts[b + 1]) {
        try require(bucket(of: Int(pieces[place])) == b, "a piece is in the wrong bucket")
      }
    }
  }
}
