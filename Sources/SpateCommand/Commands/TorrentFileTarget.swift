import Foundation

/// Where a .torrent file is written to.
enum TorrentFileTarget: Hashable, Sendable {
  case standardOutput
  case file(String)

  /// Complains before the work rather than after it.
  /// - Parameters:
  ///   - path: `-` for standard output.
  ///   - replaces: whether a file that is there may be replaced.
  init(_ path: String, replaces: Bool) throws(CommandFailure) {
    if path == "-" {
      self = .standardOutput
      return
    }
    if !replaces, FileManager.default.fileExists(atPath: path) {
      throw CommandFailure(
        .fileInputOutput,
        "'\(Printable.text(path))' is there already; replace it with --force, or choose another with -o")
    }
    self = .file(path)
  }

  func write(_ bytes: [UInt8], replaces: Bool, _ console: Console) throws(CommandFailure) {
    switch self {
    case .standardOutput: try console.result(bytes)
    case .file(let path):
      do {
        try Data(bytes).write(
          to: URL(fileURLWithPath: path), options: replaces ? .atomic : .withoutOverwriting)
      } catch {
        throw CommandFailure(
          SystemReason.status(of: error), "cannot write '\(Printable.text(path))': \(SystemReason.of(error))")
      }
    }
  }
}
