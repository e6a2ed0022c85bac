import DHT
import TorrentModel

/// Why the DHT could not be asked, or did not do what was asked of it.
public enum DHTFailure: Error, Sendable, CustomStringConvertible {
  /// Not of the form `HOST:PORT`.
  case notANode(String)
  /// A name without an address.
  case cannotResolve(String, reason: String)
  case cannotBind(String)
  case outOfResources(String)
  /// Nobody answered who could lead into the network.
  case noNodes
  /// The node does not answer.
  case timedOut
  /// The node has answered with an error: code and text (BEP 5).
  case refused(code: Int, text: String)
  /// Nobody has the item.
  case notFound
  /// The item names no torrent (BEP 46).
  case notATorrent
  /// The item cannot be stored as it is.
  case notAnItem(DHTItem.Problem)
  /// The key cannot sign: OpenSSL's configuration forbids Ed25519.
  case cannotSign
  /// The closest nodes took nothing; what the first said of it, if any did.
  case notStored(reason: String?)
  case shutDown

  public var description: String {
    switch self {
    case .notANode(let text):
      "'\(printableText(text.utf8.span, lengthLimit: 200))' is not of the form HOST:PORT"
    case .cannotResolve(let host, let reason): "\(host): \(reason)"
    case .cannotBind(let reason), .outOfResources(let reason): reason
    case .noNodes: "no node of the DHT answers"
    case .timedOut: "the node does not answer"
    case .refused(let code, let text): "the node refused: \(text) (\(code))"
    case .notFound: "no node has the item"
    case .notATorrent: "the item names no torrent"
    case .notAnItem(let problem): problem.description
    case .cannotSign: "the key cannot be used: Ed25519 is not available on this machine"
    case .notStored(let reason): "no node stored it" + (reason.map { ": \($0)" } ?? "")
    case .shutDown: "the node was shut down"
    }
  }
}
