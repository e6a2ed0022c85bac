import TorrentModel

/// Who may download from us (BEP 3).
///
/// While we download, those who give us most get the slots; while we seed, everybody in turn or those who take fastest.
/// One slot in five is given regardless of merit, for half a minute each, so that newcomers can prove themselves.
struct Choker {
  struct Candidate: Equatable {
    var key: PeerKey
    var isInterested: Bool
    var isUnchoked = false
    var isOptimistic = false
    var isSnubbed = false
    /// It came lately and was never unchoked.
    var isNew = false
    /// Bytes a second from the peer and to it.
    var downloadRate = 0
    var uploadRate = 0
    /// While unchoked: it has had its share, and others may have their turn.
    var isTurnOver = false
    /// When it was last choked or unchoked.
    var since = Moment.zero
  }

  enum Mode {
    case leeching
    case seeding(SwarmConfiguration.SeedChoking)
  }

  /// Slots of which one is optimistic.
  static let slotsPerOptimistic = 5
  /// A newcomer is this much more likely to be unchoked optimistically (BEP 3).
  static let newcomerWeight = 3

  /// Sorts the candidates, those who deserve a slot most first.
  static func rank(_ candidates: inout [Candidate], mode: Mode) {
    candidates.sort { isBetter($0, than: $1, mode: mode) }
  }

  private static func isBetter(_ a: Candidate, than b: Candidate, mode: Mode) -> Bool {
    switch mode {
    case .leeching:
      if a.isSnubbed != b.isSnubbed { return !a.isSnubbed }
      if a.downloadRate != b.downloadRate { return a.downloadRate > b.downloadRate }
    case .seeding(let choking):
      if choking == .roundRobin, a.isTurnOver != b.isTurnOver { return !a.isTurnOver }
      // Who is choked takes nothing; what is left of an earlier turn does not count.
      let (x, y) = (a.isUnchoked ? a.uploadRate : 0, b.isUnchoked ? b.uploadRate : 0)
      if x != y { return x > y }
    }
    // Who has a slot keeps it, unless its turn is over; else who has waited longest.
    let (x, y) = (a.isUnchoked && !a.isTurnOver, b.isUnchoked && !b.isTurnOver)
    if x != y { return x }
    if a.since != b.since { return a.since < b.since }
    return a.key < b.key
  }

  /// Decides who has a slot from now on: sets `isUnchoked` and `isOptimistic` of the candidates.
  ///
  /// - Parameter rotates: the optimistic slots are given anew.
  static func choose(
    _ candidates: inout [Candidate], slots: Int, mode: Mode, rotates: Bool, random: inout SeededRandom
  ) {
    rank(&candidates, mode: mode)
    let slots = max(0, slots)
    let optimistic = slots < 2 ? 0 : max(1, slots / slotsPerOptimistic)
    let wanting = candidates.count { $0.isInterested }
    let regular = wanting <= slots ? slots : slots - optimistic
    var isLeeching = false
    if case .leeching = mode { isLeeching = true }

    var used = 0
    var wasOptimistic: [PeerKey] = []
    for i in candidates.indices {
      if candidates[i].isOptimistic { wasOptimistic.append(candidates[i].key) }
      candidates[i].isOptimistic = false
      let isEligible = !(isLeeching && candidates[i].isSnubbed)
      if candidates[i].isInterested {
        candidates[i].isUnchoked = isEligible && used < regular
        if candidates[i].isUnchoked { used += 1 }
      } else {
        // One who gives well but wants nothing may begin at once when it does; then the worst loses its slot (BEP 3).
        candidates[i].isUnchoked =
          isLeeching && isEligible && used < regular && candidates[i].downloadRate > 0
      }
    }

    var open = min(slots - used, wanting - used)
    if !rotates {
      for i in candidates.indices where open > 0 && canBeOptimistic(candidates[i]) {
        guard wasOptimistic.contains(candidates[i].key) else { continue }
        candidates[i].isUnchoked = true
        candidates[i].isOptimistic = true
        open -= 1
      }
    }
    while open > 0 {
      let weights = candidates.reduce(0) { $0 + weight($1) }
      guard weights > 0 else { break }
      var draw = random.below(weights)
      for i in candidates.indices {
        draw -= weight(candidates[i])
        if draw < 0 {
          candidates[i].isUnchoked = true
          candidates[i].isOptimistic = true
          break
        }
      }
      open -= 1
    }
  }

  private static func canBeOptimistic(_ candidate: Candidate) -> Bool {
    candidate.isInterested && !candidate.isUnchoked
  }

  private static func weight(_ candidate: Candidate) -> Int {
    canBeOptimistic(candidate) ? (candidate.isNew ? newcomerWeight : 1) : 0
  }
}
