import BlockPool
import CDisk
import Glibc

/// The machine's own file system.
public struct RealFileSystem: FileSystem {
  public init() {}

  public func write(
    _ segments: Span<BlockSegment>, of pool: BlockPool, to file: CInt, at offset: Int64
  ) throws(SystemError) {
    try pool.write(segments, to: file, at: offset)
  }

  public func read(
    into segments: Span<BlockSegment>, of pool: BlockPool, from file: CInt, at offset: Int64
  ) throws(SystemError) -> Int {
    try pool.read(into: segments, from: file, at: offset)
  }

  public func readAtHand(
    into segments: Span<BlockSegment>, of pool: BlockPool, from file: CInt, at offset: Int64
  ) throws(SystemError) -> Int {
    let count = unsafe pool.readOnce(into: segments) { vectors, count in
      unsafe spate_disk_read_at_hand(file, vectors, count, offset)
    }
    if count >= 0 { return count }
    if count == -Int(EAGAIN) { return 0 }
    throw SystemError(code: CInt(-count))
  }

  public func map(_ file: CInt, length: Int64) -> FileMapping? { FileMapping(of: file, length: length) }

  public func write(_ bytes: [UInt8], to file: CInt, at offset: Int64) throws(SystemError) {
    var done = 0
    while done < bytes.count {
      let count = unsafe bytes.withUnsafeBytes { buffer in
        unsafe pwrite(file, buffer.baseAddress! + done, buffer.count - done, off_t(offset) + done)
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw SystemError(code: count < 0 ? errno : EIO) }
      done += count
    }
  }

  public func read(_ count: Int, from file: CInt, at offset: Int64) throws(SystemError) -> [UInt8] {
    var code: CInt = 0
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      while filled < count {
        let result = unsafe pread(file, buffer.baseAddress! + filled, count - filled, off_t(offset) + filled)
        if result < 0, errno == EINTR { continue }
        if result < 0 { code = errno }
        guard result > 0 else { return }
        filled += result
      }
    }
    if code != 0 { throw SystemError(code: code) }
    return bytes
  }

  public func copy(
    from source: CInt, at sourceOffset: Int64, to target: CInt, at targetOffset: Int64, length: Int64
  ) throws(SystemError) -> Int64 {
    var done: Int64 = 0
    while done < length {
      let step = Int(min(length - done, 64 << 20))
      let count = spate_disk_copy_range(source, sourceOffset + done, target, targetOffset + done, step)
      if count == 0 { break }
      if count < 0 {
        // Kernels and file systems differ in what they copy themselves; the plain way works everywhere.
        guard [EXDEV, EINVAL, ENOSYS, EOPNOTSUPP, EPERM].contains(errno) else {
          throw SystemError(code: errno)
        }
        let bytes = try read(min(step, 1 << 20), from: source, at: sourceOffset + done)
        if bytes.isEmpty { break }
        try write(bytes, to: target, at: targetOffset + done)
        done += Int64(bytes.count)
        continue
      }
      done += count
    }
    return done
  }

  public func willRead(_ file: CInt, offset: Int64, length: Int64) {
    // The kernel caps what one call reads ahead at the device's own limit, often little above a MiB.
    var done: Int64 = 0
    while done < length {
      let step = min(length - done, 1 << 20)
      posix_fadvise(file, off_t(offset + done), off_t(step), POSIX_FADV_WILLNEED)
      done += step
    }
  }

  public func close(_ file: CInt) { Glibc.close(file) }

  public func status(of file: CInt) throws(SystemError) -> FileStatus {
    var status = stat()
    guard unsafe fstat(file, &status) == 0 else { throw SystemError(code: errno) }
    return FileStatus(status)
  }

  public func sync(_ file: CInt) throws(SystemError) { try check(fsync(file)) }

  public func syncFileSystem(of file: CInt) throws(SystemError) {
    let code = spate_disk_sync_file_system(file)
    if code != 0 { throw SystemError(code: code) }
  }

  public func setSize(_ file: CInt, to size: Int64) throws(SystemError) {
    try check(ftruncate(file, off_t(size)))
  }

  public func setModified(_ file: CInt, to nanoseconds: Int64) throws(SystemError) {
    // Rounded down, so that the part below a second is never negative.
    var seconds = nanoseconds / 1_000_000_000
    if nanoseconds % 1_000_000_000 < 0 { seconds -= 1 }
    let time = timespec(tv_sec: Int(seconds), tv_nsec: Int(nanoseconds - seconds * 1_000_000_000))
    try check(unsafe futimens(file, [time, time]))
  }

  public func setExecutable(_ file: CInt) throws(SystemError) {
    var status = stat()
    guard unsafe fstat(file, &status) == 0 else { throw SystemError(code: errno) }
    // Whoever may read may execute; what the umask took away stays away.
    let readable = status.st_mode & 0o444
    let mode = status.st_mode & 0o7777 | readable >> 2
    if mode != status.st_mode & 0o7777 { try check(fchmod(file, mode)) }
  }

  public func reserve(_ file: CInt, offset: Int64, length: Int64, growing: Bool) throws(SystemError) {
    let code = spate_disk_reserve(file, offset, length, !growing)
    if code != 0 { throw SystemError(code: code == ENOSYS ? EOPNOTSUPP : code) }
  }

  public func prefersReserved(_ file: CInt) -> Bool { spate_disk_prefers_reserved(file) }

  private func check(_ result: CInt) throws(SystemError) {
    if result < 0 { throw SystemError(code: errno) }
  }
}

extension FileStatus {
  init(_ status: stat) {
    let kind: Kind =
      switch status.st_mode & S_IFMT {
      case S_IFREG: .regular
      case S_IFDIR: .folder
      case S_IFLNK: .symlink
      default: .other
      }
    // A time outside of what 64 bits of nanoseconds hold wraps; it is only ever compared for equality.
    let modified = Int64(status.st_mtim.tv_sec) &* 1_000_000_000 &+ Int64(status.st_mtim.tv_nsec)
    self.init(
      kind: kind, size: Int64(status.st_size), modified: modified, device: UInt64(status.st_dev),
      inode: UInt64(status.st_ino))
  }
}
