import TorrentModel

/// Who sent what in pieces that came out wrong.
///
/// A bad piece with one sender convicts it. With several, the piece's blocks are kept as digests, each with its sender;
/// when the piece has been downloaded again and is right, the blocks that differ name the liars, and those only.
struct BlameLedger {
  typealias Sender = SenderTable.Sender

  private struct Attempt {
    /// Everybody who sent a block.
    var senders: [Sender]
    /// By block: an index into `senders`.
    var owners: [UInt16]
    var digests: [UInt64]
  }

  private var attempts: [PieceIndex: [Attempt]] = [:]
  /// The pieces in the order in which they failed first.
  private var queue: [PieceIndex] = []
  private var blocks = 0

  /// Blocks that are remembered, at about ten bytes each; the oldest pieces are forgotten beyond.
  private static let blockLimit = 1 << 18
  private static let attemptsPerPiece = 4

  var isEmpty: Bool { attempts.isEmpty }
  func contains(_ piece: PieceIndex) -> Bool { attempts[piece] != nil }

  /// Remembers a failed piece. Returns the pieces that had to be forgotten for it.
  mutating func record(_ piece: PieceIndex, senders: [Sender], digests: [UInt64]) -> [PieceIndex] {
    guard senders.count == digests.count, attempts[piece]?.count ?? 0 < Self.attemptsPerPiece else {
      return []
    }
    var attempt = Attempt(senders: [], owners: [], digests: digests)
    for sender in senders {
      let known = attempt.senders.firstIndex(of: sender)
      if known == nil { attempt.senders.append(sender) }
      attempt.owners.append(UInt16(truncatingIfNeeded: known ?? attempt.senders.count - 1))
    }
    if attempts[piece] == nil { queue.append(piece) }
    attempts[piece, default: []].append(attempt)
    blocks += digests.count
    var forgotten: [PieceIndex] = []
    while blocks > Self.blockLimit, queue.count > 1, let oldest = queue.first(where: { $0 != piece }) {
      forget(oldest)
      forgotten.append(oldest)
    }
    return forgotten
  }

  mutating func forget(_ piece: PieceIndex) {
    guard let list = attempts.removeValue(forKey: piece) else { return }
    for attempt in list { blocks -= attempt.digests.count }
    queue.removeAll { $0 == piece }
  }

  /// Who lied and who did not, by the digests of the good piece. The piece is forgotten.
  mutating func resolve(_ piece: PieceIndex, digests: [UInt64]?) -> (liars: [Sender], honest: [Sender]) {
    var (liars, honest): ([Sender], [Sender]) = ([], [])
    if let digests {
      for attempt in attempts[piece] ?? [] where attempt.digests.count == digests.count {
        var lied = [Bool](repeating: false, count: attempt.senders.count)
        for block in digests.indices where attempt.digests[block] != digests[block] {
          lied[Int(attempt.owners[block])] = true
        }
        for (index, sender) in attempt.senders.enumerated() {
          if lied[index] {
            if !liars.contains(sender) { liars.append(sender) }
          } else if !honest.contains(sender) {
            honest.append(sender)
          }
        }
      }
      honest.removeAll { liars.contains($0) }
    }
    forget(piece)
    return (liars, honest)
  }
}
