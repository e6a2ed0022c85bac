/// Why a text is no URL that can be fetched.
public enum URLError: Error, Hashable, Sendable, CustomStringConvertible {
  case tooLong
  case invalidCharacter
  case noScheme
  case unsupportedScheme(String)
  case invalidHost
  case invalidPort

  public var description: String {
    switch self {
    case .tooLong: "the URL is longer than \(URLParts.maximumLength) bytes"
    case .invalidCharacter: "the URL contains a space or a control character"
    case .noScheme: "the URL does not start with http:// or https://"
    case .unsupportedScheme(let scheme): "URLs of scheme \(scheme) are not supported"
    case .invalidHost: "the URL has no usable host name"
    case .invalidPort: "the URL's port is not a number from 1 to 65535"
    }
  }
}

/// An http or https URL, taken apart.
public struct URLParts: Hashable, Sendable {
  public enum Scheme: String, Hashable, Sendable {
    case http
    case https

    public var defaultPort: UInt16 { self == .http ? 80 : 443 }
  }

  public static let maximumLength = 16 * 1024

  public var scheme: Scheme
  /// Lower case; an IPv6 address without its brackets.
  public var host: String
  public var port: UInt16
  /// Path and query as they are sent, in ASCII and starting with a slash.
  public var target: String
  /// `user:password`, decoded, or nil.
  public var userInfo: [UInt8]?

  /// The path, without the query.
  public var path: Substring { target[..<(target.firstIndex(of: "?") ?? target.endIndex)] }

  /// What follows the question mark, or nil.
  public var query: Substring? {
    target.firstIndex(of: "?").map { target[target.index(after: $0)...] }
  }

  /// The host as an address, if it is one.
  public var address: SocketAddress? { SocketAddress(host: host, port: port) }

  /// What the Host header says: the port only where it is not the scheme's.
  public var authority: String {
    let name = host.contains(":") ? "[\(host)]" : host
    return port == scheme.defaultPort ? name : "\(name):\(port)"
  }

  /// Whether both name the same server.
  public func hasSameOrigin(as other: URLParts) -> Bool {
    scheme == other.scheme && host == other.host && port == other.port
  }

  /// Parses an absolute URL. A fragment is dropped; bytes outside ASCII are percent-encoded in path and query, and
  /// refused in the host.
  public init(parsing text: some StringProtocol) throws(URLError) {
    let bytes = Array(text.utf8.prefix(URLParts.maximumLength + 1))
    try URLParts.checkCharacters(bytes)
    guard let colon = bytes.firstIndex(of: UInt8(ascii: ":")), URLParts.isScheme(bytes[..<colon]) else {
      throw .noScheme
    }
    let name = String(decoding: bytes[..<colon], as: UTF8.self).lowercased()
    guard let scheme = Scheme(rawValue: name) else { throw .unsupportedScheme(name) }
    let rest = bytes[(colon + 1)...]
    guard rest.starts(with: "//".utf8) else { throw .invalidHost }
    self = try URLParts(scheme: scheme, afterSlashes: rest.dropFirst(2))
  }

  /// The URL that a Location header in an answer from this one means.
  public func resolving(_ location: some StringProtocol) throws(URLError) -> URLParts {
    let bytes = Array(location.utf8.prefix(URLParts.maximumLength + 1))
    try URLParts.checkCharacters(bytes)
    if let end = bytes.firstIndex(where: { "/?#:".utf8.contains($0) }), bytes[end] == UInt8(ascii: ":"),
      URLParts.isScheme(bytes[..<end])
    {
      return try URLParts(parsing: location)
    }
    if bytes.starts(with: "//".utf8) {
      return try URLParts(scheme: scheme, afterSlashes: bytes.dropFirst(2))
    }
    var result = self
    let relative = String(decoding: URLParts.encodedTarget(bytes[...]), as: UTF8.self)
    if relative.isEmpty { return result }
    if relative.hasPrefix("/") {
      result.target = relative
    } else if relative.hasPrefix("?") {
      result.target = path + relative
    } else {
      let folder = path[...(path.lastIndex(of: "/") ?? path.startIndex)]
      result.target = folder + relative
    }
    result.target = URLParts.removingDotSegments(result.target)
    return result
  }

  private init(scheme: Scheme, afterSlashes bytes: ArraySlice<UInt8>) throws(URLError) {
    let end = bytes.firstIndex { "/?#".utf8.contains($0) } ?? bytes.endIndex
    var authority = bytes[..<end]
    var userInfo: [UInt8]?
    if let at = authority.lastIndex(of: UInt8(ascii: "@")) {
      userInfo = URLParts.percentDecoded(authority[..<at])
      authority = authority[(at + 1)...]
    }
    let host: ArraySlice<UInt8>
    var portText = ArraySlice<UInt8>()
    if authority.first == UInt8(ascii: "[") {
      guard let close = authority.firstIndex(of: UInt8(ascii: "]")) else { throw .invalidHost }
      host = authority[(authority.startIndex + 1)..<close]
      let after = authority[(close + 1)...]
      guard after.isEmpty || after.first == UInt8(ascii: ":") else { throw .invalidHost }
      portText = after.dropFirst()
      let address = SocketAddress(host: String(decoding: host, as: UTF8.self), port: 0)
      guard address?.family == .v6 else { throw .invalidHost }
    } else {
      let colon = authority.firstIndex(of: UInt8(ascii: ":")) ?? authority.endIndex
      host = authority[..<colon]
      portText = authority[colon...].dropFirst()
      guard URLParts.isHostName(host) else { throw .invalidHost }
    }
    var port = scheme.defaultPort
    if !portText.isEmpty {
      guard let number = SocketAddress.parsePort(String(decoding: portText, as: UTF8.self)), number > 0 else {
        throw .invalidPort
      }
      port = number
    }
    self.scheme = scheme
    self.host = String(decoding: host, as: UTF8.self).lowercased()
    self.port = port
    self.userInfo = userInfo
    var target = URLParts.encodedTarget(bytes[end...])
    if target.first != UInt8(ascii: "/") { target.insert(UInt8(ascii: "/"), at: 0) }
    self.target = String(decoding: target, as: UTF8.self)
  }
}

extension URLParts: CustomStringConvertible {
  /// The URL without its password.
  public var description: String { "\(scheme)://\(authority)\(target)" }
}

extension URLParts {
  private static func checkCharacters(_ bytes: [UInt8]) throws(URLError) {
    if bytes.count > maximumLength { throw .tooLong }
    if bytes.contains(where: { $0 <= 0x20 || $0 == 0x7f }) { throw .invalidCharacter }
  }

  private static func isScheme(_ bytes: ArraySlice<UInt8>) -> Bool {
    guard let first = bytes.first, isLetter(first) else { return false }
    return bytes.allSatisfy { isLetter($0) || isDigit($0) || "+-.".utf8.contains($0) }
  }

  private static func isHostName(_ bytes: ArraySlice<UInt8>) -> Bool {
    (1...253).contains(bytes.count)
      && bytes.allSatisfy { isLetter($0) || isDigit($0) || "-._".utf8.contains($0) }
  }

  private static func isLetter(_ byte: UInt8) -> Bool {
    (65...90).contains(byte) || (97...122).contains(byte)
  }

  private static func isDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) }

  /// Path and query without the fragment, in ASCII.
  private static func encodedTarget(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
    let end = bytes.firstIndex(of: UInt8(ascii: "#")) ?? bytes.endIndex
    var result: [UInt8] = []
    result.reserveCapacity(end - bytes.startIndex)
    for byte in bytes[..<end] {
      if byte < 0x80 {
        result.append(byte)
      } else {
        let digits = Array("0123456789ABCDEF".utf8)
        result += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
    return result
  }

  private static func percentDecoded(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
    var result: [UInt8] = []
    var rest = bytes
    while let byte = rest.popFirst() {
      let digits = rest.prefix(2)
      if byte == UInt8(ascii: "%"), digits.count == 2,
        let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
      {
        result.append(value)
        rest = rest.dropFirst(2)
      } else {
        result.append(byte)
      }
    }
    return result
  }

  /// RFC 3986, section 5.2.4, for targets that start with a slash.
  private static func removingDotSegments(_ target: String) -> String {
    let end = target.firstIndex(of: "?") ?? target.endIndex
    var kept: [Substring] = []
    let segments = target[..<end].split(separator: "/", omittingEmptySubsequences: false).dropFirst()
    for (index, segment) in segments.enumerated() {
      let isLast = index == segments.count - 1
      if segment == ".." { _ = kept.popLast() }
      if segment == "." || segment == ".." {
        if isLast { kept.append("") }
      } else {
        kept.append(segment)
      }
    }
    return "/" + kept.joined(separator: "/") + target[end...]
  }
}
