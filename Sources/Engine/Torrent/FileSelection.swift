import Metainfo
import Storage
import Swarm
import TorrentModel

/// Which files of a torrent are wanted.
struct FileSelection {
  /// By file number; padding is never wanted for itself.
  let wanted: [Bool]
  let isEverything: Bool

  /// - Throws: `.noSuchFile` when the selection names a file that the torrent does not have.
  init(_ selected: Set<Int>?, of info: TorrentInfo) throws(SessionError) {
    if let selected {
      if let bad = selected.first(where: { !info.files.indices.contains($0) }) { throw .noSuchFile(bad) }
    }
    let wanted = info.files.map { !$0.isPadding && (selected?.contains($0.index) ?? true) }
    self.wanted = wanted
    self.isEverything = info.files.allSatisfy { $0.isPadding || wanted[$0.index] }
  }

  /// A priority for each piece: pieces that hold any byte of a wanted file. nil when every piece is wanted.
  func priorities(geometry: PieceGeometry, layout: FileLayout) -> [PiecePriority]? {
    guard !isEverything else { return nil }
    var result = [PiecePriority](repeating: .skip, count: geometry.pieceCount)
    for file in wanted.indices where wanted[file] {
      for piece in layout.pieces(of: file, in: geometry) { result[piece] = .normal }
    }
    return result
  }

  /// Bytes of wanted files.
  func wantedBytes(layout: FileLayout) -> Int64 {
    wanted.indices.reduce(0) { $0 + (wanted[$1] ? layout.length(of: $1) : 0) }
  }

  /// Bytes of wanted files that lie in verified pieces.
  func doneBytes(have: Bitfield, geometry: PieceGeometry, layout: FileLayout) -> Int64 {
    if have.isFull { return wantedBytes(layout: layout) }
    if isEverything && layout.fileCount == 1 { return Self.bytes(of: have, geometry) }
    var total: Int64 = 0
    for file in wanted.indices where wanted[file] {
      total += Self.doneBytes(ofFile: file, have: have, geometry: geometry, layout: layout)
    }
    return total
  }

  static func bytes(of have: Bitfield, _ geometry: PieceGeometry) -> Int64 {
    guard geometry.pieceCount > 0 else { return 0 }
    let last = PieceIndex(geometry.pieceCount - 1)
    let full = Int64(have.count) * Int64(geometry.pieceLength)
    return have[last] ? full - Int64(geometry.pieceLength - geometry.length(of: last)) : full
  }

  /// Verified bytes of one file.
  static func doneBytes(ofFile file: Int, have: Bitfield, geometry: PieceGeometry, layout: FileLayout)
    -> Int64
  {
    let start = layout.start(of: file)
    let end = start + layout.length(of: file)
    var total: Int64 = 0
    for index in layout.pieces(of: file, in: geometry) {
      let piece = PieceIndex(index)
      guard have[piece] else { continue }
      let from = max(start, geometry.start(of: piece))
      let to = min(end, geometry.start(of: piece) + Int64(geometry.length(of: piece)))
      total += to - from
    }
    return total
  }
}

extension StorageFile {
  /// The files of a torrent as Storage wants them.
  static func list(of info: TorrentInfo) -> [StorageFile] {
    info.files.map { file in
      let kind: Kind =
        if file.isPadding {
          .padding
        } else if let text = file.symlinkText {
          .symlink(text: text)
        } else if file.attributes.contains(.executable) {
          .executable
        } else {
          .regular
        }
      return StorageFile(path: info.downloadPath(ofFile: file.index), kind: kind)
    }
  }
}
