import Foundation

/// Where a client listens. IPv4 and IPv6 tests use the same last number.
struct Address: Sendable, CustomStringConvertible {
  enum Family: String, Sendable, CaseIterable { case v4, v6 }
  let family: Family
  let number: Int
  let port: Int

  init(_ family: Family, _ number: Int, port: Int = 6881) {
    self.family = family
    self.number = number
    self.port = port
  }

  var host: String { family == .v4 ? "10.77.0.\(number)" : "fd77::\(number)" }
  var description: String { family == .v4 ? "\(host):\(port)" : "[\(host)]:\(port)" }
}

/// The roles of a test: each has an address of its own.
enum Role {
  static let tracker = 1
  static let seeder = 2
  static let leecher = 3
  static let second = 4
}

/// Another BitTorrent client, driven through one torrent at a time.
protocol Client: Sendable {
  /// Starts it with complete data in `folder`; returns when it has checked the data and listens.
  func seed(_ torrent: URL, from folder: URL, at address: Address, in sandbox: Sandbox) async throws -> Child
  /// Downloads into `folder` until complete. `peers` are told to clients that can be told.
  func download(_ torrent: URL, into folder: URL, at address: Address, peers: [Address], in sandbox: Sandbox)
    async throws
}

/// The other clients by name, for tables of cases.
enum ClientKind: String, CaseIterable, Sendable {
  case aria2, transmission, libtorrent

  var requirement: Requirement {
    switch self {
    case .aria2: .aria2
    case .transmission: .transmission
    case .libtorrent: .libtorrent
    }
  }

  /// The client, with the certificate authority it shall trust if it meets an HTTPS tracker.
  func client(trusting authority: URL? = nil) -> any Client {
    switch self {
    case .aria2: Aria2(authority: authority)
    case .transmission: Transmission(authority: authority)
    case .libtorrent: Libtorrent(authority: authority)
    }
  }

  /// transmission 3.00 does not create empty files.
  var skipsEmptyFiles: Bool { self == .transmission }
  /// Only libtorrent can be told about a peer without a tracker.
  var takesPeers: Bool { self == .libtorrent }
}
