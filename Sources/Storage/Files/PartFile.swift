import BlockPool
import Synchronization
import TorrentModel

/// Keeps what boundary pieces have of files that are not wanted, so that those files need not exist.
///
/// Layout: 32 bytes of header, then for each piece of the torrent four bytes (little-endian): the number of its slot
/// counted from one, zero for none. From the next multiple of 16 KiB on, slots of one piece length each, in which bytes
/// stand where they stand in the piece. What is not used is a hole.
final class PartFile: Sendable {
  static let magic: [UInt8] = Array("SPATEPRT".utf8)
  static let version: UInt32 = 1
  static let headerLength = 32

  let name: String
  private let geometry: PieceGeometry
  private let state: Lock<State>

  private struct State {
    /// Slot of a piece, from zero.
    var slots: [UInt32: UInt32] = [:]
    var free: [UInt32] = []
    var next: UInt32 = 0
    /// Whether the header stands in the file.
    var isWritten = false
  }

  static func name(of infoHash: InfoHash) -> String { ".\(infoHash.hex).parts" }

  /// A part file that does not exist yet.
  init(infoHash: InfoHash, geometry: PieceGeometry) {
    self.name = PartFile.name(of: infoHash)
    self.geometry = geometry
    self.state = Lock(State())
  }

  /// Reads the table of an existing part file. A file that is no part file of this torrent counts as empty and will be
  /// written over.
  init(
    infoHash: InfoHash, geometry: PieceGeometry, file: CInt, fileSystem: any FileSystem
  ) throws(SystemError) {
    self.name = PartFile.name(of: infoHash)
    self.geometry = geometry
    let bytes = try fileSystem.read(PartFile.headerLength + geometry.pieceCount * 4, from: file, at: 0)
    self.state = Lock(PartFile.decode(bytes, geometry: geometry) ?? State())
  }

  private static func header(_ geometry: PieceGeometry) -> [UInt8] {
    var bytes = magic
    bytes.append(littleEndian: version)
    bytes.append(littleEndian: UInt32(geometry.pieceLength))
    bytes.append(littleEndian: UInt64(geometry.totalLength))
    while bytes.count < headerLength { bytes.append(0) }
    return bytes
  }

  private static func decode(_ bytes: [UInt8], geometry: PieceGeometry) -> State? {
    guard bytes.count >= headerLength, Array(bytes[..<headerLength]) == header(geometry) else { return nil }
    var state = State()
    state.isWritten = true
    var taken: Set<UInt32> = []
    var reader = LittleEndianReader(bytes)
    _ = reader.take(headerLength)
    for piece in 0..<geometry.pieceCount {
      guard let slot = reader.integer(UInt32.self) else { break }
      guard slot > 0 else { continue }
      // Two pieces in one slot, or more slots than pieces: not written by us.
      guard slot <= UInt32(geometry.pieceCount), taken.insert(slot - 1).inserted else { return nil }
      state.slots[UInt32(piece)] = slot - 1
      state.next = max(state.next, slot)
    }
    state.free = (0..<state.next).filter { !taken.contains($0) }
    return state
  }

  private var slotsStart: Int64 {
    let end = Int64(PartFile.headerLength + geometry.pieceCount * 4)
    return (end + 16383) / 16384 * 16384
  }

  private func offset(ofSlot slot: UInt32) -> Int64 { slotsStart + Int64(slot) * Int64(geometry.pieceLength) }

  /// Where the piece begins in the file; nil when nothing of it is there.
  func offset(of piece: PieceIndex) -> Int64? {
    state.withLock { $0.slots[piece.rawValue] }.map(offset(ofSlot:))
  }

  /// Pieces that have room in the file.
  var pieces: Set<UInt32> { state.withLock { Set($0.slots.keys) } }

  /// Where the piece begins in the file, after making room for it.
  /// - Parameter starting: called when the file is begun anew, whatever stood there before.
  func makeRoom(
    for piece: PieceIndex, file: CInt, fileSystem: any FileSystem, starting: () -> Void
  ) throws(SystemError) -> Int64 {
    let slot = try state.withLock { state throws(SystemError) in
      if let slot = state.slots[piece.rawValue] { return slot }
      if !state.isWritten {
        // Whatever stood here before is no part file of ours.
        starting()
        try fileSystem.setSize(file, to: 0)
        try fileSystem.write(PartFile.header(geometry), to: file, at: 0)
        state.isWritten = true
      }
      let slot = state.free.last ?? state.next
      var entry: [UInt8] = []
      entry.append(littleEndian: slot + 1)
      try fileSystem.write(entry, to: file, at: Int64(PartFile.headerLength) + Int64(piece.rawValue) * 4)
      if !state.free.isEmpty { state.free.removeLast() } else { state.next += 1 }
      state.slots[piece.rawValue] = slot
      return slot
    }
    return offset(ofSlot: slot)
  }

  /// Forgets what is kept of a piece. What other files have of it must be gone as well.
  func drop(_ piece: PieceIndex, file: CInt, fileSystem: any FileSystem) throws(SystemError) {
    try state.withLock { state throws(SystemError) in
      guard let slot = state.slots[piece.rawValue] else { return }
      try fileSystem.write(
        [0, 0, 0, 0], to: file, at: Int64(PartFile.headerLength) + Int64(piece.rawValue) * 4)
      state.slots[piece.rawValue] = nil
      state.free.append(slot)
    }
  }
}
