import TorrentModel

/// What is known of the addresses that send us queries: whether they are real, what they may get, how fast they ask.
///
/// UDP's source addresses can be forged, so a node that answers big replies to small queries can be turned against
/// others. The rule here: **until an address has proved that it gets what we send, it gets no more bytes than it sent.**
/// Bytes of its queries are its credit; replies, errors and our own pings to it are paid from that. It has proved itself
/// once it answered any query of ours, or sent back a token that we gave it; that holds for ``proofTime``. Only payload
/// counts: headers are the same both ways. When an entry is dropped for another, its credit is forgotten, which only
/// makes the rule stricter.
///
/// Memory is bounded: sets of four entries, of which the one least worth keeping makes room.
struct SourceTable: Sendable {
  /// How long an address stays proved after it last proved itself.
  static let proofTime: UInt32 = 15 * 60
  private static let ways = 4
  private static let firstSets = 16
  private static let allowanceMask: UInt16 = 0x7fff

  struct Source: Sendable {
    var address: IPAddress
    /// Seconds; 0 in an empty entry.
    var lastSeen: UInt32 = 0
    var provedUntil: UInt32 = 0
    /// Bytes it may get before it has proved itself.
    var credit: UInt16 = 0
    /// Queries it may ask at once; the highest bit says that a challenge was not answered yet.
    var allowance: UInt16 = 0
  }

  private var entries: [Source]
  private var setMask: Int
  private let setLimit: Int
  private let salt: UInt64
  private let rate: Int
  private let burst: Int

  /// - Parameters:
  ///   - limit: addresses that are kept at most.
  ///   - rate: queries a second that an address may ask, with `burst` at once.
  init(limit: Int, rate: Int, burst: Int, salt: UInt64) {
    var sets = 1
    while sets * 2 * Self.ways <= max(Self.ways, limit) { sets *= 2 }
    setLimit = sets
    let first = min(sets, Self.firstSets)
    setMask = first - 1
    entries = Array(
      repeating: Source(address: IPAddress(high: 0, low: 0)), count: first * Self.ways)
    self.salt = salt
    self.rate = max(1, rate)
    self.burst = min(max(1, burst), Int(Self.allowanceMask))
  }

  /// Entries in use or not.
  var capacity: Int { entries.count }

  @inline(__always)
  private func firstIndex(_ address: IPAddress) -> Int {
    var hash = (address.high ^ salt) &* 0x9e37_79b9_7f4a_7c15
    hash ^= hash >> 29
    hash = (hash ^ address.low) &* 0xbf58_476d_1ce4_e5b9
    hash ^= hash >> 32
    return (Int(truncatingIfNeeded: hash) & setMask) * Self.ways
  }

  private func find(_ address: IPAddress) -> Int? {
    let first = firstIndex(address)
    for index in first..<first + Self.ways {
      if entries[index].address == address && entries[index].lastSeen != 0 { return index }
    }
    return nil
  }

  /// Takes note of a query of `bytes` bytes. Returns the entry, or `nil` if the address asks too fast.
  mutating func queryArrived(from address: IPAddress, bytes: Int, now: UInt32, isLimited: Bool) -> Int? {
    let index: Int
    if let known = find(address) {
      index = known
      let elapsed = Int(now &- entries[index].lastSeen)
      if elapsed > 0 {
        let allowance = entries[index].allowance
        let refilled = Int(allowance & Self.allowanceMask) + min(elapsed, burst) * rate
        entries[index].allowance =
          UInt16(truncatingIfNeeded: min(refilled, burst)) | allowance & ~Self.allowanceMask
        entries[index].lastSeen = now
      }
    } else {
      index = insert(address, now)
    }
    entries[index].credit = UInt16(
      truncatingIfNeeded: min(Int(entries[index].credit) + bytes, KRPCMessage.lengthLimit))
    guard isLimited else { return index }
    guard entries[index].allowance & Self.allowanceMask > 0 else { return nil }
    entries[index].allowance -= 1
    return index
  }

  func isProved(_ index: Int, _ now: UInt32) -> Bool { entries[index].provedUntil > now }

  func credit(_ index: Int) -> Int { Int(entries[index].credit) }

  mutating func spend(_ bytes: Int, _ index: Int) {
    entries[index].credit = UInt16(truncatingIfNeeded: max(0, Int(entries[index].credit) - bytes))
  }

  /// Whether a challenge was sent that is not answered yet.
  func isChallenged(_ index: Int) -> Bool { entries[index].allowance & ~Self.allowanceMask != 0 }

  mutating func setChallenged(_ isChallenged: Bool, _ index: Int) {
    entries[index].allowance &= Self.allowanceMask
    if isChallenged { entries[index].allowance |= ~Self.allowanceMask }
  }

  func isProved(_ address: IPAddress, _ now: UInt32) -> Bool {
    find(address).map { isProved($0, now) } ?? false
  }

  /// The address has shown that it gets what we send to it.
  mutating func prove(_ address: IPAddress, _ now: UInt32) {
    let index = find(address) ?? insert(address, now)
    entries[index].provedUntil = now &+ Self.proofTime
    setChallenged(false, index)
  }

  private mutating func insert(_ address: IPAddress, _ now: UInt32) -> Int {
    while true {
      let first = firstIndex(address)
      var victim = first
      for index in first..<first + Self.ways {
        if entries[index].lastSeen == 0 {
          victim = index
          break
        }
        if isWorthLess(index, victim, now) { victim = index }
      }
      if entries[victim].lastSeen != 0 && setMask + 1 < setLimit {
        grow(now)
        continue
      }
      entries[victim] = Source(
        address: address, lastSeen: max(1, now), allowance: UInt16(truncatingIfNeeded: burst))
      return victim
    }
  }

  /// Strangers go before those that are proved, and of each the one not seen for longest.
  private func isWorthLess(_ a: Int, _ b: Int, _ now: UInt32) -> Bool {
    let (left, right) = (isProved(a, now), isProved(b, now))
    return left != right ? right : entries[a].lastSeen < entries[b].lastSeen
  }

  private mutating func grow(_ now: UInt32) {
    let old = entries
    setMask = (setMask + 1) * 2 - 1
    entries = Array(
      repeating: Source(address: IPAddress(high: 0, low: 0)), count: (setMask + 1) * Self.ways)
    for source in old where source.lastSeen != 0 {
      let first = firstIndex(source.address)
      for index in first..<first + Self.ways where entries[index].lastSeen == 0 {
        entries[index] = source
        break
      }
    }
  }
}
