import BlockPool
import Hashing
import TorrentModel

/// Reads and hashes pieces that lie on the disk. One of a team of threads that share the tasks.
///
/// Pieces of a slice go through the lanes side by side: of each the next few blocks are read into the thread's own scratch
/// blocks, small enough together to stay in the processor's cache between reading and hashing.
final class Checker {
  private let core: DiskCore
  private let scratch: [BlockID]
  private let lanes: SHA1Lanes
  private var io: ContentIO
  private var tasks: [CheckTask] = []
  private var slice: [PieceIndex] = []
  private var completions = CompletionBuffer()

  // The slice under way.
  private var streams: [StreamID?] = []
  private var checked: [PieceIndex] = []
  private var verified: [PieceIndex] = []
  private var hashes: [(PieceIndex, [UInt8])] = []

  // The read under way: neighbouring parts of pieces, and where each begins in `segments`.
  private var segments: [BlockSegment] = []
  private var parts: [Part] = []
  private var runOffset: Int64 = 0
  private var runLength: Int64 = 0

  private struct Part {
    /// Place of its piece in the group.
    var lane: Int
    var segments: Range<Int>
    var offset: Int64
    var length: Int64
  }

  /// Whether data seems to come from the device, and reading ahead pays.
  private var isCold = true
  private var readNanoseconds: Int64 = 0
  private var readBytes: Int64 = 0

  /// Nanoseconds a thread stays with one task while others wait.
  private static let turnTime: Int64 = 1_000_000_000
  private static let readAhead: Int64 = 1 << 20

  init(core: DiskCore, scratch: [BlockID]) {
    self.core = core
    self.scratch = scratch
    self.lanes = SHA1Lanes(pool: core.pool)
    self.io = ContentIO(pool: core.pool, cache: core.cache)
  }

  func run() {
    while case .jobs = core.checkQueue.take(into: &tasks, limit: 1) {
      for task in tasks { work(on: task) }
      tasks.removeAll(keepingCapacity: true)
    }
  }

  private func work(on task: CheckTask) {
    let start = monotonicNow()
    while true {
      slice.removeAll(keepingCapacity: true)
      task.takeSlice(
        lanes: HashEngine.maximumLanes, length: core.tuning.sliceLength, isClosing: core.isClosing,
        into: &slice)
      guard !slice.isEmpty else { break }
      hashSlice(of: task)
      if let progress = task.finishSlice(checked: checked, verified: verified, hashes: hashes) {
        completions.append(task.storage, progress)
        completions.deliver()
      }
      if monotonicNow() - start > Checker.turnTime, core.checkQueue.hasJobs {
        // Let others have their turn.
        return core.checkQueue.post { $0.append(task) }
      }
    }
    if let end = task.leave() {
      completions.append(task.storage, end)
      completions.deliver()
      core.finishedAlone(task.storage)
    }
  }

  private func hashSlice(of task: CheckTask) {
    checked.removeAll(keepingCapacity: true)
    verified.removeAll(keepingCapacity: true)
    hashes.removeAll(keepingCapacity: true)
    readNanoseconds = 0
    readBytes = 0
    let blocks = max(1, task.storage.geometry.maxBlocksPerPiece)
    // Short pieces fill the scratch blocks whole; of long ones each lane gets an equal share.
    let width =
      blocks * HashEngine.maximumLanes <= scratch.count
      ? scratch.count / blocks : min(HashEngine.maximumLanes, scratch.count)
    let share = min(blocks, scratch.count / width)
    if isCold { announce(slice[...], of: task.storage, from: 0) }
    var first = 0
    while first < slice.count {
      let group = slice[first..<min(first + width, slice.count)]
      guard hash(group, share: share, of: task) else { break }
      first = group.endIndex
    }
    if readBytes > 0 {
      // Below 2 GiB/s it is no copy from the page cache.
      isCold = readNanoseconds > readBytes / 2
      let bytes = readBytes
      core.count {
        $0.readBytes += bytes
        $0.hashRuns += 1
      }
    }
  }

  /// Hashes some pieces side by side. Returns false when the task ended meanwhile.
  private func hash(_ group: ArraySlice<PieceIndex>, share: Int, of task: CheckTask) -> Bool {
    let storage = task.storage
    let geometry = storage.geometry
    streams.removeAll(keepingCapacity: true)
    for _ in group { streams.append(lanes.open()) }
    var position = 0
    let end = group.map { geometry.length(of: $0) }.max() ?? 0
    var isGoingOn = true
    while position < end {
      guard task.shouldGoOn(isClosing: core.isClosing) else {
        isGoingOn = false
        break
      }
      if isCold, position > 0, Int64(position) % Checker.readAhead < Int64(share * blockLength) {
        announce(group, of: storage, from: Int64(position) + Checker.readAhead)
      }
      var used = 0
      for (lane, piece) in group.enumerated() where streams[lane] != nil {
        let length = min(geometry.length(of: piece) - position, share * blockLength)
        guard length > 0 else { continue }
        let offset = geometry.start(of: piece) + Int64(position)
        if runOffset + runLength != offset, !read(task) { isGoingOn = false }
        if parts.isEmpty { runOffset = offset }
        let start = segments.count
        var left = length
        while left > 0 {
          let count = min(left, blockLength)
          segments.append(BlockSegment(block: scratch[used], count: count))
          used += 1
          left -= count
        }
        parts.append(
          Part(lane: lane, segments: start..<segments.count, offset: offset, length: Int64(length)))
        runLength += Int64(length)
      }
      if !read(task) { isGoingOn = false }
      position += share * blockLength
      for (lane, piece) in group.enumerated() where geometry.length(of: piece) <= position {
        guard let stream = streams[lane], geometry.length(of: piece) > position - share * blockLength else {
          continue
        }
        lanes.finish(stream)
      }
      lanes.run { stream, digest in
        guard let lane = streams.firstIndex(of: stream) else { return }
        streams[lane] = nil
        finish(group[group.startIndex + lane], digest, of: task)
      }
      if !isGoingOn { break }
    }
    for stream in streams { if let stream { lanes.cancel(stream) } }
    return isGoingOn
  }

  private func finish(_ piece: PieceIndex, _ digest: SHA1Digest, of task: CheckTask) {
    checked.append(piece)
    switch task.purpose {
    case .check: if task.storage.isRight(digest, for: piece) { verified.append(piece) }
    case .hash: hashes.append((piece, digest.bytes))
    }
  }

  /// Reads the run and queues its blocks for the lanes. A piece that cannot be read is left out; false when the task
  /// failed for it.
  private func read(_ task: CheckTask) -> Bool {
    defer {
      segments.removeAll(keepingCapacity: true)
      parts.removeAll(keepingCapacity: true)
      runLength = 0
    }
    guard !parts.isEmpty else { return true }
    let start = monotonicNow()
    defer {
      readNanoseconds += monotonicNow() - start
      readBytes += runLength
    }
    do throws(StorageFailure) {
      try io.read(segments, length: runLength, from: task.storage, at: runOffset)
      for part in parts { queue(part) }
      return true
    } catch {
      if parts.count == 1 { return leaveOut(parts[0], error, of: task) }
    }
    // One by one, to find out which of them cannot be read.
    for part in parts {
      do throws(StorageFailure) {
        try io.read(
          Array(segments[part.segments]), length: part.length, from: task.storage, at: part.offset)
        queue(part)
      } catch {
        if !leaveOut(part, error, of: task) { return false }
      }
    }
    return true
  }

  private func queue(_ part: Part) {
    guard let stream = streams[part.lane] else { return }
    for segment in segments[part.segments] {
      lanes.append(stream, block: segment.block, count: Int(segment.count))
    }
  }

  private func leaveOut(_ part: Part, _ failure: StorageFailure, of task: CheckTask) -> Bool {
    if let stream = streams[part.lane] { lanes.cancel(stream) }
    streams[part.lane] = nil
    switch failure.cause {
    case .fileMissing, .fileTruncated:
      // For a check that is an answer: the piece is not there.
      guard task.purpose == .hash else {
        checked.append(task.storage.piece(at: part.offset))
        return true
      }
    default: break
    }
    task.fail(failure)
    return false
  }

  /// Tells the system what will be read soon.
  private func announce(_ pieces: ArraySlice<PieceIndex>, of storage: TorrentStorage, from position: Int64) {
    let map = storage.map
    var start: Int64 = 0
    var end: Int64 = 0
    func announceRun() {
      guard end > start else { return }
      for span in storage.layout.spans(from: start, length: end - start)
      where map.placements[span.file] == .own {
        guard let file = try? io.cache.file(span.file, of: storage, map: map, writing: false) else {
          continue
        }
        io.cache.fileSystem.willRead(file.descriptor, offset: span.offset, length: span.length)
      }
    }
    for piece in pieces {
      let length = Int64(storage.geometry.length(of: piece))
      let from = storage.geometry.start(of: piece) + position
      let count = min(length - position, position == 0 ? 2 * Checker.readAhead : Checker.readAhead)
      guard count > 0 else { continue }
      if from != end {
        announceRun()
        start = from
      }
      end = from + count
    }
    announceRun()
  }
}
