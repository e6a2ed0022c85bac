/// What a file looked like at one moment, to tell whether it changed since.
struct FileStamp: Hashable, Sendable {
  /// Bytes; -1 for a file that was not there.
  var size: Int64
  /// Time of the last change of contents, nanoseconds since 1970.
  var modified: Int64

  static let missing = FileStamp(size: -1, modified: 0)
  var isMissing: Bool { size < 0 }
}
