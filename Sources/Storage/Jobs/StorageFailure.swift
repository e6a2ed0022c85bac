import BlockPool
import Glibc
import TorrentModel

/// Something the disk would not do, for a person and for the engine's decision what to do next.
public struct StorageFailure: Error, Hashable, Sendable, CustomStringConvertible {
  public enum Operation: String, Hashable, Sendable {
    case open, createFolder, allocate, write, read, sync, save, check, hash, setWanted, move, delete
  }

  public enum Cause: Hashable, Sendable {
    /// No space or quota left.
    case diskFull
    /// The device failed.
    case inputOutput
    /// A file or folder that was there, or has to be there, is not.
    case fileMissing
    /// A file is shorter than what was written to it or than what the torrent says.
    case fileTruncated
    case permission
    /// The file system takes no file of this size.
    case fileTooLarge
    /// Too many open files in this process or on this machine.
    case tooManyFiles
    /// Something other than a regular file, or than a folder, stands at the path.
    case wrongKind
    /// A symbolic link below the torrent's root: Spate reads through those but never writes through them.
    case symbolicLink
    case other
  }

  public let operation: Operation
  public let cause: Cause
  /// The file or folder concerned.
  public let path: String
  /// The number of the file within its torrent, where it is one.
  public let file: Int?
  /// The `errno` value, zero where the system reported none.
  public let code: CInt

  public init(_ operation: Operation, _ cause: Cause, path: String, file: Int? = nil, code: CInt = 0) {
    self.operation = operation
    self.cause = cause
    self.path = path
    self.file = file
    self.code = code
  }
}

extension StorageFailure {
  init(_ operation: Operation, errno code: CInt, path: String, file: Int? = nil) {
    self.init(operation, Cause(errno: code), path: path, file: file, code: code)
  }

  public var description: String {
    let action =
      switch operation {
      case .open: "open"
      case .createFolder: "make the folder"
      case .allocate: "reserve space for"
      case .write: "write to"
      case .read: "read from"
      case .sync: "sync"
      case .save: "save the resume record"
      case .check: "check"
      case .hash: "hash"
      case .setWanted: "change the selection of"
      case .move: "move"
      case .delete: "delete"
      }
    let reason =
      switch cause {
      case .diskFull: "the disk is full"
      case .inputOutput: "the device failed"
      case .fileMissing: "it is not there"
      case .fileTruncated: "the file is shorter than it should be"
      case .permission: "not permitted"
      case .fileTooLarge: "the file system takes no file of this size"
      case .tooManyFiles: "too many files are open"
      case .wrongKind: "something of another kind stands there"
      case .symbolicLink: "it lies behind a symbolic link, which is not written through"
      case .other: "the system refused"
      }
    return "cannot \(action) '\(path)': \(reason)" + (code == 0 ? "" : " (\(SystemError(code: code)))")
  }
}

extension StorageFailure.Cause {
  init(errno code: CInt) {
    self =
      switch code {
      case ENOSPC, EDQUOT: .diskFull
      case EIO: .inputOutput
      case ENOENT: .fileMissing
      case EACCES, EPERM, EROFS: .permission
      case EFBIG: .fileTooLarge
      case EMFILE, ENFILE: .tooManyFiles
      case ENOTDIR, EISDIR, EEXIST, ENXIO: .wrongKind
      case ELOOP: .symbolicLink
      default: .other
      }
  }
}
