import BlockPool
import Storage
import Synchronization

/// A disk service for one job without a session: checking or hashing what lies in a folder.
struct OfflineDisk: Sendable {
  let disk: DiskService
  let port: CompletionPort
  let events: AsyncStream<DiskCompletion.Event>

  /// - Parameters:
  ///   - workers: threads that read and hash, each up to 16 streams at once.
  ///   - memory: bytes for reading; not more than 4 MiB for each thread are used.
  init(workers: Int, memory: Int = 64 << 20) throws(BlockPoolError) {
    let pool = try BlockPool(capacity: memory / BlockPool.blockLength)
    disk = DiskService(pool: pool, workers: 1, checkers: workers, isForChecking: true)
    let (stream, continuation) = AsyncStream<DiskCompletion.Event>.makeStream()
    events = stream
    port = CompletionPort { completions in
      for completion in completions { continuation.yield(completion.event) }
      completions.removeAll(keepingCapacity: true)
    }
  }

  func submit(_ storage: TorrentStorage, _ work: DiskJob.Work) {
    var jobs = [DiskJob(storage, work)]
    disk.submit(&jobs)
  }
}
