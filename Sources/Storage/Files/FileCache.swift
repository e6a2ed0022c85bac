import BlockPool
import Glibc
import Synchronization

/// Open files of all torrents, shared by all threads, least recently used closed first.
///
/// The cache counts what it keeps: a thread that still writes to a file that was put out keeps it open a moment longer.
final class FileCache: Sendable {
  struct Key: Hashable, Sendable {
    var torrent: UInt32
    /// A file's number; the number of files for the part file; -1 for the root folder; -2 minus its number for a file
    /// opened to be written past the page cache.
    var file: Int32
  }

  let limit: Int
  let fileSystem: any FileSystem
  private let table: Lock<Table>
  let lanes = WriteLanes()

  init(limit: Int, fileSystem: any FileSystem) {
    self.limit = max(1, limit)
    self.fileSystem = fileSystem
    self.table = Lock(Table())
  }

  /// The number of files kept open.
  var count: Int { table.withLock { $0.count } }

  func lookup(_ key: Key, writing: Bool) -> OpenFile? {
    table.withLock { table in
      guard let file = table.use(key), file.isWritable || !writing else { return nil }
      return file
    }
  }

  /// Keeps `file`. When another thread was faster, that thread's file is the one to use.
  func keep(_ file: OpenFile, as key: Key) -> OpenFile {
    var dropped: [OpenFile] = []
    let kept = table.withLock { table in
      if let present = table.use(key) {
        if present.isWritable || !file.isWritable { return present }
        if let old = table.remove(key) { dropped.append(old) }
      }
      while table.count >= limit, let old = table.removeOldest() { dropped.append(old) }
      table.insert(file, as: key)
      return file
    }
    // Only now are the files that were put out closed, outside of the lock: closing may take its time.
    dropped.removeAll()
    return kept
  }

  func forget(_ key: Key) {
    let dropped = table.withLock { $0.remove(key) }
    _ = dropped
  }

  /// Forgets all files of a torrent.
  func forget(torrent: UInt32) {
    let dropped = table.withLock { $0.removeAll { $0.torrent == torrent } }
    _ = dropped
  }

  /// Forgets half of the files: the system has no more descriptors for us.
  func forgetHalf() {
    var dropped: [OpenFile] = []
    table.withLock { table in
      for _ in 0..<(table.count + 1) / 2 {
        if let old = table.removeOldest() { dropped.append(old) }
      }
    }
    dropped.removeAll()
  }

  /// A dictionary whose entries are also a list in order of use.
  private struct Table {
    private struct Entry {
      var key: Key
      var file: OpenFile?
      /// Neighbours in order of use, -1 at the ends.
      var newer = -1
      var older = -1
    }

    private var index: [Key: Int] = [:]
    private var entries: [Entry] = []
    private var free: [Int] = []
    private var newest = -1
    private var oldest = -1

    var count: Int { index.count }

    /// Finds a file and makes it the most recently used.
    mutating func use(_ key: Key) -> OpenFile? {
      guard let slot = index[key] else { return nil }
      if slot != newest {
        unlink(slot)
        link(slot)
      }
      return entries[slot].file
    }

    mutating func insert(_ file: OpenFile, as key: Key) {
      let slot: Int
      if let reused = free.popLast() {
        slot = reused
        entries[slot] = Entry(key: key, file: file)
      } else {
        slot = entries.count
        entries.append(Entry(key: key, file: file))
      }
      index[key] = slot
      link(slot)
    }

    mutating func remove(_ key: Key) -> OpenFile? {
      guard let slot = index.removeValue(forKey: key) else { return nil }
      unlink(slot)
      free.append(slot)
      defer { entries[slot].file = nil }
      return entries[slot].file
    }

    mutating func removeOldest() -> OpenFile? {
      oldest < 0 ? nil : remove(entries[oldest].key)
    }

    mutating func removeAll(where isMeant: (Key) -> Bool) -> [OpenFile] {
      index.keys.filter(isMeant).compactMap { remove($0) }
    }

    private mutating func link(_ slot: Int) {
      entries[slot].older = newest
      entries[slot].newer = -1
      if newest >= 0 { entries[newest].newer = slot } else { oldest = slot }
      newest = slot
    }

    private mutating func unlink(_ slot: Int) {
      let entry = entries[slot]
      if entry.newer >= 0 { entries[entry.newer].older = entry.older } else { newest = entry.older }
      if entry.older >= 0 { entries[entry.older].newer = entry.newer } else { oldest = entry.newer }
    }
  }
}

extension FileCache {
  /// The root folder of a torrent.
  func root(of storage: TorrentStorage, map: FileMap, creating: Bool) throws(StorageFailure) -> OpenFile {
    let key = Key(torrent: storage.id, file: -1)
    if let folder = lookup(key, writing: false) { return folder }
    do throws(SystemError) {
      let descriptor = try withDescriptors { () throws(SystemError) in
        try fileSystem.openFolder(map.root, creating: creating)
      }
      return keep(try adopt(descriptor, isWritable: false, reservesAhead: false), as: key)
    } catch {
      throw StorageFailure(creating ? .createFolder : .open, errno: error.code, path: map.root)
    }
  }

  /// A file of a torrent, or its part file under the number behind its last file.
  ///
  /// Opened for writing, a file that was never there is made; one that was there and is gone is a failure.
  func file(
    _ number: Int, of storage: TorrentStorage, map: FileMap, writing: Bool
  ) throws(StorageFailure) -> OpenFile {
    let key = Key(torrent: storage.id, file: Int32(truncatingIfNeeded: number))
    if let file = lookup(key, writing: writing) { return file }
    let path = storage.path(ofFile: number)
    let root = try root(of: storage, map: map, creating: writing)
    let expected = storage.knownSize(ofFile: number)
    let access: FileAccess = !writing ? .read : expected >= 0 ? .write : .create
    do throws(SystemError) {
      let descriptor = try withDescriptors { () throws(SystemError) in
        try fileSystem.open(path, below: root.descriptor, for: access)
      }
      let reservesAhead =
        writing && storage.allocation == .ahead && number < storage.files.count
        && fileSystem.prefersReserved(descriptor)
      let file = try adopt(descriptor, isWritable: writing, reservesAhead: reservesAhead)
      if file.size < expected { throw SystemError(code: FileCache.truncated) }
      if writing { try prepare(file, number: number, of: storage, isNew: access == .create) }
      return keep(file, as: key)
    } catch {
      throw failure(.open, error, path: "\(map.root)/\(path)", file: number)
    }
  }

  /// As `file`, which is open for writing, but for writes past the page cache. Nil where that is not possible.
  func direct(_ number: Int, beside file: OpenFile, of storage: TorrentStorage, map: FileMap) -> OpenFile? {
    guard file.canWriteDirect.load(ordering: .relaxed) else { return nil }
    let key = Key(torrent: storage.id, file: -2 - Int32(truncatingIfNeeded: number))
    if let direct = lookup(key, writing: true), direct.inode == file.inode, direct.device == file.device {
      return direct
    }
    forget(key)
    do {
      // Holes would have to be filled one by one.
      guard file.reservesAhead || storage.allocation == .full else { throw SystemError(code: EOPNOTSUPP) }
      let root = try root(of: storage, map: map, creating: false)
      let descriptor = try withDescriptors { () throws(SystemError) in
        try fileSystem.openDirect(storage.path(ofFile: number), below: root.descriptor)
      }
      let direct = try adopt(descriptor, isWritable: true, reservesAhead: false)
      guard direct.inode == file.inode, direct.device == file.device else { return nil }
      return keep(direct, as: key)
    } catch {
      file.canWriteDirect.store(false, ordering: .relaxed)
      return nil
    }
  }

  /// Stands in for an error number that the system does not have.
  private static let truncated: CInt = 0

  private func failure(
    _ operation: StorageFailure.Operation, _ error: SystemError, path: String, file: Int
  ) -> StorageFailure {
    error.code == FileCache.truncated
      ? StorageFailure(operation, .fileTruncated, path: path, file: file)
      : StorageFailure(operation, errno: error.code, path: path, file: file)
  }

  private func adopt(
    _ descriptor: CInt, isWritable: Bool, reservesAhead: Bool
  ) throws(SystemError) -> OpenFile {
    do throws(SystemError) {
      return OpenFile(
        descriptor: descriptor, status: try fileSystem.status(of: descriptor), isWritable: isWritable,
        reservesAhead: reservesAhead, fileSystem: fileSystem)
    } catch {
      fileSystem.close(descriptor)
      throw error
    }
  }

  /// Gives a file what it should have before the first byte is written.
  private func prepare(
    _ file: OpenFile, number: Int, of storage: TorrentStorage, isNew: Bool
  ) throws(SystemError) {
    var size = file.size
    if number < storage.files.count {
      let length = storage.layout.length(of: number)
      // Something longer stood here: what is behind our end is not part of the torrent.
      if size > length || (isNew && storage.allocation == .sparse && size < length) {
        try fileSystem.setSize(file.descriptor, to: length)
        size = length
      }
      if isNew, storage.files[number].kind == .executable { try fileSystem.setExecutable(file.descriptor) }
    }
    storage.setKnownSize(size, ofFile: number)
  }

  /// Runs `body`, and once more after closing files when the system has no descriptor left.
  private func withDescriptors(_ body: () throws(SystemError) -> CInt) throws(SystemError) -> CInt {
    do throws(SystemError) {
      return try body()
    } catch {
      guard error.code == EMFILE || error.code == ENFILE else { throw error }
      forgetHalf()
      return try body()
    }
  }

  /// Fails when a file was removed, replaced or cut underneath its descriptor. Looks at most once a second for a file.
  func look(
    at file: OpenFile, number: Int, of storage: TorrentStorage, map: FileMap,
    operation: StorageFailure.Operation
  ) throws(StorageFailure) {
    guard file.isLookDue(now: monotonicNow()) else { return }
    let path = storage.path(ofFile: number)
    let expected = storage.knownSize(ofFile: number)
    do throws(SystemError) {
      let root = try fileSystem.openFolder(map.root, creating: false)
      defer { fileSystem.close(root) }
      let status = try fileSystem.status(of: path, below: root, followingLink: true)
      guard let status, status.inode == file.inode, status.device == file.device else {
        throw SystemError(code: ENOENT)
      }
      if status.size < expected { throw SystemError(code: FileCache.truncated) }
    } catch {
      throw failure(operation, error, path: "\(map.root)/\(path)", file: number)
    }
  }

  /// Fails when a file was cut and a write up to `end` would make it as long again as it should be: neither a later look
  /// nor a sync could then tell that something is missing. Costs nothing for a write before the end.
  func expectUncut(
    _ file: OpenFile, number: Int, of storage: TorrentStorage, map: FileMap, before end: Int64
  ) throws(StorageFailure) {
    let expected = storage.knownSize(ofFile: number)
    guard expected > 0, end >= expected else { return }
    do throws(SystemError) {
      guard try fileSystem.status(of: file.descriptor).size < expected else { return }
      throw SystemError(code: FileCache.truncated)
    } catch {
      throw failure(.write, error, path: "\(map.root)/\(storage.path(ofFile: number))", file: number)
    }
  }
}
