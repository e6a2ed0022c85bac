import BlockPool
import Glibc
import TorrentModel

extension TorrentFiles {
  /// Files that are wanted from now on get what the part file has of them; files that are no longer wanted and do not
  /// exist yet will not be made.
  func setWanted(_ wanted: [Bool]) throws(StorageFailure) {
    let old = storage.map
    let partFile = old.partFile ?? PartFile(infoHash: storage.infoHash, geometry: storage.geometry)
    var placements = old.placements
    for number in realFiles {
      switch placements[number] {
      case .part where wanted[number]:
        try takeOut(number, from: partFile, map: old)
        placements[number] = .own
        // At once, so that what was moved stays known if a later file fails.
        storage.setMap(
          FileMap(root: old.root, wanted: wanted, placements: placements, partFile: partFile))
      case .own where !wanted[number] && storage.knownSize(ofFile: number) < 0:
        placements[number] = .part
      default: break
      }
    }
    storage.setMap(FileMap(root: old.root, wanted: wanted, placements: placements, partFile: partFile))
    try dropUnused(of: partFile, map: storage.map)
    try makeWanted()
  }

  /// Moves what the part file has of a file to its own place. The file appears at its name only when it holds everything,
  /// synced: whenever the process ends, one of the two places has it all.
  private func takeOut(_ number: Int, from partFile: PartFile, map: FileMap) throws(StorageFailure) {
    let layout = storage.layout
    let range = layout.pieces(of: number, in: storage.geometry)
    let kept = partFile.pieces.filter { range.contains(Int($0)) }
    guard !kept.isEmpty else { return }
    let source = try cache.file(partNumber, of: storage, map: map, writing: false)
    let root = try cache.root(of: storage, map: map, creating: true)
    let temporary = ".\(storage.infoHash.hex).\(number).new"
    let start = layout.start(of: number)
    let length = layout.length(of: number)
    var size: Int64 = 0
    do throws(SystemError) {
      let target = try fileSystem.open(temporary, below: root.descriptor, for: .create)
      defer { fileSystem.close(target) }
      try fileSystem.setSize(target, to: 0)
      for piece in kept {
        guard let slot = partFile.offset(of: PieceIndex(rawValue: piece)) else { continue }
        let pieceStart = storage.geometry.start(of: PieceIndex(rawValue: piece))
        let from = max(start, pieceStart)
        let to = min(
          start + length, pieceStart + Int64(storage.geometry.length(of: PieceIndex(rawValue: piece))))
        // The piece may have other files' bytes only; then the part file ends early, and there is nothing to take.
        _ = try fileSystem.copy(
          from: source.descriptor, at: slot + from - pieceStart, to: target, at: from - start,
          length: to - from)
      }
      if storage.allocation == .sparse { try fileSystem.setSize(target, to: length) }
      if storage.files[number].kind == .executable { try fileSystem.setExecutable(target) }
      try fileSystem.sync(target)
      size = try fileSystem.status(of: target).size
      try fileSystem.rename(
        temporary, below: root.descriptor, to: storage.files[number].path, below: root.descriptor)
    } catch {
      try? fileSystem.remove(temporary, below: root.descriptor)
      throw failure(.setWanted, error, root: map.root, file: number)
    }
    storage.noteChange(ofFile: number, size: size)
  }

  /// Frees the room of pieces that no file in the part file has bytes of; removes the part file when it is empty.
  private func dropUnused(of partFile: PartFile, map: FileMap) throws(StorageFailure) {
    let kept = partFile.pieces
    let unused = kept.filter { piece in
      !storage.layout.spans(of: PieceIndex(rawValue: piece), in: storage.geometry)
        .contains { map.placements[$0.file] == .part }
    }
    guard !unused.isEmpty else { return }
    if unused.count == kept.count {
      let root = try cache.root(of: storage, map: map, creating: true)
      cache.forget(FileCache.Key(torrent: storage.id, file: Int32(truncatingIfNeeded: partNumber)))
      do throws(SystemError) {
        try fileSystem.remove(partFile.name, below: root.descriptor)
      } catch {
        if error.code != ENOENT { throw failure(.setWanted, error, root: map.root, file: partNumber) }
      }
      storage.noteChange(ofFile: partNumber, size: -1)
      let empty = PartFile(infoHash: storage.infoHash, geometry: storage.geometry)
      storage.setMap(
        FileMap(root: map.root, wanted: map.wanted, placements: map.placements, partFile: empty))
      return
    }
    let file = try cache.file(partNumber, of: storage, map: map, writing: true)
    do throws(SystemError) {
      for piece in unused {
        try partFile.drop(PieceIndex(rawValue: piece), file: file.descriptor, fileSystem: fileSystem)
      }
    } catch {
      throw failure(.setWanted, error, root: map.root, file: partNumber)
    }
    storage.noteWrite(toFile: partNumber, end: 0)
  }
}
