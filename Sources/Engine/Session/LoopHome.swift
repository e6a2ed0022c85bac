import Reactor

/// An event loop and what its torrents share, which is made on the loop when it is first needed.
final class LoopHome: @unchecked Sendable {
  // `stored` is touched on the loop only, which `context` checks.
  let loop: EventLoop
  private let shared: SessionShared
  private var stored: LoopContext?

  init(loop: EventLoop, shared: SessionShared) {
    self.loop = loop
    self.shared = shared
  }

  /// On the loop.
  var context: LoopContext {
    loop.preconditionOnLoop()
    if let stored { return stored }
    let context = LoopContext(loop: loop, shared: shared)
    stored = context
    return context
  }

  /// Runs `body` with the context: at once for whoever is on the loop already, in a turn of it for others.
  nonisolated(nonsending) func visit<Success: Sendable>(_ body: @escaping @Sendable (LoopContext) -> Success)
    async -> Success
  {
    if loop.isOnLoop { return body(context) }
    return await loop.run { body(self.context) }
  }

  /// On the loop, last: lets go of torrents that nobody closed.
  func abandon() {
    stored?.abandon()
    stored = nil
  }
}
