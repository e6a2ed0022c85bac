import BlockPool

struct ReadJob: Sendable {
  let storage: TorrentStorage
  let read: BlockRead

  var end: Int64 { read.offset + Int64(read.length) }
}

/// Reads blocks for upload. One of a team that shares a queue: while one waits for the device, others go on.
final class BlockReader {
  private let core: DiskCore
  private var io: ContentIO
  private var jobs: [ReadJob] = []
  private var segments: [BlockSegment] = []
  private var completions = CompletionBuffer()
  private var tally = JobTally()
  private var statistics = DiskStatistics()

  /// Reads that one thread takes at a time; the rest is for the next thread.
  private static let batch = 32
  /// Bytes of one call, over neighbouring reads.
  private static let runLength: Int64 = 4 << 20

  init(core: DiskCore) {
    self.core = core
    self.io = ContentIO(pool: core.pool, cache: core.cache)
  }

  func run() {
    while true {
      guard case .jobs = core.readQueue.take(into: &jobs, limit: BlockReader.batch) else { return }
      jobs.sort {
        $0.storage.id != $1.storage.id ? $0.storage.id < $1.storage.id : $0.read.offset < $1.read.offset
      }
      var first = 0
      while first < jobs.count {
        var end = first + 1
        while end < jobs.count, jobs[end].storage === jobs[first].storage,
          jobs[end].read.offset == jobs[end - 1].end,
          jobs[end].end - jobs[first].read.offset <= BlockReader.runLength
        { end += 1 }
        read(first..<end)
        first = end
      }
      completions.deliver()
      for job in jobs { tally.add(job.storage) }
      tally.report(to: core)
      jobs.removeAll(keepingCapacity: true)
      let done = statistics
      core.count {
        $0.readCalls += done.readCalls
        $0.readBytes += done.readBytes
      }
      statistics = DiskStatistics()
    }
  }

  /// Reads neighbours with one call; one by one when that fails, so that each gets its own answer.
  private func read(_ range: Range<Int>) {
    let storage = jobs[range.lowerBound].storage
    segments.removeAll(keepingCapacity: true)
    for job in jobs[range] {
      var left = job.read.length
      for i in 0..<job.read.blockCount {
        let count = min(left, BlockPool.blockLength)
        segments.append(BlockSegment(block: job.read.blocks[i], count: count))
        left -= count
      }
    }
    let offset = jobs[range.lowerBound].read.offset
    let length = jobs[range.upperBound - 1].end - offset
    do throws(StorageFailure) {
      guard offset >= 0, offset + length <= storage.geometry.totalLength else {
        throw StorageFailure(.read, .fileTruncated, path: storage.root)
      }
      try io.read(segments, length: length, from: storage, at: offset)
      storage.writing.noteRead(length)
      statistics.readCalls += 1
      statistics.readBytes += length
      for job in jobs[range] {
        completions.append(storage, .blocksRead(token: job.read.token, length: job.read.length))
      }
    } catch {
      guard range.count > 1 else {
        return completions.append(storage, .readFailed(token: jobs[range.lowerBound].read.token, error))
      }
      for i in range { read(i..<i + 1) }
    }
  }
}
