import Synchronization

/// How verified data gets to the device.
public enum WriteMode: Hashable, Sendable {
  /// By the page cache or past it, whichever suits: see ``WriteRoute``.
  case automatic
  /// Into the page cache; the system writes it to the device when it sees fit.
  case cached
  /// Straight from the pool to the device wherever the file system can (`O_DIRECT`).
  case direct
}

/// Decides which way a run of verified blocks goes.
///
/// Past the page cache a byte costs a fifth of the CPU time: the device fetches it from the pool, and nothing is copied, no
/// page of memory is found for it and none is written back later. Other programs keep what they had in memory. But a slow
/// device is not hidden, and whoever reads the data next has to fetch it from there. So runs go the direct way
///
/// - of torrents too long to be in memory when somebody opens them,
/// - while peers do not ask for much of what is being written,
/// - and while the device is quick: one that is not gains by the order in which the system writes.
struct WriteRoute: Sendable {
  var mode = WriteMode.automatic
  /// Bytes of contents from which a torrent is long.
  var longTorrent: Int64 = 256 << 20
  /// Nanoseconds from a run's posting to its end, behind all others that are on their way, from which a device is slow.
  var slowRun: Int64 = 150_000_000
  /// Nanoseconds for which the page cache then takes the torrent's runs.
  var slowTime: Int64 = 10_000_000_000

  /// Bytes, of a run or of what of it lies in one file, below which a call costs more than a copy.
  var leastLength: Int64 = 256 << 10

  /// - Parameter length: bytes of the run.
  func isDirect(length: Int64, of storage: TorrentStorage, now: Int64) -> Bool {
    guard length >= leastLength else { return false }
    switch mode {
    case .cached: return false
    case .direct: return true
    case .automatic:
      // The gauge is told of every run, whatever else speaks against it.
      return storage.geometry.totalLength >= longTorrent && !storage.writing.isReadWhile(writing: length)
        && now >= storage.writing.slowUntil.load(ordering: .relaxed)
    }
  }

  /// A run took so long to get to the device.
  func noteRun(nanoseconds: Int64, of storage: TorrentStorage, now: Int64) {
    guard nanoseconds > slowRun else { return }
    storage.writing.slowUntil.max(now + slowTime, ordering: .relaxed)
  }
}

/// What a torrent's writes go by: how much is read for upload beside them, and how quick the device is.
struct WriteGauge: ~Copyable, Sendable {
  private let read = Atomic<Int64>(0)
  private let written = Atomic<Int64>(0)
  /// What the last window said.
  private let wasRead = Atomic<Bool>(false)
  /// Until when the device counts as slow, by the monotonic clock.
  let slowUntil = Atomic<Int64>(.min)

  /// Bytes written after which is judged anew.
  static let window: Int64 = 64 << 20
  /// One byte read for so many written is much.
  static let ratio: Int64 = 8

  func noteRead(_ length: Int64) { read.add(length, ordering: .relaxed) }

  /// Whether what is written now is likely to be read soon. Threads that get here at once may blur a window's end.
  func isReadWhile(writing length: Int64) -> Bool {
    let sum = written.add(length, ordering: .relaxed).newValue
    if sum >= WriteGauge.window {
      written.store(0, ordering: .relaxed)
      let share = read.exchange(0, ordering: .relaxed)
      wasRead.store(share >= sum / WriteGauge.ratio, ordering: .relaxed)
    }
    return wasRead.load(ordering: .relaxed)
      || read.load(ordering: .relaxed) >= WriteGauge.window / WriteGauge.ratio
  }
}
