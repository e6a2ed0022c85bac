import BlockPool
import Glibc
import TorrentModel

/// What is done to the files of a torrent as a whole. Runs on a control thread, inside a job that runs alone (saving
/// excepted).
struct TorrentFiles {
  let storage: TorrentStorage
  let cache: FileCache

  var fileSystem: any FileSystem { cache.fileSystem }
  /// The part file's number.
  var partNumber: Int { storage.files.count }

  /// Numbers of the files that have bytes of their own on the disk.
  var realFiles: some Sequence<Int> {
    storage.files.indices.lazy.filter { !storage.files[$0].isPadding && !storage.files[$0].isSymlink }
  }

  func failure(
    _ operation: StorageFailure.Operation, _ error: SystemError, root: String, file number: Int? = nil
  ) -> StorageFailure {
    let path = number.map { "\(root)/\(storage.path(ofFile: $0))" } ?? root
    return StorageFailure(operation, errno: error.code, path: path, file: number)
  }

  /// Opens a torrent's root. Nil when it is not there and is not to be made.
  func openRoot(
    _ path: String, creating: Bool, _ operation: StorageFailure.Operation
  ) throws(StorageFailure) -> CInt? {
    do throws(SystemError) {
      return try fileSystem.openFolder(path, creating: creating)
    } catch {
      if error.code == ENOENT, !creating { return nil }
      throw StorageFailure(creating ? .createFolder : operation, errno: error.code, path: path)
    }
  }

  /// What all files look like, the part file last. Anything that is no regular file counts as missing, unless
  /// `refusingOthers`.
  func survey(
    root: CInt?, path rootPath: String, refusingOthers: Bool, _ operation: StorageFailure.Operation
  ) throws(StorageFailure) -> [FileStamp] {
    var stamps = [FileStamp](repeating: .missing, count: storage.files.count + 1)
    guard let root else { return stamps }
    for number in stamps.indices {
      if number < partNumber, storage.files[number].isPadding || storage.files[number].isSymlink { continue }
      do throws(SystemError) {
        let path = storage.path(ofFile: number)
        guard let status = try fileSystem.status(of: path, below: root, followingLink: true) else { continue }
        if status.kind == .regular {
          stamps[number] = FileStamp(size: status.size, modified: status.modified)
        } else if refusingOthers {
          throw SystemError(code: EEXIST)
        }
      } catch {
        throw failure(operation, error, root: rootPath, file: number)
      }
    }
    return stamps
  }

  /// The part file that is on the disk, or an empty one.
  func loadPartFile(root: CInt?, path: String, exists: Bool) throws(StorageFailure) -> PartFile {
    guard let root, exists else { return PartFile(infoHash: storage.infoHash, geometry: storage.geometry) }
    do throws(SystemError) {
      let file = try fileSystem.open(storage.path(ofFile: partNumber), below: root, for: .read)
      defer { fileSystem.close(file) }
      return try PartFile(
        infoHash: storage.infoHash, geometry: storage.geometry, file: file, fileSystem: fileSystem)
    } catch {
      throw failure(.open, error, root: path, file: partNumber)
    }
  }

  /// Removes the folders that files of the torrent were in, as far as they are empty, the deepest first.
  func removeEmptyFolders(below root: CInt) {
    var folders: Set<Substring> = []
    for file in storage.files {
      var path = file.path[...]
      while let slash = path.lastIndex(of: "/") {
        path = path[..<slash]
        if !folders.insert(path).inserted { break }
      }
    }
    let deepestFirst = folders.map { (depth: $0.utf8.count { $0 == UInt8(ascii: "/") }, path: $0) }
      .sorted { $0.depth > $1.depth }
    // One that is not empty, or not there, stays as it is.
    for folder in deepestFirst { try? fileSystem.removeEmptyFolder(String(folder.path), below: root) }
  }
}
