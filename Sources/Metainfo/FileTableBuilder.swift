import TorrentModel

/// Gathers the files of a torrent and gives each its own safe path.
///
/// Folders are known before any file gets its name, so a file never takes a folder's place: of a file and a folder of
/// the same name, and of files of the same name, the first in the torrent's order that may keep it does, and the others
/// become `name.1.ext`, `name.2.ext` and so on. The outcome depends on the torrent alone.
struct FileTableBuilder {
  private let rules: PathRules

  private var lengths: [Int64] = []
  private var attributes: [FileAttributes] = []
  private var parents: [UInt32] = []
  private var names = NameList()

  /// Folder `n` of the table is number `n - 1` here.
  private var folders = NameTable()
  private var folderNames = NameList()
  private var fold = NameFolding()

  private var links: [LinkResolver.Link] = []

  /// The path that is being read: the folder it has reached, its names and bytes so far.
  private var folder: UInt32 = 0
  private var depth = 0
  private var pathLength = 0
  /// The safe form of the component in hand.
  private var component: [UInt8] = []

  init(rules: PathRules) {
    self.rules = rules
  }

  var count: Int { attributes.count }
  /// Bytes of all files, and of those that are no padding.
  private(set) var totalLength: Int64 = 0
  private(set) var contentLength: Int64 = 0

  /// Adds a file that ``endFile(named:)`` will name; its path begins at the torrent's folder.
  mutating func beginFile(length: Int64, attributes: FileAttributes) throws(MetainfoError.Problem) {
    guard length >= 0 else { throw .negativeLength(length) }
    let (end, overflows) = totalLength.addingReportingOverflow(length)
    guard !overflows else { throw .totalLengthOverflows }
    totalLength = end
    if !attributes.contains(.padding) { contentLength += length }
    lengths.append(length)
    self.attributes.append(attributes)
    folder = 0
    depth = 0
    pathLength = 0
  }

  /// Goes down into a folder of the path.
  ///
  /// - Returns: whether its name had to be changed.
  mutating func descend(into raw: Span<UInt8>) throws(MetainfoError.Problem) -> Bool {
    let isChanged = try readComponent(raw)
    let key = rules.foldsNames ? fold.key(of: component) : component
    let (number, isNew) = folders.insert(key.span, in: folder)
    if isNew {
      guard number < PathLimits.folderCount else { throw .tooManyFolders(limit: PathLimits.folderCount) }
      folderNames.append(component)
    }
    folder = UInt32(truncatingIfNeeded: number + 1)
    return isChanged
  }

  /// Ends the path with the file's own name.
  ///
  /// - Returns: whether it had to be changed.
  mutating func endFile(named raw: Span<UInt8>) throws(MetainfoError.Problem) -> Bool {
    let isChanged = try readComponent(raw)
    names.append(component)
    parents.append(folder)
    return isChanged
  }

  /// Ends a file that is padding, and needs no path.
  mutating func endPadding() {
    names.append([])
    parents.append(0)
  }

  /// Makes the file added last a symbolic link to a path of the torrent, if there is such a path in the end.
  mutating func linkLast(to target: [[UInt8]]) {
    let components = target.map { raw in
      var name: [UInt8] = []
      SafeName.append(raw.span, to: &name, rules: rules)
      return rules.foldsNames ? fold.key(of: name) : name
    }
    links.append(
      LinkResolver.Link(
        file: UInt32(truncatingIfNeeded: count - 1), folder: parents[count - 1], components: components))
  }

  private mutating func readComponent(_ raw: Span<UInt8>) throws(MetainfoError.Problem) -> Bool {
    // Before anything is made of it: a name of megabytes is no name.
    guard raw.count <= PathLimits.pathLength else { throw .pathTooLong(limit: PathLimits.pathLength) }
    component.removeAll(keepingCapacity: true)
    let isChanged = SafeName.append(raw, to: &component, rules: rules)
    depth += 1
    pathLength += component.count + 1
    guard depth <= PathLimits.depth else { throw .pathTooDeep(limit: PathLimits.depth) }
    guard pathLength <= PathLimits.pathLength else { throw .pathTooLong(limit: PathLimits.pathLength) }
    return isChanged
  }
}

extension FileTableBuilder {
  /// The finished table, with what had to be changed once all files were known.
  struct Result {
    var files: FileTable
    /// Files that were given another name because theirs was taken, in order.
    var renamed: [Int] = []
    /// Symbolic links that lead nowhere and became plain, empty files, in order.
    var plainLinks: [Int] = []
  }

  consuming func finish() -> Result {
    guard let layout = FileLayout(lengths: lengths) else {
      preconditionFailure("lengths were checked one by one")
    }
    var taken = TakenNames(folders: folders)
    var renames: [(file: Int, name: [UInt8])] = []
    for file in 0..<count where !attributes[file].contains(.padding) {
      let name = Array(names.bytes[names.range(file)])
      let key = rules.foldsNames ? fold.key(of: name) : name
      if taken.take(key, in: parents[file], for: file) { continue }
      let candidates = NumberedNames(for: name)
      var candidate: [UInt8]
      repeat {
        candidate = taken.nextCandidate(candidates, in: parents[file])
      } while !taken.take(
        rules.foldsNames ? fold.key(of: candidate) : candidate, in: parents[file], for: file)
      renames.append((file, candidate))
    }
    if !renames.isEmpty { rename(renames) }
    let (symlinks, plainLinks) = resolveLinks(taken)
    attributes.trim()
    parents.trim()
    names.trim()
    folderNames.trim()
    let storage = FileTableStorage(
      layout: layout, attributes: attributes, parents: parents, names: names,
      folderParents: folders.folders, folderNames: folderNames, symlinks: symlinks)
    return Result(
      files: FileTable(storage: storage), renamed: renames.map(\.file), plainLinks: plainLinks)
  }

  private mutating func rename(_ renames: [(file: Int, name: [UInt8])]) {
    var renamed = NameList()
    var next = 0
    for file in 0..<count {
      if next < renames.count && renames[next].file == file {
        renamed.append(renames[next].name)
        next += 1
      } else {
        renamed.append(names.bytes[names.range(file)])
      }
    }
    names = renamed
  }

  /// Gives symbolic links their targets. One that leads nowhere becomes a plain file: it is empty, and nothing else in
  /// the torrent goes through it, for a path through it would make it a folder.
  private mutating func resolveLinks(
    _ taken: TakenNames
  ) -> (symlinks: [FileTableStorage.Symlink], plain: [Int]) {
    var resolver = LinkResolver(links, taken)
    var symlinks: [FileTableStorage.Symlink] = []
    var plain: [Int] = []
    for link in links {
      if let target = resolver.target(ofLink: link.file) {
        symlinks.append(FileTableStorage.Symlink(file: link.file, target: target))
      } else {
        attributes[Int(link.file)].remove(.symlink)
        plain.append(Int(link.file))
      }
    }
    return (symlinks, plain)
  }
}
