import TorrentModel

/// When a torrent's resume record has to be written, and where.
struct ResumeKeeper {
  /// Something was verified since the record was last written.
  var isDirty = false
  /// A record is with the disk.
  var isSaving = false
  var dueAt = Moment.distantFuture
  /// What the torrent had when its storage failed; vouched for when it is opened again.
  var known: Bitfield?

  /// Makes sure that a record is written within `interval` seconds.
  mutating func touch(now: Moment, interval: Int) {
    guard isDirty, !isSaving, dueAt == .distantFuture else { return }
    dueAt = now + .seconds(max(1, interval))
  }
}
