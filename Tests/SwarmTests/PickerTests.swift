import Testing
import TorrentModel

@testable import Swarm

@Suite struct PickerTests {
  // MARK: Which piece

  @Test func rarestFirst() {
    let diagram = PickerDiagram([
      "xxxxx",
      "x.xx.",
      "x..x.",
      "x....",
    ])
    // Copies among those who lack something: 3 0 1 2 0... the first row has everything and counts for all.
    let order = diagram.pieces(0)
    #expect(Set(order.prefix(2)) == [1, 4])
    #expect(Array(order.dropFirst(2)) == [2, 3, 0])
  }

  @Test func rarenessFollowsHaveMessages() {
    let diagram = PickerDiagram(["xxxx", "x...", "...."])
    for piece in [1, 1, 2] { diagram.picker.peerGained(PieceIndex(piece), random: &diagram.random) }
    diagram.picker.peerLost(PieceIndex(0), random: &diagram.random)
    // Copies: 0 2 1 0.
    let order = diagram.pieces(0)
    #expect(Set(order.prefix(2)) == [0, 3] && order[2] == 2 && order[3] == 1)
  }

  @Test func tiesAreRandom() {
    var firsts: [Int: Int] = [:]
    for seed in 1...200 {
      let diagram = PickerDiagram(["xxxx"], seed: UInt64(seed))
      firsts[diagram.pieces(0)[0], default: 0] += 1
    }
    for piece in 0..<4 { #expect((30...70).contains(firsts[piece] ?? 0), "\(firsts)") }
  }

  @Test func theFirstPiecesAreRandom() {
    // Piece 0 is rarest, and would always come first.
    var firsts: Set<Int> = []
    for seed in 1...50 {
      let diagram = PickerDiagram(["xxxx", ".xxx"], seed: UInt64(seed))
      diagram.picker.isRandom = true
      firsts.insert(diagram.pieces(0)[0])
    }
    #expect(firsts == [0, 1, 2, 3])
  }

  @Test func whatAPeerLacksIsNotAskedOfIt() {
    let diagram = PickerDiagram(["..x.x", "xx.x."])
    #expect(Set(diagram.pieces(0)) == [2, 4])
    #expect(Set(diagram.pieces(1)) == [0, 1, 3])
  }

  @Test func whatIsHereOrNotWantedIsNotPicked() {
    let diagram = PickerDiagram(["xxxxxx"], here: "x..x..", priorities: "oo o o")
    #expect(Set(diagram.pieces(0)) == [1, 5])
  }

  @Test func prioritiesComeBeforeRareness() {
    let diagram = PickerDiagram(["xxxxxx", "+.x.x.", "..x..."], priorities: "-o+ +-")
    let order = diagram.pieces(0)
    // High by rareness, then normal, then low.
    #expect(Array(order.prefix(3)) == [4, 2, 1])
    #expect(Set(order.dropFirst(3)) == [0, 5])
  }

  @Test func sequential() {
    let diagram = PickerDiagram(["xxxxxx", ".x..xx"], priorities: "oo+ooo")
    diagram.picker.isSequential = true
    #expect(diagram.pick(1) == "1.0")
    // Nobody works for piece 1 any more: it was begun and goes before new ones.
    diagram.disown(1)
    #expect(diagram.pieces(0) == [1, 2, 0, 3, 4, 5])
  }

  @Test func aSuggestedPieceComesFirst() {
    let diagram = PickerDiagram(["xxxx", "..x."])
    #expect(diagram.pick(0, suggested: 2) == "2.0")
    // Begun already; the hint no longer counts.
    for _ in 0..<3 { _ = diagram.pick(0, suggested: 2) }
    #expect(diagram.pick(0, suggested: 2) != "2.0")
  }

  @Test(arguments: [100, 5000]) func aPeerWithOneCommonPieceIsServed(count: Int) {
    // Its piece is at the very end of the order, far behind what one search looks at.
    let rest = String(repeating: ".", count: count - 1)
    let diagram = PickerDiagram([rest + "x", rest + "x", rest + "x"])
    #expect(diagram.pick(0) == "\(count - 1).0")
    #expect(diagram.pick(1) == "\(count - 1).1")
  }

  // MARK: Whole pieces

  @Test func aPeerTakesAPieceInOrder() {
    let diagram = PickerDiagram(["x", "."])
    #expect(diagram.picks(5, 0) == ["0.0", "0.1", "0.2", "0.3", "none"])
  }

  @Test func peersTakePiecesOfTheirOwn() throws {
    let diagram = PickerDiagram(["xx", "xx"])
    let first = diagram.picks(4, 0).map { $0.prefix(1) }
    let second = diagram.picks(4, 1).map { $0.prefix(1) }
    #expect(Set(first).count == 1 && Set(second).count == 1 && first[0] != second[0])
    try diagram.check()
  }

  @Test func slowPeersShare() {
    let diagram = PickerDiagram(["xx", "xx"])
    let first = diagram.pick(0, .shared)
    let second = diagram.pick(1, .shared)
    #expect(first.prefix(1) == second.prefix(1))
    #expect([first.suffix(1), second.suffix(1)] == ["0", "1"])
  }

  @Test func whatWasLeftComesBeforeNewPieces() {
    let diagram = PickerDiagram(["xx", "xx", "x."])
    let left = diagram.pick(0)
    diagram.disown(0)
    #expect(diagram.pick(1) == "\(left.prefix(1)).1")
  }

  @Test func aReturnedBlockIsAskedForAgainFirst() {
    let diagram = PickerDiagram(["x"], blocks: 6)
    _ = diagram.picks(4, 0)
    diagram.release(0, 1, by: 0)
    #expect(diagram.picks(3, 0) == ["0.1", "0.4", "0.5"])
  }

  // MARK: The budget

  @Test func piecesAreNotBegunBeyondTheBudget() {
    let diagram = PickerDiagram(["xxxx", "xxxx", "xxxx"], budget: 8)
    let a = diagram.pick(0)
    let b = diagram.pick(1)
    // The third has no piece of its own: it helps.
    let c = diagram.pick(2)
    #expect([a, b].map { $0.prefix(1) }.contains(c.prefix(1)))
    #expect(diagram.openCount == 2)
  }

  @Test func aVerifiedPieceMakesRoom() {
    let diagram = PickerDiagram(["xxx"], budget: 4)
    let first = diagram.picks(5, 0)
    #expect(first[4] == "none")
    let piece = Int(first[0].prefix(1)) ?? -1
    for block in 0..<4 { _ = diagram.arrive(piece, block, from: 0) }
    #expect(diagram.pick(0) == "none", "blocks in memory still count")
    diagram.close(piece, verified: true)
    #expect(diagram.pick(0).hasSuffix(".0"))
  }

  @Test func pieceAboveTheBudgetIsBegunAllTheSame() {
    let diagram = PickerDiagram(["xxx", "xxx"], blocks: 64, budget: 10, minimum: 1)
    let first = diagram.pick(0)
    #expect(first.hasSuffix(".0"))
    #expect(diagram.pick(1) == "\(first.prefix(1)).1")
  }

  // MARK: Suspicion

  @Test func aPeerUnderSuspicionWorksAlone() {
    let diagram = PickerDiagram(["xx", "xx", "xx"])
    let alone = diagram.pick(0, .alone)
    let other = diagram.picks(4, 1)
    #expect(other.allSatisfy { $0.prefix(1) != alone.prefix(1) })
    // Nothing is left but the exclusive piece.
    #expect(diagram.pick(2) == "none")
    #expect(diagram.pick(0, .alone) == "\(alone.prefix(1)).1")
  }

  @Test func aSuspectPieceGoesToOnePeer() {
    let diagram = PickerDiagram(["x", "x"])
    diagram.picker.suspects.insert(PieceIndex(0))
    #expect(diagram.pick(0, .shared) == "0.0")
    #expect(diagram.pick(1) == "none")
    // When it leaves, others may go on.
    diagram.disown(0)
    #expect(diagram.pick(1) == "0.1")
  }

  @Test func ifAllAreUnderSuspicionMixedPiecesGoOn() {
    let diagram = PickerDiagram(["x", "x"])
    _ = diagram.picks(2, 0)
    diagram.disown(0)
    #expect(diagram.pick(1, .alone) == "0.2")
  }

  @Test func anExclusivePieceStaysWithItsOwner() throws {
    let diagram = PickerDiagram(["xx", "xx"])
    let piece = diagram.picks(4, 0, .alone)[0].prefix(1)
    let next = diagram.pick(0, .alone)
    #expect(next.prefix(1) != piece)
    diagram.release(Int(piece) ?? -1, 2, by: 0)
    #expect(diagram.pick(1) == "none")
    try diagram.check()
    // It finishes what it has begun before it comes back.
    #expect(diagram.picks(4, 0, .alone).suffix(1) == ["\(piece).2"])
  }

  // MARK: Allowed fast

  @Test func aChokedPeerIsAskedForAllowedPiecesOnly() {
    let diagram = PickerDiagram(["xx.x"])
    #expect(diagram.pickAllowed(0, [2, 3]) == "3.0")
    #expect(diagram.pickAllowed(0, [2, 3]) == "3.1")
    #expect(diagram.pickAllowed(0, [2]) == "none")
  }

  // MARK: End game

  @Test func lateBlocksAreAskedForAgain() throws {
    let diagram = PickerDiagram(["x", "x", "x", "x", "x"], blocks: 2)
    #expect(diagram.pick(0) == "0.0")
    #expect(diagram.isEndGame == false)
    #expect(diagram.pick(1) == "0.1")
    #expect(diagram.isEndGame)
    #expect(diagram.pickAgain(2, late: []) == "none")
    #expect(diagram.pickAgain(2, late: [1]) == "0.1")
    // Not twice of the same peer, and not of more than three.
    #expect(diagram.pickAgain(2, late: [1]) == "none")
    #expect(diagram.pickAgain(3, late: [1]) == "0.1")
    #expect(diagram.pickAgain(4, late: [1]) == "none")
    try diagram.check()
    #expect(diagram.arrive(0, 1, from: 2) == [1, 3])
    try diagram.check()
  }

  @Test func whenAPeerGivesUpAnotherStillHasTheBlock() throws {
    let diagram = PickerDiagram(["x", "x"], blocks: 1)
    #expect(diagram.pick(0) == "0.0")
    #expect(diagram.pickAgain(1, late: [0]) == "0.0")
    diagram.release(0, 0, by: 0)
    try diagram.check()
    #expect(diagram.pick(0) == "none", "it is asked of the other, still")
    diagram.release(0, 0, by: 1)
    #expect(diagram.pick(0) == "0.0")
  }

  @Test func aFailedPieceMayBeBegunAnew() throws {
    let diagram = PickerDiagram(["x"])
    _ = diagram.picks(4, 0)
    for block in 0..<4 { _ = diagram.arrive(0, block, from: 0) }
    diagram.close(0, verified: false)
    try diagram.check()
    #expect(diagram.picks(4, 0) == ["0.0", "0.1", "0.2", "0.3"])
  }

  // MARK: New wishes

  @Test func prioritiesMayChangeMeanwhile() throws {
    let diagram = PickerDiagram(["xxxx"])
    let piece = Int(diagram.pick(0).prefix(1)) ?? 0
    var new = [PiecePriority](repeating: .normal, count: 4)
    new[piece] = .skip
    let have = diagram.have
    let unwanted = diagram.picker.setPriorities(new, have: have, random: &diagram.random)
    #expect(unwanted == [PieceIndex(piece)])
    diagram.close(piece, verified: false)
    try diagram.check()
    #expect(!diagram.pieces(0).contains(piece))
  }
}
