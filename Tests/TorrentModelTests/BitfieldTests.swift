import Testing
import TorrentModel

@Suite struct BitfieldTests {
  /// Every operation against a plain set, over drawn sizes and contents.
  @Test(arguments: [0, 1, 7, 8, 9, 63, 64, 65, 127, 128, 129, 1000])
  func agreesWithAPlainSet(capacity: Int) throws {
    var random = SeededRandom(seed: UInt64(capacity))
    var field = Bitfield(capacity: capacity)
    var model: Set<Int> = []
    for _ in 0..<600 {
      let piece = Int.random(in: 0..<(capacity + 3), using: &random)
      if Bool.random(using: &random) {
        #expect(field.insert(PieceIndex(piece)) == (piece < capacity && model.insert(piece).inserted))
      } else {
        #expect(field.remove(PieceIndex(piece)) == (model.remove(piece) != nil))
      }
      let start = Int.random(in: 0..<(capacity + 2), using: &random)
      #expect(field.first(from: start)?.offset == model.filter { $0 >= start }.min())
      #expect(
        field.firstMissing(from: start)?.offset
          == (start < capacity ? (start..<capacity).first { !model.contains($0) } : nil))
    }
    #expect(field.count == model.count)
    var seen: [Int] = []
    field.forEach { seen.append($0.offset) }
    #expect(seen == model.sorted())

    var wire: [UInt8] = []
    field.appendWire(to: &wire)
    #expect(wire.count == (capacity + 7) / 8)
    #expect(try Bitfield(wire: wire.span, capacity: capacity) == field)
  }

  @Test func firstPieceIsTheHighestBit() {
    var field = Bitfield(capacity: 12)
    field.insert(PieceIndex(0))
    field.insert(PieceIndex(9))
    var wire: [UInt8] = []
    field.appendWire(to: &wire)
    #expect(wire == [0x80, 0x40])
  }

  @Test func refusesWrongLengthsAndSpareBits() {
    #expect(throws: Bitfield.WireError.wrongLength(actual: 2, expected: 1)) {
      try Bitfield(wire: [0, 0].span, capacity: 8)
    }
    #expect(throws: Bitfield.WireError.wrongLength(actual: 0, expected: 1)) {
      try Bitfield(wire: [UInt8]().span, capacity: 1)
    }
    #expect(throws: Bitfield.WireError.spareBitsSet) { try Bitfield(wire: [0x01].span, capacity: 7) }
    #expect(throws: Never.self) { try Bitfield(wire: [UInt8]().span, capacity: 0) }
  }

  @Test func setAlgebra() {
    for seed in 0..<40 {
      var random = SeededRandom(seed: UInt64(seed))
      let capacity = Int.random(in: 0...200, using: &random)
      func draw() -> (Bitfield, Set<Int>) {
        var field = Bitfield(capacity: capacity)
        var set: Set<Int> = []
        for i in 0..<capacity where Int.random(in: 0..<3, using: &random) == 0 {
          field.insert(PieceIndex(i))
          set.insert(i)
        }
        return (field, set)
      }
      let (a, setA) = draw()
      let (b, setB) = draw()
      func members(_ field: Bitfield) -> Set<Int> {
        var result: Set<Int> = []
        field.forEach { result.insert($0.offset) }
        return result
      }
      var union = a
      union.formUnion(b)
      #expect(members(union) == setA.union(setB) && union.count == setA.union(setB).count)
      var common = a
      common.formIntersection(b)
      #expect(members(common) == setA.intersection(setB))
      #expect(a.intersectionCount(b) == common.count)
      var difference = a
      difference.subtract(b)
      #expect(members(difference) == setA.subtracting(setB))
      #expect(a.hasAny(notIn: b) == !setA.isSubset(of: setB))
      var full = Bitfield(fullCapacity: capacity)
      #expect(full.isFull && full.firstMissing() == nil && full.count == capacity)
      full.removeAll()
      #expect(full == Bitfield(capacity: capacity))
    }
  }
}
