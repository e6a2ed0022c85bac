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

  /// One record for each torrent in each download folder: the same torrent may be in two.
  static func path(infoHash: InfoHash, root: String, in configuration: SessionConfiguration) -> String? {
    guard let folder = configuration.resumeFolder else { return nil }
    // FNV-1a: a name, not a secret; the record itself says what it belongs to.
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in root.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return "\(folder)/\(infoHash.hex)-\(String(hash, radix: 16)).resume"
  }
}
