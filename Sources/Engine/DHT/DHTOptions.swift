import Reactor
import TorrentModel

/// How a node of the DHT behaves (BEP 5). Every value has a default that suits a client in the public network.
public struct DHTOptions: Sendable {
  /// UDP port. nil: the session's TCP port, or any if that is taken; 0 lets the system choose.
  public var port: UInt16?
  /// Nodes to begin with, as `HOST:PORT`; IPv6 addresses in brackets. They are asked while there are too few others.
  public var nodes: [String] = []
  /// Begin with ``publicNodes``, too, while no other node is known. Never done when bound to a loopback address.
  public var usesPublicNodes = true
  /// Ask, and answer nobody (BEP 43): behind firewalls that let nothing in, or where traffic costs.
  public var isReadOnly = false
  /// Where ids and nodes are kept between runs. nil keeps none. If another process uses the file, its nodes are taken,
  /// and nothing is saved.
  public var stateFile: String?
  /// For a few questions only: the nodes of the state file are used under an id of our own, and the file is left to
  /// others unless there is none.
  public var isVisit = false

  // Serving.
  /// Queries a second that are answered, in all and of one address.
  public var answersPerSecond = 5000
  public var answersPerSecondAndAddress = 20
  /// Peers of other people's torrents that are remembered at most, 24 bytes each, and their torrents.
  public var maximumStoredPeers = 60_000
  public var maximumStoredTorrents = 4000
  /// Items that are remembered at most (BEP 44), 1.2 KiB each.
  public var maximumStoredItems = 1000

  public init() {}

  /// Well-known hosts that name nodes to whoever asks.
  public static let publicNodes = [
    "dht.libtorrent.org:25401", "router.bittorrent.com:6881", "dht.transmissionbt.com:6881",
    "router.utorrent.com:6881",
  ]

  /// - Throws: ``DHTFailure/notANode(_:)`` for the first of ``nodes`` that is no `HOST:PORT`.
  public func validate() throws(DHTFailure) {
    for node in nodes where NodeAddress(node) == nil { throw .notANode(node) }
  }
}

/// `HOST:PORT` of a node; IPv6 addresses in brackets.
struct NodeAddress: Hashable, Sendable, CustomStringConvertible {
  /// A numeric address without brackets, or a name.
  var host: String
  var port: UInt16

  init?(_ text: String) {
    guard let colon = text.lastIndex(of: ":") else { return nil }
    let digits = text[text.index(after: colon)...]
    guard (1...5).contains(digits.utf8.count), digits.utf8.allSatisfy({ (48...57).contains($0) }),
      let port = UInt16(digits), port != 0
    else { return nil }
    var host = text[..<colon]
    if host.first == "[" {
      guard host.last == "]" else { return nil }
      host = host.dropFirst().dropLast()
      guard let address = IPAddress(host), !address.isV4 || host.contains(":") else { return nil }
    } else {
      let isName = host.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && !"/[]@?#%".utf8.contains($0) }
      guard (1...253).contains(host.utf8.count), isName, !host.contains(":") else { return nil }
    }
    self.host = String(host)
    self.port = port
  }

  var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

extension LocalBinding {
  private var addresses: [IPAddress] { [v4, v6].compactMap { $0.map { Endpoint($0.unmapped).address } } }

  /// Whether nothing beyond this machine can be reached.
  var isLoopback: Bool { !addresses.isEmpty && addresses.allSatisfy(\.isLoopback) }

  /// Whether it is bound to addresses that others know only within a network.
  var isLocal: Bool {
    !addresses.isEmpty && addresses.allSatisfy(\.isOfThisNetwork)
  }
}
