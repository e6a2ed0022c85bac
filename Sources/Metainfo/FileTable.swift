import TorrentModel

/// The files of a torrent, in the order in which their bytes follow each other (BEP 3).
///
/// A million files are no exception, so the table is a handful of flat arrays, some 17 bytes and the file's own name
/// per file; folders are held once. It is never copied: copies share one immutable storage.
public struct FileTable: RandomAccessCollection, Sendable {
  let storage: FileTableStorage

  public var startIndex: Int { 0 }
  public var endIndex: Int { storage.attributes.count }

  /// The file with the given index.
  public subscript(position: Int) -> TorrentFile {
    precondition(indices.contains(position), "no file has this index")
    return TorrentFile(storage: storage, index: position)
  }

  /// The length of all files together in bytes, padding included.
  public var totalLength: Int64 { layout.totalLength }
  /// Where each file lies in the torrent's contents.
  public var layout: FileLayout { storage.layout }
}

/// The arrays of a ``FileTable``.
final class FileTableStorage: Sendable {
  let layout: FileLayout
  let attributes: [FileAttributes]
  /// The folder each file is in: 0 is the torrent's own, others are one more than their index below.
  let parents: [UInt32]
  let names: NameList
  let folderParents: [UInt32]
  let folderNames: NameList
  /// In the order of the files.
  let symlinks: [Symlink]

  init(
    layout: FileLayout, attributes: [FileAttributes], parents: [UInt32], names: NameList,
    folderParents: [UInt32], folderNames: NameList, symlinks: [Symlink]
  ) {
    self.layout = layout
    self.attributes = attributes
    self.parents = parents
    self.names = names
    self.folderParents = folderParents
    self.folderNames = folderNames
    self.symlinks = symlinks
  }

  struct Symlink {
    var file: UInt32
    var target: Node
  }

  /// Something that a path leads to.
  enum Node: Equatable {
    case file(UInt32)
    case folder(UInt32)
  }

  /// The names on the way from the torrent's folder to a node, outermost first.
  func components(of node: Node) -> [String] {
    var components: [String] = []
    var folder: UInt32
    switch node {
    case .file(let index):
      components.append(names[Int(index)])
      folder = parents[Int(index)]
    case .folder(let number): folder = number
    }
    // A folder is always listed after the one it is in, so this ends.
    while folder != 0 {
      components.append(folderNames[Int(folder) - 1])
      folder = folderParents[Int(folder) - 1]
    }
    components.reverse()
    return components
  }
}

/// Names in one array of bytes.
struct NameList: Sendable {
  private(set) var bytes: [UInt8] = []
  private(set) var ends: [UInt32] = []

  var count: Int { ends.count }

  mutating func append(_ name: some Collection<UInt8>) {
    bytes.append(contentsOf: name)
    ends.append(UInt32(truncatingIfNeeded: bytes.count))
  }

  func range(_ index: Int) -> Range<Int> { (index == 0 ? 0 : Int(ends[index - 1]))..<Int(ends[index]) }

  subscript(index: Int) -> String { String(decoding: bytes[range(index)], as: UTF8.self) }

  /// Gives back the room that growing left over.
  mutating func trim() {
    bytes.trim()
    ends.trim()
  }
}

extension Array {
  /// Gives back the room that growing left over.
  mutating func trim() { self = Array(self[...]) }
}

/// What a torrent says about a file besides its name and length (BEP 47).
@frozen
public struct FileAttributes: OptionSet, Hashable, Sendable {
  public let rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Zero bytes that only let the next file begin with a piece. Never on disk.
  public static let padding = FileAttributes(rawValue: 1)
  public static let executable = FileAttributes(rawValue: 2)
  public static let hidden = FileAttributes(rawValue: 4)
  /// A symbolic link; see ``TorrentFile/symlinkTarget``.
  public static let symlink = FileAttributes(rawValue: 8)
}
