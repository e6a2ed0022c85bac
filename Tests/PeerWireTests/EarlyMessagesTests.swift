import PeerWire
import Testing
import TorrentModel

@Suite struct EarlyMessagesTests {
  static func early(_ messages: [PeerMessage]) -> EarlyMessages {
    var early = EarlyMessages()
    for message in messages { early.note(message) }
    return early
  }

  static func set(_ pieces: [Int], capacity: Int = 24) -> Bitfield {
    var set = Bitfield(capacity: capacity)
    for piece in pieces { set.insert(PieceIndex(piece)) }
    return set
  }

  static let have20 = PeerMessage.have(PieceIndex(20))

  /// 21 pieces, so three bytes with three bits to spare.
  @Test(
    arguments: [
      ([], []),
      ([.haveAll], [.haveAll]),
      ([.haveNone], [.haveNone]),
      ([.haveNone, have20], [have20]),
      ([have20, .have(PieceIndex(3)), have20], [.have(PieceIndex(3)), have20]),
      ([.bitfield(set([0, 20]))], [.bitfield(set([0, 20], capacity: 21))]),
      ([.bitfield(set([0])), have20], [.bitfield(set([0, 20], capacity: 21))]),
      ([have20, .bitfield(set([0]))], [.bitfield(set([0, 20], capacity: 21))]),
      ([.haveAll, have20], [.haveAll]),
      ([.haveNone, .bitfield(set([3]))], [.bitfield(set([3], capacity: 21))]),
      ([.bitfield(set([3])), .bitfield(set([4])), .haveNone], [.bitfield(set([3, 4], capacity: 21))]),
      ([.bitfield(set([3])), .haveAll], [.haveAll]),
      ([.interested, .unchoke], [.interested, .unchoke]),
      ([.interested, .unchoke, .choke, .notInterested], []),
      (
        [
          .allowedFast(PieceIndex(2)), .allowedFast(PieceIndex(2)), .suggest(PieceIndex(9)), .port(5),
          .keepAlive,
        ],
        [.allowedFast(PieceIndex(2))]
      ),
    ] as [([PeerMessage], [PeerMessage])])
  func whatWasSaidIsSaidAgain(said: [PeerMessage], again: [PeerMessage]) throws {
    #expect(try Self.early(said).messages(for: oddGeometry) == again)
  }

  @Test(
    arguments: [
      ([.have(PieceIndex(21))], .noSuchPiece(.have, PieceIndex(21))),
      ([.have(PieceIndex(Limits.pieceCount - 1))], .noSuchPiece(.have, PieceIndex(Limits.pieceCount - 1))),
      ([.bitfield(set([21]))], .spareBitsSet),
      ([.bitfield(Bitfield(capacity: 16))], .wrongLength(.bitfield, length: 3, expected: 4)),
      ([.bitfield(Bitfield(capacity: 32))], .wrongLength(.bitfield, length: 5, expected: 4)),
      (
        [.bitfield(Bitfield(capacity: 24)), .bitfield(Bitfield(capacity: 16))],
        .wrongLength(.bitfield, length: 3, expected: 4)
      ),
      ([.haveAll, .bitfield(Bitfield(capacity: 32))], .wrongLength(.bitfield, length: 5, expected: 4)),
      ([.allowedFast(PieceIndex(21))], .noSuchPiece(.allowedFast, PieceIndex(21))),
    ] as [([PeerMessage], PeerProtocolError)])
  func whatDoesNotFitIsRefused(said: [PeerMessage], error: PeerProtocolError) {
    #expect(throws: error) { try Self.early(said).messages(for: oddGeometry) }
  }

  @Test func memoryIsBounded() {
    var early = EarlyMessages()
    for piece in stride(from: 0, to: Limits.pieceCount, by: 997) { early.note(.have(PieceIndex(piece))) }
    for piece in 0..<10_000 { early.note(.allowedFast(PieceIndex(piece))) }
    early.note(.bitfield(Bitfield(fullCapacity: Limits.pieceCount)))
    #expect(early.heldLength <= Limits.pieceCount / 8 + 1024)
  }

  /// A parser with a geometry, and one that got it late, end with the same.
  @Test func lateIsAsGoodAsEarly() throws {
    var random = SeededRandom(seed: 3)
    for _ in 0..<200 {
      var messages: [PeerMessage] = []
      if Bool.random(using: &random) { messages.append(.bitfield(drawBitfield(capacity: 21, &random))) }
      for _ in 0..<Int.random(in: 0..<20, using: &random) {
        messages.append(.have(drawPiece(in: oddGeometry, &random)))
      }
      var early = EarlyMessages()
      let late = parser(nil)
      let direct = parser()
      var (told, toldLate) = (Bitfield(capacity: 21), Bitfield(capacity: 21))
      func add(_ message: PeerMessage, to set: inout Bitfield) {
        switch message {
        case .have(let piece): set.insert(piece)
        case .bitfield(let pieces): set.formUnion(pieces)
        default: Issue.record("unexpected: \(message)")
        }
      }
      for message in messages {
        guard case .message(let read, _) = try late.next(in: message.encoded.span) else { continue }
        early.note(read)
        guard case .message(let other, _) = try direct.next(in: message.encoded.span) else { continue }
        add(other, to: &told)
      }
      for message in try early.messages(for: oddGeometry) { add(message, to: &toldLate) }
      #expect(told == toldLate)
    }
  }
}
