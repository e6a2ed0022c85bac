import PeerWire
import Testing
import TorrentModel

@Suite struct PieceHeaderTests {
  @Test func theThreeWaysToWriteAHeaderAgree() throws {
    var random = SeededRandom(seed: 13)
    let geometry = PieceGeometry(totalLength: 1 << 33, pieceLength: 1 << 20)
    let parser = parser(geometry)
    for _ in 0..<1000 {
      let block = drawBlock(in: geometry, &random)
      let array = PieceHeader.encode(block)
      let header = array.indices.map { array[$0] }
      #expect(header == PeerMessage.piece(block).encoded)
      #expect(header.count == PieceHeader.length)
      #expect(PieceHeader.decode(header.span) == block)
      #expect(PieceHeader.decode(array.span) == block)
      #expect(try parser.next(in: header.span) == .message(.piece(block), length: PieceHeader.length))
    }
  }

  @Test func requestsAreWrittenTheSameEitherWay() {
    let block = BlockRequest(piece: PieceIndex(0x0102_0304), begin: 0x0506_0708, length: 0x090a_0b0c)
    var output: [UInt8] = [7]
    PeerMessage.appendRequest(block, to: &output)
    #expect(output == [7] + PeerMessage.request(block).encoded)
    #expect(output == bytes(hex: "07 0000000d 06 01020304 05060708 090a0b0c"))
  }

  @Test(arguments: [
    "00000001 00 00000000 00000000",  // another message
    "00000000 07 00000000 00000000",  // a keep-alive and then something
    "00000009 07 00000000 00000000",  // no payload
    "0002000a 07 00000000 00000000",  // more than 128 KiB
    "ffffffff 07 00000000 00000000", "00004009 07 00000000 000000",  // one byte short
    "",
  ])
  func otherBytesAreNoHeader(hex: String) {
    #expect(PieceHeader.decode(bytes(hex: hex).span) == nil)
  }

  @Test func theLargestPayloadIsTaken() {
    let block = BlockRequest(piece: PieceIndex(1), begin: 2, length: UInt32(Limits.requestLength))
    #expect(PieceHeader.decode(bytes(hex: "00020009 07 00000001 00000002").span) == block)
  }
}
