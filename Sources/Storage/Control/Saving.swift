import BlockPool
import TorrentModel

extension TorrentFiles {
  /// Above so many files one sync of the whole file system is cheaper than one for each.
  private static let singleSyncs = 64

  /// Syncs what was written, then replaces the resume record.
  ///
  /// A file that is new gets its name synced with its contents on the file systems that matter; where not, a power
  /// failure loses the file, which the next start sees, and no wrong byte is called good.
  func save(verified: Bitfield, userData: [UInt8]) throws(StorageFailure) {
    let unsynced = storage.takeUnsynced()
    let stamps: [FileStamp]
    do throws(StorageFailure) {
      stamps = storage.noteSync(try sync(unsynced))
    } catch {
      storage.putBack(unsynced)
      throw error
    }
    guard let path = storage.recordPath else { return }
    let record = ResumeRecord(
      infoHash: storage.infoHash, geometry: storage.geometry, root: storage.map.root, verified: verified,
      userData: userData, stamps: stamps)
    do throws(SystemError) {
      try RecordFile(path: path).replace(with: record.encoded(), fileSystem)
    } catch {
      throw StorageFailure(.save, errno: error.code, path: path)
    }
  }

  /// Returns what the files that were written to look like now.
  private func sync(
    _ unsynced: TorrentStorage.Unsynced
  ) throws(StorageFailure) -> [(file: Int, stamp: FileStamp)] {
    var all = unsynced.written
    all.formUnion(unsynced.others)
    let files = all.members
    guard !files.isEmpty else { return [] }
    let map = storage.map
    let root = try cache.root(of: storage, map: map, creating: false)
    let isTogether = files.count > TorrentFiles.singleSyncs
    if isTogether {
      do throws(SystemError) {
        try fileSystem.syncFileSystem(of: root.descriptor)
      } catch {
        throw StorageFailure(.sync, errno: error.code, path: map.root)
      }
    }
    var stamps: [(file: Int, stamp: FileStamp)] = []
    for number in files {
      let file = try cache.file(number, of: storage, map: map, writing: false)
      if !isTogether {
        do throws(SystemError) {
          try fileSystem.sync(file.descriptor)
        } catch {
          throw failure(.sync, error, root: map.root, file: number)
        }
      }
      if unsynced.written[number] {
        stamps.append((number, try stamp(of: number, file, map: map, root: root)))
      }
    }
    return stamps
  }

  /// What a file that was written to looks like, by its name: one that was removed underneath still has a descriptor.
  private func stamp(
    of number: Int, _ file: OpenFile, map: FileMap, root: OpenFile
  ) throws(StorageFailure) -> FileStamp {
    let expected = storage.knownSize(ofFile: number)
    let path = storage.path(ofFile: number)
    let status: FileStatus?
    do throws(SystemError) {
      status = try fileSystem.status(of: path, below: root.descriptor, followingLink: true)
    } catch {
      throw failure(.sync, error, root: map.root, file: number)
    }
    guard let status, status.inode == file.inode, status.device == file.device else {
      throw StorageFailure(.sync, .fileMissing, path: "\(map.root)/\(path)", file: number)
    }
    guard status.size >= expected else {
      throw StorageFailure(.sync, .fileTruncated, path: "\(map.root)/\(path)", file: number)
    }
    return FileStamp(size: status.size, modified: status.modified)
  }
}
