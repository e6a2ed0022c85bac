import Testing
import TorrentModel

@testable import Swarm

@Suite struct ChokerTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    /// A word per peer: `i` interested, `u` unchoked, `o` optimistic, `s` snubbed, `n` new, `t` its turn is over; a number
    /// is the rate, from it while leeching and to it while seeding.
    let peers: String
    let slots: Int
    var seeding: SwarmConfiguration.SeedChoking?
    /// A letter per peer: `U` unchoked, `O` optimistically so, `.` choked.
    let expected: String
    var testDescription: String { name }
  }

  static let cases = [
    Case(name: "all fit", peers: "i i i", slots: 4, expected: "UUU"),
    Case(name: "nobody wants anything", peers: ". . .", slots: 4, expected: "..."),
    Case(name: "no slots", peers: "iu9 i", slots: 0, expected: ".."),
    Case(name: "one slot is for merit", peers: "i1 i5 i3", slots: 1, expected: ".U."),
    Case(name: "the best givers", peers: "i1 i9 i5 i7 iuo2", slots: 4, expected: ".UUUO"),
    Case(
      name: "the optimistic slot stays between rotations", peers: "iu9 iu8 iu7 iuo0 i6", slots: 4,
      expected: "UUUO."),
    Case(
      name: "who earns a slot frees the optimistic one", peers: "iuo9 i3 i2 i1", slots: 4, expected: "UUUU"),
    Case(name: "the snubbed get no regular slot", peers: "is9 i1 i2 i3 iuo0", slots: 4, expected: ".UUUO"),
    Case(name: "the snubbed get what nobody else wants", peers: "is9 i1", slots: 4, expected: "OU"),
    Case(
      name: "a good giver without interest takes no slot", peers: "9 i1 i2 i3 iuo0 i0", slots: 4,
      expected: "UUUUO."),
    Case(
      name: "a poor giver without interest is choked", peers: "1 i9 i8 i7 iuo0 i", slots: 4,
      expected: ".UUUO."),
    Case(
      name: "who has a slot keeps it among equals", peers: "i i iu iu iu iuo", slots: 4, expected: "..UUUO"),
    Case(
      name: "seeding: served ones stay until their turn is over", peers: "iut9 iu5 iu4 iu3 iuo i", slots: 4,
      seeding: .roundRobin, expected: ".UUUO."),
    Case(
      name: "seeding: by speed", peers: "iut9 iu5 iu1 i iuo0", slots: 4, seeding: .fastestUpload,
      expected: "UUU.O"),
    Case(
      name: "seeding: what was sent before the choke does not count", peers: "i99 iu1 iu2 iu3 iuo0", slots: 4,
      seeding: .fastestUpload, expected: ".UUUO"),
    Case(
      name: "seeding: no slot without interest", peers: "u9 i", slots: 4, seeding: .fastestUpload,
      expected: ".U"),
  ]

  static func candidates(_ drawing: String, seeding: Bool) -> [Choker.Candidate] {
    drawing.split(separator: " ").enumerated().map { index, word in
      var candidate = Choker.Candidate(key: PeerKey(index), isInterested: word.contains("i"))
      candidate.isUnchoked = word.contains("u")
      candidate.isOptimistic = word.contains("o")
      candidate.isSnubbed = word.contains("s")
      candidate.isNew = word.contains("n")
      candidate.isTurnOver = word.contains("t")
      let rate = Int(String(word.filter(\.isNumber))) ?? 0
      if seeding { candidate.uploadRate = rate } else { candidate.downloadRate = rate }
      return candidate
    }
  }

  static func draw(_ candidates: [Choker.Candidate]) -> String {
    String(
      candidates.sorted { $0.key < $1.key }.map { $0.isOptimistic ? "O" : $0.isUnchoked ? "U" : "." })
  }

  @Test(arguments: cases) func chooses(_ example: Case) {
    var random = SeededRandom(seed: 1)
    var candidates = Self.candidates(example.peers, seeding: example.seeding != nil)
    let mode = example.seeding.map { Choker.Mode.seeding($0) } ?? .leeching
    Choker.choose(&candidates, slots: example.slots, mode: mode, rotates: false, random: &random)
    #expect(Self.draw(candidates) == example.expected)
  }

  @Test func optimisticSlotsRotateAndFavourNewcomers() {
    var chosen = [Int](repeating: 0, count: 6)
    for seed in 1...600 {
      var random = SeededRandom(seed: UInt64(seed))
      // Three with merit, then one newcomer and two others for one slot.
      var candidates = Self.candidates("iu9 iu8 iu7 in i iuo", seeding: false)
      Choker.choose(&candidates, slots: 4, mode: .leeching, rotates: true, random: &random)
      #expect(Self.draw(candidates).hasPrefix("UUU"))
      for candidate in candidates where candidate.isOptimistic { chosen[candidate.key.offset] += 1 }
    }
    // Three to one to one.
    #expect(
      (310...410).contains(chosen[3]) && (80...160).contains(chosen[4]) && (80...160).contains(chosen[5]))
  }

  @Test func manySlotsHaveSeveralOptimisticOnes() {
    var random = SeededRandom(seed: 1)
    var candidates = Self.candidates((0..<40).map { "i\(40 - $0)" }.joined(separator: " "), seeding: false)
    Choker.choose(&candidates, slots: 20, mode: .leeching, rotates: true, random: &random)
    let drawn = Self.draw(candidates)
    #expect(drawn.hasPrefix(String(repeating: "U", count: 16)))
    #expect(drawn.count { $0 == "O" } == 4)
  }

  /// With round-robin everybody has a turn.
  @Test func everybodyHasATurn() {
    var random = SeededRandom(seed: 1)
    var candidates = (0..<20).map { Choker.Candidate(key: PeerKey($0), isInterested: true) }
    var served: Set<PeerKey> = []
    for round in 1...10 {
      let before = candidates
      Choker.choose(
        &candidates, slots: 4, mode: .seeding(.roundRobin), rotates: false, random: &random)
      for i in candidates.indices {
        let was = before.first { $0.key == candidates[i].key }?.isUnchoked ?? false
        if was != candidates[i].isUnchoked { candidates[i].since = .zero + .seconds(round * 10) }
        candidates[i].isTurnOver = candidates[i].isUnchoked
        if candidates[i].isUnchoked { served.insert(candidates[i].key) }
      }
    }
    #expect(served.count == 20)
  }
}
