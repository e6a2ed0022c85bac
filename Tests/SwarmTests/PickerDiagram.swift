import Testing
import TorrentModel

@testable import Swarm

/// A picker and its surroundings, drawn. A row per peer, a column per piece: `x` the peer has it, `.` it does not.
final class PickerDiagram {
  var picker: PiecePicker
  var random: SeededRandom
  let have: PieceSet
  private var sets: [PieceSet] = []
  private var states: [PickState] = []

  /// - Parameters:
  ///   - peers: what each peer has. A peer that has everything is not counted as a copy.
  ///   - here: what we have, `x` or `.`; nothing if left out.
  ///   - priorities: `+` high, `o` normal, `-` low, ` ` skip; all normal if left out.
  ///   - blocks: blocks in a piece.
  init(
    _ peers: [String], here: String? = nil, priorities: String? = nil, blocks: Int = 4, budget: Int = 1000,
    minimum: Int = 1, seed: UInt64 = 1
  ) {
    let count = peers.first?.count ?? 0
    random = SeededRandom(seed: seed)
    have = here.map { Self.set($0) } ?? PieceSet(capacity: count)
    picker = PiecePicker(
      geometry: PieceGeometry(
        totalLength: Int64(count * blocks * blockLength), pieceLength: blocks * blockLength),
      have: have, priorities: priorities.map { $0.map { Self.priority($0) } }, random: &random)
    picker.openBlockBudget = budget
    picker.minimumOpenPieces = minimum
    for row in peers {
      let set = Self.set(row)
      sets.append(set)
      states.append(PickState())
      if !set.isFull { picker.peerCame(set.bitfield) }
    }
  }

  private static func set(_ row: String) -> PieceSet {
    var bits = Bitfield(capacity: row.count)
    for (piece, character) in row.enumerated() where character == "x" { bits.insert(PieceIndex(piece)) }
    return PieceSet(bits)
  }

  private static func priority(_ character: Character) -> PiecePriority {
    switch character {
    case "+": .high
    case "o": .normal
    case "-": .low
    default: .skip
    }
  }

  var isEndGame: Bool { picker.isEndGame }
  var openCount: Int { picker.open.count }

  /// Picks a block for peer number `peer`: `piece.block`, or `none`.
  func pick(_ peer: Int, _ style: PickStyle = .whole, suggested: Int? = nil) -> String {
    let pick = picker.pick(
      PeerKey(peer), have: sets[peer], state: &states[peer], style: style,
      suggested: suggested.map { PieceIndex($0) },
      random: &random, now: .zero)
    return name(pick)
  }

  /// Several picks in a row.
  func picks(_ count: Int, _ peer: Int, _ style: PickStyle = .whole) -> [String] {
    var result: [String] = []
    for _ in 0..<count { result.append(pick(peer, style)) }
    return result
  }

  /// The pieces in the order in which a peer begins them.
  func pieces(_ peer: Int) -> [Int] {
    var result: [Int] = []
    while let slot = slotOfNext(peer) {
      let piece = picker.open[slot].piece.offset
      if result.last != piece { result.append(piece) }
    }
    return result
  }

  private func slotOfNext(_ peer: Int) -> Int? {
    picker.pick(
      PeerKey(peer), have: sets[peer], state: &states[peer], style: .whole, suggested: nil, random: &random,
      now: .zero
    )?.slot
  }

  func pickAllowed(_ peer: Int, _ allowed: [Int]) -> String {
    name(
      picker.pick(
        PeerKey(peer), allowed: allowed.map { PieceIndex($0) }, have: sets[peer], state: &states[peer],
        style: .shared,
        now: .zero))
  }

  func pickAgain(_ peer: Int, late: Set<Int>) -> String {
    name(
      picker.pickAgain(PeerKey(peer), have: sets[peer], stalledSince: nil, random: &random) {
        late.contains($0.offset)
      })
  }

  private func name(_ pick: Pick?) -> String {
    pick.map { "\(picker.open[$0.slot].piece.offset).\($0.block)" } ?? "none"
  }

  /// The block comes from a peer. Returns the others it was asked of.
  func arrive(_ piece: Int, _ block: Int, from peer: Int) -> [Int] {
    var others: [PeerKey] = []
    guard let slot = picker.slot(of: PieceIndex(piece)) else { return [] }
    let request = picker.geometry.request(block: block, of: PieceIndex(piece))
    let isTaken = picker.accept(
      request, in: slot, from: PeerKey(peer), sender: UInt32(peer), others: &others, now: .zero)
    #expect(isTaken)
    return others.map { $0.offset }.sorted()
  }

  func release(_ piece: Int, _ block: Int, by peer: Int) {
    guard let slot = picker.slot(of: PieceIndex(piece)) else { return }
    picker.release(slot, block, by: PeerKey(peer))
  }

  /// The peer goes, or no longer serves us.
  func disown(_ peer: Int) { picker.disown(PeerKey(peer), state: &states[peer]) }

  func close(_ piece: Int, verified: Bool) {
    guard let slot = picker.slot(of: PieceIndex(piece)) else { return }
    if verified { _ = picker.pieceCame(PieceIndex(piece)) }
    picker.close(slot, random: &random)
  }

  func check() throws { try picker.checkInvariants(have: have) }
}
