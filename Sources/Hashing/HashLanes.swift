import BlockPool

/// Many messages hashed side by side, in the lanes of wide registers: pieces of a torrent as their blocks arrive, or
/// whole.
///
/// A piece is a stream. Its blocks are queued in order with ``append(_:block:offset:count:)`` as they are there, and
/// after the last one ``finish(_:)`` asks for the digest. Nothing is hashed until ``run(_:)``, which takes the next
/// block of up to 16 streams at a time, and whatever kernel finishes soonest for as many as there are
/// (``HashEngine``). So queue what has come before each run: sixteen streams take about four times as long as one.
///
/// ```swift
/// let piece = lanes.open()
/// lanes.append(piece, block: first, count: 16384)
/// lanes.append(piece, block: second, count: 10_000)
/// lanes.finish(piece)
/// lanes.run { stream, digest in … }
/// ```
///
/// Blocks are read where they lie: whoever queues one leaves it alone until it is consumed. That is when ``run(_:)``
/// or ``cancel(_:)`` has returned, or, between calls of ``runPass(_:)``, as far as ``consumedBytes(of:)`` says.
///
/// Belongs to one thread. Once as many streams and blocks were in use as ever will be, nothing here takes memory.
public final class HashLanes<Digest: HashDigest> {
  private let scheduler: LaneScheduler
  private var isDelivering = false

  public init(pool: BlockPool, engine: HashEngine = .current) {
    scheduler = LaneScheduler(pool: pool, engine: engine, algorithm: Digest.algorithm)
  }

  public var engine: HashEngine { scheduler.engine }

  /// Streams that are neither delivered nor cancelled.
  public var openCount: Int { scheduler.streams.openCount }

  /// Blocks that are queued and not yet consumed.
  public var queuedBlockCount: Int { scheduler.streams.queuedBlocks }

  /// Whether ``run(_:)`` has nothing to do.
  public var isIdle: Bool { scheduler.isIdle }

  /// Starts a message.
  public func open() -> StreamID { scheduler.open() }

  /// Queues bytes of a block of the pool, after what the stream has. `count` need not be a multiple of anything.
  public func append(_ stream: StreamID, block: BlockID, offset: Int = 0, count: Int) {
    scheduler.append(stream, block: block, offset: offset, count: count)
  }

  /// Hashes bytes that lie elsewhere, at once, and what is queued on the stream before them: they may change when
  /// this returns. Alone in its lanes, so for headers and odd bytes, not for bulk.
  public func append(_ stream: StreamID, bytes: RawSpan) {
    scheduler.append(stream, bytes: bytes)
  }

  /// Asks for the digest of what has been queued. Nothing more can be appended.
  public func finish(_ stream: StreamID) { scheduler.finish(stream) }

  /// Forgets a stream and what it has queued. Its digest is not delivered.
  public func cancel(_ stream: StreamID) { scheduler.cancel(stream) }

  /// How many of the stream's bytes have been taken from their blocks, from its start. Blocks before that may be used
  /// again; queued ones are taken in order.
  public func consumedBytes(of stream: StreamID) -> UInt64 { scheduler.consumedBytes(of: stream) }

  /// Hashes all that is queued; then every queued block is consumed. Delivers the digests of finished streams as they
  /// come, whose ids are stale from then on. The closure may open, fill, finish and cancel other streams: what it
  /// queues is hashed as well.
  public func run(_ onFinished: (StreamID, Digest) -> Void) {
    while runPass(onFinished) {}
  }

  /// Hashes one batch: a block each of as many as 64 streams, and the padding of streams that ended in the batch
  /// before. For callers with other things to see to in between. Returns false when there was nothing to do.
  public func runPass(_ onFinished: (StreamID, Digest) -> Void) -> Bool {
    precondition(!isDelivering, "the lanes are running")
    guard scheduler.runPass() else { return false }
    isDelivering = true
    for index in scheduler.finished.indices {
      let finished = scheduler.finished[index]
      onFinished(finished.stream, Digest(state: finished.state))
    }
    isDelivering = false
    return true
  }
}

/// Lanes for the pieces of BitTorrent v1 (BEP 3).
public typealias SHA1Lanes = HashLanes<SHA1Digest>

/// Lanes for the blocks of BitTorrent v2 (BEP 52).
public typealias SHA256Lanes = HashLanes<SHA256Digest>
