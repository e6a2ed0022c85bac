import HeapModule

/// Names a timer of one loop. Stays valid, and harmless to cancel, after the timer fired.
@frozen
public struct TimerID: Hashable, Sendable {
  var slot: UInt32
  var generation: UInt32
}

/// The timers of a loop: a heap of deadlines over a table of handlers.
///
/// Cancelling only empties the table's slot; its heap entry is passed over when it comes up, and the heap is rebuilt
/// when such entries outnumber the living ones. So thousands of timers that are moved all the time stay cheap.
struct TimerQueue {
  private struct Entry: Comparable {
    var deadline: UInt64
    var sequence: UInt64
    var id: TimerID

    static func < (left: Entry, right: Entry) -> Bool {
      (left.deadline, left.sequence) < (right.deadline, right.sequence)
    }
  }

  private struct Slot {
    var generation: UInt32 = 0
    var handler: (() -> Void)?
  }

  private var heap = Heap<Entry>()
  private var slots: [Slot] = []
  private var freeSlots: [UInt32] = []
  private var nextSequence: UInt64 = 0
  /// Timers that will fire.
  private(set) var count = 0

  mutating func schedule(at deadline: UInt64, _ handler: @escaping () -> Void) -> TimerID {
    let slot: UInt32
    if let free = freeSlots.popLast() {
      slot = free
    } else {
      slot = UInt32(slots.count)
      slots.append(Slot())
    }
    slots[Int(slot)].handler = handler
    let id = TimerID(slot: slot, generation: slots[Int(slot)].generation)
    heap.insert(Entry(deadline: deadline, sequence: nextSequence, id: id))
    nextSequence += 1
    count += 1
    return id
  }

  /// False when the timer fired or was cancelled before.
  @discardableResult
  mutating func cancel(_ id: TimerID) -> Bool {
    guard takeHandler(id) != nil else { return false }
    if heap.count > 64, heap.count > 2 * count {
      heap = Heap(heap.unordered.filter { slots[Int($0.id.slot)].generation == $0.id.generation })
    }
    return true
  }

  /// The earliest deadline.
  mutating func nextDeadline() -> UInt64? {
    while let first = heap.min {
      if isLive(first.id) { return first.deadline }
      heap.removeMin()
    }
    return nil
  }

  /// The sequence number that tells timers there already from those scheduled while others fire.
  var mark: UInt64 { nextSequence }

  /// The next handler due at `now` that was scheduled before `mark`, with its deadline.
  mutating func popDue(at now: UInt64, before mark: UInt64) -> (deadline: UInt64, handler: () -> Void)? {
    while let first = heap.min, first.deadline <= now, first.sequence < mark {
      heap.removeMin()
      if let handler = takeHandler(first.id) { return (first.deadline, handler) }
    }
    return nil
  }

  mutating func removeAll() { self = TimerQueue() }

  private func isLive(_ id: TimerID) -> Bool {
    Int(id.slot) < slots.count && slots[Int(id.slot)].generation == id.generation
  }

  private mutating func takeHandler(_ id: TimerID) -> (() -> Void)? {
    guard isLive(id), let handler = slots[Int(id.slot)].handler else { return nil }
    slots[Int(id.slot)].handler = nil
    slots[Int(id.slot)].generation &+= 1
    freeSlots.append(id.slot)
    count -= 1
    return handler
  }
}
