import BlockPool
import Metainfo
import PeerWire
import Reactor
import Storage
import Swarm
import TorrentModel

/// Runs one torrent on its loop: carries events from connections, disk and trackers to the swarm, and carries out what
/// the swarm decides.
final class TorrentDriver: PeerHost {
  let metainfo: TorrentMetainfo
  let geometry: PieceGeometry
  let addedAt: Moment
  /// The torrent's number on its loop.
  let slot: UInt32
  let storage: TorrentStorage
  var options: TorrentOptions
  var selection: FileSelection
  var state = TorrentState.opening

  /// Peers that were given blocks to send in this turn.
  var givenUploads: [PeerConnection] = []
  /// Peers whose next block is being read from the disk.
  var waitingForRead: [PeerConnection] = []
  /// Peers that a rate limit holds back.
  var throttled: [PeerConnection] = []
  private var throttleTimer: TimerID?

  /// Serves the metadata to those who have a magnet link only (BEP 9).
  var metadataServer: MetadataServer
  /// What fetched the metadata and goes on keeping its connections until the swarm exists.
  var early: MagnetDriver?

  // Storage.
  /// Pieces known to be good, until the swarm exists.
  var opened: Bitfield?
  var checkedBytes: Int64 = 0
  var failure: TorrentFailure?
  var retryAt = Moment.distantFuture
  var retries = 0
  var resume = ResumeKeeper()
  var closing: ClosingState?
  /// It has left its loop, and is told of nothing any more.
  var isClosed = false
  /// Peers of an earlier run, until the swarm exists.
  var restoredPeers: [PeerRecord] = []

  // Counts for display.
  var bannedPeers = 0
  var lastProgress: Moment
  var wastedByPool: Int64 = 0

  let downloadNode: RateLimitTree.Node
  let uploadNode: RateLimitTree.Node

  /// On the loop. Starts opening the files.
  ///
  /// - Parameters:
  ///   - known: peers of an earlier run.
  ///   - early: the magnet link that the metadata came from: its connections go on.
  init(
    _ metainfo: TorrentMetainfo, options: TorrentOptions, selection: FileSelection, binding: LocalBinding,
    context: LoopContext, known: [PeerRecord] = [], early: MagnetDriver? = nil
  ) {
    let infoHash = metainfo.info.infoHash
    self.metainfo = metainfo
    self.early = early
    self.restoredPeers = known
    self.geometry = metainfo.info.geometry
    self.options = options
    self.selection = selection
    let now = context.now
    self.addedAt = now
    self.lastProgress = now
    self.downloadNode = context.downloads.addNode(
      inside: context.downloads.root, rate: options.downloadLimit, now: now)
    self.uploadNode = context.uploads.addNode(
      inside: context.uploads.root, rate: options.uploadLimit, now: now)
    self.slot = context.reserveSlot()
    self.storage = TorrentStorage(
      infoHash: infoHash, root: options.folder, files: StorageFile.list(of: metainfo.info),
      layout: metainfo.info.layout, geometry: geometry, pieceHashes: metainfo.info.pieceHashes,
      allocation: FileAllocation(options.allocation), wanted: selection.wanted,
      recordFolder: context.shared.configuration.resumeFolder,
      tag: UInt64(slot), port: context.port)
    self.metadataServer = MetadataServer(
      length: metainfo.info.encoded.count, isPrivate: metainfo.info.isPrivate, now: now)
    super.init(infoHash, isPrivate: metainfo.info.isPrivate, binding: binding, context: context)
    context.register(self)
    openStorage()
  }

  var isDownloading: Bool { state == .downloading }
  override var isSeeding: Bool { state == .seeding }
  override var pieceGeometry: PieceGeometry? { geometry }

  func setState(_ next: TorrentState) {
    guard state != next else { return }
    let wasDownloading = isDownloading
    state = next
    context.shared.report(.stateChanged(infoHash, next))
    if wasDownloading != isDownloading { context.downloadingChanged(self) }
  }

  func setOpenBlockBudget(_ blocks: Int) { swarm?.openBlockBudget = blocks }

  // MARK: Peers

  override var takesPeers: Bool { swarm != nil }

  override func refusal(ofIncoming endpoint: Endpoint) -> DisconnectReason? {
    guard let swarm else { return .paused }
    return swarm.refusal(ofIncoming: endpoint, now: now)
  }

  override func peerJoined(_ key: PeerKey, _ profile: PeerProfile) {
    swarm?.peerConnected(key, profile, now: now)
  }

  override func peerLeft(_ key: PeerKey, _ reason: DisconnectReason) {
    metadataServer.peerLeft(key)
    swarm?.peerDisconnected(key, reason: reason, now: now)
  }

  override func connectionEnded(_ peer: PeerConnection) {
    givenUploads.removeAll { $0 === peer }
    waitingForRead.removeAll { $0 === peer }
    throttled.removeAll { $0 === peer }
  }

  override func connectFailed(_ endpoint: Endpoint, _ reason: DisconnectReason) {
    swarm?.connectFailed(endpoint, reason: reason, now: now)
  }

  override func peersFound(_ endpoints: [Endpoint], source: PeerSource) {
    swarm?.peersDiscovered(endpoints, source: source, now: now)
  }

  override func externalEndpointFound(_ endpoint: Endpoint) { swarm?.externalEndpoint = endpoint }
  override func listensOn(_ key: PeerKey) -> Endpoint? { swarm?.listensOn(key) }
  override func exchangeFlags(of key: PeerKey) -> PeerExchange.Flags { swarm?.exchangeFlags(of: key) ?? [] }
  override func activityNoticed(_ key: PeerKey) { swarm?.activityNoticed(key, now: now) }

  override func completeGreeting(_ handshake: inout ExtendedHandshake) {
    handshake.metadataSize = metadataServer.offeredLength
    if swarm?.isFinished == true { handshake.isUploadOnly = true }
  }

  /// A peer wants the metadata (BEP 9), or sends some that nobody asked for.
  override func metadataArrived(_ key: PeerKey, _ message: Metadata.Message) throws(PeerProtocolError) {
    activityNoticed(key)
    guard case .request(let piece) = message, let peer = peer(key),
      let id = peer.remoteID(of: Metadata.registration)
    else { return }
    switch metadataServer.requested(by: key, piece: piece, now: now) {
    case .data:
      let info = metainfo.info.encoded
      context.output.append({ Metadata.appendData(piece: piece, of: info, remoteID: id, to: &$0) }, to: peer)
    case .reject:
      context.output.append({ Metadata.appendReject(piece: piece, remoteID: id, to: &$0) }, to: peer)
    case .disconnect: throw .tooManyExtensionMessages(extension: Metadata.registration.name)
    }
    context.touch(self)
  }

  override var announceCounts: AnnounceCounts {
    let snapshot = swarm?.snapshot(now: now)
    let have = swarm?.have ?? Bitfield(capacity: geometry.pieceCount)
    return AnnounceCounts(
      uploaded: snapshot?.uploaded ?? 0, downloaded: snapshot?.downloaded ?? 0,
      left: geometry.totalLength - FileSelection.bytes(of: have, geometry),
      isPartialSeed: swarm.map { $0.isFinished && !$0.isComplete } ?? false)
  }

  // MARK: What peers say

  override func messageArrived(_ key: PeerKey, _ message: PeerMessage) {
    swarm?.messageReceived(key, message, now: now)
  }

  override func extendedHandshakeReceived(
    _ key: PeerKey, _ handshake: ExtendedHandshake, from peer: PeerConnection
  ) {
    swarm?.extendedHandshakeReceived(key, handshake, now: now)
  }

  override func dontHaveArrived(_ key: PeerKey, _ piece: PieceIndex) {
    swarm?.dontHaveReceived(key, piece, now: now)
  }

  override func payloadReceived(_ key: PeerKey, _ bytes: Int) {
    swarm?.payloadReceived(key, bytes, now: now)
  }

  override func blocksArrived(_ key: PeerKey, _ blocks: Span<ArrivedBlock>) {
    let (context, storage, now) = (context, storage, now)
    context.counters.blocksReceived += Int64(blocks.count)
    // Those of one piece that follow each other go to the disk together.
    var run: (piece: PieceIndex, blocks: BlockRun)?
    for i in blocks.indices {
      let (block, id) = (blocks[i].request, blocks[i].id)
      guard swarm?.blockArrived(key, block, now: now) == .wanted else {
        context.reader.recycle(id)
        continue
      }
      lastProgress = now
      if run?.piece == block.piece, run?.blocks.append(block.blockOffset, id) == true { continue }
      if let run { context.jobs.append(DiskJob(storage, .blocks(run.piece, run.blocks))) }
      run = (block.piece, BlockRun(block.blockOffset, id))
    }
    if let run { context.jobs.append(DiskJob(storage, .blocks(run.piece, run.blocks))) }
  }

  /// The pool was empty: the block has to come again.
  override func blockDropped(_ key: PeerKey, _ block: BlockRequest) {
    wastedByPool += Int64(block.length)
    swarm?.blockDropped(key, block, now: now)
  }

  override func pumpUploads(_ peer: PeerConnection) { sendUploads(to: peer) }

  // MARK: The turn

  /// Everything of this turn has been told; now the swarm decides, and its effects are carried out.
  override func endTurn() {
    guard let swarm else { return }
    swarm.turnEnded(now: now)
    carryOutEffects(of: swarm)
    greet()
    trackers?.turnEnded()
    rearm()
  }

  // MARK: Time

  override var nextDeadline: Moment {
    min(swarm?.nextDeadline ?? .distantFuture, resume.dueAt, retryAt)
  }

  override func woke(now: Moment) {
    if let swarm, swarm.nextDeadline <= now { swarm.tick(now: now) }
    if resume.dueAt <= now { saveRecord() }
    if retryAt <= now { retryStorage() }
  }

  // MARK: Rate limits

  override var isDownloadLimited: Bool {
    context.downloads.rate(of: downloadNode) != nil
      || context.downloads.rate(of: context.downloads.root) != nil
  }

  var isUploadLimited: Bool {
    context.uploads.rate(of: uploadNode) != nil || context.uploads.rate(of: context.uploads.root) != nil
  }

  override func grantDownload(_ wanted: Int) -> Int {
    context.downloads.grant(wanted, from: downloadNode, now: now)
  }
  override func refundDownload(_ bytes: Int) {
    if bytes > 0 { context.downloads.charge(-bytes, to: downloadNode, now: now) }
  }

  /// The peer goes on when its limit has something to give.
  override func throttle(_ peer: PeerConnection) {
    guard !peer.isThrottled else { return }
    peer.isThrottled = true
    throttled.append(peer)
    guard throttleTimer == nil else { return }
    let down = context.downloads.nextAvailable(blockLength, from: downloadNode, now: now)
    let up = context.uploads.nextAvailable(blockLength, from: uploadNode, now: now)
    let moment = max(min(max(down, now), max(up, now)), now + .milliseconds(5))
    throttleTimer = context.loop.schedule(atNanoseconds: UInt64(moment.nanoseconds)) { [weak self] in
      guard let self else { return }
      self.throttleTimer = nil
      let peers = self.throttled
      self.throttled.removeAll(keepingCapacity: true)
      for peer in peers { peer.unthrottle() }
    }
  }

  // MARK: The end

  /// Cuts every tie to the loop. Storage has been closed before.
  func detach() {
    if let throttleTimer { context.loop.cancel(throttleTimer) }
    throttleTimer = nil
    cutTies()
    early?.close()
    early = nil
    context.downloads.removeNode(downloadNode)
    context.uploads.removeNode(uploadNode)
    context.unregister(self)
    setState(.stopped)
  }
}
