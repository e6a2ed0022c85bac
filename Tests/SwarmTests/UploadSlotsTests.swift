import Testing

@testable import Swarm

@Suite struct UploadSlotsTests {
  @Test func fixedStays() {
    var slots = UploadSlots(.fixed(3))
    let grown = slots.grow(rates: [900_000, 900_000, 900_000], wanting: 50)
    #expect(!grown)
    slots.adjust(rates: [], wanting: 50, total: 0)
    #expect(slots.count == 3)
  }

  @Test func wellServedSlotsDouble() {
    var slots = UploadSlots(.adaptive(minimum: 2, initial: 4, maximum: 20))
    var grown: Bool
    let fast = [Int](repeating: 1_000_000, count: 100)
    grown = slots.grow(rates: Array(fast.prefix(3)), wanting: 30)
    #expect(!grown, "one is not in use")
    grown = slots.grow(rates: Array(fast.prefix(4)), wanting: 30)
    #expect(grown)
    #expect(slots.count == 8)
    grown = slots.grow(rates: Array(fast.prefix(8)), wanting: 8)
    #expect(!grown, "nobody waits")
    grown = slots.grow(rates: Array(fast.prefix(8)), wanting: 30)
    #expect(grown)
    grown = slots.grow(rates: Array(fast.prefix(16)), wanting: 30)
    #expect(grown)
    #expect(slots.count == 20)
  }

  /// An uplink of so many bytes a second, shared evenly by those who have a slot: where does the number settle?
  @Test(arguments: [(20_000, 2...4), (200_000, 7...11), (2_000_000, 14...20), (1_000_000_000, 100...100)])
  func settles(uplink: Int, expected: ClosedRange<Int>) {
    var slots = UploadSlots(.adaptive(minimum: 2, initial: 8, maximum: 400))
    var seen: [Int] = []
    for second in 1...1200 {
      let used = min(slots.count, 100)
      let rates = [Int](repeating: uplink / max(1, used), count: used)
      _ = slots.grow(rates: rates, wanting: 100)
      if second % 10 == 0 { slots.adjust(rates: rates, wanting: 100, total: uplink) }
      if second > 900 { seen.append(min(slots.count, 100)) }
    }
    #expect(seen.allSatisfy { expected.contains($0) }, "\(Set(seen).sorted())")
  }

  /// Every peer takes little and the uplink has room: more slots bring more, so there must be more.
  @Test func slowTakersGetMoreSlots() {
    var slots = UploadSlots(.adaptive(minimum: 2, initial: 4, maximum: 400))
    for second in 1...600 where second % 10 == 0 {
      let used = min(slots.count, 60)
      slots.adjust(rates: [Int](repeating: 3000, count: used), wanting: 60, total: 3000 * used)
    }
    #expect(slots.count > 12, "\(slots.count)")
  }
}
