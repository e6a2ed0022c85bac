import BlockPool

/// Keeps the two ways of writing to a file apart: never both at once to the same file.
///
/// After a direct write the system drops what the page cache holds of its range. It cannot when the page (these days up to
/// some MiB) was written to meanwhile, for a neighbour's sake, and then the cache goes on showing what was there before. So a
/// write into the page cache waits until no direct write to its file is under way, and no other begins meanwhile.
final class WriteLanes: Sendable {
  private struct Lane {
    /// Direct writes under way.
    var direct = 0
    /// Writes into the page cache under way or waiting.
    var cached = 0
  }

  private struct State {
    /// Only of files that are being written to.
    var lanes: [FileCache.Key: Lane] = [:]
    var waiting = 0
  }

  private let state = Lock(State())
  private let semaphore = Semaphore()

  /// Returns false when the file is being written to by way of the page cache, which is then the way to take.
  func beginDirect(_ file: FileCache.Key) -> Bool {
    state.withLock { state in
      guard state.lanes[file]?.cached ?? 0 == 0 else { return false }
      state.lanes[file, default: Lane()].direct += 1
      return true
    }
  }

  func endDirect(_ file: FileCache.Key) {
    let woken = state.withLock { state -> Int in
      state.lanes[file]?.direct -= 1
      guard let lane = state.lanes[file], lane.direct == 0 else { return 0 }
      if lane.cached == 0 { state.lanes[file] = nil }
      defer { state.waiting = 0 }
      return state.waiting
    }
    for _ in 0..<woken { semaphore.post() }
  }

  /// Waits for the file's direct writes to end.
  func beginCached(_ file: FileCache.Key) {
    state.withLock { $0.lanes[file, default: Lane()].cached += 1 }
    while true {
      let isClear = state.withLock { state in
        if state.lanes[file]?.direct ?? 0 == 0 { return true }
        state.waiting += 1
        return false
      }
      if isClear { return }
      semaphore.wait()
    }
  }

  func endCached(_ file: FileCache.Key) {
    state.withLock { state in
      state.lanes[file]?.cached -= 1
      if let lane = state.lanes[file], lane.direct == 0, lane.cached == 0 { state.lanes[file] = nil }
    }
  }
}
