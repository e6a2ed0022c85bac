/// What Storage has to know about one file of a torrent beside its length, which ``FileLayout`` holds.
public struct StorageFile: Hashable, Sendable {
  public enum Kind: Hashable, Sendable {
    case regular
    /// A regular file with the executable bits set (BEP 47 `attr` "x").
    case executable
    /// Zeros that only fill up a piece: read as zeros, never made on disk (BEP 47).
    case padding
    /// A symbolic link with this text, relative to the link's own folder (BEP 47). Whoever made it has proven that it
    /// stays inside the torrent.
    case symlink(text: String)
  }

  /// Path below the torrent's root, components separated by `/`. Safe by construction: no empty, `.` or `..` component,
  /// no NUL, not absolute.
  public var path: String
  public var kind: Kind

  public init(path: String, kind: Kind = .regular) {
    self.path = path
    self.kind = kind
  }

  var isPadding: Bool { kind == .padding }
  var isSymlink: Bool { if case .symlink = kind { true } else { false } }
}

/// How files get their space.
public enum FileAllocation: Hashable, Sendable {
  /// Space is reserved in chunks just ahead of the first write into each chunk, without changing a file's size. Cheaper
  /// to write than holes, and a file that is never written takes nothing. The default.
  case ahead
  /// A file gets its full size at once as a hole; space is taken as pieces are written.
  case sparse
  /// Every wanted file gets its full size and space when the torrent is opened.
  case full
  /// Files grow as they are written; nothing is reserved.
  case none
}
