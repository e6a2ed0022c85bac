import BlockPool
import CEvent

/// Something on a loop that completions are addressed to.
protocol LoopSource: AnyObject {
  func completed(_ record: cev_record)
  /// The loop ends: give back what the system holds, and call nobody.
  func loopStopped()
}

/// What belongs to the loop's thread alone.
@safe
final class LoopCore {
  private struct Slot {
    var generation: UInt32
    var source: (any LoopSource)?
  }

  let raw: OpaquePointer
  private(set) var now: UInt64 = cev_now()
  var timers = TimerQueue()
  var statistics = LoopStatistics()
  var blocksReturned: (([BlockID]) -> Void)?

  private var slots: [Slot] = []
  private var freeSlots: [UInt32] = []
  private var turnEndHandlers: [(id: UInt64, handler: () -> Void)] = []
  private var nextTurnEndID: UInt64 = 0
  private var blocks: [BlockID] = []

  init() throws(ReactorError) {
    var error: CInt = 0
    guard let raw = unsafe cev_loop_new(&error) else {
      throw ReactorError("cannot make an event loop", errno: error)
    }
    unsafe self.raw = unsafe raw
  }

  deinit { unsafe cev_loop_free(raw) }

  // MARK: Sources

  /// A token for `source`, which is kept alive until `unregister`.
  func register(_ source: any LoopSource) -> UInt64 {
    let index: UInt32
    if let free = freeSlots.popLast() {
      index = free
      slots[Int(index)].source = source
    } else {
      index = UInt32(slots.count)
      slots.append(Slot(generation: 1, source: source))
    }
    return UInt64(slots[Int(index)].generation) << 32 | UInt64(index)
  }

  /// Completions for the token that are still under way are dropped from now on.
  func unregister(_ token: UInt64) {
    let index = Int(truncatingIfNeeded: token & 0xffff_ffff)
    precondition(slots[index].generation == token >> 32, "a loop source was closed twice")
    slots[index].generation &+= 1
    slots[index].source = nil
    freeSlots.append(UInt32(index))
  }

  /// Sources that are open.
  var sourceCount: Int { slots.count - freeSlots.count }

  // MARK: Turns

  func addTurnEndHandler(_ handler: @escaping () -> Void) -> UInt64 {
    nextTurnEndID += 1
    turnEndHandlers.append((nextTurnEndID, handler))
    return nextTurnEndID
  }

  func removeTurnEndHandler(_ id: UInt64) {
    turnEndHandlers.removeAll { $0.id == id }
  }

  /// When the next turn must end its wait, unless something happens before.
  func nextDeadline() -> UInt64 {
    if unsafe cev_loop_has_work(raw) { return 0 }
    return timers.nextDeadline() ?? UInt64.max
  }

  /// Waits, then dispatches completions and due timers.
  func turn(until deadline: UInt64) {
    let error = unsafe cev_loop_turn(raw, deadline)
    precondition(error == 0, "the event loop's poller failed")
    now = cev_now()
    statistics.turns += 1
    dispatchRecords()
    fireTimers()
  }

  /// Lets batches form, sends what was queued and hands blocks back.
  func finishTurn() {
    // By index: a handler may add or remove handlers.
    var index = 0
    while index < turnEndHandlers.count {
      turnEndHandlers[index].handler()
      index += 1
    }
    unsafe cev_loop_flush(raw)
    returnBlocks()
    let took = cev_now() &- now
    statistics.maxTurnNanoseconds = max(statistics.maxTurnNanoseconds, took)
  }

  private func dispatchRecords() {
    var count = 0
    guard let records = unsafe cev_loop_take_records(raw, &count), count > 0 else { return }
    statistics.completions += UInt64(count)
    for index in 0..<count {
      let record = unsafe records[index]
      let slot = slots[Int(truncatingIfNeeded: record.token & 0xffff_ffff)]
      if slot.generation == record.token >> 32, let source = slot.source {
        source.completed(record)
      } else if record.kind == .accepted {
        cev_socket_close(CInt(truncatingIfNeeded: record.value))
      }
    }
  }

  private func fireTimers() {
    let mark = timers.mark
    while let due = timers.popDue(at: now, before: mark) {
      statistics.timerFired(latenessNanoseconds: now - due.deadline)
      due.handler()
    }
  }

  func returnBlocks() {
    var count = 0
    guard let returned = unsafe cev_loop_take_blocks(raw, &count), count > 0 else { return }
    blocks.removeAll(keepingCapacity: true)
    for index in 0..<count { blocks.append(BlockID(rawValue: unsafe returned[index])) }
    precondition(blocksReturned != nil, "blocks were queued on a loop without a handler for their return")
    blocksReturned?(blocks)
  }

  /// Closes what is open. The thread ends after this.
  func shutDown() {
    timers.removeAll()
    turnEndHandlers = []
    // Sources refer to the loop, so the loop must let go of them.
    let open = slots
    slots = []
    freeSlots = []
    for slot in open { slot.source?.loopStopped() }
    // Freed bufferevents and cancelled resolutions end in libevent's own callbacks.
    for _ in 0..<3 {
      _ = unsafe cev_loop_turn(raw, 0)
      var ignored = 0
      _ = unsafe cev_loop_take_records(raw, &ignored)
    }
    returnBlocks()
    blocksReturned = nil
  }
}
