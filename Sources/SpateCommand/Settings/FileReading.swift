import Foundation
import SystemPackage

/// Files that are read whole, with a limit.
enum FileReading {
  /// - Parameters:
  ///   - what: what the file is to be, for the message.
  /// - Throws: exit code 17 when it cannot be read or is larger than `limit` bytes.
  static func read(_ path: String, limit: Int, what: String) throws(CommandFailure) -> [UInt8] {
    let shown = "\(what) '\(Printable.text(path))'"
    do {
      let file = try FileDescriptor.open(FilePath(path), .readOnly, options: [.closeOnExec])
      // Closed with the handle.
      return try read(
        FileHandle(fileDescriptor: file.rawValue, closeOnDealloc: true), limit: limit, shown: shown)
    } catch let failure as CommandFailure {
      throw failure
    } catch let error as Errno {
      let advice =
        switch error {
        case .noSuchFileOrDirectory: "; check the path"
        case .permissionDenied: "; it must be readable for you"
        default: ""
        }
      throw CommandFailure(.fileInputOutput, "cannot read \(shown): \(error.description)\(advice)")
    } catch {
      throw CommandFailure(.fileInputOutput, "cannot read \(shown): \(SystemReason.of(error))")
    }
  }

  static func readStandardInput(limit: Int, what: String) throws(CommandFailure) -> [UInt8] {
    try read(.standardInput, limit: limit, shown: "\(what) from standard input")
  }

  private static func read(_ handle: FileHandle, limit: Int, shown: String) throws(CommandFailure) -> [UInt8]
  {
    var bytes: [UInt8] = []
    while true {
      let chunk: Data?
      do { chunk = try handle.read(upToCount: 1 << 20) } catch {
        throw CommandFailure(.fileInputOutput, "cannot read \(shown): \(SystemReason.of(error))")
      }
      guard let chunk, !chunk.isEmpty else { return bytes }
      guard bytes.count + chunk.count <= limit else {
        throw CommandFailure(
          .fileInputOutput, "\(shown) is larger than \(Units.size(Int64(limit))), the limit")
      }
      bytes += chunk
    }
  }
}

/// The system's words in an error of Foundation, without Foundation's own around them.
enum SystemReason {
  static func of(_ error: any Error) -> String {
    code(of: error).map { Errno(rawValue: $0).description }
      ?? Printable.text((error as NSError).localizedDescription)
  }

  static func code(of error: any Error) -> Int32? {
    let error = error as NSError
    if error.domain == NSPOSIXErrorDomain { return Int32(exactly: error.code) }
    if let underlying = error.userInfo[NSUnderlyingErrorKey] as? any Error { return code(of: underlying) }
    return nil
  }

  static func status(of error: any Error) -> CommandStatus {
    let code = code(of: error).map { Errno(rawValue: $0) }
    return code == .noSpace || code == .diskQuotaExceeded ? .diskFull : .fileInputOutput
  }
}
