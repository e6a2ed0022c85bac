import BlockPool

/// What the system says about a name or an open file.
public struct FileStatus: Hashable, Sendable {
  public enum Kind: Hashable, Sendable { case regular, folder, symlink, other }
  public var kind: Kind
  /// Bytes.
  public var size: Int64
  /// Time of the last change of contents, nanoseconds since 1970.
  public var modified: Int64
  public var device: UInt64
  public var inode: UInt64

  public init(kind: Kind, size: Int64, modified: Int64, device: UInt64 = 0, inode: UInt64 = 0) {
    self.kind = kind
    self.size = size
    self.modified = modified
    self.device = device
    self.inode = inode
  }
}

public enum FileAccess: Hashable, Sendable {
  /// Reading. Symbolic links are followed: people seed through them.
  case read
  /// Reading and writing an existing file. No symbolic link below the folder is followed.
  case write
  /// As `write`; the file and the folders on the way to it are made if missing.
  case create
}

/// The system calls Storage makes. A seam: tests put disks here that are full, broken or slow.
///
/// Descriptors are plain numbers. `path` is relative to the folder it is said to be below, with `/` between components
/// that are never empty, `.` or `..`. Except where it says so, no symbolic link *below* the folder is followed, whoever
/// put it there, so nothing outside the folder can be written, renamed or removed.
public protocol FileSystem: Sendable {
  // Contents.
  /// Writes all segments end to end.
  func write(_ segments: Span<BlockSegment>, of pool: BlockPool, to file: CInt, at offset: Int64)
    throws(SystemError)
  /// Fills the segments end to end; returns the bytes read, fewer at the end of the file.
  func read(
    into segments: Span<BlockSegment>, of pool: BlockPool, from file: CInt, at offset: Int64
  ) throws(SystemError) -> Int
  /// As ``read(into:of:from:at:)``, but only what is in memory: the device is not waited for. Returns the bytes read, fewer
  /// where the next ones are not at hand. Fails with `EOPNOTSUPP` where the file system cannot tell.
  func readAtHand(
    into segments: Span<BlockSegment>, of pool: BlockPool, from file: CInt, at offset: Int64
  ) throws(SystemError) -> Int
  /// The first `length` bytes for the kernel to send from; nil where that is not to be had.
  func map(_ file: CInt, length: Int64) -> FileMapping?
  func write(_ bytes: [UInt8], to file: CInt, at offset: Int64) throws(SystemError)
  /// Up to `count` bytes, fewer at the end of the file.
  func read(_ count: Int, from file: CInt, at offset: Int64) throws(SystemError) -> [UInt8]
  /// Copies all of a range from file to file; returns fewer than `length` at the end of the source.
  func copy(from: CInt, at: Int64, to: CInt, at: Int64, length: Int64) throws(SystemError) -> Int64
  func willRead(_ file: CInt, offset: Int64, length: Int64)

  // Open files.
  func close(_ file: CInt)
  func status(of file: CInt) throws(SystemError) -> FileStatus
  func sync(_ file: CInt) throws(SystemError)
  /// Syncs everything on the file system that `file` is on.
  func syncFileSystem(of file: CInt) throws(SystemError)
  func setSize(_ file: CInt, to size: Int64) throws(SystemError)
  func setModified(_ file: CInt, to nanoseconds: Int64) throws(SystemError)
  func setExecutable(_ file: CInt) throws(SystemError)
  /// Takes space for a range. Fails with `EOPNOTSUPP` where there is no such thing.
  func reserve(_ file: CInt, offset: Int64, length: Int64, growing: Bool) throws(SystemError)
  /// Whether writes into reserved space are cheaper than into holes.
  func prefersReserved(_ file: CInt) -> Bool

  // Names.
  /// Opens a folder by a path of the user's choice; links are followed. With `creating`, missing folders are made.
  func openFolder(_ path: String, creating: Bool) throws(SystemError) -> CInt
  func open(_ path: String, below folder: CInt, for access: FileAccess) throws(SystemError) -> CInt
  /// Opens a regular file that is there for writing past the page cache: offsets, lengths and addresses are to be
  /// multiples of 4096. No symbolic link is followed. Fails with `EOPNOTSUPP` where that is not to be had.
  func openDirect(_ path: String, below folder: CInt) throws(SystemError) -> CInt
  /// Nil when nothing is there. A link at the end of `path` is followed or not; links before it are followed.
  func status(of path: String, below folder: CInt, followingLink: Bool) throws(SystemError) -> FileStatus?
  func makeFolder(_ path: String, below folder: CInt) throws(SystemError)
  func makeLink(_ text: String, at path: String, below folder: CInt) throws(SystemError)
  /// The text of a symbolic link.
  func readLink(_ path: String, below folder: CInt) throws(SystemError) -> String
  func rename(_ path: String, below: CInt, to: String, below: CInt) throws(SystemError)
  func remove(_ path: String, below folder: CInt) throws(SystemError)
  func removeEmptyFolder(_ path: String, below folder: CInt) throws(SystemError)
}
