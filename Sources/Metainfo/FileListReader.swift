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
    _ info: BencodeNode, name: String, _ warnings: inout WarningList
  ) throws(MetainfoError) -> (files: FileTable, isSingleFile: Bool) {
    let isSingleFile: Bool
    if info["files"] == nil {
      try readSingleFile(info, name: name)
      isSingleFile = true
    } else {
      try readFileList(info, &warnings)
      isSingleFile = false
    }
    // Padding alone is nothing to have.
    guard builder.contentLength > 0 else { throw MetainfoError(.noContent, at: info) }
    let result = builder.finish()
    if !isSingleFile { warn(of: result, info, &warnings) }
    return (result.files, isSingleFile)
  }

  private mutating func readSingleFile(_ info: BencodeNode, name: String) throws(MetainfoError) {
    let length = try info.required("length", .integer)
    var attributes = FileAttributes(reading: info)
    // A link needs something to lead to, and a torrent of padding alone something to pad.
    attributes.subtract([.symlink, .padding])
    try Self.locating(length) { () throws(MetainfoError.Problem) in
      try builder.beginFile(length: length.integer ?? 0, attributes: attributes)
      _ = try builder.endFile(named: name.utf8.span)
    }
  }

  private mutating func readFileList(
    _ info: BencodeNode, _ warnings: inout WarningList
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
    _ file: BencodeNode, _ warnings: inout WarningList
  ) throws(MetainfoError) {
    var attributes = FileAttributes(reading: file)
    if FileListReader.isBitCometPadding(file) { attributes.insert(.padding) }
    // A link is always empty, and need not say so (BEP 47).
    let isEmptyLink = attributes.contains(.symlink) && (file["length"]?.integer ?? 0) == 0
    let target = isEmptyLink ? FileListReader.symlinkPath(of: file) : nil
    if target == nil && attributes.contains(.symlink) {
      attributes.remove(.symlink)
      warnings.add(.symlinkMadePlain, at: file)
    }
    let length = isEmptyLink && file["length"] == nil ? file : try file.required("length", .integer)
    try Self.locating(length) { () throws(MetainfoError.Problem) in
      try builder.beginFile(length: length.integer ?? 0, attributes: attributes)
    }
    guard !attributes.contains(.padding) else {
      builder.endPadding()
      return
    }
    let path = try FileListReader.path(of: file)
    let isChanged = try Self.locating(path) { () throws(MetainfoError.Problem) in try readPath(path) }
    if isChanged && changed.count < WarningList.limit { changed.append(builder.count - 1) }
    if let target { builder.linkLast(to: target) }
  }

  /// Names a file by its path, a list of strings that is not empty.
  private mutating func readPath(_ path: BencodeNode) throws(MetainfoError.Problem) -> Bool {
    guard var names = path.elements, var name = names.next() else { throw .emptyPath }
    var isChanged = false
    while let next = names.next() {
      if let raw = name.string { isChanged = try builder.descend(into: raw) || isChanged }
      name = next
    }
    guard let raw = name.string else { throw .emptyPath }
    return try builder.endFile(named: raw) || isChanged
  }

  /// Static, so that no copy of the reader is held while `body` changes it.
  private static func locating<Value>(
    _ node: BencodeNode, _ body: () throws(MetainfoError.Problem) -> Value
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

  private static func isUTF8Path(_ path: BencodeNode) -> Bool {
    guard var names = path.elements, !path.isEmpty else { return false }
    while let name = names.next() {
      guard let raw = name.string, (try? UTF8Span(validating: raw)) != nil else { return false }
    }
    return true
  }

  /// Padding as BitComet makes it, which is older than BEP 47 and told by its name alone.
  private static func isBitCometPadding(_ file: BencodeNode) -> Bool {
    guard var names = file["path"]?.elements else { return false }
    var last: Span<UInt8>?
    while let name = names.next() { last = name.string }
    let prefix = "_____padding_file_".utf8
    guard let last, last.count >= prefix.count else { return false }
    return zip(0..., prefix).allSatisfy { last[$0] == $1 }
  }

  /// Where a link leads, unless it is longer than any path in a torrent can be.
  private static func symlinkPath(of file: BencodeNode) -> [[UInt8]]? {
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
    of result: FileTableBuilder.Result, _ info: BencodeNode, _ warnings: inout WarningList
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
  init(reading node: BencodeNode) {
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
