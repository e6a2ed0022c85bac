import Reactor
import Testing

@Suite struct EventLoopTests {
  @Test func timersFireInOrderOfTimeAndMaking() async throws {
    let order = try await withLoop { actor in
      let signal = Signal()
      var fired: [Int] = []
      let now = actor.loop.nowNanoseconds
      for (number, delay) in [(3, 3), (1, 1), (2, 1), (4, 5)] as [(Int, UInt64)] {
        actor.loop.schedule(atNanoseconds: now + delay * 1_000_000) {
          fired.append(number)
          signal.changed()
        }
      }
      try await signal.wait("timers", isolation: actor) { fired.count == 4 }
      return fired
    }
    #expect(order == [1, 2, 3, 4])
  }

  @Test func cancelledTimersStayQuietAndTheirNumbersGoStale() async throws {
    try await withLoop { actor in
      let signal = Signal()
      var fired: [Int] = []
      let first = actor.loop.schedule(afterNanoseconds: 1_000_000) { fired.append(1) }
      #expect(actor.loop.cancel(first))
      #expect(!actor.loop.cancel(first))
      // Takes over the first timer's place in the table.
      let second = actor.loop.schedule(afterNanoseconds: 2_000_000) {
        fired.append(2)
        signal.changed()
      }
      #expect(first != second)
      #expect(!actor.loop.cancel(first))
      try await signal.wait("timer", isolation: actor) { !fired.isEmpty }
      #expect(fired == [2])
      #expect(!actor.loop.cancel(second))
      #expect(actor.loop.timerCount >= 0)
    }
  }

  /// Timers that are moved all the time, as request timeouts are, must not pile up.
  @Test func manyTimersMovedOften() async throws {
    try await withLoop { actor in
      let signal = Signal()
      var fired = 0
      var timers: [TimerID] = []
      for index in 0..<5_000 {
        timers.append(actor.loop.schedule(afterNanoseconds: 60_000_000_000 + UInt64(index)) { fired += 1 })
      }
      for round in 0..<20 {
        for index in timers.indices {
          actor.loop.cancel(timers[index])
          let delay: UInt64 = round == 19 ? UInt64(index % 7) * 1_000_000 : 60_000_000_000
          timers[index] = actor.loop.schedule(afterNanoseconds: delay) {
            fired += 1
            if fired == 5_000 { signal.changed() }
          }
        }
      }
      #expect(actor.loop.timerCount == 5_000)
      try await signal.wait("timers", isolation: actor) { fired == 5_000 }
      #expect(actor.loop.statistics.timersFired >= 5_000)
    }
  }

  @Test func aTimerThatSchedulesItselfForNowLeavesRoomForOthers() async throws {
    try await withLoop { actor in
      let signal = Signal()
      var rounds = 0
      var isReached = false
      func again() {
        rounds += 1
        if !isReached { actor.loop.schedule(afterNanoseconds: 0, again) }
      }
      again()
      actor.loop.schedule(afterNanoseconds: 2_000_000) {
        isReached = true
        signal.changed()
      }
      try await signal.wait("the other timer", isolation: actor) { isReached }
      #expect(rounds > 1)
    }
  }

  @Test func workPostedFromThreadsArrivesInOrderPerThread() async throws {
    try await withLoop { actor in
      let loop = actor.loop
      let seen = Log<(Int, Int)>()
      await concurrently(4) { thread in
        for number in 0..<500 { loop.post { seen.append((thread, number)) } }
      }
      // The loop's own post comes after all of those.
      await loop.run {}
      for thread in 0..<4 {
        #expect(seen.entries.filter { $0.0 == thread }.map(\.1) == Array(0..<500))
      }
    }
  }

  @Test func mailboxDeliversEverythingInBatches() async throws {
    let (total, batches, perThreadOrdered) = try await withLoop { actor in
      let signal = Signal()
      var received: [Int] = []
      var batches = 0
      let mailbox = Mailbox<Int>(on: actor.loop) { batch in
        batches += 1
        received += batch
        signal.changed()
      }
      await concurrently(4) { thread in
        for start in stride(from: 0, to: 10_000, by: 100) {
          mailbox.push(contentsOf: (start..<start + 100).map { thread * 1_000_000 + $0 })
        }
      }
      try await signal.wait("all elements", isolation: actor) { received.count == 40_000 }
      let ordered = (0..<4).allSatisfy { thread in
        received.filter { $0 / 1_000_000 == thread }.map { $0 % 1_000_000 } == Array(0..<10_000)
      }
      mailbox.close()
      mailbox.push(1)
      await actor.loop.run {}
      return (received.count, batches, ordered)
    }
    #expect(total == 40_000)
    #expect(batches <= 400)
    #expect(perThreadOrdered)
  }

  @Test func actorsOnTheLoopAreIsolatedThere() async throws {
    try await withLoop { actor in
      #expect(actor.loop.isOnLoop)
      actor.loop.preconditionOnLoop()
      // A handler of the loop is outside the actor for the compiler, and inside at run time.
      let signal = Signal()
      var isAssumed = false
      actor.loop.schedule(afterNanoseconds: 0) {
        actor.assumeIsolated { _ in isAssumed = true }
        signal.changed()
      }
      try await signal.wait("handler", isolation: actor) { isAssumed }
      await Task { @concurrent in #expect(!actor.loop.isOnLoop) }.value
      #expect(actor.loop.isOnLoop)
    }
  }

  @Test func turnEndHandlersRunAfterTheCompletionsOfATurn() async throws {
    try await withLoop { actor in
      var log: [String] = []
      let id = actor.loop.onTurnEnd { if log.last == "timer" { log.append("end") } }
      actor.loop.schedule(afterNanoseconds: 0) { log.append("timer") }
      actor.loop.schedule(afterNanoseconds: 0) { log.append("timer") }
      await pause(milliseconds: 1, on: actor)
      await pause(milliseconds: 1, on: actor)
      #expect(log == ["timer", "timer", "end"])
      actor.loop.removeTurnEndHandler(id)
    }
  }

  @Test func statisticsTellTimerLateness() async throws {
    let statistics = try await withLoop { actor in
      await pause(milliseconds: 1, on: actor)
      return actor.loop.statistics
    }
    #expect(statistics.turns > 0)
    #expect(statistics.timersFired == 1)
    #expect(statistics.timerLateness.reduce(0, +) == 1)
    #expect(statistics.timerLatenessNanoseconds(quantile: 0.99) == statistics.maxTimerLatenessNanoseconds)
    #expect(LoopStatistics.empty.timerLatenessNanoseconds(quantile: 0.5) == 0)
  }

  @Test func anIdleLoopSleeps() async throws {
    try await withLoop { actor in
      let before = actor.loop.statistics.turns
      await pause(milliseconds: 200, on: actor)
      // The timer's own turn, and one or two for libevent's coarse clock.
      #expect(actor.loop.statistics.turns - before < 20)
    }
  }

  @Test func mailPostedAfterTheEndIsDropped() async throws {
    let loop = try EventLoop(name: "short")
    try loop.start()
    await loop.run {}
    loop.stop()
    loop.join()
    loop.post { Issue.record("ran on a loop that had ended") }
    #expect(!loop.isOnLoop)
  }

  /// The shim has room for 1,024 loops at a time, so one that stayed behind would show.
  @Test func loopsGoAway() throws {
    for _ in 0..<1_500 { _ = try EventLoop(name: "unused") }
    for _ in 0..<50 {
      let loop = try EventLoop(name: "started")
      try loop.start()
      loop.stop()
      loop.join()
    }
  }
}
