import Testing
import TorrentModel

@testable import Swarm

@Suite struct BlameTests {
  private static func sender(_ letter: Character) -> SenderTable.Sender {
    let number = UInt8(letter.asciiValue ?? 0)
    var bytes = Bytes20()
    bytes[0] = number
    return SenderTable.Sender(
      endpoint: Endpoint(address: IPAddress(192, 0, 2, number), port: 1), peerID: PeerID(bytes))
  }

  private static func letters(_ senders: [SenderTable.Sender]) -> String {
    String(
      senders.map { Character(UnicodeScalar($0.peerID.bytes[0])) }.sorted())
  }

  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    /// The failed attempts: a letter per block for its sender, upper case if the block is wrong.
    let attempts: [String]
    let liars: String
    let honest: String
    var testDescription: String { name }
  }

  @Test(arguments: [
    Case(name: "one lied", attempts: ["aBca"], liars: "b", honest: "ac"),
    Case(name: "two lied", attempts: ["AbCb"], liars: "ac", honest: "b"),
    Case(name: "lied once, was right once", attempts: ["aAbb"], liars: "a", honest: "b"),
    Case(name: "several attempts", attempts: ["aBcc", "bbDc", "ccca"], liars: "bd", honest: "ac"),
    Case(
      name: "right in one attempt, wrong in the other", attempts: ["abbb", "Abbb"], liars: "a", honest: "b"),
    Case(name: "nobody", attempts: ["abcd"], liars: "", honest: "abcd"),
  ])
  func findsTheLiars(example: Case) {
    var ledger = BlameLedger()
    let piece = PieceIndex(7)
    let good: [UInt64] = [1, 2, 3, 4]
    for attempt in example.attempts {
      let senders = attempt.map { Self.sender(Character($0.lowercased())) }
      let digests = zip(attempt, good).map { $0.isUppercase ? $1 + 100 : $1 }
      let forgotten = ledger.record(piece, senders: senders, digests: digests)
      #expect(forgotten.isEmpty)
    }
    #expect(ledger.contains(piece))
    let (liars, honest) = ledger.resolve(piece, digests: good)
    #expect(Self.letters(liars) == example.liars && Self.letters(honest) == example.honest)
    #expect(ledger.isEmpty)
  }

  @Test func theLedgerIsBounded() {
    var ledger = BlameLedger()
    let blocks = 1 << 15
    let senders = [SenderTable.Sender](repeating: Self.sender("a"), count: blocks)
    let digests = [UInt64](repeating: 0, count: blocks)
    var forgotten: [PieceIndex] = []
    for piece in 0..<20 { forgotten += ledger.record(PieceIndex(piece), senders: senders, digests: digests) }
    #expect(forgotten == (0..<12).map { PieceIndex($0) })
    for _ in 0..<10 { forgotten += ledger.record(PieceIndex(19), senders: senders, digests: digests) }
    #expect(forgotten.count == 15, "of one piece no more than four attempts are kept")
  }

  @Test func sendersAreRememberedAsLongAsNeeded() {
    var table = SenderTable()
    let a = table.add(Self.sender("a"))
    table.retain(a)
    table.release(a)
    #expect(table.count == 1)
    let b = table.add(Self.sender("b"))
    table.release(a)
    #expect(table.count == 1 && table[b] == Self.sender("b"))
    let c = table.add(Self.sender("c"))
    #expect(c == a)
  }
}
