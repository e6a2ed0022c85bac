import TorrentModel

/// Peers that were announced to us (BEP 5), by torrent.
///
/// Bounded three times: torrents, peers of a torrent, peers in all. When torrents are at their limit, one that is
/// farther from our ids makes room for one that is nearer. An address can be a few peers of a torrent, as clients behind
/// one NAT are, and for counting is one (BEP 33).
struct PeerStore: Sendable {
  struct Limits: Sendable {
    var torrents: Int
    var peersPerTorrent: Int
    var peers: Int
    var lifetime: Moment.Interval
  }

  struct StoredPeer: Sendable {
    var address: IPAddress
    var port: UInt16
    var isSeed: Bool
    var bits: BloomFilter.Bits
    var announced: Moment
  }

  private struct Torrent: Sendable {
    var infoHash: NodeID
    /// IPv4 and IPv6 apart: they are two networks (BEP 32).
    var peersV4: [StoredPeer] = []
    var peersV6: [StoredPeer] = []

    var count: Int { peersV4.count + peersV6.count }
  }

  private let limits: Limits
  private var torrents: [Torrent] = []
  private var places: [NodeID: Int] = [:]
  private(set) var peerCount = 0
  private var sample: [NodeID] = []
  private var sampled = Moment(nanoseconds: .min)

  /// Info-hashes in one sample, so that it fits a packet beside eight nodes (BEP 51).
  static let sampleLimit = 20
  /// How long a sample stays the same.
  static let sampleInterval = Moment.Interval.seconds(300)

  /// Peers of a torrent at one address, by their ports.
  static let portsPerAddress = 4

  init(limits: Limits) { self.limits = limits }

  var torrentCount: Int { torrents.count }

  /// Where the torrent's peers are, for ``forEachPeer(at:isV4:limit:noSeeds:random:_:)``.
  func place(of infoHash: NodeID) -> Int? { torrents.isEmpty ? nil : places[infoHash] }

  func peerCount(at place: Int, isV4: Bool) -> Int {
    isV4 ? torrents[place].peersV4.count : torrents[place].peersV6.count
  }

  /// Whether a peer with this address would be stored, so that a token for it makes sense (BEP 33).
  func accepts(_ infoHash: NodeID, at place: Int?, from address: IPAddress) -> Bool {
    guard let place else { return peerCount < limits.peers }
    return hasRoom(place, isV4: address.isV4)
      || peers(at: place, isV4: address.isV4).contains { $0.address == address }
  }

  private func hasRoom(_ place: Int, isV4: Bool) -> Bool {
    peerCount < limits.peers && peerCount(at: place, isV4: isV4) < limits.peersPerTorrent
  }

  private func peers(at place: Int, isV4: Bool) -> [StoredPeer] {
    isV4 ? torrents[place].peersV4 : torrents[place].peersV6
  }

  /// The peer that one at this endpoint takes the place of: itself, or the oldest of its address where that has enough.
  private func predecessor(of endpoint: Endpoint, at place: Int, hasRoom: Bool) -> Int? {
    let peers = peers(at: place, isV4: endpoint.address.isV4)
    var oldest: Int?
    var count = 0
    for (index, peer) in peers.enumerated() where peer.address == endpoint.address {
      if peer.port == endpoint.port { return index }
      count += 1
      if oldest.map({ peers[$0].announced > peer.announced }) ?? true { oldest = index }
    }
    return count >= Self.portsPerAddress || !hasRoom ? oldest : nil
  }

  /// Gives at most `limit` of a torrent's peers, drawn evenly over all of them.
  func forEachPeer(
    at place: Int, isV4: Bool, limit: Int, noSeeds: Bool, random: inout some RandomNumberGenerator,
    _ body: (Endpoint) -> Void
  ) {
    let count = peerCount(at: place, isV4: isV4)
    let wanted = min(limit, count)
    // One from each of as many equal parts: all different, each as likely as the others.
    for part in 0..<max(0, wanted) {
      let low = part * count / wanted
      let high = max(low + 1, (part + 1) * count / wanted)
      let index = high - low == 1 ? low : Int.random(in: low..<high, using: &random)
      let peer = isV4 ? torrents[place].peersV4[index] : torrents[place].peersV6[index]
      if noSeeds && peer.isSeed { continue }
      body(Endpoint(address: peer.address, port: peer.port))
    }
  }

  /// The filters of a torrent's seeds and of its other peers (BEP 33).
  func filters(at place: Int) -> (seeds: BloomFilter, peers: BloomFilter) {
    var seeds = BloomFilter()
    var peers = BloomFilter()
    for list in [torrents[place].peersV4, torrents[place].peersV6] {
      for peer in list {
        if peer.isSeed { seeds.insert(peer.bits) } else { peers.insert(peer.bits) }
      }
    }
    return (seeds, peers)
  }

  /// Stores a peer. Returns whether there was room.
  mutating func announce(
    _ infoHash: NodeID, _ endpoint: Endpoint, isSeed: Bool, bits: BloomFilter.Bits, ownID: NodeID, now: Moment
  ) -> Bool {
    let peer = StoredPeer(
      address: endpoint.address, port: endpoint.port, isSeed: isSeed, bits: bits, announced: now)
    if let place = places[infoHash] {
      let hasRoom = hasRoom(place, isV4: endpoint.address.isV4)
      if let index = predecessor(of: endpoint, at: place, hasRoom: hasRoom) {
        if endpoint.address.isV4 {
          torrents[place].peersV4[index] = peer
        } else {
          torrents[place].peersV6[index] = peer
        }
        return true
      }
      guard hasRoom else { return false }
      append(peer, place)
      return true
    }
    guard peerCount < limits.peers else { return false }
    if torrents.count >= limits.torrents {
      guard let farthest = farthest(from: ownID),
        infoHash ^ ownID < torrents[farthest].infoHash ^ ownID
      else { return false }
      remove(farthest)
    }
    torrents.append(Torrent(infoHash: infoHash))
    places[infoHash] = torrents.count - 1
    append(peer, torrents.count - 1)
    return true
  }

  private mutating func append(_ peer: StoredPeer, _ place: Int) {
    if peer.address.isV4 {
      torrents[place].peersV4.append(peer)
    } else {
      torrents[place].peersV6.append(peer)
    }
    peerCount += 1
  }

  private func farthest(from id: NodeID) -> Int? {
    torrents.indices.max { torrents[$0].infoHash ^ id < torrents[$1].infoHash ^ id }
  }

  private mutating func remove(_ place: Int) {
    peerCount -= torrents[place].count
    places[torrents[place].infoHash] = nil
    let last = torrents.removeLast()
    if place < torrents.count {
      torrents[place] = last
      places[last.infoHash] = place
    }
  }

  /// Forgets peers that were not announced again in time.
  mutating func expire(now: Moment) {
    var place = torrents.count - 1
    while place >= 0 {
      let before = torrents[place].count
      torrents[place].peersV4.removeAll { now - $0.announced > limits.lifetime }
      torrents[place].peersV6.removeAll { now - $0.announced > limits.lifetime }
      peerCount -= before - torrents[place].count
      if torrents[place].count == 0 { remove(place) }
      place -= 1
    }
  }

  /// A random sample of the torrents, the same for ``sampleInterval``.
  mutating func infoHashSample(now: Moment, random: inout some RandomNumberGenerator) -> [NodeID] {
    if now - sampled < Self.sampleInterval, sampled != Moment(nanoseconds: .min) { return sample }
    sampled = now
    sample.removeAll(keepingCapacity: true)
    // Each of the torrents as likely as the others (selection sampling).
    var wanted = min(Self.sampleLimit, torrents.count)
    for (index, torrent) in torrents.enumerated() where wanted > 0 {
      if Int.random(in: 0..<torrents.count - index, using: &random) < wanted {
        sample.append(torrent.infoHash)
        wanted -= 1
      }
    }
    return sample
  }

  /// Seconds until the sample changes.
  func secondsToNextSample(now: Moment) -> Int {
    max(0, Int((sampled + Self.sampleInterval - now).seconds.rounded(.up)))
  }
}
