import Engine

/// Which files the torrents of one command write, so that no two of them write the same.
struct TargetClaims {
  /// The torrents by the first component of what they write, folded: some file systems do not tell case apart, and
  /// comparing a name too often costs nothing.
  private var torrents: [String: [TorrentInfo]] = [:]

  /// - Returns: a path that another torrent writes already, or nil and the torrent's paths are claimed.
  mutating func claim(_ info: TorrentInfo) -> String? {
    let key = info.name.lowercased()
    if let others = torrents[key] {
      let own = Set(Self.paths(info))
      for other in others {
        // A file where the other has its folder, or the other way round.
        if info.isSingleFile != other.isSingleFile { return info.name }
        if let path = Self.paths(other).first(where: own.contains) { return path }
      }
    }
    torrents[key, default: []].append(info)
    return nil
  }

  private static func paths(_ info: TorrentInfo) -> [String] {
    info.files.lazy.filter { !$0.isPadding }.map { info.downloadPath(ofFile: $0.index) }
  }
}
