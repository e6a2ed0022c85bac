import TorrentModel

/// What an announce is about (BEP 3). The raw values are those of BEP 15.
@frozen
public enum AnnounceEvent: UInt32, Hashable, Sendable {
  /// One of the announces at regular intervals.
  case periodic = 0
  /// The download has just become complete.
  case completed = 1
  /// The torrent starts.
  case started = 2
  /// The torrent stops.
  case stopped = 3
  /// As ``periodic``, from a peer that has all it wants but not everything (BEP 21). Over UDP it is sent as such.
  case paused = 4

  /// The value of the `event` parameter, or `nil` where it is left out.
  public var parameter: String? {
    switch self {
    case .periodic: nil
    case .completed: "completed"
    case .started: "started"
    case .stopped: "stopped"
    case .paused: "paused"
    }
  }

  /// From the value of the `event` parameter. An empty or unknown one is as good as none.
  public init(parameter: [UInt8]) {
    let named: [AnnounceEvent] = [.completed, .started, .stopped, .paused]
    self = named.first { $0.parameter.map { parameter.elementsEqual($0.utf8) } ?? false } ?? .periodic
  }
}

/// What a peer tells a tracker about itself and one torrent (BEP 3, BEP 15).
public struct AnnounceRequest: Hashable, Sendable {
  public var infoHash: InfoHash
  public var peerID: PeerID
  /// The port peers can connect to.
  public var port: UInt16
  /// Bytes, since the `started` announce.
  public var uploaded: Int64
  /// Bytes, since the `started` announce.
  public var downloaded: Int64
  /// Bytes still to be downloaded.
  public var left: Int64
  public var event: AnnounceEvent
  /// How many peers we would like, or `nil` to leave it to the tracker.
  public var numberWanted: Int?
  /// By which a tracker knows us again when our address changes (BEP 7).
  public var key: UInt32
  /// What the tracker gave us to send back.
  public var trackerID: [UInt8]?
  /// Another address of ours. Discouraged by BEP 7, and `nil` unless the user asks for it.
  public var ipv4: IPAddress?
  /// Another address of ours. Discouraged by BEP 7, and `nil` unless the user asks for it.
  public var ipv6: IPAddress?

  public init(
    infoHash: InfoHash, peerID: PeerID, port: UInt16, uploaded: Int64 = 0, downloaded: Int64 = 0, left: Int64,
    event: AnnounceEvent = .periodic, numberWanted: Int? = nil, key: UInt32 = 0, trackerID: [UInt8]? = nil,
    ipv4: IPAddress? = nil, ipv6: IPAddress? = nil
  ) {
    self.infoHash = infoHash
    self.peerID = peerID
    self.port = port
    self.uploaded = uploaded
    self.downloaded = downloaded
    self.left = left
    self.event = event
    self.numberWanted = numberWanted
    self.key = key
    self.trackerID = trackerID
    self.ipv4 = ipv4
    self.ipv6 = ipv6
  }
}

/// What a tracker answers to an announce.
public struct AnnounceReply: Hashable, Sendable {
  /// How long to wait between announces. `nil` when not said or not above zero.
  public var interval: Moment.Interval?
  /// How long to wait at least. `nil` when not said.
  public var minimumInterval: Moment.Interval?
  /// Peers with a usable address and port, at most `Limits.peersPerAnnounce`.
  public var peers: [Endpoint]
  /// Peers that were left out: host names, ports of zero, malformed entries, and those beyond the limit.
  public var ignoredPeers: Int
  /// Peers that have everything, or `nil` when not said.
  public var seeds: Int?
  /// Peers that are still downloading, or `nil` when not said.
  public var leechers: Int?
  /// How often the torrent was downloaded, or `nil` when not said.
  public var downloaded: Int?
  /// To be sent back with the next announce. At most ``trackerIDLengthLimit`` bytes.
  public var trackerID: [UInt8]?
  /// A text for the user, printable.
  public var warning: String?
  /// The address under which the tracker sees us (BEP 24).
  public var externalAddress: IPAddress?

  public init(
    interval: Moment.Interval? = nil, minimumInterval: Moment.Interval? = nil, peers: [Endpoint] = [],
    ignoredPeers: Int = 0, seeds: Int? = nil, leechers: Int? = nil, downloaded: Int? = nil,
    trackerID: [UInt8]? = nil, warning: String? = nil, externalAddress: IPAddress? = nil
  ) {
    self.interval = interval
    self.minimumInterval = minimumInterval
    self.peers = peers
    self.ignoredPeers = ignoredPeers
    self.seeds = seeds
    self.leechers = leechers
    self.downloaded = downloaded
    self.trackerID = trackerID
    self.warning = warning
    self.externalAddress = externalAddress
  }

  /// Bytes of a tracker id that are kept and sent back; a longer one is ignored.
  public static let trackerIDLengthLimit = 512
  /// Bytes of a text from a tracker that are shown.
  public static let messageLengthLimit = 300
}

/// What a tracker knows of one torrent (BEP 48, BEP 15). A number is `nil` when not said.
public struct ScrapeEntry: Hashable, Sendable {
  /// Peers that have everything.
  public var seeds: Int?
  /// How often the torrent was downloaded.
  public var downloaded: Int?
  /// Peers that have not.
  public var leechers: Int?
  /// Peers that are downloading, partial seeds not counted (BEP 21).
  public var downloaders: Int?

  public init(seeds: Int? = nil, downloaded: Int? = nil, leechers: Int? = nil, downloaders: Int? = nil) {
    self.seeds = seeds
    self.downloaded = downloaded
    self.leechers = leechers
    self.downloaders = downloaders
  }
}
