import TorrentModel

/// Which pieces can be relied on, by what the files look like now.
struct Trust {
  let storage: TorrentStorage
  /// Where files are placed.
  let map: FileMap
  /// What the files look like now, the part file last.
  let now: [FileStamp]

  /// Splits the pieces that a source (record or memory) names into those that can be relied on and those that have to be
  /// looked at again: pieces any of whose files changed since. Pieces the source does not name are missing if their files
  /// did not change. Without a source every piece whose files are there has to be looked at.
  func judge(_ named: Bitfield?, isUnchanged: (_ file: Int) -> Bool) -> (
    verified: Bitfield, unchecked: Bitfield
  ) {
    let count = storage.geometry.pieceCount
    guard let named else { return (Bitfield(capacity: count), possible()) }
    var changed = Bitfield(capacity: count)
    for file in storage.files.indices
    where map.placements[file] != .none && !standsUnchanged(file, isUnchanged) {
      for piece in storage.layout.pieces(of: file, in: storage.geometry) { changed.insert(PieceIndex(piece)) }
    }
    guard !changed.isEmpty else { return (named, Bitfield(capacity: count)) }
    var verified = named
    verified.subtract(changed)
    changed.formIntersection(possible())
    return (verified, changed)
  }

  /// A file in the part file stands and falls with that.
  private func standsUnchanged(_ file: Int, _ isUnchanged: (Int) -> Bool) -> Bool {
    switch map.placements[file] {
    case .none: true
    case .own: isUnchanged(file)
    case .part: isUnchanged(file) && isUnchanged(storage.files.count)
    }
  }

  /// Pieces all of whose files are there and long enough.
  func possible() -> Bitfield {
    let geometry = storage.geometry
    var possible = Bitfield(fullCapacity: geometry.pieceCount)
    for file in storage.files.indices {
      let length = storage.layout.length(of: file)
      guard length > 0 else { continue }
      switch map.placements[file] {
      case .none: continue
      case .own:
        let present = max(0, min(length, now[file].size))
        guard present < length else { continue }
        let start = storage.layout.start(of: file)
        for piece in geometry.pieces(from: start + present, length: length - present) {
          possible.remove(PieceIndex(piece))
        }
      case .part:
        for piece in storage.layout.pieces(of: file, in: geometry)
        where map.partFile?.offset(of: PieceIndex(piece)) == nil {
          possible.remove(PieceIndex(piece))
        }
      }
    }
    return possible
  }
}
