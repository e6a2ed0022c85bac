import HeapModule
import PeerWire
import TorrentModel

/// Tells peers of each other, and judges what they tell (BEP 11). One for each torrent that is not private.
///
/// Pure: events come in as method calls that carry the time. Call ``tick(now:random:flags:)`` when ``nextDeadline`` has
/// come, and send what it gives.
public struct PeerExchangeMachine: Sendable {
  /// What a peer's message comes to.
  public enum Verdict: Hashable, Sendable {
    /// Peers to be taken into the book. May be empty.
    case contacts([PeerExchange.Contact])
    /// Too soon after the last ones: it was not looked at.
    case ignored
    /// It goes on sending far too many: close the connection.
    case disconnect
  }

  private struct Partner {
    var address: IPAddress
    /// Where it can be connected to, once known.
    var listensOn: Endpoint?
    /// ``listensOn`` stands in the log under this peer's key.
    var isListed = false
    /// It takes messages.
    var takes = false
    /// It was sent a message, or will be, under a plan of this number.
    var plan: UInt32 = 0
    var sentAt: Moment?
    var bookmark: PeerExchangeLog.Bookmark

    // What it sends.
    /// Messages that would be taken now, in seconds of waiting: see ``PeerExchangeMachine/messageCredit``.
    var credit: Int
    var creditedAt: Moment
    var ignored = 0
    /// Contacts that would be taken now, in units of 1/60.
    var contactCredit = PeerExchangeMachine.contactBurst * 60
  }

  private struct Plan: Comparable {
    var time: Moment
    var key: PeerKey
    var number: UInt32

    static func < (a: Plan, b: Plan) -> Bool { (a.time, a.key) < (b.time, b.key) }
  }

  private var partners: [Partner?] = []
  private var log = PeerExchangeLog()
  private var plans = Heap<Plan>()
  private var planCount: UInt32 = 0

  /// A message at most this often, and a little more, as the other end's clock begins when it arrives.
  static let interval = Moment.Interval.seconds(60)
  static let jitter = Moment.Interval.seconds(5)
  /// The first message, when it has something to say.
  static let firstDelay = Moment.Interval.seconds(2)
  /// When there was nothing to say.
  static let recheckDelay = Moment.Interval.seconds(5)
  /// Events that are kept for peers that are behind. One that is farther behind misses the oldest.
  static let eventLimit = 8192

  /// Seconds a message costs; a second gives one. So a message a minute is fine, also if some were held up and come
  /// together.
  static let messageCost = 50
  static let messageCredit = 200
  /// Messages over that before the connection is closed.
  static let ignoredLimit = 20
  /// Contacts taken of a peer at once, and more each minute: it should not be our only source (BEP 11).
  static let contactBurst = 100
  static let contactsPerMinute = 25

  public init() {}

  /// When ``tick(now:random:flags:)`` wants to be called; `.distantFuture` when there is nothing to wait for.
  public var nextDeadline: Moment { plans.min?.time ?? .distantFuture }

  // MARK: Peers

  /// A connection stands. `listensOn` is where the peer can be connected to: where we dialled, or nil until an incoming
  /// peer says its port.
  public mutating func peerConnected(_ key: PeerKey, at address: IPAddress, listensOn: Endpoint?, now: Moment)
  {
    while partners.count <= key.offset { partners.append(nil) }
    precondition(partners[key.offset] == nil, "the key is in use")
    partners[key.offset] = Partner(
      address: address, bookmark: log.newcomer, credit: Self.messageCredit, creditedAt: now)
    if let listensOn { listenEndpointKnown(key, listensOn) }
  }

  /// It became known where the peer can be connected to.
  public mutating func listenEndpointKnown(_ key: PeerKey, _ endpoint: Endpoint) {
    guard let partner = partner(key), partner.listensOn == nil, endpoint.isPlausiblePeer else { return }
    partners[key.offset]?.listensOn = endpoint
    partners[key.offset]?.isListed = log.came(endpoint, key)
    if log.eventCount > Self.eventLimit { trim() }
  }

  /// The peer takes messages, or does not any more, as its extended handshake says (BEP 10).
  public mutating func exchangeChanged(_ key: PeerKey, takesMessages: Bool, now: Moment) {
    guard let partner = partner(key), partner.takes != takesMessages else { return }
    partners[key.offset]?.takes = takesMessages
    guard takesMessages else { return }
    let earliest = partner.sentAt.map { $0 + Self.interval + Self.jitter } ?? .zero
    plan(key, at: max(now + Self.firstDelay, earliest))
  }

  public mutating func peerDisconnected(_ key: PeerKey) {
    guard let partner = partner(key) else { return }
    if partner.isListed, let endpoint = partner.listensOn { log.went(endpoint) }
    partners[key.offset] = nil
    while let last = partners.last, last == nil { partners.removeLast() }
    if partners.isEmpty {
      log = PeerExchangeLog()
      plans = Heap()
    } else if log.eventCount > Self.eventLimit {
      trim()
    }
  }

  private func partner(_ key: PeerKey) -> Partner? {
    key.offset < partners.count ? partners[key.offset] : nil
  }

  /// Forgets what everybody was told; and beyond that, so that it need not be done soon again, half of what is kept.
  private mutating func trim() {
    var least = log.next
    for case let partner? in partners where partner.takes { least = min(least, partner.bookmark.next) }
    log.trim(before: least)
    if log.eventCount > Self.eventLimit / 2 { log.trim(before: log.next - UInt64(Self.eventLimit / 2)) }
  }

  // MARK: Sending

  private mutating func plan(_ key: PeerKey, at time: Moment) {
    planCount &+= 1
    partners[key.offset]?.plan = planCount
    plans.insert(Plan(time: time, key: key, number: planCount))
  }

  /// The messages that are due.
  ///
  /// - Parameter flags: what is said of the peer under a key.
  public mutating func tick(
    now: Moment, random: inout SeededRandom, flags: (PeerKey) -> PeerExchange.Flags
  ) -> [(peer: PeerKey, message: PeerExchange.Message)] {
    var due: [(peer: PeerKey, message: PeerExchange.Message)] = []
    while let plan = plans.min, plan.time <= now {
      _ = plans.removeMin()
      guard let partner = partner(plan.key), partner.plan == plan.number, partner.takes else { continue }
      let message = message(for: plan.key, partner, flags: flags)
      let jitter = Moment.Interval(
        nanoseconds: Int64(random.next() % UInt64(Self.jitter.nanoseconds)))
      if message.isEmpty {
        self.plan(plan.key, at: now + Self.recheckDelay + jitter)
      } else {
        due.append((plan.key, message))
        partners[plan.key.offset]?.sentAt = now
        self.plan(plan.key, at: now + Self.interval + jitter)
      }
    }
    return due
  }

  private mutating func message(
    for key: PeerKey, _ partner: Partner, flags: (PeerKey) -> PeerExchange.Flags
  ) -> PeerExchange.Message {
    var bookmark = partner.bookmark
    let isNear = partner.address.isLocalOrSpecial
    let news = log.news(&bookmark, limit: PeerExchange.contactLimit) { contact in
      // Nobody is told of himself, and addresses of this network mean nothing outside of it.
      contact.key != key && contact.endpoint != partner.listensOn
        && (isNear || !contact.endpoint.address.isLocalOrSpecial)
    }
    partners[key.offset]?.bookmark = bookmark
    return PeerExchange.Message(
      added: news.added.map { PeerExchange.Contact($0.endpoint, flags: flags($0.key)) },
      dropped: news.dropped.filter { isNear || !$0.address.isLocalOrSpecial })
  }

  // MARK: Receiving

  /// A peer told whom it is connected to.
  ///
  /// - Parameter isOwn: whether an address is one of ours.
  public mutating func messageReceived(
    from key: PeerKey, _ message: PeerExchange.Message, now: Moment, isOwn: (Endpoint) -> Bool
  ) -> Verdict {
    guard var partner = partner(key) else { return .ignored }
    defer { partners[key.offset] = partner }
    let seconds = Int((now - partner.creditedAt).nanoseconds / 1_000_000_000)
    if seconds > 0 {
      partner.credit = min(Self.messageCredit, partner.credit + min(seconds, 3600))
      partner.contactCredit = min(
        Self.contactBurst * 60, partner.contactCredit + min(seconds, 3600) * Self.contactsPerMinute)
      partner.creditedAt = partner.creditedAt + .seconds(seconds)
    }
    guard partner.credit >= Self.messageCost else {
      partner.ignored += 1
      return partner.ignored > Self.ignoredLimit ? .disconnect : .ignored
    }
    partner.credit -= Self.messageCost
    partner.ignored = 0
    var contacts: [PeerExchange.Contact] = []
    var addresses: Set<IPAddress> = []
    let isNear = partner.address.isLocalOrSpecial
    for contact in message.added {
      let address = contact.endpoint.address
      guard partner.contactCredit >= 60 else { break }
      guard contact.endpoint.isPlausiblePeer, isNear || !address.isLocalOrSpecial, !isOwn(contact.endpoint),
        // One host under many ports may be somebody whom others are to attack (BEP 11).
        address.isLoopback || addresses.insert(address).inserted
      else { continue }
      partner.contactCredit -= 60
      contacts.append(contact)
    }
    return .contacts(contacts)
  }
}
