import BlockPool
import CDisk
import Glibc

/// Names below a folder, one component at a time: a symbolic link that stands in the way is never followed, whoever put
/// it there and whenever.
extension RealFileSystem {
  /// `O_DIRECT`, which Swift's view of the C library is without.
  private static let direct = spate_disk_direct_flag
  private static let folderFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC

  public func openFolder(_ path: String, creating: Bool) throws(SystemError) -> CInt {
    let file = unsafe Glibc.open(path, RealFileSystem.folderFlags)
    if file >= 0 { return file }
    guard errno == ENOENT, creating else { throw SystemError(code: errno) }
    // The user chose this path, so links on the way are the user's as well.
    var end = path.startIndex
    while end != path.endIndex {
      end = path[end...].dropFirst().firstIndex(of: "/") ?? path.endIndex
      let failed = unsafe mkdir(String(path[..<end]), 0o777) < 0
      if failed, errno != EEXIST, errno != EISDIR, end == path.endIndex {
        throw SystemError(code: errno)
      }
    }
    let made = unsafe Glibc.open(path, RealFileSystem.folderFlags)
    guard made >= 0 else { throw SystemError(code: errno) }
    return made
  }

  public func open(_ path: String, below folder: CInt, for access: FileAccess) throws(SystemError) -> CInt {
    let file: CInt
    switch access {
    case .read:
      // Without O_NONBLOCK a FIFO put in place of a file would stop the thread for good.
      file = unsafe openat(folder, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
      if file < 0 { throw SystemError(code: errno) }
    case .write, .create:
      let flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | (access == .create ? O_CREAT : 0)
      file = try inParent(of: path, below: folder, creating: access == .create) {
        parent, name throws(SystemError) in
        let file = unsafe openat(parent, name, flags, 0o666)
        if file < 0 { throw SystemError(code: errno) }
        return file
      }
    }
    return try regular(file)
  }

  public func openDirect(_ path: String, below folder: CInt) throws(SystemError) -> CInt {
    let flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | RealFileSystem.direct
    let file = try inParent(of: path, below: folder, creating: false) { parent, name throws(SystemError) in
      let file = unsafe openat(parent, name, flags)
      if file < 0 { throw SystemError(code: errno == EINVAL ? EOPNOTSUPP : errno) }
      return file
    }
    let alignment = spate_disk_direct_alignment(try regular(file))
    guard alignment > 0, 4096.isMultiple(of: Int(alignment)) else {
      close(file)
      throw SystemError(code: EOPNOTSUPP)
    }
    return file
  }

  /// Closes anything but a regular file.
  private func regular(_ file: CInt) throws(SystemError) -> CInt {
    do throws(SystemError) {
      guard try status(of: file).kind == .regular else { throw SystemError(code: EEXIST) }
    } catch {
      close(file)
      throw error
    }
    return file
  }

  public func status(
    of path: String, below folder: CInt, followingLink: Bool
  ) throws(SystemError) -> FileStatus? {
    var status = stat()
    if unsafe fstatat(folder, path, &status, followingLink ? 0 : AT_SYMLINK_NOFOLLOW) == 0 {
      return FileStatus(status)
    }
    // ENOTDIR: a file stands where a folder should be, so the name is not there. ELOOP: a link that leads nowhere.
    if errno == ENOENT || errno == ENOTDIR || errno == ELOOP { return nil }
    throw SystemError(code: errno)
  }

  public func makeFolder(_ path: String, below folder: CInt) throws(SystemError) {
    try inParent(of: path, below: folder, creating: true) { parent, name throws(SystemError) in
      if unsafe mkdirat(parent, name, 0o777) < 0, errno != EEXIST { throw SystemError(code: errno) }
    }
  }

  public func makeLink(_ text: String, at path: String, below folder: CInt) throws(SystemError) {
    try inParent(of: path, below: folder, creating: true) { parent, name throws(SystemError) in
      if unsafe symlinkat(text, parent, name) < 0 { throw SystemError(code: errno) }
    }
  }

  public func readLink(_ path: String, below folder: CInt) throws(SystemError) -> String {
    try inParent(of: path, below: folder, creating: false) { parent, name throws(SystemError) in
      var code: CInt = 0
      let bytes = unsafe [UInt8](unsafeUninitializedCapacity: Int(PATH_MAX)) { buffer, filled in
        let count = unsafe buffer.withMemoryRebound(to: CChar.self) { text in
          unsafe readlinkat(parent, name, text.baseAddress!, text.count)
        }
        if count < 0 { code = errno } else { filled = count }
      }
      if code != 0 { throw SystemError(code: code) }
      return String(decoding: bytes, as: UTF8.self)
    }
  }

  public func rename(
    _ path: String, below folder: CInt, to newPath: String, below newFolder: CInt
  ) throws(SystemError) {
    try inParent(of: path, below: folder, creating: false) { parent, name throws(SystemError) in
      try inParent(of: newPath, below: newFolder, creating: true) { newParent, newName throws(SystemError) in
        if unsafe renameat(parent, name, newParent, newName) < 0 { throw SystemError(code: errno) }
      }
    }
  }

  public func remove(_ path: String, below folder: CInt) throws(SystemError) {
    try inParent(of: path, below: folder, creating: false) { parent, name throws(SystemError) in
      if unsafe unlinkat(parent, name, 0) < 0 { throw SystemError(code: errno) }
    }
  }

  public func removeEmptyFolder(_ path: String, below folder: CInt) throws(SystemError) {
    try inParent(of: path, below: folder, creating: false) { parent, name throws(SystemError) in
      if unsafe unlinkat(parent, name, AT_REMOVEDIR) < 0 { throw SystemError(code: errno) }
    }
  }

  /// Opens the folder that `path` is directly in and hands it on with the last component.
  private func inParent<R>(
    of path: String, below folder: CInt, creating: Bool, _ body: (CInt, String) throws(SystemError) -> R
  ) throws(SystemError) -> R {
    var parent = folder
    defer { if parent != folder { close(parent) } }
    var rest = path[...]
    while let slash = rest.firstIndex(of: "/") {
      let name = String(rest[..<slash])
      rest = rest[rest.index(after: slash)...]
      let flags = RealFileSystem.folderFlags | O_NOFOLLOW
      var next = unsafe openat(parent, name, flags)
      if next < 0, errno == ENOENT, creating {
        if unsafe mkdirat(parent, name, 0o777) < 0, errno != EEXIST { throw SystemError(code: errno) }
        next = unsafe openat(parent, name, flags)
      }
      if next < 0 {
        let code = errno
        // The kernel calls a link met with O_DIRECTORY and O_NOFOLLOW "not a directory"; people want to know better.
        guard code == ENOTDIR else { throw SystemError(code: code) }
        let found = try status(of: name, below: parent, followingLink: false)
        throw SystemError(code: found?.kind == .symlink ? ELOOP : code)
      }
      if parent != folder { close(parent) }
      parent = next
    }
    return try body(parent, String(rest))
  }
}
