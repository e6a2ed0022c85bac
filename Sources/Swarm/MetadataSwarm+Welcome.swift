import PeerWire
import TorrentModel

// Who is welcome while the metadata is fetched.
extension MetadataSwarm {
  /// Whether a connection from this endpoint would be kept; the reason if not.
  public func refusal(ofIncoming endpoint: Endpoint, now: Moment) -> DisconnectReason? {
    if isPaused { return .paused }
    if book.isBanned(endpoint) { return .banned }
    if isTooMany(from: endpoint.address) { return .tooManyFromAddress }
    if connectedCount + book.connecting >= maximumConnections, victim(besides: nil, now: now) == nil {
      return .full
    }
    return nil
  }

  func refusal(of profile: PeerProfile, now: Moment) -> DisconnectReason? {
    if isPaused { return .paused }
    if profile.peerID == configuration.ownPeerID { return .selfConnection }
    if book.isBanned(SenderTable.Sender(endpoint: profile.endpoint, peerID: profile.peerID)) {
      return .banned
    }
    for offset in peers.indices {
      guard let other = peer(PeerKey(offset))?.profile else { continue }
      if other.endpoint == profile.endpoint { return .duplicate }
      guard other.peerID == profile.peerID else { continue }
      // Of two connections that both ends made at once, both keep the one of the greater id, as a swarm does.
      let initiator = profile.isIncoming ? profile.peerID : configuration.ownPeerID
      let answerer = profile.isIncoming ? configuration.ownPeerID : profile.peerID
      guard other.isIncoming != profile.isIncoming, other.endpoint.address == profile.endpoint.address,
        answerer.bytes < initiator.bytes
      else { return .duplicate }
      disconnect(PeerKey(offset), .duplicate, now: now)
    }
    if isTooMany(from: profile.endpoint.address) { return .tooManyFromAddress }
    if connectedCount >= maximumConnections, victim(besides: nil, now: now) == nil { return .full }
    return nil
  }

  private func isTooMany(from address: IPAddress) -> Bool {
    guard !address.isLoopback else { return false }
    let same = peers.indices.count { peer(PeerKey($0))?.profile.endpoint.address == address }
    return same >= configuration.maximumConnectionsPerAddress
  }

  /// The connection that makes room for another: the oldest one that has had its time and does not have the metadata.
  func victim(besides key: PeerKey?, now: Moment) -> PeerKey? {
    var oldest: (key: PeerKey, since: Moment)?
    for offset in peers.indices {
      guard let peer = peer(PeerKey(offset)), !peer.offers, PeerKey(offset) != key,
        now - peer.connectedAt >= Self.trial, peer.connectedAt < oldest?.since ?? .distantFuture
      else { continue }
      oldest = (PeerKey(offset), peer.connectedAt)
    }
    return oldest?.key
  }

  private static var trial: Moment.Interval { .seconds(20) }

  /// What peer exchange says of a connected peer, as far as is known (BEP 11).
  public func exchangeFlags(of key: PeerKey) -> PeerExchange.Flags {
    guard let peer = peer(key) else { return [] }
    var flags: PeerExchange.Flags = peer.profile.isIncoming ? [] : [.reachable]
    if peer.handshake.isUploadOnly == true { flags.insert(.uploadOnly) }
    return flags
  }

  /// The state for display. Figures that only a torrent with pieces has are zero.
  public func snapshot(now: Moment) -> SwarmSnapshot {
    var result = SwarmSnapshot()
    result.connectedPeers = connectedCount
    result.connecting = book.connecting
    result.knownPeers = book.count
    result.knownSources = book.sources
    for offset in peers.indices {
      guard let peer = peer(PeerKey(offset)) else { continue }
      result.connectedSources.count(
        peer.listensOn.flatMap { book.entry($0)?.firstSource } ?? (peer.profile.isIncoming ? .incoming : []))
    }
    return result
  }
}

/// What the driver of a torrent without metadata has to do.
public enum MetadataEffect: Hashable, Sendable {
  /// The first message on a connection with the fast extension (BEP 6).
  case sendHaveNone(PeerKey)
  case sendKeepAlive(PeerKey)
  /// Ask for a piece of the metadata, by the id the peer chose.
  case sendMetadataRequest(PeerKey, piece: Int)
  /// There is no metadata to give yet.
  case sendMetadataReject(PeerKey, piece: Int)
  /// Answer with ``MetadataSwarm/peerConnected(_:_:now:)`` after the handshake, or with
  /// ``MetadataSwarm/connectFailed(_:reason:now:)``.
  case connect(Endpoint)
  /// Close; ``MetadataSwarm/peerDisconnected(_:reason:now:)`` must follow.
  case disconnect(PeerKey, DisconnectReason)
  /// Nobody from this address may come back. Other torrents should refuse it too.
  case ban(IPAddress, BanReason)
  /// Candidates run short: ask all sources for more.
  case wantMorePeers
  /// The metadata is here and has the right hash. It is not yet known whether it describes a torrent that can be used.
  case reportMetadata([UInt8])

  /// The connection that the effect is about; `nil` if it is about none.
  public var peer: PeerKey? {
    switch self {
    case .sendHaveNone(let peer), .sendKeepAlive(let peer), .sendMetadataRequest(let peer, _),
      .sendMetadataReject(let peer, _), .disconnect(let peer, _):
      peer
    case .connect, .ban, .wantMorePeers, .reportMetadata: nil
    }
  }
}

extension ExtendedHandshake {
  /// Takes in a later handshake: what it leaves out stays as it was (BEP 10).
  mutating func merge(_ later: ExtendedHandshake) {
    client = later.client ?? client
    listenPort = later.listenPort ?? listenPort
    requestQueueLength = later.requestQueueLength ?? requestQueueLength
    yourAddress = later.yourAddress ?? yourAddress
    ipv4 = later.ipv4 ?? ipv4
    ipv6 = later.ipv6 ?? ipv6
    isUploadOnly = later.isUploadOnly ?? isUploadOnly
    metadataSize = later.metadataSize ?? metadataSize
  }
}
