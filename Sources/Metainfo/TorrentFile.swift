/// One file of a torrent.
public struct TorrentFile: Sendable {
  let storage: FileTableStorage
  /// Its place in the torrent, from zero.
  public let index: Int

  /// Bytes.
  public var length: Int64 { storage.layout.length(of: index) }
  /// Where it begins in the torrent's contents, in bytes.
  public var offset: Int64 { storage.layout.start(of: index) }
  public var attributes: FileAttributes { storage.attributes[index] }
  /// Whether it only fills up a piece: its bytes are zero, and it is never made on disk (BEP 47).
  public var isPadding: Bool { attributes.contains(.padding) }

  /// The name without its folders.
  public var name: String { isPadding ? "\(length)" : storage.names[index] }

  /// The safe names on the way to the file, its own last.
  ///
  /// They are relative to the torrent's folder; in a torrent of one file, to the folder of the download. Padding is
  /// always `.pad` and its length, whatever the torrent calls it.
  public var components: [String] {
    isPadding ? [".pad", name] : storage.components(of: .file(UInt32(truncatingIfNeeded: index)))
  }

  /// ``components`` with slashes between them. No two files of a torrent have one path, except padding.
  public var path: String { components.joined(separator: "/") }

  /// Where a symbolic link leads: the path of another file or a folder of the same torrent, relative to the
  /// torrent's folder (BEP 47). `nil` for every other file.
  public var symlinkTarget: String? {
    guard let target else { return nil }
    return storage.components(of: target).joined(separator: "/")
  }

  /// What to write into the symbolic link: ``symlinkTarget`` as seen from the link's own folder, as in `../lib/a.so`.
  public var symlinkText: String? {
    guard let target else { return nil }
    let from = components.dropLast()
    let to = storage.components(of: target)
    var common = 0
    while common < min(from.count, to.count) && from[common] == to[common] { common += 1 }
    let steps = [String](repeating: "..", count: from.count - common) + to[common...]
    return steps.isEmpty ? "." : steps.joined(separator: "/")
  }

  private var target: FileTableStorage.Node? {
    guard attributes.contains(.symlink) else { return nil }
    let links = storage.symlinks
    var (low, high) = (0, links.count)
    while low < high {
      let middle = (low + high) / 2
      if links[middle].file < index { low = middle + 1 } else { high = middle }
    }
    return low < links.count && links[low].file == index ? links[low].target : nil
  }
}
