/// Which names besides the dangerous ones are changed, so that a torrent fits where its files shall go.
///
/// Whatever the rules, no name ever leads out of the torrent's folder, holds a separator, a control character or
/// text direction controls, or is longer than a file system takes, and two files never have one path.
@frozen
public struct PathRules: Hashable, Sendable {
  /// Puts an underscore before the names of Windows devices (`CON`, `aux.c`, `COM1.txt`), so that a download can
  /// be copied to or shared with any machine.
  public var avoidsDeviceNames: Bool
  /// Treats paths as one that differ only in case or in Unicode normalisation (é as one scalar or two), for file
  /// systems that do. Linux file systems compare bytes, and many real torrents rely on it.
  public var foldsNames: Bool

  public init(avoidsDeviceNames: Bool = true, foldsNames: Bool = false) {
    self.avoidsDeviceNames = avoidsDeviceNames
    self.foldsNames = foldsNames
  }

  public static let standard = PathRules()
}

/// Bounds of paths in a torrent.
enum PathLimits {
  /// Bytes of a name: what nearly every file system takes.
  static let nameLength = 255
  /// A longer name is cut to this, which leaves room for suffixes such as `.part`.
  static let shortenedNameLength = 240
  /// An extension longer than this, dot included, is no extension.
  static let extensionLength = 16
  /// Names in a path.
  static let depth = 128
  /// Bytes of a path within the torrent: with a folder of 1 KiB before it, it stays within `PATH_MAX`, 4 KiB.
  static let pathLength = 3072
  /// Folders in a torrent; as many as files.
  static let folderCount = 1 << 20
}
