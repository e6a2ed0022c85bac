import HeapModule
import TorrentModel

/// What is to happen, in order of time; at the same time, in the order in which it was planned.
struct EventQueue<Action> {
  private struct Event: Comparable {
    var time: Moment
    var number: UInt64
    var action: Action

    static func < (a: Event, b: Event) -> Bool {
      a.time != b.time ? a.time < b.time : a.number < b.number
    }
    static func == (a: Event, b: Event) -> Bool { a.number == b.number }
  }

  private var heap = Heap<Event>()
  private var planned: UInt64 = 0

  var isEmpty: Bool { heap.isEmpty }

  mutating func plan(_ action: Action, at time: Moment) {
    planned += 1
    heap.insert(Event(time: time, number: planned, action: action))
  }

  mutating func next() -> (time: Moment, action: Action)? {
    heap.popMin().map { ($0.time, $0.action) }
  }
}
