import Bencode
import TorrentModel

/// What a tracker that refuses says about coming back (BEP 31).
public enum RetryAdvice: Hashable, Sendable {
  case never
  case after(Moment.Interval)
}

/// Why an announce or a scrape brought nothing. Texts from trackers are printable and short.
public enum TrackerError: Error, Hashable, Sendable {
  // What the tracker said.
  /// The tracker refused, and says why (BEP 3, BEP 15).
  case failure(reason: String, retry: RetryAdvice?)
  /// An HTTP status other than 200, without a bencoded reason in the body.
  case httpStatus(Int)
  /// The reply is not bencode.
  case notBencode(BencodeError)
  /// The reply is bencode, but not a dictionary.
  case notADictionary
  /// The list of peers has an impossible length or form (BEP 3, BEP 7, BEP 23).
  case malformedPeers
  /// A scrape reply without a dictionary of files (BEP 48).
  case malformedScrape
  /// The reply is longer than `Limits.trackerReplyLength`.
  case replyTooLong
  /// A UDP reply is shorter than its kind needs, in bytes (BEP 15).
  case truncatedReply(length: Int, needed: Int)
  /// A UDP reply of another kind than was asked for (BEP 15).
  case unexpectedAction(UInt32)

  // What happened on the way.
  /// No answer in the time that was given.
  case timedOut
  /// The host name has no address, and what the resolver says.
  case cannotResolve(String)
  /// No connection, or a broken one, and what the system says.
  case cannotConnect(String)
  /// The certificate or host name of an https tracker is not in order.
  case notTrusted(String)
  /// More redirects than are followed.
  case tooManyRedirects(limit: Int)
  /// A torrent's tracker at a local address that does not look like a tracker, or a redirect to one.
  case localAddressRefused(IPAddress)
  /// A redirect to a URL that is none for trackers.
  case badRedirect(TrackerURLError)
  /// The tracker has no place to scrape (BEP 48).
  case scrapeNotSupported
  /// The torrent or the program stopped first.
  case cancelled
}

extension TrackerError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .failure(let reason, _): reason.isEmpty ? "the tracker refused without a reason" : reason
    case .httpStatus(let status): "the tracker answered with HTTP status \(status)"
    case .notBencode(let error): "the tracker's answer is not bencode: \(error)"
    case .notADictionary: "the tracker's answer is not a dictionary"
    case .malformedPeers: "the tracker's list of peers is malformed"
    case .malformedScrape: "the tracker's scrape answer is malformed"
    case .replyTooLong: "the tracker's answer is longer than \(Limits.trackerReplyLength) bytes"
    case .truncatedReply(let length, let needed):
      "the tracker's answer has \(length) bytes, at least \(needed) are needed"
    case .unexpectedAction(let action):
      "the tracker gave an answer of kind \(action), which was not asked for"
    case .timedOut: "the tracker does not answer"
    case .cannotResolve(let reason): "the tracker's name cannot be resolved: \(reason)"
    case .cannotConnect(let reason): "the tracker cannot be reached: \(reason)"
    case .notTrusted(let reason): "the tracker's certificate is not trusted: \(reason)"
    case .tooManyRedirects(let limit): "the tracker redirects more than \(limit) times"
    case .localAddressRefused(let address):
      "a torrent may not use \(address), a local address, as its tracker: only under a path that ends in announce or scrape"
    case .badRedirect(let error): "the tracker redirects to a place that is none: \(error)"
    case .scrapeNotSupported: "the tracker cannot be scraped"
    case .cancelled: "cancelled"
    }
  }
}
