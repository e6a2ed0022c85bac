import BlockPool
import Glibc

/// A small file that is only ever replaced as a whole: whoever reads it sees the old or the new contents, whatever
/// happens to the machine meanwhile.
struct RecordFile {
  private let folder: String
  private let name: String

  init(path: String) {
    let slash = path.lastIndex(of: "/")
    self.name = slash.map { String(path[path.index(after: $0)...]) } ?? path
    self.folder = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
  }

  /// Nil when there is no such file. Fails with code 0 when it is longer than `limit`.
  func read(limit: Int, _ fileSystem: any FileSystem) throws(SystemError) -> [UInt8]? {
    do throws(SystemError) {
      let parent = try fileSystem.openFolder(folder, creating: false)
      defer { fileSystem.close(parent) }
      let file = try fileSystem.open(name, below: parent, for: .read)
      defer { fileSystem.close(file) }
      let size = try fileSystem.status(of: file).size
      guard size <= Int64(limit) else { throw SystemError(code: 0) }
      return try fileSystem.read(Int(size), from: file, at: 0)
    } catch {
      if error.code == ENOENT { return nil }
      throw error
    }
  }

  /// Writes to a temporary name, syncs, renames, and syncs the folder.
  func replace(with bytes: [UInt8], _ fileSystem: any FileSystem) throws(SystemError) {
    let parent = try fileSystem.openFolder(folder, creating: true)
    defer { fileSystem.close(parent) }
    let temporary = name + ".new"
    do throws(SystemError) {
      let file = try fileSystem.open(temporary, below: parent, for: .create)
      defer { fileSystem.close(file) }
      // What an interrupted run may have left behind.
      try fileSystem.setSize(file, to: 0)
      try fileSystem.write(bytes, to: file, at: 0)
      try fileSystem.sync(file)
      try fileSystem.rename(temporary, below: parent, to: name, below: parent)
    } catch {
      try? fileSystem.remove(temporary, below: parent)
      throw error
    }
    try fileSystem.sync(parent)
  }

  func remove(_ fileSystem: any FileSystem) throws(SystemError) {
    do throws(SystemError) {
      let parent = try fileSystem.openFolder(folder, creating: false)
      defer { fileSystem.close(parent) }
      try fileSystem.remove(name, below: parent)
    } catch {
      if error.code != ENOENT { throw error }
    }
  }
}
