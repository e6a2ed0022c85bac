import Engine

/// A peer as a user names it: `192.0.2.1:6881`, `[2001:db8::1]:6881`, `host.example:6881`.
struct PeerAddress: SettingValue, Hashable {
  /// A numeric address without brackets, or a name.
  let host: String
  let port: UInt16

  init?(argument: String) {
    guard let colon = argument.lastIndex(of: ":") else { return nil }
    let digits = argument[argument.index(after: colon)...]
    guard digits.utf8.allSatisfy(isDigit), let port = UInt16(digits), port != 0 else { return nil }
    var host = argument[..<colon]
    if host.first == "[" {
      guard host.last == "]" else { return nil }
      host = host.dropFirst().dropLast()
      guard let address = IPAddress(host), !address.isV4 || host.contains(":") else { return nil }
    } else {
      // Bare IPv6 is ambiguous: where would the port begin?
      guard !host.contains(":"), Self.isName(host) else { return nil }
    }
    self.host = String(host)
    self.port = port
  }

  /// The endpoint, when no name has to be looked up.
  var endpoint: Endpoint? { IPAddress(host).map { Endpoint(address: $0, port: port) } }

  /// As a user would name it.
  var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

  private static func isName(_ host: Substring) -> Bool {
    (1...253).contains(host.utf8.count)
      && host.utf8.allSatisfy { byte in
        isDigit(byte) || (0x61...0x7a).contains(byte | 0x20) || byte == 0x2d || byte == 0x2e || byte == 0x5f
          || byte >= 0x80
      }
  }

  static var form: String { "HOST:PORT, an IPv6 address in brackets: [2001:db8::1]:6881" }
}
