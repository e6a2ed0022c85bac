import TorrentModel

/// What a client tells its neighbours: which torrents it takes part in (BEP 14). The form is that of an HTTP request
/// without a reply, in one datagram to a multicast group.
public struct LocalAnnounce: Hashable, Sendable {
  /// The group to which announces go, one for each address family.
  @frozen
  public enum Group: UInt8, Hashable, Sendable, CaseIterable {
    case v4
    case v6

    /// Where announces are sent, and where to listen for them.
    public var endpoint: Endpoint {
      switch self {
      case .v4: Endpoint(address: IPAddress(239, 192, 152, 143), port: 6771)
      case .v6:
        Endpoint(address: IPAddress(high: 0xff15_0000_0000_0000, low: 0xefc0_988f), port: 6771)
      }
    }
  }

  /// The port on which the sender takes connections.
  public var port: UInt16
  /// Each once, in the order of the message.
  public var infoHashes: [InfoHash]
  /// What the sender knows its own announces by when they come back to it. Raw bytes.
  public var cookie: [UInt8]

  public init(port: UInt16, infoHashes: [InfoHash], cookie: [UInt8] = []) {
    self.port = port
    self.infoHashes = infoHashes
    self.cookie = cookie
  }

  /// Bytes of a message that is sent, so that no network divides it.
  public static let sentLengthLimit = 1400
  /// Bytes of a message that is read.
  public static let lengthLimit = 2048
  /// Bytes of a cookie.
  public static let cookieLengthLimit = 64
  /// Torrents in one message that is sent, whatever the port and a cookie within its limit.
  public static let infoHashLimit = (sentLengthLimit - 96 - 2 * cookieLengthLimit) / infoHashLineLength
  private static let infoHashLineLength = 10 + 40 + 2

  /// The message to a group.
  ///
  /// - Precondition: ``infoHashes`` are no more than ``infoHashLimit``; the cookie is printable ASCII within its limit.
  public func encoded(for group: Group) -> [UInt8] {
    precondition((1...Self.infoHashLimit).contains(infoHashes.count))
    precondition(cookie.count <= Self.cookieLengthLimit && cookie.allSatisfy { $0 > 0x20 && $0 < 0x7f })
    var text = "BT-SEARCH * HTTP/1.1\r\nHost: \(group.endpoint)\r\nPort: \(port)\r\n"
    for infoHash in infoHashes { text += "Infohash: \(infoHash.hex)\r\n" }
    var bytes = Array(text.utf8)
    if !cookie.isEmpty { bytes += Array("cookie: ".utf8) + cookie + Array("\r\n".utf8) }
    bytes += Array("\r\n\r\n".utf8)
    return bytes
  }

  /// Reads a message. Headers that are not known are passed over, and so are info-hashes that are none.
  public static func decode(_ bytes: Span<UInt8>) throws(LocalAnnounceError) -> LocalAnnounce {
    guard bytes.count <= lengthLimit else { throw .tooLong(limit: lengthLimit) }
    var lines = Lines(bytes)
    guard lines.next(), lines.isRequest(bytes) else { throw .notAnAnnounce }
    var port: UInt16?
    var result = LocalAnnounce(port: 0, infoHashes: [])
    while lines.next() {
      // An empty line ends the headers.
      if lines.range.isEmpty { break }
      guard let (name, value) = lines.header(bytes) else {
        throw .malformedHeader(offset: lines.range.lowerBound)
      }
      switch name {
      case "port":
        guard (1...5).contains(value.count), value.allSatisfy({ $0.isDigit }),
          let number = UInt16(String(decoding: value, as: UTF8.self)), number > 0
        else { throw .badPort }
        port = number
      case "infohash":
        if let infoHash = InfoHash(hex: String(decoding: value, as: UTF8.self)),
          !result.infoHashes.contains(infoHash)
        {
          result.infoHashes.append(infoHash)
        }
      case "cookie": result.cookie = Array(value.prefix(cookieLengthLimit))
      default: break
      }
    }
    guard let port else { throw .badPort }
    guard !result.infoHashes.isEmpty else { throw .noInfoHash }
    result.port = port
    return result
  }
}

/// Why a datagram is no announce that can be used.
public enum LocalAnnounceError: Error, Hashable, Sendable, CustomStringConvertible {
  case tooLong(limit: Int)
  /// It does not begin with `BT-SEARCH * HTTP/1.`.
  case notAnAnnounce
  /// A line without a colon, with its offset.
  case malformedHeader(offset: Int)
  /// No port, or not a number in 1 … 65535.
  case badPort
  case noInfoHash

  public var description: String {
    switch self {
    case .tooLong(let limit): "the announce is longer than \(limit) bytes"
    case .notAnAnnounce: "the datagram is no local announce"
    case .malformedHeader(let offset): "a header of the announce is malformed (at byte \(offset))"
    case .badPort: "the announce names no port"
    case .noInfoHash: "the announce names no torrent"
    }
  }
}

/// Goes over the lines of a message. They end in CR LF, or in LF alone as some clients write them.
private struct Lines {
  private let ends: [Int]
  private var index = -1
  private let bytesCount: Int
  private let isCarriageReturn: [Bool]

  init(_ bytes: Span<UInt8>) {
    var ends: [Int] = []
    var returns: [Bool] = []
    for at in bytes.indices where bytes[at] == UInt8(ascii: "\n") {
      ends.append(at)
      returns.append(at > 0 && bytes[at - 1] == UInt8(ascii: "\r"))
    }
    self.ends = ends
    isCarriageReturn = returns
    bytesCount = bytes.count
  }

  /// Moves to the next complete line.
  mutating func next() -> Bool {
    guard index + 1 < ends.count else { return false }
    index += 1
    return true
  }

  /// Where the line is, without its end.
  var range: Range<Int> {
    let start = index == 0 ? 0 : ends[index - 1] + 1
    return start..<max(start, ends[index] - (isCarriageReturn[index] ? 1 : 0))
  }

  func isRequest(_ bytes: Span<UInt8>) -> Bool {
    let start = Array("BT-SEARCH * HTTP/1.".utf8)
    guard range.count >= start.count else { return false }
    return start.indices.allSatisfy { bytes[range.lowerBound + $0] == start[$0] }
  }

  /// Name, in lower case, and value without the white space around it.
  func header(_ bytes: Span<UInt8>) -> (name: String, value: [UInt8])? {
    guard let colon = range.first(where: { bytes[$0] == UInt8(ascii: ":") }) else { return nil }
    let name = String(decoding: (range.lowerBound..<colon).map { bytes[$0] }, as: UTF8.self)
    var (begin, end) = (colon + 1, range.upperBound)
    let isBlank: (UInt8) -> Bool = { $0 == 0x20 || $0 == 0x09 }
    while begin < end, isBlank(bytes[begin]) { begin += 1 }
    while begin < end, isBlank(bytes[end - 1]) { end -= 1 }
    return (name.lowercased(), (begin..<end).map { bytes[$0] })
  }
}
