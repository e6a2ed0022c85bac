import TorrentModel

/// Finds peers in the same network (BEP 14): says which torrents are here, and hears who else has them. One for all
/// torrents of a session, and for all interfaces and groups it announces on.
///
/// Pure: events come in as method calls that carry the time. Call ``tick(now:)`` when ``nextDeadline`` has come, and send
/// the message it gives to the group of each family on each interface.
public struct LocalDiscovery: Sendable {
  /// A peer that announced a torrent of ours.
  public struct Discovery: Hashable, Sendable {
    public var infoHash: InfoHash
    public var endpoint: Endpoint

    public init(infoHash: InfoHash, endpoint: Endpoint) {
      self.infoHash = infoHash
      self.endpoint = endpoint
    }
  }

  /// The port on which we take connections; 0 for none, and then nothing is announced.
  public var port: UInt16 {
    didSet { if port != oldValue { isPortNew = true } }
  }
  /// What our own announces are known by.
  public let cookie: [UInt8]

  private struct Torrent {
    var infoHash: InfoHash
    /// When it is to be announced next.
    var dueAt: Moment
  }

  /// In the order in which they are due.
  private var torrents: [Torrent] = []
  private var known: Set<InfoHash> = []
  private var sentAt: Moment?
  private var isPortNew = false

  private struct Neighbour {
    var credit: Int
    var creditedAt: Moment
  }
  private var neighbours: [IPAddress: Neighbour] = [:]

  /// Each torrent is announced this often, if not too many others are waiting.
  static let announceInterval = Moment.Interval.seconds(300)
  /// No more than one announce in this time.
  static let messageInterval = Moment.Interval.seconds(60)
  /// Torrents that are added together go into one message.
  static let gatherTime = Moment.Interval.milliseconds(500)
  /// Messages of one neighbour that are taken at once; it gets credit for one more every ten seconds.
  static let neighbourBurst = 20
  static let creditInterval = Moment.Interval.seconds(10)
  static let neighbourLimit = 1024

  /// - Parameter cookie: random printable ASCII, as ``makeCookie(using:)`` gives it.
  public init(port: UInt16, cookie: [UInt8]) {
    precondition(!cookie.isEmpty && cookie.count <= LocalAnnounce.cookieLengthLimit)
    self.port = port
    self.cookie = cookie
  }

  /// Sixteen hexadecimal digits.
  public static func makeCookie(using random: inout some RandomNumberGenerator) -> [UInt8] {
    let digits = Array("0123456789abcdef".utf8)
    return (0..<16).map { _ in digits[Int(random.next() >> 60)] }
  }

  /// When ``tick(now:)`` wants to be called; `.distantFuture` when there is nothing to announce.
  public var nextDeadline: Moment {
    guard port != 0, let first = torrents.first else { return .distantFuture }
    return max(first.dueAt, sentAt.map { $0 + Self.messageInterval } ?? first.dueAt)
  }

  /// A torrent takes part from now on. A private one does not: its peers come from its trackers only (BEP 27).
  public mutating func added(_ infoHash: InfoHash, isPrivate: Bool, now: Moment) {
    guard !isPrivate, known.insert(infoHash).inserted else { return }
    plan(Torrent(infoHash: infoHash, dueAt: now + Self.gatherTime))
  }

  public mutating func removed(_ infoHash: InfoHash) {
    guard known.remove(infoHash) != nil else { return }
    torrents.removeAll { $0.infoHash == infoHash }
  }

  private mutating func plan(_ torrent: Torrent) {
    var (low, high) = (0, torrents.count)
    while low < high {
      let middle = (low + high) / 2
      if torrents[middle].dueAt <= torrent.dueAt { low = middle + 1 } else { high = middle }
    }
    torrents.insert(torrent, at: low)
  }

  /// The announce that is due, to be sent to all groups; `nil` if none is.
  public mutating func tick(now: Moment) -> LocalAnnounce? {
    if isPortNew {
      // What was said is no longer true.
      isPortNew = false
      for index in torrents.indices { torrents[index].dueAt = min(torrents[index].dueAt, now) }
    }
    guard nextDeadline <= now else { return nil }
    // Those that would be due before the next message go along.
    let soon = now + Self.messageInterval
    let batch = torrents.prefix(LocalAnnounce.infoHashLimit).prefix { $0.dueAt < soon }
    torrents.removeFirst(batch.count)
    for torrent in batch {
      plan(Torrent(infoHash: torrent.infoHash, dueAt: now + Self.announceInterval))
    }
    sentAt = now
    return LocalAnnounce(port: port, infoHashes: batch.map(\.infoHash), cookie: cookie)
  }

  /// A datagram came to one of the groups.
  ///
  /// - Returns: peers of our torrents; none for our own announces, for what is no announce, and for a neighbour that
  ///   sends too many.
  public mutating func datagramArrived(
    _ bytes: Span<UInt8>, from sender: Endpoint, now: Moment
  ) -> [Discovery] {
    guard isWelcome(sender.address, now: now), let announce = try? LocalAnnounce.decode(bytes),
      announce.cookie != cookie
    else { return [] }
    let endpoint = sender.with(port: announce.port)
    guard endpoint.isPlausiblePeer else { return [] }
    return announce.infoHashes.filter(known.contains).map { Discovery(infoHash: $0, endpoint: endpoint) }
  }

  /// Counts a datagram of a neighbour.
  private mutating func isWelcome(_ address: IPAddress, now: Moment) -> Bool {
    if neighbours[address] == nil, neighbours.count >= Self.neighbourLimit {
      // Those that have their full credit again are forgotten.
      let restTime = Self.creditInterval * Self.neighbourBurst
      neighbours = neighbours.filter { $0.value.creditedAt + restTime > now }
      guard neighbours.count < Self.neighbourLimit else { return false }
    }
    var neighbour = neighbours[address] ?? Neighbour(credit: Self.neighbourBurst, creditedAt: now)
    let gained = Int((now - neighbour.creditedAt).nanoseconds / Self.creditInterval.nanoseconds)
    if gained > 0 {
      neighbour.credit = min(Self.neighbourBurst, neighbour.credit + min(gained, Self.neighbourBurst))
      neighbour.creditedAt = neighbour.creditedAt + Self.creditInterval * gained
    }
    defer { neighbours[address] = neighbour }
    guard neighbour.credit > 0 else { return false }
    neighbour.credit -= 1
    return true
  }
}
