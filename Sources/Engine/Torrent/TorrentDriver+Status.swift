import Metainfo
import PeerWire
import Swarm
import TorrentModel

/// Counts of the torrent, for people and programs that watch it.
extension TorrentDriver {
  private var have: Bitfield { swarm?.have ?? opened ?? Bitfield(capacity: geometry.pieceCount) }

  func status() -> TorrentStatus {
    let now = now
    let layout = metainfo.info.layout
    let have = have
    let snapshot = swarm?.snapshot(now: now) ?? SwarmSnapshot()
    return TorrentStatus(
      infoHash: infoHash, name: metainfo.info.name, state: state,
      wantedBytes: selection.wantedBytes(layout: layout),
      doneBytes: selection.doneBytes(have: have, geometry: geometry, layout: layout),
      checkedBytes: checkedBytes, pieceCount: geometry.pieceCount, verifiedPieces: have.count,
      downloadedBytes: snapshot.downloaded, uploadedBytes: snapshot.uploaded,
      wastedBytes: snapshot.redundant + snapshot.corrupt + wastedByPool,
      downloadRate: snapshot.downloadRate, uploadRate: snapshot.uploadRate,
      peers: snapshot.connectedPeers, seeds: snapshot.connectedSeeds,
      knownPeers: max(0, snapshot.knownPeers - snapshot.connectedPeers),
      sources: PeerSources(snapshot.connectedSources),
      eta: state == .downloading ? swarm?.timeLeft(now: now).map { Int($0.seconds.rounded(.up)) } : nil,
      seconds: (now - addedAt).seconds, secondsSinceProgress: (now - lastProgress).seconds,
      everHadPeer: everHadPeer, everHadTrackerReply: trackers?.everReplied ?? false,
      bannedPeers: bannedPeers, trackers: trackers?.status(now: now) ?? [], error: failure)
  }

  func files() -> [FileStatus] {
    let layout = metainfo.info.layout
    let have = have
    return metainfo.info.files.map { file in
      FileStatus(
        path: metainfo.info.downloadPath(ofFile: file.index), length: file.length,
        doneBytes: FileSelection.doneBytes(
          ofFile: file.index, have: have, geometry: geometry, layout: layout),
        isSelected: selection.wanted[file.index], isPadding: file.isPadding)
    }
  }

  func peerList() -> [PeerStatus] {
    (swarm?.peerSnapshots(now: now) ?? []).map { peer in
      PeerStatus(
        endpoint: peer.endpoint, client: self.peer(peer.key)?.client ?? "",
        isIncoming: peer.flags.contains(.incoming), downloadRate: peer.downloadRate,
        uploadRate: peer.uploadRate,
        progress: peer.progress, isChokingUs: peer.flags.contains(.chokesUs),
        isChokedByUs: peer.flags.contains(.choked), isInterested: peer.flags.contains(.interested))
    }
  }

  // MARK: Wishes

  func pause() {
    guard !options.isPaused else { return }
    options.isPaused = true
    swarm?.paused(now: now)
    trackers?.stop(now: now)
    stopDiscovery()
    if let swarm { settleState(swarm) }
    context.touch(self)
  }

  func unpause() {
    guard options.isPaused else { return }
    options.isPaused = false
    swarm?.resumed(now: now)
    trackers?.start(now: now)
    if let swarm { startDiscovery(isPrivate: metainfo.info.isPrivate, isSeed: swarm.isFinished) }
    if let swarm { settleState(swarm) }
    context.touch(self)
  }

  func select(_ selection: FileSelection) {
    self.selection = selection
    context.jobs.append(.init(storage, .setWanted(selection.wanted)))
    swarm?.prioritiesChanged(selection.priorities(geometry: geometry, layout: metainfo.info.layout), now: now)
    if let swarm { settleState(swarm) }
    context.touch(self)
  }

  func setLimits(download: Int?, upload: Int?) {
    options.downloadLimit = download
    options.uploadLimit = upload
    context.downloads.setRate(download, of: downloadNode, now: now)
    context.uploads.setRate(upload, of: uploadNode, now: now)
  }

  func addPeers(_ endpoints: [Endpoint]) {
    if let swarm {
      swarm.peersDiscovered(endpoints, source: .user, now: now)
      context.touch(self)
    } else {
      options.peers += endpoints
    }
  }

  func recheck() {
    guard closing == nil, state != .checking, state != .opening else { return }
    swarm?.storageFailed(now: now)
    check(nil, known: Bitfield(capacity: geometry.pieceCount))
    context.touch(self)
  }
}
