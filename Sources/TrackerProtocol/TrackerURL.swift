import TorrentModel

/// Where a tracker is: an http, https or udp URL that was taken apart and checked.
///
/// It costs its text and a few bytes: many torrents can share one value.
public struct TrackerURL: Hashable, Sendable {
  public enum Scheme: String, Hashable, Sendable {
    case http, https, udp
  }

  public enum Host: Hashable, Sendable {
    case name(String)
    case address(IPAddress)
  }

  public let scheme: Scheme
  public let port: UInt16
  /// The URL without its fragment; scheme and host in lower case, what is not ASCII percent-encoded.
  public let text: String
  private let userEnd: UInt16
  private let hostStart: UInt16
  private let hostEnd: UInt16
  private let pathStart: UInt16
  private let pathEnd: UInt16

  /// Bytes in a URL. Longer ones are refused.
  public static let lengthLimit = 2048

  /// - Throws: ``TrackerURLError``, which says what is wrong.
  public init(_ string: some StringProtocol) throws(TrackerURLError) {
    guard string.utf8.count <= Self.lengthLimit else { throw .tooLong(limit: Self.lengthLimit) }
    var reader = Reader(string)
    let scheme = try reader.scheme()
    var text = Array("\(scheme.rawValue)://".utf8)
    let user = try reader.userInfo()
    if let user { text += user + [UInt8(ascii: "@")] }
    userEnd = UInt16(text.count)
    let host = try reader.host()
    hostStart = UInt16(text.count)
    text += host
    hostEnd = UInt16(text.count)
    if let port = try reader.port() {
      self.port = port
      text += Array(":\(port)".utf8)
    } else {
      port = scheme == .https ? 443 : 80
    }
    pathStart = UInt16(text.count)
    text += try reader.rest(until: [UInt8(ascii: "?"), UInt8(ascii: "#")])
    pathEnd = UInt16(text.count)
    text += try reader.rest(until: [UInt8(ascii: "#")])
    guard text.count <= Self.lengthLimit else { throw .tooLong(limit: Self.lengthLimit) }
    self.scheme = scheme
    self.text = String(decoding: text, as: UTF8.self)
  }

  private func slice(_ start: UInt16, _ end: UInt16) -> String {
    let bytes = text.utf8
    return String(
      text[
        bytes.index(
          bytes.startIndex, offsetBy: Int(start))..<bytes.index(bytes.startIndex, offsetBy: Int(end))])
  }

  private var length: UInt16 { UInt16(text.utf8.count) }

  /// The host as it stands in the URL, brackets of an IPv6 address included.
  public var hostText: String { slice(hostStart, hostEnd) }

  public var host: Host {
    let text = hostText
    let bare = text.hasPrefix("[") ? String(text.dropFirst().dropLast()) : text
    if let address = IPAddress(bare) { return .address(address) }
    return .name(bare)
  }

  /// The path, empty or beginning with a slash.
  public var path: String { slice(pathStart, pathEnd) }
  /// What follows the question mark, or `nil` without one.
  public var query: String? { pathEnd == length ? nil : slice(pathEnd + 1, length) }
  /// Path and query with its question mark, as BEP 41 sends them to a UDP tracker. Empty when there are none.
  public var pathAndQuery: String { slice(pathStart, length) }
  /// Scheme, host and port only: what to show people, since paths and queries hold pass keys.
  public var origin: String { "\(scheme.rawValue)://\(hostText)\(slice(hostEnd, pathStart))" }

  /// The value of an `Authorization` header for the user and password in the URL, or `nil` without them.
  public var basicAuthorization: String? {
    let start = UInt16(scheme.rawValue.utf8.count + 3)
    guard userEnd > start else { return nil }
    return "Basic " + Base64.encode(PercentEncoding.decode(Array(slice(start, userEnd - 1).utf8).span) ?? [])
  }

  /// Whether a torrent's author, whom nobody has reason to trust, may send us to this URL when its host turns out
  /// to be a loopback, link-local or private address: the path has to end as a tracker's does, so that a torrent
  /// cannot make us poke at other services of the network we are in.
  public var isPlausibleForLocalAddress: Bool {
    let path = path
    return path.hasSuffix("announce") || path.hasSuffix("scrape")
  }

  /// Where to scrape, or `nil` when the tracker has no such place: the last part of the path must begin with
  /// `announce` (BEP 48). For UDP it is this URL.
  public var scrapeURL: TrackerURL? {
    if scheme == .udp { return self }
    let path = path
    guard let slash = path.lastIndex(of: "/") else { return nil }
    let last = path[path.index(after: slash)...]
    guard last.hasPrefix("announce") else { return nil }
    let start = UInt16(path[...slash].utf8.count)
    let scraped = slice(0, pathStart + start) + "scrape" + last.dropFirst(8) + slice(pathEnd, length)
    return try? TrackerURL(scraped)
  }

  /// The target of a request line: path and query, with `parameters` after the URL's own ones.
  public func requestTarget(_ parameters: String) -> String {
    let path = path.isEmpty ? "/" : path
    guard let query, !query.isEmpty else { return parameters.isEmpty ? path : "\(path)?\(parameters)" }
    return parameters.isEmpty ? "\(path)?\(query)" : "\(path)?\(query)&\(parameters)"
  }
}

extension TrackerURL: CustomStringConvertible {
  /// The URL without user and password.
  public var description: String { "\(scheme.rawValue)://\(slice(hostStart, length))" }
}

/// Why a tracker's URL is refused.
public enum TrackerURLError: Error, Hashable, Sendable {
  case empty
  case tooLong(limit: Int)
  /// There is no `scheme://`.
  case notAURL
  /// A scheme other than http, https and udp, cut to 20 characters and made printable.
  case unsupportedScheme(String)
  case missingHost
  /// The host is neither a name nor an address. Names in other scripts must be given in their ASCII form.
  case badHost
  /// Not a number in 1 … 65535.
  case badPort
  /// A space, control character or other byte that has no place in a URL, with its offset.
  case badCharacter(UInt8, offset: Int)
}

extension TrackerURLError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .empty: "the tracker URL is empty"
    case .tooLong(let limit): "the tracker URL is longer than \(limit) bytes"
    case .notAURL: "the tracker is not given as a URL"
    case .unsupportedScheme(let scheme):
      "trackers with '\(scheme)' URLs are not supported, only http, https and udp"
    case .missingHost: "the tracker URL has no host"
    case .badHost: "the host of the tracker URL is neither a name nor an address"
    case .badPort: "the port of the tracker URL is not a number from 1 to 65535"
    case .badCharacter(let byte, let offset):
      "the tracker URL has the byte 0x\(String(byte, radix: 16)) at \(offset)"
    }
  }
}

/// Goes over a URL from front to back.
private struct Reader {
  let bytes: [UInt8]
  var at = 0

  /// White space around the URL is common in torrents and dropped.
  init(_ string: some StringProtocol) {
    let blank: Set<UInt8> = [0x20, 0x09, 0x0a, 0x0d]
    var slice = Array(string.utf8)[...]
    while let last = slice.last, blank.contains(last) { slice.removeLast() }
    bytes = Array(slice.drop { blank.contains($0) })
  }

  private func find(_ byte: UInt8, before end: Int) -> Int? { bytes[at..<end].firstIndex(of: byte) }

  /// Where user, host and port end.
  private var authorityEnd: Int {
    let marks: Set<UInt8> = [UInt8(ascii: "/"), UInt8(ascii: "?"), UInt8(ascii: "#")]
    return bytes[at...].firstIndex { marks.contains($0) } ?? bytes.count
  }

  mutating func scheme() throws(TrackerURLError) -> TrackerURL.Scheme {
    guard !bytes.isEmpty else { throw .empty }
    let separator = Array("://".utf8)
    guard let colon = find(separator[0], before: bytes.count), colon > 0,
      bytes[colon...].starts(with: separator)
    else { throw .notAURL }
    let name = bytes[..<colon].map { $0.lowercased }
    guard let scheme = TrackerURL.Scheme(rawValue: String(decoding: name, as: UTF8.self)) else {
      throw .unsupportedScheme(printableText(name.span, lengthLimit: 20))
    }
    at = colon + 3
    return scheme
  }

  mutating func userInfo() throws(TrackerURLError) -> [UInt8]? {
    guard let mark = bytes[at..<authorityEnd].lastIndex(of: UInt8(ascii: "@")) else { return nil }
    let user = try encoded(at..<mark)
    at = mark + 1
    return user
  }

  mutating func host() throws(TrackerURLError) -> [UInt8] {
    let end = authorityEnd
    guard at < end else { throw .missingHost }
    if bytes[at] == UInt8(ascii: "[") {
      guard let close = find(UInt8(ascii: "]"), before: end),
        let address = IPAddress(String(decoding: bytes[(at + 1)..<close], as: UTF8.self)),
        bytes[at..<close].contains(UInt8(ascii: ":"))
      else { throw .badHost }
      at = close + 1
      guard at == end || bytes[at] == UInt8(ascii: ":") else { throw .badHost }
      // An embedded IPv4 address is shown as what it is.
      return Array((address.isV4 ? "\(address)" : "[\(address)]").utf8)
    }
    let stop = find(UInt8(ascii: ":"), before: end) ?? end
    let name = bytes[at..<stop].map { $0.lowercased }
    guard !name.isEmpty else { throw .missingHost }
    guard name.count <= 253, name.allSatisfy({ $0.isHostCharacter }) else { throw .badHost }
    // The last label may be empty: "tracker.example.org.".
    let labels = name.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    for (index, label) in labels.enumerated() {
      guard label.count <= 63, !label.isEmpty || (index > 0 && index == labels.count - 1) else {
        throw .badHost
      }
    }
    // What looks like a number must be an address, and no shortened or octal one that resolvers take for another.
    if let last = labels.last(where: { !$0.isEmpty }),
      last.allSatisfy({ $0.isDigit }) || last.starts(with: "0x".utf8)
    {
      guard IPAddress(String(decoding: name, as: UTF8.self)) != nil else { throw .badHost }
    }
    at = stop
    return name
  }

  /// `nil` when none is given, also for a colon with nothing behind it (RFC 3986).
  mutating func port() throws(TrackerURLError) -> UInt16? {
    let end = authorityEnd
    guard at < end else { return nil }
    let digits = bytes[(at + 1)..<end]
    at = end
    if digits.isEmpty { return nil }
    guard digits.count <= 5, digits.allSatisfy({ $0.isDigit }),
      let port = UInt16(String(decoding: digits, as: UTF8.self)), port > 0
    else { throw .badPort }
    return port
  }

  mutating func rest(until marks: [UInt8]) throws(TrackerURLError) -> [UInt8] {
    let end = bytes[at...].firstIndex { marks.contains($0) } ?? bytes.count
    let part = try encoded(at..<end)
    at = end
    return part
  }

  /// The bytes with what is not ASCII percent-encoded. Control characters and spaces could end a request line.
  private func encoded(_ range: Range<Int>) throws(TrackerURLError) -> [UInt8] {
    var output: [UInt8] = []
    for index in range {
      let byte = bytes[index]
      guard byte > 0x20, byte != 0x7f else { throw .badCharacter(byte, offset: index) }
      if byte < 0x80 { output.append(byte) } else { PercentEncoding.append(escaped: byte, to: &output) }
    }
    return output
  }
}

extension UInt8 {
  fileprivate var lowercased: UInt8 { self >= 0x41 && self <= 0x5a ? self + 0x20 : self }
  fileprivate var isHostCharacter: Bool {
    isDigit || (lowercased >= 0x61 && lowercased <= 0x7a) || self == UInt8(ascii: "-")
      || self == UInt8(ascii: ".")
      || self == UInt8(ascii: "_")
  }
  var isDigit: Bool { self >= 0x30 && self <= 0x39 }
}
