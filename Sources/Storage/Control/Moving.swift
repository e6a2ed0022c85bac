import BlockPool
import Glibc
import TorrentModel

extension TorrentFiles {
  /// Takes all files below another root. When any file cannot be moved, those that were are taken back.
  func move(to newRoot: String) throws(StorageFailure) {
    let map = storage.map
    cache.forget(torrent: storage.id)
    guard let old = try openRoot(map.root, creating: false, .move) else {
      // Nothing there yet: the new place is where things will be made.
      storage.setMap(map.moved(to: newRoot))
      return
    }
    defer { fileSystem.close(old) }
    guard let new = try openRoot(newRoot, creating: true, .move) else { return }
    defer { fileSystem.close(new) }
    do throws(SystemError) {
      let (here, there) = (try fileSystem.status(of: old), try fileSystem.status(of: new))
      if here.inode == there.inode, here.device == there.device {
        storage.setMap(map.moved(to: newRoot))
        return
      }
    } catch {
      throw failure(.move, error, root: newRoot)
    }

    let present = try filesToMove(from: old, to: new, map: map, newRoot: newRoot)
    var renamed: [Int] = []
    var copied: [Int] = []
    for number in present {
      let path = storage.path(ofFile: number)
      do throws(SystemError) {
        do throws(SystemError) {
          try fileSystem.rename(path, below: old, to: path, below: new)
          renamed.append(number)
        } catch {
          guard error.code == EXDEV else { throw error }
          try copy(number, from: old, to: new)
          copied.append(number)
        }
      } catch {
        for number in renamed {
          let path = storage.path(ofFile: number)
          try? fileSystem.rename(path, below: new, to: path, below: old)
        }
        for number in copied { try? fileSystem.remove(storage.path(ofFile: number), below: new) }
        removeEmptyFolders(below: new)
        throw failure(.move, error, root: newRoot, file: number)
      }
    }
    storage.setMap(map.moved(to: newRoot))
    // Only now that all is there; what cannot be removed is a copy too many, not a loss.
    for number in copied { try? fileSystem.remove(storage.path(ofFile: number), below: old) }
    removeEmptyFolders(below: old)
  }

  /// Files that exist in the old place. Nothing may stand in their way in the new one.
  private func filesToMove(
    from old: CInt, to new: CInt, map: FileMap, newRoot: String
  ) throws(StorageFailure) -> [Int] {
    var present: [Int] = []
    for number in 0...partNumber {
      if number < partNumber, storage.files[number].isPadding { continue }
      let path = storage.path(ofFile: number)
      do throws(SystemError) {
        guard try fileSystem.status(of: path, below: old, followingLink: false) != nil else { continue }
        if try fileSystem.status(of: path, below: new, followingLink: false) != nil {
          throw SystemError(code: EEXIST)
        }
      } catch {
        throw failure(.move, error, root: newRoot, file: number)
      }
      present.append(number)
    }
    return present
  }

  private func copy(_ number: Int, from old: CInt, to new: CInt) throws(SystemError) {
    let path = storage.path(ofFile: number)
    if number < partNumber, case .symlink(let text) = storage.files[number].kind {
      return try fileSystem.makeLink(text, at: path, below: new)
    }
    let source = try fileSystem.open(path, below: old, for: .read)
    defer { fileSystem.close(source) }
    let status = try fileSystem.status(of: source)
    do throws(SystemError) {
      let target = try fileSystem.open(path, below: new, for: .create)
      defer { fileSystem.close(target) }
      let count = try fileSystem.copy(from: source, at: 0, to: target, at: 0, length: status.size)
      guard count == status.size else { throw SystemError(code: EIO) }
      if number < partNumber, storage.files[number].kind == .executable {
        try fileSystem.setExecutable(target)
      }
      try fileSystem.sync(target)
      // With its old time a copy is as good as the file it was made from.
      try fileSystem.setModified(target, to: status.modified)
    } catch {
      try? fileSystem.remove(path, below: new)
      throw error
    }
  }

  /// Removes all files of the torrent, and the folders and records that were made for it.
  func delete() throws(StorageFailure) {
    let map = storage.map
    cache.forget(torrent: storage.id)
    var first: StorageFailure?
    if let root = try openRoot(map.root, creating: false, .delete) {
      defer { fileSystem.close(root) }
      for number in 0...partNumber {
        if number < partNumber, storage.files[number].isPadding { continue }
        do throws(SystemError) {
          try fileSystem.remove(storage.path(ofFile: number), below: root)
        } catch {
          // Gone already is as good. The others are still tried when one cannot be removed.
          if error.code != ENOENT, error.code != ENOTDIR, first == nil {
            first = failure(.delete, error, root: map.root, file: number)
          }
        }
        storage.noteChange(ofFile: number, size: -1)
      }
      removeEmptyFolders(below: root)
    }
    if let path = storage.recordPath {
      do throws(SystemError) {
        try RecordFile(path: path).remove(fileSystem)
      } catch {
        first = first ?? StorageFailure(.delete, errno: error.code, path: path)
      }
    }
    if let first { throw first }
  }
}
