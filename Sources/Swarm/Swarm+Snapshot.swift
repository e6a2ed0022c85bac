import PeerWire
import TorrentModel

// Figures for display. None of this is on a hot path.
extension Swarm {
  public func snapshot(now: Moment) -> SwarmSnapshot {
    var result = SwarmSnapshot()
    result.connectedPeers = connectedCount
    result.connectedSeeds = seedCount
    result.connecting = book.connecting
    result.knownPeers = book.count
    result.knownSources = book.sources
    for peer in peers where peer.phase == .connected {
      result.connectedSources.count(
        peer.listensOn.flatMap { book.entry($0)?.firstSource } ?? (peer.profile.isIncoming ? .incoming : []))
      if !peer.has(.chokesUs) { result.unchokingUs += 1 }
      if !peer.has(.choked) { result.unchoked += 1 }
      if peer.has(.interested) { result.interestedInUs += 1 }
    }
    result.downloadRate = download.rate(now: now)
    result.uploadRate = upload.rate(now: now)
    result.downloaded = download.total
    result.uploaded = upload.total
    result.redundant = redundantBytes
    result.corrupt = corruptBytes
    result.requestedBlocks = picker?.open.requestedBlocks ?? 0
    result.openPieces = picker?.open.count ?? 0
    result.uploadSlots = slots.count
    result.availability = availability
    return result
  }

  /// Copies of the torrent among peers: whole ones, and the share of pieces that are there once more.
  private var availability: Double {
    let seeds = Double(seedCount)
    guard geometry.pieceCount > 0, connectedCount > seedCount else { return seeds }
    var copies = [UInt32](repeating: 0, count: geometry.pieceCount)
    for peer in peers where peer.phase == .connected && !peer.have.isFull && !peer.have.isEmpty {
      peer.have.bitfield.forEach { copies[$0.offset] += 1 }
    }
    let least = copies.min() ?? 0
    let more = copies.count { $0 > least }
    return seeds + Double(least) + Double(more) / Double(geometry.pieceCount)
  }

  public func peerSnapshots(now: Moment) -> [PeerSnapshot] {
    var result: [PeerSnapshot] = []
    for (i, peer) in peers.enumerated() where peer.phase == .connected {
      var flags: PeerSnapshot.Flags = []
      if peer.profile.isIncoming { flags.insert(.incoming) }
      if peer.have.isFull { flags.insert(.seed) }
      if peer.has(.interesting) { flags.insert(.interesting) }
      if peer.has(.interested) { flags.insert(.interested) }
      if peer.has(.chokesUs) { flags.insert(.chokesUs) }
      if peer.has(.choked) { flags.insert(.choked) }
      if peer.has(.optimistic) { flags.insert(.optimistic) }
      if peer.has(.snubbed) { flags.insert(.snubbed) }
      if peer.has(.onParole) { flags.insert(.onParole) }
      if peer.has(.uploadOnly) { flags.insert(.uploadOnly) }
      let source = peer.listensOn.flatMap { book.entry($0)?.source } ?? []
      result.append(
        PeerSnapshot(
          key: PeerKey(i), endpoint: peer.profile.endpoint, peerID: peer.profile.peerID, client: peer.client,
          flags: flags, source: peer.profile.isIncoming ? source.union(.incoming) : source,
          progress: geometry.pieceCount == 0 ? 1 : Double(peer.have.count) / Double(geometry.pieceCount),
          downloadRate: peer.download.rate(now: now), uploadRate: peer.upload.rate(now: now),
          downloaded: peer.download.total, uploaded: peer.upload.total, requestedBlocks: peer.requests.live,
          requestWindow: min(peer.requests.window, requestCap(limit: peer.requestLimit)),
          uploadQueue: peer.uploads.count))
    }
    return result
  }

  /// Time to the end at the present rate, as a guess; `nil` when nothing moves or nothing is left.
  public func timeLeft(now: Moment) -> Moment.Interval? {
    let rate = download.rate(now: now)
    guard missingCount > 0, rate > 0 else { return nil }
    let bytes = Double(missingCount) * Double(geometry.pieceLength) - Double(arrivedBytes)
    return .seconds(max(0, bytes) / Double(rate))
  }

  /// Bytes in memory of pieces that are not verified.
  public var arrivedBytes: Int64 {
    var blocks: Int64 = 0
    for slot in 0..<(picker?.open.slotCount ?? 0) where picker?.open.isOpen(slot) == true {
      blocks += Int64(picker?.open[slot].arrived ?? 0)
    }
    return blocks * Int64(blockLength)
  }

  /// The peers that are known, the most promising first: for the resume record, by ``PeerRecord/encode(_:)``.
  public func peerRecords(limit: Int = 500) -> [PeerRecord] { book.records(limit: limit) }

  /// Where a connected peer can be connected to, if that is known: what peer exchange says of it.
  public func listensOn(_ peer: PeerKey) -> Endpoint? {
    isConnected(peer) ? peers[peer.offset].listensOn : nil
  }

  /// What peer exchange says of a connected peer, as far as the swarm knows (BEP 11).
  public func exchangeFlags(of peer: PeerKey) -> PeerExchange.Flags {
    guard isConnected(peer) else { return [] }
    var flags: PeerExchange.Flags = []
    if peers[peer.offset].isSatisfied { flags.insert(.uploadOnly) }
    if !peers[peer.offset].profile.isIncoming { flags.insert(.reachable) }
    return flags
  }

  /// Peers we are connected to and know the address of.
  public var goodPeers: [Endpoint] {
    peers.compactMap { $0.phase == .connected ? $0.listensOn : nil }
  }
}
