import TorrentModel
import TrackerProtocol

/// Who is in which swarm: what a tracker remembers. Pure: time and randomness are arguments, everything is bounded.
public struct SwarmTable {
  public struct Limits: Hashable, Sendable {
    public var torrents = 100_000
    public var peersPerTorrent = 50_000
    /// Over all torrents: an entry costs about a hundred bytes.
    public var peers = 2_000_000
    public var peersPerReply = 200
    public init() {}
  }

  fileprivate struct Member {
    var endpoint: Endpoint
    var peerID: PeerID
    /// By which a peer whose address changed is known again (BEP 7).
    var key: UInt32
    var isSeed: Bool
    var lastSeen: Moment
  }

  /// One place in a swarm: a peer announces once for each address it has.
  fileprivate struct Identity: Hashable {
    var peerID: PeerID
    var isV4: Bool
  }

  fileprivate struct Torrent {
    var members: [Member] = []
    var places: [Identity: Int] = [:]
    var seeds = 0
    var completed = 0
  }

  public let limits: Limits
  private var torrents: [InfoHash: Torrent] = [:]
  public private(set) var peerCount = 0
  public private(set) var seedCount = 0
  public var torrentCount: Int { torrents.count }

  public init(limits: Limits = Limits()) { self.limits = limits }

  public enum Refusal: Error, Hashable, Sendable, CustomStringConvertible {
    case full
    /// The peer id is in use with another key: somebody pretends to be somebody else (BEP 7, BEP 15).
    case keyMismatch

    public var description: String {
      switch self {
      case .full: "the tracker is full"
      case .keyMismatch: "this peer id is in use by another peer"
      }
    }
  }

  /// Notes what a peer says of itself, and finds others for it.
  /// - Parameters:
  ///   - endpoint: where the peer takes connections.
  ///   - onlySameFamily: whether peers of the other address family are left out (UDP).
  /// - Returns: the peers with their ids, the one who asks left out, and the counts of the swarm.
  public mutating func announce(
    _ request: AnnounceRequest, from endpoint: Endpoint, wanted: Int, onlySameFamily: Bool, now: Moment,
    random: inout some RandomNumberGenerator
  ) throws(Refusal) -> (peers: [(endpoint: Endpoint, peerID: PeerID)], counts: ScrapeEntry) {
    if torrents[request.infoHash] == nil {
      guard torrents.count < limits.torrents else { throw .full }
      if request.event == .stopped { return ([], ScrapeEntry(seeds: 0, downloaded: 0, leechers: 0)) }
    }
    var torrent = torrents.removeValue(forKey: request.infoHash) ?? Torrent()
    let before = (torrent.members.count, torrent.seeds)
    defer {
      peerCount += torrent.members.count - before.0
      seedCount += torrent.seeds - before.1
      if !torrent.members.isEmpty || torrent.completed > 0 { torrents[request.infoHash] = torrent }
    }
    let identity = Identity(peerID: request.peerID, isV4: endpoint.address.isV4)
    if let place = torrent.places[identity] {
      guard torrent.members[place].key == request.key || torrent.members[place].endpoint == endpoint else {
        throw .keyMismatch
      }
      if request.event == .stopped {
        torrent.remove(at: place)
        return ([], torrent.counts)
      }
      torrent.update(place, endpoint, isSeed: request.left == 0, now: now)
    } else if request.event != .stopped {
      guard torrent.members.count < limits.peersPerTorrent, peerCount < limits.peers else { throw .full }
      torrent.add(
        Member(
          endpoint: endpoint, peerID: request.peerID, key: request.key, isSeed: request.left == 0,
          lastSeen: now))
    }
    if request.event == .stopped { return ([], torrent.counts) }
    if request.event == .completed && request.left == 0 { torrent.completed += 1 }
    // Some who have a magnet link only say that nothing is left: until the metadata is here, they do not know better.
    let needsNoSeeds = request.left == 0 && request.event != .started
    let others = torrent.sample(
      min(wanted, limits.peersPerReply), for: identity, isSeed: needsNoSeeds,
      family: onlySameFamily ? endpoint.address.isV4 : nil, &random)
    return (others, torrent.counts)
  }

  /// Counts of one swarm; nil when nothing is known of it.
  public func counts(of infoHash: InfoHash) -> ScrapeEntry? { torrents[infoHash]?.counts }

  /// Forgets peers that were not heard of since `moment`. Swarms without peers go too.
  public mutating func expire(before moment: Moment) {
    for infoHash in Array(torrents.keys) {
      guard var torrent = torrents.removeValue(forKey: infoHash) else { continue }
      let before = (torrent.members.count, torrent.seeds)
      var place = 0
      while place < torrent.members.count {
        if torrent.members[place].lastSeen < moment { torrent.remove(at: place) } else { place += 1 }
      }
      peerCount += torrent.members.count - before.0
      seedCount += torrent.seeds - before.1
      if !torrent.members.isEmpty { torrents[infoHash] = torrent }
    }
  }
}

extension SwarmTable.Torrent {
  fileprivate typealias Member = SwarmTable.Member
  fileprivate typealias Identity = SwarmTable.Identity

  fileprivate var counts: ScrapeEntry {
    ScrapeEntry(seeds: seeds, downloaded: completed, leechers: members.count - seeds)
  }

  fileprivate static func identity(_ member: Member) -> Identity {
    Identity(peerID: member.peerID, isV4: member.endpoint.address.isV4)
  }

  fileprivate mutating func add(_ member: Member) {
    places[Self.identity(member)] = members.count
    members.append(member)
    if member.isSeed { seeds += 1 }
  }

  fileprivate mutating func update(_ place: Int, _ endpoint: Endpoint, isSeed: Bool, now: Moment) {
    if members[place].isSeed { seeds -= 1 }
    if isSeed { seeds += 1 }
    members[place].endpoint = endpoint
    members[place].isSeed = isSeed
    members[place].lastSeen = now
  }

  /// The last member takes the place of the one that goes.
  fileprivate mutating func remove(at place: Int) {
    let gone = members[place]
    places[Self.identity(gone)] = nil
    if gone.isSeed { seeds -= 1 }
    let last = members.removeLast()
    if place < members.count {
      members[place] = last
      places[Self.identity(last)] = place
    }
  }

  /// Up to `wanted` members at random; seeds are of no use to a seed.
  fileprivate func sample(
    _ wanted: Int, for identity: Identity, isSeed: Bool, family: Bool?,
    _ random: inout some RandomNumberGenerator
  ) -> [(endpoint: Endpoint, peerID: PeerID)] {
    var result: [(endpoint: Endpoint, peerID: PeerID)] = []
    guard wanted > 0, !members.isEmpty else { return result }
    // A walk from a random start, in steps that reach every place once.
    let count = members.count
    let start = Int.random(in: 0..<count, using: &random)
    var step = Int.random(in: 1...count, using: &random)
    while Self.commonDivisor(step, count) != 1 { step = step == count ? 1 : step + 1 }
    // A swarm of seeds must not cost a seed's announce the whole walk.
    for i in 0..<min(count, 8 * wanted + 64) where result.count < wanted {
      let member = members[(start + i * step) % count]
      if member.peerID == identity.peerID || (isSeed && member.isSeed) { continue }
      if let family, member.endpoint.address.isV4 != family { continue }
      result.append((member.endpoint, member.peerID))
    }
    return result
  }

  private static func commonDivisor(_ a: Int, _ b: Int) -> Int { b == 0 ? a : commonDivisor(b, a % b) }
}
