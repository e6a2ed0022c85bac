import BlockPool
import CEvent
import Synchronization

/// A thread that waits for sockets, timers and mail, and runs what they bring, one thing after the other.
///
/// Everything made on a loop (connections, timers, sockets) belongs to its thread: make and use it there, from handlers,
/// from ``post(_:)``, or from an actor whose executor is the loop. A turn of the loop dispatches completions, due timers
/// and mail, calls the turn-end handlers, and then sends what was queued during the turn.
@safe
public final class EventLoop: SerialExecutor, @unchecked Sendable {
  // Why sending it is sound: `core` is touched on the loop's thread only (before `start`, nobody has a way in), which
  // `preconditionOnLoop` checks where it is cheap; the rest is immutable, atomic or behind the mutex.

  enum Mail {
    case work(@Sendable () -> Void)
    case job(UnownedJob)
    case batch(any MailboxDrain)
  }

  private enum Phase { case idle, running, stopping, stopped }

  private struct Inbox {
    var mail: [Mail] = []
    var phase = Phase.idle
    var thread: UInt64?
  }

  /// The thread's name, of which the kernel keeps 15 bytes.
  public let name: String
  let core: LoopCore
  private let inbox = Lock(Inbox())
  /// Set while the thread waits or is about to; whoever takes it down owes the wake-up.
  private let isSleeping = Atomic<Bool>(false)
  private let threadID = Atomic<UInt64>(0)

  public init(name: String) throws(ReactorError) {
    self.name = name
    self.core = try LoopCore()
  }

  deinit {
    // The thread holds a reference while it runs, so it has ended; only its handle may be left.
    if let thread = inbox.withLock({ $0.thread }) { cev_thread_detach(thread) }
  }

  // MARK: Life

  /// Starts the thread. SIGPIPE is ignored in the whole process from then on.
  public func start() throws(ReactorError) {
    cev_ignore_sigpipe()
    let failure = inbox.withLock { inbox -> CInt in
      precondition(inbox.phase == .idle, "an event loop starts once")
      let context = unsafe Unmanaged.passRetained(self)
      var thread: UInt64 = 0
      let error = unsafe cev_thread_start(
        name,
        { context in
          guard let context = unsafe context else { return }
          unsafe Unmanaged<EventLoop>.fromOpaque(context).takeRetainedValue().run()
        }, context.toOpaque(), &thread)
      if error != 0 {
        unsafe context.release()
      } else {
        inbox.phase = .running
        inbox.thread = thread
      }
      return error
    }
    if failure != 0 { throw ReactorError("cannot start the thread of event loop \(name)", errno: failure) }
  }

  /// Asks the loop to end after mail posted before this. Open sources are closed without a word to their handlers, and
  /// mail posted later is dropped, jobs of actors on this loop included: end those first. From any thread.
  public func stop() {
    inbox.withLock { inbox in
      if inbox.phase == .running { inbox.phase = .stopping }
    }
    wake()
  }

  /// Waits until the thread has ended. Not from the loop itself.
  public func join() {
    precondition(!isOnLoop, "an event loop cannot wait for itself")
    let thread = inbox.withLock { inbox in
      let thread = inbox.thread
      inbox.thread = nil
      return thread
    }
    if let thread { cev_thread_join(thread) }
  }

  private func run() {
    threadID.store(cev_thread_current(), ordering: .releasing)
    var mail: [Mail] = []
    while true {
      var deadline = core.nextDeadline()
      if deadline != 0 {
        isSleeping.store(true, ordering: .sequentiallyConsistent)
        // Mail that came before the line above woke nobody.
        if inbox.withLock({ !$0.mail.isEmpty || $0.phase == .stopping }) { deadline = 0 }
      }
      core.turn(until: deadline)
      isSleeping.store(false, ordering: .sequentiallyConsistent)
      let isStopping = inbox.withLock { inbox in
        swap(&mail, &inbox.mail)
        return inbox.phase == .stopping
      }
      deliver(&mail)
      core.finishTurn()
      if isStopping { break }
    }
    core.shutDown()
    let undelivered = inbox.withLock { inbox in
      inbox.phase = .stopped
      return exchange(&inbox.mail, with: [])
    }
    // Outside the lock: dropping a closure may run any deinit.
    _ = consume undelivered
    threadID.store(0, ordering: .releasing)
  }

  private func deliver(_ mail: inout [Mail]) {
    for item in mail {
      switch item {
      case .work(let work): work()
      case .job(let job): unsafe job.runSynchronously(on: asUnownedSerialExecutor())
      case .batch(let mailbox): mailbox.drain()
      }
    }
    mail.removeAll(keepingCapacity: true)
  }

  // MARK: Mail

  /// Runs `work` on the loop, in a coming turn and in the order of posting. From any thread.
  public func post(_ work: @escaping @Sendable () -> Void) { send(.work(work)) }

  /// Runs `body` on the loop and gives its result to the waiting task.
  public func run<Success: Sendable, Failure: Error>(
    _ body: @escaping @Sendable () throws(Failure) -> Success
  ) async throws(Failure) -> Success {
    let result: Result<Success, Failure> = await withCheckedContinuation { continuation in
      post {
        do throws(Failure) {
          continuation.resume(returning: .success(try body()))
        } catch {
          continuation.resume(returning: .failure(error))
        }
      }
    }
    return try result.get()
  }

  func send(_ mail: Mail) {
    let isLate = inbox.withLock { inbox in
      if inbox.phase == .stopped { return true }
      inbox.mail.append(mail)
      return false
    }
    if !isLate { wake() }
  }

  private func wake() {
    // A loop that is awake looks at its mail before it sleeps: no system call is needed.
    if isSleeping.exchange(false, ordering: .sequentiallyConsistent) { unsafe cev_loop_wake(core.raw) }
  }

  // MARK: Executor

  public func enqueue(_ job: consuming ExecutorJob) { send(.job(UnownedJob(job))) }

  public func asUnownedSerialExecutor() -> UnownedSerialExecutor {
    unsafe UnownedSerialExecutor(ordinary: self)
  }

  public func checkIsolated() { preconditionOnLoop() }

  public func isIsolatingCurrentContext() -> Bool? { isOnLoop }

  /// Whether the caller runs on the loop's thread.
  public var isOnLoop: Bool { threadID.load(ordering: .acquiring) == cev_thread_current() }

  public func preconditionOnLoop() {
    precondition(isOnLoop, "this belongs to an event loop and was used on another thread")
  }

  func assertOnLoop() { assert(isOnLoop, "this belongs to an event loop and was used on another thread") }

  // MARK: On the loop

  /// Monotonic time as of the start of this turn, in nanoseconds.
  public var nowNanoseconds: UInt64 {
    assertOnLoop()
    return core.now
  }

  /// Runs `handler` once, `nanoseconds` after the start of this turn.
  @discardableResult
  public func schedule(afterNanoseconds nanoseconds: UInt64, _ handler: @escaping () -> Void) -> TimerID {
    let (deadline, overflowed) = core.now.addingReportingOverflow(nanoseconds)
    return schedule(atNanoseconds: overflowed ? .max : deadline, handler)
  }

  /// Runs `handler` once, when ``nowNanoseconds`` has come to `deadline`. Timers of the same time fire in the order
  /// they were made.
  @discardableResult
  public func schedule(atNanoseconds deadline: UInt64, _ handler: @escaping () -> Void) -> TimerID {
    preconditionOnLoop()
    return core.timers.schedule(at: deadline, handler)
  }

  /// False when the timer has fired or was cancelled.
  @discardableResult
  public func cancel(_ timer: TimerID) -> Bool {
    preconditionOnLoop()
    return core.timers.cancel(timer)
  }

  /// Timers that wait.
  public var timerCount: Int {
    assertOnLoop()
    return core.timers.count
  }

  /// Calls `handler` at the end of every turn, before what was queued is sent. The number is for
  /// ``removeTurnEndHandler(_:)``.
  @discardableResult
  public func onTurnEnd(_ handler: @escaping () -> Void) -> UInt64 {
    preconditionOnLoop()
    return core.addTurnEndHandler(handler)
  }

  public func removeTurnEndHandler(_ id: UInt64) {
    preconditionOnLoop()
    core.removeTurnEndHandler(id)
  }

  /// Sets who gets back the blocks given to ``Connection/write(block:of:offset:count:)``: one entry for each such call,
  /// when the block's bytes are with the kernel or the connection is gone. Called at the end of a turn.
  public func onBlocksReturned(_ handler: @escaping ([BlockID]) -> Void) {
    preconditionOnLoop()
    core.blocksReturned = handler
  }

  /// Gives blocks that have left back now rather than at the end of the turn. Not from the handler itself.
  public func returnBlocks() {
    assertOnLoop()
    core.returnBlocks()
  }

  public var statistics: LoopStatistics {
    preconditionOnLoop()
    return core.statistics
  }

  /// Starts the figures anew.
  public func resetStatistics() {
    preconditionOnLoop()
    core.statistics = LoopStatistics()
  }

  /// Open connections, listeners, sockets and requests.
  public var sourceCount: Int {
    assertOnLoop()
    return core.sourceCount
  }
}
