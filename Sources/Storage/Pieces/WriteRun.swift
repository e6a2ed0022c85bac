import BlockPool

/// Blocks that go to the disk with one call.
struct WriteRun: Sendable {
  var storage: TorrentStorage?
  /// Where the run begins in the contents, and its bytes.
  var offset: Int64 = 0
  var length: Int64 = 0
  var segments: [BlockSegment] = []
  /// Which block of which piece each segment is.
  var origins: [(slot: Int, block: Int)] = []
  /// When it was handed to the writers, by the monotonic clock.
  var posted: Int64 = 0
  /// What a writer has to say of it.
  var failure: StorageFailure?

  /// Keeps the arrays' space.
  mutating func clear() {
    storage = nil
    length = 0
    failure = nil
    segments.removeAll(keepingCapacity: true)
    origins.removeAll(keepingCapacity: true)
  }
}
