import Bencode
import TorrentModel

/// Reads the files of an info dictionary into a table of safe paths (BEP 3, BEP 47).
struct FileListReader {
  private var builder: FileTableBuilder
  /// The first files with a name that is not safe as it stands.
  private var changed: [Int] = []

  private let fileLimit: Int

  init(rules: PathRules, fileLimit: Int = Limits.fileCount) {
    builder = FileTableBuilder(rules: rules)
    self.fileLimit = fileLimit
  }

  /// - Parameter name: the torrent's safe name, which is the file's in a torrent of one file.
  mutating func read(
    _ info: borrowing BencodeNode, name: String, _ warnings: inout WarningList
  ) throws(MetainfoError) -> (files: FileTable, isSingleFile: Bool) {
    let isSingleFile: Bool
    if info["files"] == nil {
      try readSingleFile(info, name: name)
      isSingleFile = true
    } else {
      try readFileList(info, &warnings)
      isSingleFile = false
    }
    let result = builder.finish()
    if !isSingleFile { warn(of: result, info, &warnings) }
    return (result.files, isSingleFile)
  }

  private mutating func readSingleFile(_ info: borrowing BencodeNode, name: String) throws(MetainfoError) {
    let length = try info.required("length", .integer)
    var attributes = FileAttributes(reading: info)
    // A link needs something to lead to, and a torrent of padding alone something to pad.
    attributes.subtract([.symlink, .padding])
    builder.beginPath()
    try Self.locating(length) { () throws(MetainfoError.Problem) in
      _ = try builder.addFile(named: name.utf8.span, length: length.integer ?? 0, attributes: attributes)
    }
  }

  private mutating func readFileList(
    _ info: borrowing BencodeNode, _ warnings: inout WarningList
  ) throws(MetainfoError) {
    let list = try info.required("files", .list)
    guard var files = list.elements, !list.isEmpty else { throw MetainfoError(.noFiles, at: list) }
    while let file = files.next() {
      guard file.kind == .dictionary else {
        throw MetainfoError(.wrongKind(expected: .dictionary, found: file.kind), at: file)
      }
      guard builder.count < fileLimit else {
        throw MetainfoError(.tooManyFiles(limit: fileLimit), at: file)
      }
      try readFile(file, &warnings)
    }
    // Not both, says BEP 3. Where they agree it does no harm.
    if let length = info["length"], length.integer != builder.totalLength {
      throw MetainfoError(.lengthAndFilesDisagree, at: length)
    }
  }

  private mutating func readFile(
    _ file: borrowing BencodeNode, _ warnings: inout WarningList
  ) throws(MetainfoError) {
    var attributes = FileAttributes(reading: file)
    // A link is always empty, and need not say so (BEP 47).
    let hasLength = file["length"] != nil || !attributes.contains(.symlink)
    let length = hasLength ? try file.required("length", .integer).integer ?? 0 : 0

    guard !attributes.contains(.padding), !FileListReader.isBitCometPadding(file) else {
      try Self.locating(file) { () throws(MetainfoError.Problem) in try builder.addPadding(length: length) }
      return
    }
    var target: [[UInt8]]?
    if attributes.contains(.symlink) {
      target = length == 0 ? FileListReader.symlinkPath(of: file) : nil
      if target == nil {
        attributes.remove(.symlink)
        warnings.add(.symlinkMadePlain, at: file)
      }
    }
    let path = try FileListReader.path(of: file)
    let isChanged = try Self.locating(path) { () throws(MetainfoError.Problem) in
      try add(path, length: length, attributes: attributes)
    }
    if isChanged && changed.count < WarningList.limit { changed.append(builder.count - 1) }
    if let target { builder.linkLast(to: target) }
  }

  /// Adds a file by its path, a list of strings that is not empty.
  private mutating func add(
    _ path: borrowing BencodeNode, length: Int64, attributes: FileAttributes
  ) throws(MetainfoError.Problem) -> Bool {
    guard var names = path.elements, var name = names.next() else { throw .emptyPath }
    var isChanged = false
    builder.beginPath()
    while let next = names.next() {
      if let raw = name.string { isChanged = try builder.descend(into: raw) || isChanged }
      name = next
    }
    guard let raw = name.string else { throw .emptyPath }
    return try builder.addFile(named: raw, length: length, attributes: attributes) || isChanged
  }

  /// Static, so that no copy of the reader is held while `body` changes it.
  private static func locating<Value>(
    _ node: borrowing BencodeNode, _ body: () throws(MetainfoError.Problem) -> Value
  ) throws(MetainfoError) -> Value {
    do {
      return try body()
    } catch {
      throw MetainfoError(error, at: node)
    }
  }
}

extension FileListReader {
  /// The path of a file: `path.utf-8` where that is there and usable, otherwise `path`.
  @_lifetime(copy file)
  private static func path(of file: BencodeNode) throws(MetainfoError) -> BencodeNode {
    if let preferred = file["path.utf-8"], isUTF8Path(preferred) { return preferred }
    let path = try file.required("path", .list)
    guard var names = path.elements, !path.isEmpty else { throw MetainfoError(.emptyPath, at: path) }
    while let name = names.next() {
      guard name.kind == .string else {
        throw MetainfoError(.wrongKind(expected: .string, found: name.kind), at: name)
      }
    }
    return path
  }

  private static func isUTF8Path(_ path: borrowing BencodeNode) -> Bool {
    guard var names = path.elements, !path.isEmpty else { return false }
    while let name = names.next() {
      guard let raw = name.string, (try? UTF8Span(validating: raw)) != nil else { return false }
    }
    return true
  }

  /// Padding as BitComet makes it, which is older than BEP 47 and told by its name alone.
  private static func isBitCometPadding(_ file: borrowing BencodeNode) -> Bool {
    guard var names = file["path"]?.elements else { return false }
    var last: Span<UInt8>?
    while let name = names.next() { last = name.string }
    let prefix = "_____padding_file_".utf8
    guard let last, last.count >= prefix.count else { return false }
    return zip(0..., prefix).allSatisfy { last[$0] == $1 }
  }

  /// Where a link leads, unless it is longer than any path in a torrent can be.
  private static func symlinkPath(of file: borrowing BencodeNode) -> [[UInt8]]? {
    guard let path = file["symlink path"], var names = path.elements, path.count <= PathLimits.depth else {
      return nil
    }
    var components: [[UInt8]] = []
    while let name = names.next() {
      guard let raw = name.stringBytes, raw.count <= PathLimits.pathLength else { return nil }
      components.append(raw)
    }
    return components
  }

  /// Tells of what was changed once all files were known.
  private func warn(
    of result: FileTableBuilder.Result, _ info: borrowing BencodeNode, _ warnings: inout WarningList
  ) {
    let limit = WarningList.limit
    let renamed = Set(changed).union(result.renamed.prefix(limit))
    let plain = Set(result.plainLinks.prefix(limit))
    guard !renamed.isEmpty || !plain.isEmpty, var files = info["files"]?.elements else { return }
    var index = 0
    while warnings.hasRoom, let file = files.next() {
      if renamed.contains(index) { warnings.add(.nameChanged(to: result.files[index].path), at: file) }
      if plain.contains(index) { warnings.add(.symlinkMadePlain, at: file) }
      index += 1
    }
  }
}

extension FileAttributes {
  /// The letters of `attr` that are known (BEP 47).
  init(reading node: borrowing BencodeNode) {
    self = []
    guard let letters = node["attr"]?.string else { return }
    for index in 0..<min(letters.count, 64) {
      switch letters[index] {
      case UInt8(ascii: "p"): insert(.padding)
      case UInt8(ascii: "x"): insert(.executable)
      case UInt8(ascii: "h"): insert(.hidden)
      case UInt8(ascii: "l"): insert(.symlink)
      default: break
      }
    }
  }
}
