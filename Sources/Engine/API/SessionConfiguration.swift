import TorrentModel

/// How a session behaves. Every value has a default that suits a bulk download on one machine.
public struct SessionConfiguration: Sendable {
  /// Bytes of memory, at least 4 MiB: the pool of blocks on their way between socket and disk, in either direction, and
  /// what peers, loops and workers need beside it (an eighth at most). Code and libraries come on top.
  public var memory = 64 << 20
  /// Port for incoming connections, TCP. 0 lets the system choose; nil does not listen.
  public var listenPort: UInt16? = 0
  /// Local address (IPv4 or IPv6) or interface name that every socket is bound to; nil binds to none.
  public var bind: String?
  /// Event loops. nil: one per two cores, at least one.
  public var loops: Int?
  /// Threads for hashing and disk. nil: cores − 1, at least one.
  public var workers: Int?
  /// How verified data gets to the device.
  public var diskWrites = DiskWriteMode.auto
  /// Peers over all torrents.
  public var maxPeers = 500
  /// Peers of one torrent.
  public var maxPeersPerTorrent = 200
  /// Connections being made at once, over all torrents.
  public var maxHalfOpen = 50
  /// Connected peers behind one address, of one torrent.
  public var maxPeersPerAddress = 8
  /// Bytes per second over all torrents; nil is unlimited.
  public var downloadLimit: Int?
  public var uploadLimit: Int?
  /// Upload slots of each torrent; nil lets them adapt.
  public var uploadSlots: Int?
  /// Folder for resume records, made when missing. nil keeps none: an interrupted download is then re-checked.
  public var resumeFolder: String?
  /// Seconds between resume records of a torrent that makes progress.
  public var resumeInterval = 15
  /// An extra file of certificate authorities (PEM) for HTTPS trackers.
  public var certificateFile: String?
  /// Also announce to trackers behind the first that answers (BEP 12 says: only until one answers).
  public var announceToAllTrackers = false
  /// Our node in the DHT (BEP 5); nil for none.
  public var dht: DHTOptions?
  /// Peers tell each other of more peers (BEP 11).
  public var usesPeerExchange = true
  /// Peers of the local network find each other by multicast (BEP 14).
  public var usesLocalDiscovery = false
  /// Bytes of the name we give to peers (BEP 10 `v`) and trackers (`User-Agent`).
  public var userAgent = Release.userAgent
  /// Report every verified piece among the session's events. Off at first: small pieces come by tens of thousands a
  /// second, and would push rarer events out.
  public var reportsPieces = false
  /// Seed of everything drawn at random but keys and ids; nil draws one from the system. For reproducible tests.
  public var randomSeed: UInt64?

  public init() {}
}

/// How verified data gets to the device.
public enum DiskWriteMode: String, Sendable, CaseIterable {
  /// Long torrents go past the page cache while nobody reads along and the device keeps up; all else goes through it.
  case auto
  /// Everything goes through the page cache.
  case cached
  /// Whatever the file system lets go past the page cache (`O_DIRECT`) does: whole pages of files that begin at a
  /// multiple of 4096 bytes of the torrent.
  case direct
}

/// How files come into being on the disk.
public enum AllocationMode: String, Sendable, CaseIterable {
  /// Space is taken as pieces are written; holes stay holes.
  case sparse
  /// Every wanted file gets its full space when the torrent is added (`fallocate`).
  case full
  /// Files grow as they are written, nothing is reserved.
  case none
}

/// What to do with one torrent.
public struct TorrentOptions: Sendable {
  /// Folder the contents go into. A multi-file torrent makes a folder of its name inside.
  public var folder: String
  /// Numbers of the files to have, in the torrent's order from 0, padding files counted. nil: all of them.
  public var selectedFiles: Set<Int>?
  /// Pieces in order, for playing while downloading.
  public var isSequential = false
  public var allocation = AllocationMode.sparse
  /// Peers to try at once, beside those that trackers name.
  public var peers: [Endpoint] = []
  /// More trackers, each in a tier of its own, in front of the torrent's.
  public var extraTrackers: [String] = []
  /// Announce to the torrent's own trackers.
  public var usesTrackers = true
  /// Read and hash what is on the disk, whatever the resume record says.
  public var forceCheck = false
  /// Trust that everything is there if the sizes are right, without hashing (a seed that was just made).
  public var assumesComplete = false
  /// Bytes per second for this torrent; nil is unlimited.
  public var downloadLimit: Int?
  public var uploadLimit: Int?
  /// Once complete: keep the connections and upload. Otherwise the torrent stops when it is complete.
  public var seedsWhenComplete = true
  /// Start paused.
  public var isPaused = false

  public init(folder: String) { self.folder = folder }
}
