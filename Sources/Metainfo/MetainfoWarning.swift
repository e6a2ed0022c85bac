import Bencode

/// Something in a torrent that is not as it should be, and was dealt with.
public struct MetainfoWarning: Hashable, Sendable {
  public enum Kind: Hashable, Sendable {
    /// Dictionary keys are out of order (BEP 3 wants them sorted). The info-hash is that of the bytes as they are.
    case unsortedKeys
    /// So many bytes follow the torrent.
    case trailingBytes(Int)
    /// A name could not be used as it is, and was changed to this one.
    case nameChanged(to: String)
    /// A symbolic link leads to nothing inside the torrent, or is not empty: it is a plain file instead.
    case symlinkMadePlain
    /// A value of the wrong kind, or out of range, was left aside.
    case ignored
    /// A URL that is too long or holds control characters was left aside.
    case urlIgnored
    /// There is more of this than the limit; the rest was left aside.
    case rest(limit: Int)
    /// A text was cut to so many bytes.
    case textCut(limit: Int)
  }

  public let kind: Kind
  /// Offset in bytes of the value in question from the start of the input.
  public let offset: Int
  /// The way to the value in question.
  public let keyPath: String
}

extension MetainfoWarning: CustomStringConvertible {
  public var description: String {
    let place = keyPath.isEmpty ? "at byte \(offset)" : "at byte \(offset), in \(keyPath)"
    let text =
      switch kind {
      case .unsortedKeys: "dictionary keys are not sorted"
      case .trailingBytes(let count): "\(count) bytes after the torrent were ignored"
      case .nameChanged(let name): "a name was changed to \"\(name)\""
      case .symlinkMadePlain: "a symbolic link that leads nowhere in the torrent is taken as a plain file"
      case .ignored: "a value that makes no sense was ignored"
      case .urlIgnored: "a URL that is too long or holds control characters was ignored"
      case .rest(let limit): "everything beyond the first \(limit) was ignored"
      case .textCut(let limit): "a text was cut after \(limit) bytes"
      }
    return "\(text) (\(place))"
  }
}

/// The first warnings of a torrent: a hostile one could cause millions.
struct WarningList {
  private(set) var warnings: [MetainfoWarning] = []
  static let limit = 100

  /// Whether another one is kept; finding out where it belongs can be spared otherwise.
  var hasRoom: Bool { warnings.count < Self.limit }

  mutating func add(_ kind: MetainfoWarning.Kind, at node: BencodeNode) {
    guard hasRoom else { return }
    warnings.append(MetainfoWarning(kind: kind, offset: node.range.lowerBound, keyPath: node.keyPath))
  }

  mutating func add(_ kind: MetainfoWarning.Kind, offset: Int) {
    guard hasRoom else { return }
    warnings.append(MetainfoWarning(kind: kind, offset: offset, keyPath: ""))
  }
}
