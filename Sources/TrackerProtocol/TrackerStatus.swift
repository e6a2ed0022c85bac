import TorrentModel

/// How one tracker of a torrent does, to be shown.
public struct TrackerStatus: Hashable, Sendable {
  public enum Activity: Hashable, Sendable {
    /// It was not needed yet, or the torrent is stopped.
    case notContacted
    /// An announce is out.
    case announcing(AnnounceEvent)
    /// The last announce was answered.
    case working
    /// The last announce failed, and it will be tried again.
    case waiting
    /// It told us never to come back (BEP 31).
    case refused
  }

  public let url: TrackerURL
  public let tier: Int
  public internal(set) var activity = Activity.notContacted
  /// When it is announced to next, as far as that is known.
  public internal(set) var nextAnnounce: Moment?
  /// When it last answered.
  public internal(set) var lastReply: Moment?
  /// Peers that have everything, as the tracker said last.
  public internal(set) var seeds: Int?
  /// Peers that are still downloading, as the tracker said last.
  public internal(set) var leechers: Int?
  /// How often the torrent was downloaded, as the tracker said last.
  public internal(set) var downloaded: Int?
  /// Peers in its last reply.
  public internal(set) var peerCount = 0
  /// Failures in a row.
  public internal(set) var failures = 0
  /// The warning of its last reply.
  public internal(set) var warning: String?
  /// Why the last announce failed, or `nil` if it did not.
  public internal(set) var failure: String?

  /// Not before then, unless there is an event to tell.
  var earliest = Moment.distantPast
  var trackerID: [UInt8]?
  /// Whether it takes us for a peer, and so needs to be told when we stop.
  var sawStart = false
  /// Whether it takes us for a downloader of a torrent that has since been completed.
  var owesCompleted = false

  init(url: TrackerURL, tier: Int) {
    self.url = url
    self.tier = tier
  }

  var isRefused: Bool { activity == .refused }

  /// The torrent starts afresh: nobody knows us, and who refused is asked again.
  mutating func forgetSession() {
    activity = .notContacted
    earliest = .distantPast
    sawStart = false
    owesCompleted = false
  }

  mutating func note(_ reply: AnnounceReply, _ now: Moment) {
    lastReply = now
    peerCount = reply.peers.count
    seeds = reply.seeds ?? seeds
    leechers = reply.leechers ?? leechers
    downloaded = reply.downloaded ?? downloaded
    // It stays until there is another one.
    trackerID = reply.trackerID ?? trackerID
    warning = reply.warning
    failure = nil
    failures = 0
  }

  mutating func note(_ error: TrackerError) {
    failures += 1
    failure = error.description
  }

  mutating func note(_ entry: ScrapeEntry) {
    seeds = entry.seeds ?? seeds
    leechers = entry.leechers ?? leechers
    downloaded = entry.downloaded ?? downloaded
  }
}

extension TrackerStatus.Activity: CustomStringConvertible {
  public var description: String {
    switch self {
    case .notContacted: "not contacted"
    case .announcing(.periodic), .announcing(.paused): "announcing"
    case .announcing(let event): "announcing '\(event)'"
    case .working: "working"
    case .waiting: "failed, waiting"
    case .refused: "refused"
    }
  }
}

extension Moment {
  /// Earlier than every other moment.
  static let distantPast = Moment(nanoseconds: .min)
}
