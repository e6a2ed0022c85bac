import TorrentModel

/// What survives of a torrent between runs.
public struct ResumeRecord: Sendable {
  /// Why a record was not used.
  public enum Problem: Error, Hashable, Sendable, CustomStringConvertible {
    case unreadable(code: CInt)
    case tooLong
    case notARecord
    case unknownVersion(UInt16)
    case corrupt
    case otherTorrent
    case otherGeometry

    public var description: String {
      switch self {
      case .unreadable(let code): "the resume record cannot be read (error \(code))"
      case .tooLong: "the resume record is too long to be one"
      case .notARecord: "the file is no resume record"
      case .unknownVersion(let version):
        "the resume record has version \(version), which this program does not know"
      case .corrupt: "the resume record is damaged"
      case .otherTorrent: "the resume record belongs to another torrent"
      case .otherGeometry: "the resume record is of other files or pieces than the torrent has"
      }
    }
  }
}
