import BlockPool
import Hashing
import Reactor
import Storage
import Swarm
import TorrentModel

/// What the torrents of one event loop share: the reader, the read cache, the batch of disk jobs, the rate limits.
///
/// Confined to its loop. Events of connections and completions of the disk reach the torrents during a turn; at its end
/// every torrent that something happened to decides what to do, and the disk gets one batch.
final class LoopContext {
  let loop: EventLoop
  let shared: SessionShared
  let pool: BlockPool
  /// What all swarms have in common.
  let swarmConfiguration: SwarmConfiguration.Shared
  let reader: ScatterReader
  let cache: ReadCache
  var pageCache: PageCacheReader
  /// Headers of blocks that are sent together.
  var headerBuffer: [UInt8] = []
  var downloads: RateLimitTree
  var uploads: RateLimitTree
  /// Jobs collected in this turn.
  var jobs: [DiskJob] = []
  var counters = DataPathCounters()
  /// Messages on their way to one peer, so that a burst of small ones is queued at once.
  var output = OutputBatch()
  private(set) var port: CompletionPort

  private var drivers: [TorrentDriver?] = []
  private var freeSlots: [Int] = []
  private var touched: [PeerHost] = []
  private var reads = ReadTable()
  /// Connections that may read again once the pool has blocks.
  private var starved: [PeerConnection] = []
  private var isWaitingForPool = false

  /// Blocks that downloads leave in the pool for uploads, and the other way round: an eighth each.
  let reserve: Int

  /// On the loop.
  init(loop: EventLoop, shared: SessionShared) {
    self.loop = loop
    self.shared = shared
    self.pool = shared.pool
    self.swarmConfiguration = SwarmConfiguration.Shared(SwarmConfiguration(shared))
    self.reserve = max(4, pool.capacity / 8)
    self.reader = ScatterReader(pool: pool)
    self.pageCache = shared.disk.makePageCacheReader()
    self.cache = ReadCache(pool: pool, limit: max(16, pool.capacity / 2), reserve: reserve)
    let now = Moment(nanoseconds: Int64(loop.nowNanoseconds))
    self.downloads = RateLimitTree(rate: shared.configuration.downloadLimit, now: now)
    self.uploads = RateLimitTree(rate: shared.configuration.uploadLimit, now: now)
    self.port = CompletionPort { $0.removeAll() }
    let mailbox = Mailbox<DiskCompletion>(on: loop) { [weak self] batch in self?.completed(batch) }
    self.port = CompletionPort { completions in
      mailbox.push(contentsOf: completions)
      completions.removeAll(keepingCapacity: true)
    }
    // The loop keeps its context alive, and drops these when it ends.
    loop.onTurnEnd { self.endTurn() }
    loop.onBlocksReturned { blocks in
      for block in blocks {
        let isOurs = self.cache.unpin(block)
        assert(isOurs, "a block that was sent is none of the cache's")
      }
    }
  }

  var now: Moment { Moment(nanoseconds: Int64(loop.nowNanoseconds)) }

  private var effectBuffer: [SwarmEffect] = []

  /// An empty array with room, so that handing a turn's effects over takes no memory.
  func takeEffectBuffer() -> [SwarmEffect] {
    var buffer: [SwarmEffect] = []
    swap(&buffer, &effectBuffer)
    return buffer
  }

  func returnEffectBuffer(_ buffer: consuming [SwarmEffect]) {
    buffer.removeAll(keepingCapacity: true)
    effectBuffer = buffer
  }

  private var storedTrackerClient: TrackerClient?

  /// Made when the first torrent of the loop announces.
  func trackerClient(_ binding: LocalBinding) -> TrackerClient {
    if let storedTrackerClient { return storedTrackerClient }
    let client = TrackerClient(
      loop: loop, binding: binding, userAgent: shared.configuration.userAgent, tls: shared.tls)
    storedTrackerClient = client
    return client
  }

  // MARK: Torrents

  /// A number for a torrent, by which completions of the disk find it once it is registered.
  func reserveSlot() -> UInt32 {
    if let slot = freeSlots.popLast() { return UInt32(slot) }
    drivers.append(nil)
    return UInt32(drivers.count - 1)
  }

  func register(_ driver: TorrentDriver) { drivers[Int(driver.slot)] = driver }

  func unregister(_ driver: TorrentDriver) {
    cache.removeAll(of: driver.slot)
    drivers[Int(driver.slot)] = nil
    freeSlots.append(Int(driver.slot))
    forget(driver)
  }

  /// The host is gone: its end of the turn is not waited for.
  func forget(_ host: PeerHost) { touched.removeAll { $0 === host } }

  /// The session is gone without having been shut down: torrents and context would keep each other alive.
  func abandon() {
    for driver in torrents { driver.detach() }
    starved = []
    touched = []
  }

  var torrents: [TorrentDriver] { drivers.compactMap { $0 } }

  /// Torrents of this loop that download.
  private var downloading: [TorrentDriver] = []

  /// The blocks that each of them may have under way: a share of the pool, so that what they ask for always finds room.
  var blockShare: Int {
    let loops = max(1, shared.configuration.loops ?? 1)
    let whole = pool.capacity - reserve - shared.disk.reservedBlocks
    return max(8, whole / loops / max(1, downloading.count))
  }

  /// The torrent began to download, or ended: shares change.
  func downloadingChanged(_ driver: TorrentDriver) {
    if driver.isDownloading { downloading.append(driver) } else { downloading.removeAll { $0 === driver } }
    let share = blockShare
    for driver in downloading { driver.setOpenBlockBudget(share) }
  }

  // MARK: The turn

  /// Something happened to the torrent: it is asked at the end of the turn what to do.
  func touch(_ driver: PeerHost) {
    guard !driver.isTouched else { return }
    driver.isTouched = true
    touched.append(driver)
  }

  private func endTurn() {
    counters.loopTurns += 1
    var index = 0
    // Torrents may be touched again while effects are carried out.
    while index < touched.count {
      let driver = touched[index]
      driver.isTouched = false
      driver.endTurn()
      index += 1
      if index > 256 && index == touched.count { break }
    }
    touched.removeAll(keepingCapacity: true)
    output.flush()
    reader.releaseSpare()
    feedStarved()
    if !jobs.isEmpty { shared.disk.submit(&jobs) }
    counters.copiedBytes = reader.copiedBytes
    counters.receiveCalls = reader.reads
  }

  // MARK: A dry pool

  /// The connection stopped reading because the pool is empty: the kernel's buffer fills, and TCP slows the peer.
  func starve(_ peer: PeerConnection) {
    starved.append(peer)
    shared.disk.relievePool()
  }

  private func feedStarved() {
    guard !starved.isEmpty, !isWaitingForPool else { return }
    isWaitingForPool = true
    cache.shrink(by: 64)
    let loop = loop
    let bound = LoopBound(self, on: loop)
    pool.whenAvailable(min(shared.disk.relievedBlocks, reserve + 8)) {
      loop.post { bound.value.wakeStarved() }
    }
  }

  private func wakeStarved() {
    isWaitingForPool = false
    let peers = starved
    starved.removeAll(keepingCapacity: true)
    for peer in peers { peer.poolRefilled() }
  }

  // MARK: The disk

  private func completed(_ batch: [DiskCompletion]) {
    for completion in batch {
      switch completion.event {
      case .blocksRead(let token, let length): finishRead(token, length: length, failure: nil)
      case .readFailed(let token, let failure): finishRead(token, length: 0, failure: failure)
      default:
        guard let driver = drivers[Int(completion.storage.tag)], driver.storage === completion.storage else {
          continue
        }
        driver.storageCompleted(completion.event)
      }
    }
  }

  /// Reads a run of blocks of one piece into the cache, from `first` on: those that are not there yet, and not more than
  /// one job takes. Returns false when there is no room even for the first.
  func startRead(_ driver: TorrentDriver, piece: PieceIndex, first: Int, wanted: Int) -> Bool {
    var blocks = InlineArray<16, BlockID>(repeating: BlockID(rawValue: 0))
    var count = 0
    var length = 0
    let last = min(driver.geometry.blockCount(of: piece), first + min(wanted, BlockRead.maximumBlocks))
    while first + count < last {
      let key = CacheKey(torrent: driver.slot, piece: piece.rawValue, block: UInt32(first + count))
      guard cache.lookup(key) == .missing, let block = cache.startReading(key) else { break }
      blocks[count] = block
      length += driver.geometry.length(ofBlock: first + count, in: piece)
      count += 1
    }
    guard count > 0 else { return false }
    let token = reads.insert(
      PendingRead(driver: driver, piece: piece, first: first, count: count, blocks: blocks))
    let offset = driver.geometry.start(of: piece) + Int64(first * blockLength)
    jobs.append(
      DiskJob(driver.storage, .read(BlockRead(token: token, offset: offset, length: length, blocks: blocks))))
    return true
  }

  /// Fills blocks of one piece, from `first` on, from what the system holds in memory. Returns false when there is no room,
  /// or they are not all at hand: then ``startRead(_:piece:first:wanted:)`` has to get them.
  func readAtHand(_ driver: TorrentDriver, piece: PieceIndex, first: Int, count wanted: Int) -> Bool {
    var blocks = InlineArray<16, BlockID>(repeating: BlockID(rawValue: 0))
    var count = 0
    while count < min(wanted, BlockRead.maximumBlocks) {
      let key = CacheKey(torrent: driver.slot, piece: piece.rawValue, block: UInt32(first + count))
      guard let block = cache.startReading(key, isPassing: true) else { break }
      blocks[count] = block
      count += 1
    }
    return count > 0 && fill(driver, piece, first, blocks, count)
  }

  /// The same for one block, into a spare one of the cache, which is the cache's again either way.
  func readAtHand(_ driver: TorrentDriver, piece: PieceIndex, block: Int, into spare: BlockID) -> Bool {
    let key = CacheKey(torrent: driver.slot, piece: piece.rawValue, block: UInt32(block))
    cache.startReading(key, into: spare, isPassing: true)
    return fill(driver, piece, block, InlineArray(repeating: spare), 1)
  }

  private func fill(
    _ driver: TorrentDriver, _ piece: PieceIndex, _ first: Int, _ blocks: InlineArray<16, BlockID>,
    _ count: Int
  ) -> Bool {
    var length = 0
    for i in 0..<count { length += driver.geometry.length(ofBlock: first + i, in: piece) }
    let offset = driver.geometry.start(of: piece) + Int64(first * blockLength)
    let read = BlockRead(token: 0, offset: offset, length: length, blocks: blocks)
    let isFilled = pageCache.fill(read, of: driver.storage)
    for i in 0..<count {
      cache.finishReading(
        blocks[i], count: isFilled ? driver.geometry.length(ofBlock: first + i, in: piece) : 0)
    }
    return isFilled
  }

  private func finishRead(_ token: UInt64, length: Int, failure: StorageFailure?) {
    guard let read = reads.remove(token) else { return }
    for i in 0..<read.count {
      let count = failure == nil ? read.driver.geometry.length(ofBlock: read.first + i, in: read.piece) : 0
      cache.finishReading(read.blocks[i], count: count)
    }
    read.driver.readFinished(read.piece, failure: failure)
  }
}

extension SwarmConfiguration {
  /// As the session's user wants it.
  init(_ shared: SessionShared) {
    self.init(ownPeerID: shared.peerID)
    sha1 = { Bytes20(SHA1.digest(of: $0).bytes) ?? Bytes20() }
    maximumConnectionsPerAddress = shared.configuration.maxPeersPerAddress
    if let slots = shared.configuration.uploadSlots { uploadSlots = .fixed(slots) }
  }
}

/// Reads that are with the disk, by token.
private struct ReadTable {
  private var slots: [PendingRead?] = []
  private var free: [Int] = []

  mutating func insert(_ read: PendingRead) -> UInt64 {
    if let slot = free.popLast() {
      slots[slot] = read
      return UInt64(slot)
    }
    slots.append(read)
    return UInt64(slots.count - 1)
  }

  mutating func remove(_ token: UInt64) -> PendingRead? {
    guard token < UInt64(slots.count), let read = slots[Int(token)] else { return nil }
    slots[Int(token)] = nil
    free.append(Int(token))
    return read
  }
}

private struct PendingRead {
  var driver: TorrentDriver
  var piece: PieceIndex
  var first: Int
  var count: Int
  var blocks: InlineArray<16, BlockID>
}
