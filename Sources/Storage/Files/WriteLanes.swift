import BlockPool

/// Keeps the two ways of writing to a file apart: never both at once to the same file.
///
/// After a direct write the system drops what the page cache holds of its range. It cannot when the page (these days up to
/// some MiB) was written to meanwhile, for a neighbour's sake, and then the cache goes on showing what was there before. So a
/// write into the page cache waits until no direct write to its file is under way, and no other begins meanwhile.
final class WriteLanes: Sendable {
  private struct Lane {
    let file: FileCache.Key
    /// Direct writes under way.
    var direct = 0
    /// Writes into the page cache under way or waiting.
    var cached = 0
  }

  private struct State {
    /// Only of files that are being written to: as few as there are threads that write.
    var lanes: [Lane] = []
    var waiting = 0

    /// The place of a file's lane, made if there is none.
    mutating func lane(of file: FileCache.Key) -> Int {
      if let found = lanes.firstIndex(where: { $0.file == file }) { return found }
      lanes.append(Lane(file: file))
      return lanes.count - 1
    }

    mutating func dropIfIdle(_ lane: Int) {
      guard lanes[lane].direct == 0, lanes[lane].cached == 0 else { return }
      lanes.swapAt(lane, lanes.count - 1)
      lanes.removeLast()
    }
  }

  private let state = Lock(State())
  private let semaphore = Semaphore()

  /// Returns false when the file is being written to by way of the page cache, which is then the way to take.
  func beginDirect(_ file: FileCache.Key) -> Bool {
    state.withLock { state in
      let lane = state.lane(of: file)
      guard state.lanes[lane].cached == 0 else { return false }
      state.lanes[lane].direct += 1
      return true
    }
  }

  func endDirect(_ file: FileCache.Key) {
    let woken = state.withLock { state -> Int in
      let lane = state.lane(of: file)
      state.lanes[lane].direct -= 1
      guard state.lanes[lane].direct == 0 else { return 0 }
      state.dropIfIdle(lane)
      defer { state.waiting = 0 }
      return state.waiting
    }
    for _ in 0..<woken { semaphore.post() }
  }

  /// Waits for the file's direct writes to end.
  func beginCached(_ file: FileCache.Key) {
    state.withLock { state in
      let lane = state.lane(of: file)
      state.lanes[lane].cached += 1
    }
    while true {
      let isClear = state.withLock { state in
        if state.lanes[state.lane(of: file)].direct == 0 { return true }
        state.waiting += 1
        return false
      }
      if isClear { return }
      semaphore.wait()
    }
  }

  func endCached(_ file: FileCache.Key) {
    state.withLock { state in
      let lane = state.lane(of: file)
      state.lanes[lane].cached -= 1
      state.dropIfIdle(lane)
    }
  }
}
