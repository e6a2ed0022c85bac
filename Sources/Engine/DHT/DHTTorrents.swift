import DHT
import TorrentModel

/// The torrents that look for peers in the DHT and are announced there, and their lookups.
struct DHTTorrents {
  private struct Tracked {
    var announcePort: UInt16?
    var isSeed: Bool
    var deliver: @Sendable ([Endpoint]) -> Void
  }

  private struct Running {
    var infoHash: InfoHash
    var peerCount = 0
  }

  /// Lookups of torrents at once, so that some are left for requests.
  static let concurrency = 16
  /// Where ids of torrents' lookups begin; requests are below.
  static let firstID: UInt64 = 1 << 62

  var schedule = LookupSchedule(concurrency: DHTTorrents.concurrency)
  private var tracked: [InfoHash: Tracked] = [:]
  private var running: [LookupID: Running] = [:]
  private var lastID = DHTTorrents.firstID

  var count: Int { tracked.count }

  mutating func track(
    _ infoHash: InfoHash, announcePort: UInt16?, isSeed: Bool, now: Moment,
    deliver: @escaping @Sendable ([Endpoint]) -> Void
  ) {
    tracked[infoHash] = Tracked(
      announcePort: announcePort == 0 ? nil : announcePort, isSeed: isSeed, deliver: deliver)
    schedule.add(infoHash, now: now)
  }

  mutating func update(_ infoHash: InfoHash, isSeed: Bool) { tracked[infoHash]?.isSeed = isSeed }

  /// - Returns: the lookup to be cancelled.
  mutating func untrack(_ infoHash: InfoHash) -> LookupID? {
    tracked[infoHash] = nil
    guard schedule.remove(infoHash),
      let id = running.first(where: { $0.value.infoHash == infoHash })?.key
    else { return nil }
    running[id] = nil
    return id
  }

  /// The next lookup that is due.
  mutating func next(now: Moment) -> (LookupID, LookupGoal)? {
    guard let infoHash = schedule.next(now: now), let torrent = tracked[infoHash] else { return nil }
    lastID += 1
    let id = LookupID(lastID)
    running[id] = Running(infoHash: infoHash)
    let announcement = torrent.announcePort.map { LookupGoal.Announcement(port: $0, isSeed: torrent.isSeed) }
    // Seeds have no use for seeds (BEP 33).
    return (id, .peers(infoHash, announcing: announcement, withoutSeeds: torrent.isSeed))
  }

  static func owns(_ id: LookupID) -> Bool { id.rawValue >= firstID }

  /// A lookup has found so many peers. Returns who is to be told: the caller does it, as that may lead back here.
  mutating func found(_ count: Int, by id: LookupID) -> (@Sendable ([Endpoint]) -> Void)? {
    guard let infoHash = running[id]?.infoHash else { return nil }
    running[id]?.peerCount += count
    return tracked[infoHash]?.deliver
  }

  mutating func finished(
    _ id: LookupID, _ result: LookupResult, now: Moment, random: inout some RandomNumberGenerator
  ) {
    guard let lookup = running.removeValue(forKey: id) else { return }
    let isWaiting = lookup.peerCount == 0 && tracked[lookup.infoHash]?.isSeed == false
    let outcome: LookupSchedule.Outcome =
      result.outcome != .completed ? .noNodes : isWaiting ? .nobody : .completed(peers: lookup.peerCount)
    schedule.finished(lookup.infoHash, outcome, now: now, random: &random)
  }
}

extension DHTDriver {
  /// Takes a torrent in: it is looked up now and again, and announced if `announcePort` says where its peers are taken.
  /// Must not be called for private torrents (BEP 27).
  ///
  /// - Parameters:
  ///   - isSeed: the torrent is complete (BEP 33).
  ///   - deliver: told of peers as they are found, on the DHT's loop.
  func track(
    _ infoHash: InfoHash, announcePort: UInt16?, isSeed: Bool,
    deliver: @escaping @Sendable ([Endpoint]) -> Void
  ) {
    guard !isClosed else { return }
    torrents.track(infoHash, announcePort: announcePort, isSeed: isSeed, now: now, deliver: deliver)
    torrentsChanged()
  }

  /// The torrent is complete, or is not any more. Said with its next announce.
  func update(_ infoHash: InfoHash, isSeed: Bool) { torrents.update(infoHash, isSeed: isSeed) }

  /// The torrent has nobody left to connect to: it is looked up soon, though never twice in a minute.
  func wantMore(_ infoHash: InfoHash) {
    torrents.schedule.peersRanShort(infoHash, now: now)
    torrentsChanged()
  }

  /// Forgets the torrent. Its announces are forgotten by others in time: the DHT has no way to take them back.
  func untrack(_ infoHash: InfoHash) {
    if let lookup = torrents.untrack(infoHash) { cancelLookup(lookup) }
    torrentsChanged()
  }
}
