import BlockPool
import Glibc
import TorrentModel

extension TorrentFiles {
  /// Finds out what is on the disk and what of it can be relied on, and makes what has to be there.
  func open(_ options: OpenOptions) throws(StorageFailure) -> OpenResult {
    // A descriptor from before may belong to a file that is no longer at its name.
    cache.forget(torrent: storage.id)
    let rootPath = storage.map.root
    let root = try openRoot(rootPath, creating: options.createsFiles, .open)
    defer { if let root { fileSystem.close(root) } }
    let now = try survey(root: root, path: rootPath, refusingOthers: options.createsFiles, .open)
    let map = try place(now, root: root, path: rootPath)
    storage.setMap(map)

    var result = trust(now, options: options)
    storage.noteSurvey(now, forgettingWrites: options.known == nil)
    guard options.createsFiles else { return result }
    // Files that are wanted by now but still in the part file: an earlier run ended before they could move.
    let late = storage.files.indices.filter { map.wanted[$0] && map.placements[$0] == .part }
    if !late.isEmpty {
      try setWanted(map.wanted)
      for piece in late.flatMap({ storage.layout.pieces(of: $0, in: storage.geometry) }) {
        // The new files are in no record: what they hold is found again by looking.
        if result.verified.remove(PieceIndex(piece)) { result.unchecked.insert(PieceIndex(piece)) }
      }
    }
    try makeWanted()
    return result
  }

  /// Makes what of the wanted files has to be there before any piece is.
  func makeWanted() throws(StorageFailure) {
    let map = storage.map
    let root = try cache.root(of: storage, map: map, creating: true)
    try makeLinksAndEmptyFiles(root: root.descriptor, path: map.root)
    if storage.allocation == .full { try reserveAll() }
  }

  /// Decides for each file where it lives, by what is there and what is wanted.
  private func place(_ now: [FileStamp], root: CInt?, path: String) throws(StorageFailure) -> FileMap {
    let old = storage.map
    let partFile = try loadPartFile(root: root, path: path, exists: !now[partNumber].isMissing)
    let keptPieces = partFile.pieces
    var placements = old.placements
    for file in realFiles {
      guard now[file].isMissing else {
        placements[file] = .own
        continue
      }
      // A wanted file may have its share in the part file still.
      let isKept =
        !keptPieces.isEmpty
        && storage.layout.pieces(of: file, in: storage.geometry).contains { keptPieces.contains(UInt32($0)) }
      placements[file] = !old.wanted[file] || isKept ? .part : .own
    }
    return FileMap(root: old.root, wanted: old.wanted, placements: placements, partFile: partFile)
  }

  private func trust(_ now: [FileStamp], options: OpenOptions) -> OpenResult {
    let judge = Trust(storage: storage, map: storage.map, now: now)
    var problem: ResumeRecord.Problem?
    var record: ResumeRecord?
    do throws(ResumeRecord.Problem) {
      record = try ResumeRecord.read(for: storage, fileSystem)
    } catch {
      problem = error
    }
    let pieces: (verified: Bitfield, unchecked: Bitfield)
    if let known = options.known {
      pieces = judge.judge(known) { storage.isAsLeft(file: $0, now[$0]) }
    } else {
      pieces = judge.judge(record?.verified) { file in record?.stamps[file] == now[file] }
    }
    return OpenResult(
      verified: pieces.verified, unchecked: pieces.unchecked, userData: record?.userData,
      recordProblem: problem)
  }

  /// Whatever has no bytes is complete as soon as it exists.
  private func makeLinksAndEmptyFiles(root: CInt, path: String) throws(StorageFailure) {
    let map = storage.map
    for number in storage.files.indices where map.wanted[number] {
      let file = storage.files[number]
      do throws(SystemError) {
        switch file.kind {
        case .padding: continue
        case .symlink(let text): try makeLink(text, at: file.path, below: root)
        case .regular, .executable:
          guard storage.layout.length(of: number) == 0 else { continue }
          let descriptor = try fileSystem.open(file.path, below: root, for: .create)
          defer { fileSystem.close(descriptor) }
          if try fileSystem.status(of: descriptor).size > 0 { try fileSystem.setSize(descriptor, to: 0) }
          if file.kind == .executable { try fileSystem.setExecutable(descriptor) }
        }
      } catch {
        throw failure(.open, error, root: path, file: number)
      }
    }
  }

  private func makeLink(_ text: String, at path: String, below root: CInt) throws(SystemError) {
    do throws(SystemError) {
      try fileSystem.makeLink(text, at: path, below: root)
    } catch {
      // Most often our own from an earlier run. Something else that stands there is not ours to remove.
      guard error.code == EEXIST, try fileSystem.readLink(path, below: root) == text else { throw error }
    }
  }

  /// Mode `full`: all wanted files get their size and space now.
  private func reserveAll() throws(StorageFailure) {
    let map = storage.map
    for number in realFiles where map.wanted[number] && map.placements[number] == .own {
      let length = storage.layout.length(of: number)
      guard length > 0, storage.knownSize(ofFile: number) < length else { continue }
      let file = try cache.file(number, of: storage, map: map, writing: true)
      do throws(SystemError) {
        do throws(SystemError) {
          try fileSystem.reserve(file.descriptor, offset: 0, length: length, growing: true)
        } catch {
          // Where space cannot be reserved the size at least is right.
          guard error.code == EOPNOTSUPP else { throw error }
          try fileSystem.setSize(file.descriptor, to: length)
        }
      } catch {
        throw failure(.allocate, error, root: map.root, file: number)
      }
      storage.noteChange(ofFile: number, size: length)
    }
  }
}
