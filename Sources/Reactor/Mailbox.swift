import BlockPool

protocol MailboxDrain: Sendable {
  func drain()
}

/// Results of one kind on their way from worker threads to a loop.
///
/// Workers push from any thread; what was pushed since the loop last looked arrives as one batch, in order, with one
/// wake-up. Cheaper than ``EventLoop/post(_:)``: no closure for each element, and the arrays are used again.
@safe
public final class Mailbox<Element: Sendable>: MailboxDrain, @unchecked Sendable {
  // `pending` is behind the mutex; `handler` and `spare` are touched on the loop only.
  private let loop: EventLoop
  private let pending = Lock<[Element]>([])
  private var handler: (([Element]) -> Void)?
  private var spare: [Element] = []

  /// Made on the loop that reads it.
  public init(on loop: EventLoop, _ handler: @escaping ([Element]) -> Void) {
    loop.preconditionOnLoop()
    self.loop = loop
    self.handler = handler
  }

  /// From any thread.
  public func push(_ element: Element) {
    announce(
      pending.withLock { pending in
        pending.append(element)
        return pending.count == 1
      })
  }

  /// From any thread; one lock and at most one wake-up for all.
  public func push(contentsOf elements: some Collection<Element>) {
    guard !elements.isEmpty else { return }
    announce(
      pending.withLock { pending in
        let wasEmpty = pending.isEmpty
        pending.append(contentsOf: elements)
        return wasEmpty
      })
  }

  /// Later elements are dropped. On the loop.
  public func close() {
    loop.preconditionOnLoop()
    handler = nil
    pending.withLock { $0 = [] }
  }

  private func announce(_ wasEmpty: Bool) {
    if wasEmpty { loop.send(.batch(self)) }
  }

  func drain() {
    var batch = spare
    spare = []
    pending.withLock { swap(&batch, &$0) }
    if !batch.isEmpty { handler?(batch) }
    batch.removeAll(keepingCapacity: true)
    spare = batch
  }
}
