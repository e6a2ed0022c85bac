import BlockPool
import Glibc

/// A small file that a part of the program keeps between runs, read and replaced as a whole (see ``RecordFile``).
///
/// Its calls wait for the disk: they are not for loops.
public final class StateFile: Sendable {
  public let path: String
  private let fileSystem: any FileSystem
  /// Holds the claim until the last user has gone.
  private let claim: CInt?

  /// With `claiming`, for one user at a time: whoever comes first may replace the file as long as the object lives,
  /// others may read it. The claim is a lock on a file beside it; it ends with the process, whatever happens.
  public init(path: String, claiming: Bool, fileSystem: any FileSystem = RealFileSystem()) {
    self.path = path
    self.fileSystem = fileSystem
    claim = claiming ? Self.claim(path + ".lock", fileSystem) : nil
  }

  deinit { if let claim { fileSystem.close(claim) } }

  /// Others may have the file from now on, even while somebody still refers to this object. It is not to be replaced any more.
  public func letGo() {
    if let claim { _ = flock(claim, LOCK_UN) }
  }

  /// Whether this user may replace the file.
  public var isOwned: Bool { claim != nil }

  /// The contents; nil when there are none yet.
  public func read(limit: Int) throws(StorageFailure) -> [UInt8]? {
    do throws(SystemError) { return try RecordFile(path: path).read(limit: limit, fileSystem) } catch {
      throw StorageFailure(.read, errno: error.code, path: path)
    }
  }

  /// Replaces the contents; the folder is made if it is missing. Others see the old or the new ones, whatever happens.
  public func replace(with bytes: [UInt8]) throws(StorageFailure) {
    guard isOwned else { return }
    do throws(SystemError) { try RecordFile(path: path).replace(with: bytes, fileSystem) } catch {
      throw StorageFailure(.write, errno: error.code, path: path)
    }
  }

  private static func claim(_ path: String, _ fileSystem: any FileSystem) -> CInt? {
    let slash = path.lastIndex(of: "/")
    let name = slash.map { String(path[path.index(after: $0)...]) } ?? path
    let folder = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    guard let parent = try? fileSystem.openFolder(folder, creating: true) else { return nil }
    defer { fileSystem.close(parent) }
    guard let file = try? fileSystem.open(name, below: parent, for: .create) else { return nil }
    guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
      fileSystem.close(file)
      return nil
    }
    return file
  }
}
