import BlockPool
import Synchronization

/// Jobs on their way to one thread or to a team of equal threads. Posting wakes at most one thread; a thread that leaves
/// jobs behind wakes the next.
final class WorkQueue<Job: Sendable>: Sendable {
  private struct State {
    var jobs: [Job] = []
    /// Threads asleep that nobody has woken yet.
    var sleepers = 0
    var isClosed = false
  }

  private let state = Lock(State())
  private let semaphore = Semaphore()

  enum Taken {
    case jobs
    case timeout
    /// The queue was closed and is empty.
    case closed
  }

  /// Lets `body` append jobs, under the lock.
  func post(_ body: (inout [Job]) -> Void) {
    let wakes = state.withLock { state in
      body(&state.jobs)
      return WorkQueue.claimSleeper(&state)
    }
    if wakes { semaphore.post() }
  }

  private static func claimSleeper(_ state: inout State) -> Bool {
    guard state.sleepers > 0, !state.jobs.isEmpty else { return false }
    state.sleepers -= 1
    return true
  }

  /// Waits for jobs and moves up to `limit` of them into `output`, which must be empty. All of them when there is no
  /// limit: then the two arrays are swapped and nothing is copied.
  ///
  /// - Parameter timeout: nanoseconds to wait at most; nil waits for ever.
  func take(into output: inout [Job], limit: Int = .max, timeout: Int64? = nil) -> Taken {
    let deadline = timeout.map { monotonicNow() + max(0, $0) }
    while true {
      let (result, wakesNext) = state.withLock { state -> (Taken?, Bool) in
        if !state.jobs.isEmpty {
          if state.jobs.count <= limit {
            swap(&state.jobs, &output)
          } else {
            output.append(contentsOf: state.jobs[..<limit])
            state.jobs.removeFirst(limit)
          }
          return (.jobs, WorkQueue.claimSleeper(&state))
        }
        if state.isClosed { return (.closed, false) }
        if let deadline, monotonicNow() >= deadline { return (.timeout, false) }
        state.sleepers += 1
        return (nil, false)
      }
      if wakesNext { semaphore.post() }
      if let result { return result }
      guard let deadline else {
        semaphore.wait()
        continue
      }
      if semaphore.wait(nanoseconds: deadline - monotonicNow()) { continue }
      // Whoever claimed a sleeper meanwhile posts once for it; that post must not be left behind.
      let isOwed = state.withLock { state in
        if state.sleepers > 0 {
          state.sleepers -= 1
          return false
        }
        return true
      }
      if isOwed { semaphore.wait() }
    }
  }

  /// Whether anything waits.
  var hasJobs: Bool { state.withLock { !$0.jobs.isEmpty } }

  /// No more waiting: threads finish what is queued and are then told `closed`.
  func close() {
    let sleepers = state.withLock { state in
      state.isClosed = true
      defer { state.sleepers = 0 }
      return state.sleepers
    }
    for _ in 0..<sleepers { semaphore.post() }
  }
}
