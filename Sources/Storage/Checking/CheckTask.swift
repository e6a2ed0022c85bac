import BlockPool
import Synchronization
import TorrentModel

/// A `check` or `hash` under way, shared by the checking threads. Pieces are dealt out in slices.
final class CheckTask: Sendable {
  enum Purpose: Sendable {
    /// Compare hashes with what they must be.
    case check
    /// Find hashes out.
    case hash
  }

  let storage: TorrentStorage
  let purpose: Purpose
  /// Which of the torrent's long jobs it is.
  let number: Int
  private let state: Lock<State>

  private struct State {
    /// Pieces still to be dealt out start here.
    var next = 0
    let pieces: Bitfield
    /// Threads on the task.
    var threads = 0
    var verified: Bitfield
    var checked: Bitfield
    var hashes: [UInt8] = []
    var doneBytes: Int64 = 0
    let totalBytes: Int64
    var reportedAt: Int64 = 0
    var isCancelled = false
    var failure: StorageFailure?
  }

  /// - Parameters:
  ///   - pieces: what to read.
  ///   - absent: pieces known to be missing; they count as checked.
  init(_ storage: TorrentStorage, _ purpose: Purpose, number: Int, pieces: Bitfield, absent: Bitfield) {
    self.storage = storage
    self.purpose = purpose
    self.number = number
    var total: Int64 = 0
    pieces.forEach { total += Int64(storage.geometry.length(of: $0)) }
    var state = State(
      pieces: pieces, verified: Bitfield(capacity: pieces.capacity), checked: absent, totalBytes: total)
    if purpose == .hash { state.hashes = [UInt8](repeating: 0, count: pieces.capacity * 20) }
    self.state = Lock(state)
  }

  func start(in core: DiskCore) {
    let threads = core.checkerCount
    state.withLock { $0.threads = threads }
    // One by one: each wakes another thread.
    for _ in 0..<threads { core.checkQueue.post { $0.append(self) } }
  }

  /// Takes the next pieces, in order. About `length` bytes, but at least `lanes` pieces, as long as there are.
  func takeSlice(lanes: Int, length: Int, isClosing: Bool, into slice: inout [PieceIndex]) {
    let count = max(lanes, length / storage.geometry.pieceLength)
    state.withLock { state in
      if isClosing || storage.isCancelled(longJob: number) { state.isCancelled = true }
      guard !state.isCancelled, state.failure == nil else { return }
      while slice.count < count, let piece = state.pieces.first(from: state.next) {
        slice.append(piece)
        state.next = piece.offset + 1
      }
    }
  }

  /// Whether it makes sense to go on in the middle of a slice.
  func shouldGoOn(isClosing: Bool) -> Bool { !isClosing && !storage.isCancelled(longJob: number) }

  /// What a slice came to. Returns a progress report when it is time for one.
  func finishSlice(
    checked: [PieceIndex], verified: [PieceIndex], hashes: [(PieceIndex, [UInt8])]
  ) -> DiskCompletion.Event? {
    var bytes: Int64 = 0
    for piece in checked { bytes += Int64(storage.geometry.length(of: piece)) }
    return state.withLock { state in
      for piece in checked { state.checked.insert(piece) }
      for piece in verified { state.verified.insert(piece) }
      for (piece, hash) in hashes {
        state.hashes.replaceSubrange(piece.offset * 20..<piece.offset * 20 + 20, with: hash)
      }
      state.doneBytes += bytes
      let now = monotonicNow()
      guard now - state.reportedAt > 100_000_000 || state.doneBytes == state.totalBytes else { return nil }
      state.reportedAt = now
      return .checkProgress(done: state.doneBytes, total: state.totalBytes)
    }
  }

  func fail(_ failure: StorageFailure) { state.withLock { $0.failure = $0.failure ?? failure } }

  /// A thread found nothing more to do. For the last one: how it all ended.
  func leave() -> DiskCompletion.Event? {
    state.withLock { state in
      state.threads -= 1
      guard state.threads == 0 else { return nil }
      if let failure = state.failure { return .operationFailed(failure) }
      switch purpose {
      case .check:
        noteFiles(of: state.verified)
        return .checked(
          CheckResult(verified: state.verified, checked: state.checked, wasCancelled: state.isCancelled))
      case .hash: return .hashed(state.isCancelled ? nil : state.hashes)
      }
    }
  }

  /// Good pieces may have been left by a process that never synced them: the next save has to.
  private func noteFiles(of verified: Bitfield) {
    guard !verified.isEmpty else { return }
    let map = storage.map
    var files = FileSet(capacity: storage.files.count + 1)
    for file in storage.files.indices {
      let pieces = storage.layout.pieces(of: file, in: storage.geometry)
      guard let first = verified.first(from: pieces.lowerBound), first.offset < pieces.upperBound else {
        continue
      }
      switch map.placements[file] {
      case .own: files[file] = true
      case .part: files[storage.files.count] = true
      case .none: break
      }
    }
    storage.noteRead(files)
  }
}

extension TorrentFiles {
  /// Looks at the files and prepares a check. Nil when no piece can be there.
  func beginCheck(_ wanted: Bitfield?) throws(StorageFailure) -> CheckTask? {
    let number = storage.startedLongJobs.add(1, ordering: .relaxed).newValue
    precondition(!storage.pieceHashes.isEmpty || storage.geometry.pieceCount == 0, "nothing to check against")
    // A descriptor from before may belong to a file that is no longer at its name.
    cache.forget(torrent: storage.id)
    let map = storage.map
    let root = try openRoot(map.root, creating: false, .check)
    defer { if let root { fileSystem.close(root) } }
    let now = try survey(root: root, path: map.root, refusingOthers: false, .check)
    storage.noteSurvey(now, forgettingWrites: false)
    var pieces = Trust(storage: storage, map: map, now: now).possible()
    var absent = Bitfield(fullCapacity: storage.geometry.pieceCount)
    if let wanted {
      precondition(wanted.capacity == storage.geometry.pieceCount)
      pieces.formIntersection(wanted)
      absent = wanted
    }
    absent.subtract(pieces)
    guard !pieces.isEmpty else { return nil }
    return CheckTask(storage, .check, number: number, pieces: pieces, absent: absent)
  }

  func nothingToCheck(_ wanted: Bitfield?) -> CheckResult {
    let count = storage.geometry.pieceCount
    return CheckResult(
      verified: Bitfield(capacity: count), checked: wanted ?? Bitfield(fullCapacity: count),
      wasCancelled: false)
  }

  /// Prepares to hash a torrent in the making. Nil when it has no bytes.
  func beginHash() throws(StorageFailure) -> CheckTask? {
    let number = storage.startedLongJobs.add(1, ordering: .relaxed).newValue
    let count = storage.geometry.pieceCount
    guard count > 0 else { return nil }
    cache.forget(torrent: storage.id)
    return CheckTask(
      storage, .hash, number: number, pieces: Bitfield(fullCapacity: count), absent: Bitfield(capacity: count)
    )
  }
}
