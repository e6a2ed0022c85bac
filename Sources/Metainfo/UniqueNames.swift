/// Which names are taken in which folder, and by what.
struct TakenNames {
  private var names: NameTable
  private let folderCount: Int
  /// The file that took name number `folderCount + n`.
  private var files: [UInt32] = []
  /// The highest number given out so far for names that are made alike.
  private var lastNumbers: [UInt32] = []
  private var numbered = NameTable()

  /// - Parameter folders: all folders; each keeps its name.
  init(folders: NameTable) {
    names = folders
    folderCount = folders.count
  }

  /// Takes a name for a file, unless it is taken.
  mutating func take(_ name: [UInt8], in folder: UInt32, for file: Int) -> Bool {
    guard names.insert(name.span, in: folder).isNew else { return false }
    files.append(UInt32(truncatingIfNeeded: file))
    return true
  }

  func node(named name: [UInt8], in folder: UInt32) -> FileTableStorage.Node? {
    guard let number = names.find(name.span, in: folder) else { return nil }
    return number < folderCount
      ? .folder(UInt32(truncatingIfNeeded: number + 1)) : .file(files[number - folderCount])
  }

  /// The next name to try. Numbers go on where the last file with such a name stopped: a million files of one name
  /// are a million tries, not their square.
  mutating func nextCandidate(_ candidates: NumberedNames, in folder: UInt32) -> [UInt8] {
    let (number, isNew) = numbered.insert(candidates.pattern.span, in: folder)
    if isNew { lastNumbers.append(0) }
    lastNumbers[number] += 1
    return candidates.name(lastNumbers[number])
  }
}

/// Variants of a name: `name.1.ext`, `name.2.ext` and so on, none longer than a file system takes.
struct NumberedNames {
  private let stem: ArraySlice<UInt8>
  private let suffix: ArraySlice<UInt8>

  /// Room for a dot and the greatest number of files.
  private static let numberLength = 8

  init(for name: [UInt8]) {
    let dot = SafeName.extensionStart(name[...])
    let room = PathLimits.nameLength - Self.numberLength - (name.count - dot)
    stem = name[..<SafeName.boundary(name[..<dot], notAfter: min(dot, room))]
    suffix = name[dot...]
  }

  /// The same for all names whose variants are the same.
  var pattern: [UInt8] { stem + [0] + suffix }

  func name(_ number: UInt32) -> [UInt8] { stem + Array(".\(number)".utf8) + suffix }
}

/// Gives names that a folding file system takes for the same one representative.
struct NameFolding {
  /// Swift compares strings by canonical equivalence, which is Unicode normalisation's.
  private var representatives: [String: [UInt8]] = [:]

  mutating func key(of name: [UInt8]) -> [UInt8] {
    let folded = String(decoding: name, as: UTF8.self).lowercased()
    if let representative = representatives[folded] { return representative }
    let key = Array(folded.utf8)
    representatives[folded] = key
    return key
  }
}
