/// Where the bytes of each file of a torrent live at the moment. Immutable: a job that runs alone puts another in its
/// place.
final class FileMap: Sendable {
  enum Placement: UInt8, Sendable {
    /// In a file of its own.
    case own
    /// The file is not wanted: what boundary pieces have of it is in the part file.
    case part
    /// Nowhere: padding and links. Reads as zeros.
    case none
  }

  let root: String
  let wanted: [Bool]
  let placements: [Placement]
  /// Present when any file is placed in it.
  let partFile: PartFile?

  init(root: String, wanted: [Bool], placements: [Placement], partFile: PartFile?) {
    self.root = root
    self.wanted = wanted
    self.placements = placements
    self.partFile = partFile
  }

  /// Where every file belongs before anything is known of the disk.
  convenience init(root: String, wanted: [Bool], files: [StorageFile]) {
    self.init(
      root: root, wanted: wanted,
      placements: files.map { $0.isPadding || $0.isSymlink ? .none : .own }, partFile: nil)
  }

  func moved(to root: String) -> FileMap {
    FileMap(root: root, wanted: wanted, placements: placements, partFile: partFile)
  }
}
