import BlockPool

/// How a session's memory is divided: `SessionConfiguration.memory` is the sum.
///
///     memory (64 MiB unless said otherwise)
///     = pool      blocks on their way between socket and disk, in either direction, and blocks kept for other peers
///     + peers     4 KiB for each that may be connected (2.6 KiB measured when idle; requests and answers beside them)
///     + threads   1 MiB for each loop, worker and writer: lists of what is under way, the heap's steps
///     + session   2 MiB: what the process has taken before the first peer comes
///
/// What stands beside the pool never takes more than an eighth of the sum. Code and libraries are not part of it: 20 to
/// 25 MiB of pages that the system shares and takes back. Of the pool itself, ``Storage`` says what each thread may hold.
struct MemoryPlan: Equatable {
  /// Blocks of the pool, 16 KiB each.
  let poolBlocks: Int

  /// - Parameter memory: bytes, at least ``Session/minimumMemory``.
  init(memory: Int, maxPeers: Int, loops: Int, workers: Int, writers: Int) {
    let bound = memory / 8
    // Divided before multiplied: nobody checks how many peers are allowed.
    let peers = min(max(0, maxPeers), bound / MemoryPlan.peer) * MemoryPlan.peer
    let threads = min(loops + workers + writers, bound / MemoryPlan.thread) * MemoryPlan.thread
    // In whole MiB, so that the pool is made of whole huge pages.
    let beside =
      (peers + threads + MemoryPlan.session + MemoryPlan.thread - 1) / MemoryPlan.thread * MemoryPlan.thread
    poolBlocks = (memory - min(beside, bound)) / BlockPool.blockLength
  }

  private static let peer = 4 << 10
  private static let thread = 1 << 20
  private static let session = 2 << 20
}
