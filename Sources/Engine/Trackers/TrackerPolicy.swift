import Reactor
import TorrentModel
import TrackerProtocol

/// Where an announce may go. Trackers are named by torrents, and torrents by strangers: without this a torrent could make
/// us poke at services of the machine and the network we are in.
///
/// - A loopback, link-local or private address is contacted only if the URL's path ends as a tracker's does.
/// - It is never contacted after a redirect from a public address.
///
/// Trackers that the user named are trusted with the first, not with the second.
final class TrackerPolicy {
  private let isFromUser: Bool
  /// URLs of this exchange that turned out to be at a public address.
  private var publicURLs: Set<URLParts> = []
  private(set) var refused: IPAddress?

  init(isFromUser: Bool) { self.isFromUser = isFromUser }

  func admit(_ url: URLParts, _ address: SocketAddress, redirectedFrom previous: URLParts?) -> HTTPAdmission {
    let ip = Endpoint(address.unmapped).address
    guard ip.isLocalOrSpecial else {
      publicURLs.insert(url)
      return .allowed
    }
    // What a redirect leads to was named by the tracker, not by the user.
    let isNamedByUser = isFromUser && previous == nil
    let isFromPublic = previous.map { publicURLs.contains($0) } ?? false
    let looksLikeTracker = url.path.hasSuffix("announce") || url.path.hasSuffix("scrape")
    if !isFromPublic && (isNamedByUser || looksLikeTracker) { return .allowed }
    refused = ip
    return .refused(reason: TrackerError.localAddressRefused(ip).description)
  }

  /// The same for UDP, which knows no redirects.
  static func admits(_ url: TrackerURL, _ address: IPAddress, isFromUser: Bool) -> Bool {
    !address.isLocalOrSpecial || isFromUser || url.isPlausibleForLocalAddress
  }
}
