import Swarm
import TorrentModel

/// What a torrent is doing.
public enum TorrentState: String, Sendable {
  /// Files are opened and compared with the resume record.
  case opening
  /// What is on the disk is read and hashed.
  case checking
  /// Of a magnet link: what is in the torrent is being fetched from peers.
  case fetchingMetadata = "metadata"
  case downloading
  case seeding
  /// Complete, and told not to seed.
  case finished
  case paused
  /// The disk failed; see ``TorrentStatus/error``. Tried again by itself from time to time.
  case failed
  /// Removed from its session.
  case stopped
}

/// Counts of one torrent at one moment. Rates are in bytes per second, sizes in bytes.
public struct TorrentStatus: Sendable {
  public var infoHash: InfoHash
  public var name: String
  public var state: TorrentState
  /// Bytes of wanted files.
  public var wantedBytes: Int64
  /// Verified bytes of wanted files.
  public var doneBytes: Int64
  /// Bytes read and hashed so far while `checking`, of the whole torrent.
  public var checkedBytes: Int64
  public var pieceCount: Int
  public var verifiedPieces: Int
  /// Payload received and sent since the torrent was added, blocks that were not needed counted too.
  public var downloadedBytes: Int64
  public var uploadedBytes: Int64
  /// Payload thrown away: sent twice, or of pieces whose hash was wrong.
  public var wastedBytes: Int64
  public var downloadRate: Int
  public var uploadRate: Int
  /// Connected peers, those that have everything among them.
  public var peers: Int
  public var seeds: Int
  /// Peers known but not connected.
  public var knownPeers: Int
  /// Where the connected peers were found.
  public var sources: PeerSources
  /// Seconds until complete at the present rate; nil when it cannot be told.
  public var eta: Int?
  /// Seconds since the torrent was added, and since anything was last received.
  public var seconds: Double
  public var secondsSinceProgress: Double
  /// Whether any peer was ever connected, and whether any tracker ever answered.
  public var everHadPeer: Bool
  public var everHadTrackerReply: Bool
  /// Peers that were banned for sending bad data.
  public var bannedPeers: Int
  public var trackers: [TrackerStatus]
  public var error: TorrentFailure?

  public var isComplete: Bool { doneBytes == wantedBytes && state != .opening && state != .checking }
}

/// Where peers were found, each counted where it was first.
public struct PeerSources: Hashable, Sendable {
  public var tracker = 0
  public var dht = 0
  /// Told by other peers (BEP 11).
  public var exchange = 0
  /// In the local network (BEP 14).
  public var local = 0
  /// They came by themselves.
  public var incoming = 0
  /// Known from an earlier run.
  public var resume = 0
  /// Named by the user.
  public var user = 0

  public init() {}

  init(_ counts: PeerSourceCounts) {
    tracker = counts.tracker
    dht = counts.dht
    exchange = counts.exchange
    local = counts.local
    incoming = counts.incoming
    resume = counts.resume
    user = counts.user
  }
}

/// One tracker of a torrent.
public struct TrackerStatus: Sendable {
  public var url: String
  public var tier: Int
  /// What the tracker is doing or last said, for a person.
  public var text: String
  /// The tracker's own words, when it refused or warned (BEP 3, BEP 31).
  public var failure: String?
  public var warning: String?
  /// Swarm counts as the tracker gave them.
  public var seeds: Int?
  public var leechers: Int?
  /// Seconds until the next announce.
  public var nextAnnounce: Int?
}

/// One file of a torrent and how much of it is verified.
public struct FileStatus: Sendable {
  /// Path below the download folder, with `/`.
  public var path: String
  public var length: Int64
  public var doneBytes: Int64
  public var isSelected: Bool
  public var isPadding: Bool
}

/// One connected peer.
public struct PeerStatus: Sendable {
  public var endpoint: Endpoint
  public var client: String
  public var isIncoming: Bool
  public var downloadRate: Int
  public var uploadRate: Int
  /// 0 to 1.
  public var progress: Double
  public var isChokingUs: Bool
  public var isChokedByUs: Bool
  public var isInterested: Bool
}

/// Why a torrent stopped, or never started.
public struct TorrentFailure: Error, Hashable, Sendable, CustomStringConvertible {
  public enum Kind: String, Sendable {
    case diskFull
    case inputOutput
    case fileMissing
    case fileChanged
    case permission
    case other
  }
  public var kind: Kind
  /// The file or folder, when one is to blame.
  public var path: String?
  /// What went wrong, for a person.
  public var description: String

  public init(kind: Kind, path: String? = nil, description: String) {
    self.kind = kind
    self.path = path
    self.description = description
  }
}

/// Counts of a whole session.
public struct SessionStatus: Sendable {
  public var torrents: Int
  public var peers: Int
  public var downloadRate: Int
  public var uploadRate: Int
  public var downloadedBytes: Int64
  public var uploadedBytes: Int64
  /// Blocks of the pool in use now, at most so far, and in all; 16 KiB each.
  public var poolInUse: Int
  public var poolHighWater: Int
  public var poolCapacity: Int
  /// Counts that show what the data path costs; see ``DataPathCounters``.
  public var counters: DataPathCounters
}

/// What the data path did since the session began. Meant for `Perf/`: none of these depends on the machine's noise.
public struct DataPathCounters: Sendable {
  /// Blocks received from peers, and sent to them.
  public var blocksReceived: Int64 = 0
  public var blocksSent: Int64 = 0
  /// Of those, from the page cache to the socket without passing through memory of ours.
  public var blocksSentDirectly: Int64 = 0
  /// `readv` calls on peer connections.
  public var receiveCalls: Int64 = 0
  /// Payload bytes that user space had to move because a peer's stream was not as predicted.
  public var copiedBytes: Int64 = 0
  /// Payload bytes written to files, and how many of them went past the page cache.
  public var writtenBytes: Int64 = 0
  public var directBytes: Int64 = 0
  /// Turns of all event loops.
  public var loopTurns: Int64 = 0
  /// How late timers fired that were later than 99 of 100 others, and the longest turn, of the loop where they are worst.
  public var timerLatenessNanoseconds: UInt64 = 0
  public var longestTurnNanoseconds: UInt64 = 0
  public init() {}
}
