import BlockPool
import Hashing
import TorrentModel

/// What survives of a torrent between runs: which pieces were verified and synced, and what the files looked like then.
public struct ResumeRecord: Sendable {
  public var infoHash: InfoHash
  public var geometry: PieceGeometry
  /// Where the files were. For the reader's information: what counts is how they look.
  public var root: String
  public var verified: Bitfield
  /// What the owner of the torrent wanted kept.
  public var userData: [UInt8]
  /// What each file looked like, the part file last.
  var stamps: [FileStamp]

  /// Why a record was not used.
  public enum Problem: Error, Hashable, Sendable, CustomStringConvertible {
    case unreadable(code: CInt)
    case tooLong
    case notARecord
    case unknownVersion(UInt16)
    case corrupt
    case otherTorrent
    /// The record is of other files or pieces than the torrent has.
    case otherLayout

    public var description: String {
      switch self {
      case .unreadable(let code): "the resume record cannot be read: \(SystemError(code: code))"
      case .tooLong: "the resume record is too long to be one"
      case .notARecord: "the file is no resume record"
      case .unknownVersion(let version):
        "the resume record has version \(version), which this program does not know"
      case .corrupt: "the resume record is damaged"
      case .otherTorrent: "the resume record belongs to another torrent"
      case .otherLayout: "the resume record is of other files or pieces than the torrent has"
      }
    }
  }

  /// Bytes: two words for each of 2^20 files, 2^22 pieces, and as much again for user data.
  static let maximumLength = 64 << 20
}

/// On disk, integers little-endian: magic (8 bytes), version (2), info-hash (20), total length (8), piece length (4), files
/// (4), root (length in 4, UTF-8), one bit for each piece as on the wire, for each file and then the part file its size
/// (8, all ones when it is not there) and time of change in nanoseconds (8), user data (length in 4, bytes); then
/// the SHA-1 of all that.
extension ResumeRecord {
  static let magic: [UInt8] = Array("SPATERES".utf8)
  static let version: UInt16 = 1
  private static let checksumLength = 20

  func encoded() -> [UInt8] {
    var bytes = ResumeRecord.magic
    let names = Array(root.utf8)
    bytes.reserveCapacity(
      128 + names.count + verified.wireLength + stamps.count * 16 + userData.count)
    bytes.append(littleEndian: ResumeRecord.version)
    infoHash.bytes.append(to: &bytes)
    bytes.append(littleEndian: UInt64(geometry.totalLength))
    bytes.append(littleEndian: UInt32(geometry.pieceLength))
    bytes.append(littleEndian: UInt32(stamps.count - 1))
    bytes.append(littleEndian: UInt32(names.count))
    bytes += names
    verified.appendWire(to: &bytes)
    for stamp in stamps {
      bytes.append(littleEndian: UInt64(bitPattern: stamp.size))
      bytes.append(littleEndian: UInt64(bitPattern: stamp.modified))
    }
    bytes.append(littleEndian: UInt32(userData.count))
    bytes += userData
    SHA1.digest(of: bytes.span).append(to: &bytes)
    return bytes
  }

  /// Reads a record. Nothing of one that is damaged anywhere is used.
  init(decoding bytes: [UInt8]) throws(Problem) {
    guard bytes.count <= ResumeRecord.maximumLength else { throw .tooLong }
    var reader = LittleEndianReader(bytes)
    guard let magic = reader.take(8), Array(magic) == ResumeRecord.magic else { throw .notARecord }
    guard let version = reader.integer(UInt16.self) else { throw .corrupt }
    guard version == ResumeRecord.version else { throw .unknownVersion(version) }
    let end = bytes.count - ResumeRecord.checksumLength
    guard end >= reader.offset, SHA1.digest(of: bytes.span.extracting(..<end)).bytes == Array(bytes[end...])
    else {
      throw .corrupt
    }
    // The checksum says that we wrote this; the bounds hold all the same.
    guard let hash = reader.take(20), let infoHash = Bytes20(hash).map(InfoHash.init),
      let totalLength = reader.integer(UInt64.self), totalLength <= UInt64(Int64.max),
      let pieceLength = reader.integer(UInt32.self), pieceLength > 0, pieceLength <= Limits.pieceLength,
      totalLength <= UInt64(pieceLength) * UInt64(Limits.pieceCount),
      let fileCount = reader.integer(UInt32.self), fileCount <= Limits.fileCount,
      let rootLength = reader.integer(UInt32.self), let root = reader.take(Int(rootLength))
    else { throw .corrupt }
    let geometry = PieceGeometry(totalLength: Int64(totalLength), pieceLength: Int(pieceLength))
    guard let bits = reader.take((geometry.pieceCount + 7) / 8),
      let verified = try? Bitfield(wire: Array(bits).span, capacity: geometry.pieceCount)
    else { throw .corrupt }
    guard reader.remaining >= (Int(fileCount) + 1) * 16 else { throw .corrupt }
    var stamps: [FileStamp] = []
    stamps.reserveCapacity(Int(fileCount) + 1)
    for _ in 0...fileCount {
      guard let size = reader.integer(UInt64.self), let modified = reader.integer(UInt64.self) else {
        throw .corrupt
      }
      stamps.append(
        FileStamp(size: Int64(bitPattern: size), modified: Int64(bitPattern: modified)))
    }
    guard let userLength = reader.integer(UInt32.self), let userData = reader.take(Int(userLength)),
      reader.offset == end
    else { throw .corrupt }
    self.init(
      infoHash: infoHash, geometry: geometry, root: String(decoding: root, as: UTF8.self), verified: verified,
      userData: Array(userData), stamps: stamps)
  }

  /// Reads a record file. Nil when there is none.
  public static func read(
    at path: String, fileSystem: any FileSystem = RealFileSystem()
  ) throws(Problem) -> ResumeRecord? {
    let bytes: [UInt8]
    do throws(SystemError) {
      guard let found = try RecordFile(path: path).read(limit: maximumLength, fileSystem) else { return nil }
      bytes = found
    } catch {
      throw error.code == 0 ? .tooLong : .unreadable(code: error.code)
    }
    return try ResumeRecord(decoding: bytes)
  }

  /// As ``read(at:fileSystem:)``, and the record must be of this torrent.
  static func read(for storage: TorrentStorage, _ fileSystem: any FileSystem) throws(Problem) -> ResumeRecord?
  {
    guard let path = storage.recordPath, let record = try read(at: path, fileSystem: fileSystem) else {
      return nil
    }
    guard record.infoHash == storage.infoHash else { throw .otherTorrent }
    guard record.geometry == storage.geometry, record.stamps.count == storage.files.count + 1 else {
      throw .otherLayout
    }
    return record
  }
}
