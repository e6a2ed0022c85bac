import BlockPool
import TorrentModel

func benchmarkBitfields(_ stopwatch: Stopwatch) {
  for capacity in [4096, 50_000] {
    var random = SeededRandom(seed: 1)
    var some = Bitfield(capacity: capacity)
    var other = Bitfield(capacity: capacity)
    for piece in 0..<capacity {
      if random.next() & 1 == 0 { _ = some.insert(PieceIndex(piece)) }
      if random.next() & 1 == 0 { _ = other.insert(PieceIndex(piece)) }
    }
    let wire = { () -> [UInt8] in
      var bytes: [UInt8] = []
      some.appendWire(to: &bytes)
      return bytes
    }()
    stopwatch.measure("bitfield.from-wire-\(capacity)", bytes: wire.count) { count in
      for _ in 0..<count { keep(try? Bitfield(wire: wire.span, capacity: capacity)) }
    }
    // In turn, so that the answer cannot be carried from one iteration to the next. No set has
    // anything that it itself lacks, so all of it has to be looked at.
    var rest = Bitfield(fullCapacity: capacity)
    rest.subtract(some)
    let pairs = [(some, some), (rest, rest), (other, other)]
    stopwatch.measure("bitfield.has-any-\(capacity)") { count in
      for i in 0..<count { keep(pairs[i % 3].0.hasAny(notIn: pairs[i % 3].1)) }
    }
    stopwatch.measure("bitfield.intersection-count-\(capacity)") { count in
      for i in 0..<count { keep(pairs[i % 3].0.intersectionCount(pairs[(i + 1) % 3].1)) }
    }
    stopwatch.measure("bitfield.for-each-\(capacity)") { count in
      for _ in 0..<count {
        var sum = 0
        some.forEach { sum &+= $0.offset }
        keep(sum)
      }
    }
    var toggled = some
    stopwatch.measure("bitfield.insert-remove-\(capacity)") { count in
      for i in 0..<count {
        let piece = PieceIndex(i &* 7919 % capacity)
        keep(toggled.insert(piece))
        keep(toggled.remove(piece))
      }
    }
  }
}

func benchmarkPool(_ stopwatch: Stopwatch) {
  guard let pool = try? BlockPool(capacity: 1024) else { return }
  stopwatch.measure("pool.lease-release") { count in
    for _ in 0..<count { keep(pool.lease()?.id) }
  }
  var taken: [BlockID] = []
  taken.reserveCapacity(64)
  stopwatch.measure("pool.take-release-64") { count in
    for _ in 0..<count {
      taken.removeAll(keepingCapacity: true)
      keep(pool.take(64, into: &taken))
      pool.release(taken)
    }
  }
}
