import PeerWire
import Testing
import TorrentModel

@Suite struct MetadataTests {
  func decode(_ text: String) throws(PeerProtocolError) -> Metadata.Message? {
    try Metadata.decode(Array(text.utf8).span)
  }

  /// The examples of BEP 9, but for its slip in `reject`.
  @Test func theMessagesOfTheProposal() throws {
    #expect(try decode("d8:msg_typei0e5:piecei0ee") == .request(piece: 0))
    #expect(try decode("d8:msg_typei2e5:piecei0ee") == .reject(piece: 0))
    #expect(
      try decode("d8:msg_typei1e5:piecei0e10:total_sizei34256eexxxxxxxx")
        == .data(piece: 0, totalLength: 34256, bytes: Array("xxxxxxxx".utf8)))
    var output: [UInt8] = []
    Metadata.appendRequest(piece: 0, remoteID: 3, to: &output)
    #expect(output == [0, 0, 0, 27, 20, 3] + Array("d8:msg_typei0e5:piecei0ee".utf8))
  }

  @Test func whatIsSentIsRead() throws {
    let metadata = (0..<40_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    // A part of something greater, as it stands in a .torrent file.
    let slice = ([1, 2, 3] + metadata + [4, 5])[3..<40_003]
    for piece in 0..<3 {
      var output: [UInt8] = []
      Metadata.appendData(piece: piece, of: slice, remoteID: Metadata.registration.localID, to: &output)
      let parser = parser()
      guard case .message(.extended(2, let payload), let length) = try parser.next(in: output.span) else {
        Issue.record("not an extended message")
        continue
      }
      #expect(length == output.count)
      let range = try #require(Metadata.range(ofPiece: piece, length: 40_000))
      #expect(range.count == (piece == 2 ? 40_000 - 32_768 : 16_384))
      #expect(
        try Metadata.decode(payload.span)
          == .data(piece: piece, totalLength: 40_000, bytes: Array(metadata[range])))
    }
    #expect(Metadata.range(ofPiece: 3, length: 40_000) == nil)
    #expect(Metadata.range(ofPiece: -1, length: 40_000) == nil)
    #expect(Metadata.pieceCount(ofLength: 16_384) == 1 && Metadata.pieceCount(ofLength: 16_385) == 2)
    var output: [UInt8] = []
    Metadata.appendReject(piece: 2047, remoteID: 9, to: &output)
    let payload = Array(output[6...])
    #expect(try Metadata.decode(payload.span) == .reject(piece: 2047))
  }

  @Test func unknownTypesAreIgnored() throws {
    #expect(try decode("d8:msg_typei3e5:piecei0ee") == nil)
    #expect(try decode("d8:msg_typei-1ee") == nil)
    #expect(try decode("d8:msg_typei99e5:piece3:abcexyz") == nil)
    // Some clients leave the length of the whole out; more keys may come.
    #expect(
      try decode("d5:extrai1e8:msg_typei1e5:piecei7eex") == .data(piece: 7, totalLength: nil, bytes: [0x78]))
  }

  @Test(arguments: [
    "", "le", "i1e", "de", "d8:msg_typei0ee", "d8:msg_type1:0e", "d8:msg_typei0e5:piecei-1ee",
    "d8:msg_typei0e5:piecei2048ee", "d8:msg_typei0e5:piecei4294967296ee", "d8:msg_typei0e5:piece1:0e",
    "d8:msg_typei1e5:piecei0ee", "d8:msg_typei1e5:piecei0e10:total_sizei0eex",
    "d8:msg_typei1e5:piecei0e10:total_sizei2147483648eex", "d8:msg_typei1e5:piecei0e10:total_sizei-5eex",
    "d8:msg_typei1e5:piecei0e", "d8:msg_typei01e5:piecei0ee",
  ])
  func nonsenseIsRefused(text: String) {
    do throws(PeerProtocolError) {
      _ = try decode(text)
      Issue.record("taken: \(text)")
    } catch {
      guard case .badExtensionMessage("ut_metadata", let reason) = error else {
        Issue.record("\(error)")
        return
      }
      #expect(!reason.isEmpty)
    }
  }

  @Test func bombsAreRefused() {
    let long = String(repeating: "x", count: Metadata.pieceLength + 1)
    #expect(throws: PeerProtocolError.self) { try decode("d8:msg_typei1e5:piecei0ee\(long)") }
    let deep = String(repeating: "l", count: 5000) + String(repeating: "e", count: 5000)
    #expect(throws: PeerProtocolError.self) { try decode("d1:a\(deep)8:msg_typei0e5:piecei0ee") }
    let wide = String(repeating: "0:", count: 5000)
    #expect(throws: PeerProtocolError.self) { try decode("d1:al\(wide)e8:msg_typei0e5:piecei0ee") }
    // Refused by the parser before it is buffered.
    let limit = Metadata.registration.messageLengthLimit
    #expect(failure([0, 0, UInt8((limit + 3) >> 8), UInt8((limit + 3) & 255), 20, 2]) != nil)
  }

  @Test func drawnDamageIsRefusedOrRead() throws {
    var random = SeededRandom(seed: 9)
    let whole = Array("d8:msg_typei1e5:piecei0e10:total_sizei34256eexxxxxxxx".utf8)
    for _ in 0..<20_000 {
      var damaged = whole
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        damaged[Int.random(in: 0..<damaged.count, using: &random)] = .random(
          in: .min ... .max, using: &random)
      }
      guard let message = try? Metadata.decode(damaged.span) else { continue }
      if case .data(let piece, let length, let bytes) = message {
        #expect((0..<2048).contains(piece) && (1...Limits.metadataLength).contains(length ?? 1))
        #expect((1...Metadata.pieceLength).contains(bytes.count))
      }
    }
  }
}
