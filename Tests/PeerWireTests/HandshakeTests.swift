import PeerWire
import Testing
import TorrentModel

@Suite struct HandshakeTests {
  let handshake = Handshake(
    reserved: [.fast, .extensionProtocol],
    infoHash: InfoHash(hex: "000102030405060708090a0b0c0d0e0f10111213")!,
    peerID: PeerID(Bytes20(Array("-TR4060-abcdefghijkl".utf8))!))

  var wire: [UInt8] {
    bytes(
      hex: """
        13 426974546f7272656e742070726f746f636f6c 0000000000100004 000102030405060708090a0b0c0d0e0f10111213
        """.replacing("\n", with: "")) + Array("-TR4060-abcdefghijkl".utf8)
  }

  @Test func encodesAsTheProtocolSays() {
    var output: [UInt8] = [1, 2]
    handshake.append(to: &output)
    #expect(output == [1, 2] + wire)
  }

  @Test func isReadAsFarAsItHasCome() throws {
    let long = wire + [0, 0, 0, 1, 2]
    for count in 0...long.count {
      let progress = try Handshake.decode(Array(long.prefix(count)).span)
      switch count {
      case ..<48: #expect(progress == .incomplete)
      case 48..<68: #expect(progress == .infoHash(handshake.infoHash, handshake.reserved))
      default: #expect(progress == .complete(handshake))
      }
    }
  }

  @Test func isRefusedAtTheFirstWrongByte() {
    for index in 0..<20 {
      var wrong = wire
      wrong[index] ^= 0x20
      for count in [index + 1, 48, 68] where count > index {
        #expect(throws: PeerProtocolError.notBitTorrent) {
          try Handshake.decode(Array(wrong.prefix(count)).span)
        }
      }
      #expect(throws: Never.self) { try Handshake.decode(Array(wrong.prefix(index)).span) }
    }
  }

  @Test func drawnHandshakesRoundTrip() throws {
    var random = SeededRandom(seed: 68)
    for _ in 0..<500 {
      let drawn = Handshake(
        reserved: ReservedBits(rawValue: random.next()),
        infoHash: InfoHash(PeerID(prefix: "", using: &random).bytes),
        peerID: PeerID(prefix: "-XX", using: &random))
      var output: [UInt8] = []
      drawn.append(to: &output)
      #expect(output.count == Handshake.length)
      #expect(try Handshake.decode(output.span) == .complete(drawn))
    }
  }

  /// The bits as each BEP gives them: byte of the eight, and mask.
  @Test(arguments: [
    (ReservedBits.dht, 7, UInt8(0x01)), (.fast, 7, 0x04), (.v2Upgrade, 7, 0x10),
    (.extensionProtocol, 5, 0x10),
  ])
  func reservedBitsStandWhereTheirSpecificationsSay(bit: ReservedBits, place: Int, mask: UInt8) throws {
    var output: [UInt8] = []
    Handshake(reserved: bit, infoHash: handshake.infoHash, peerID: handshake.peerID).append(to: &output)
    var expected = [UInt8](repeating: 0, count: 8)
    expected[place] = mask
    #expect(Array(output[20..<28]) == expected)
    output[20..<28] = [255, 255, 255, 255, 255, 255, 255, 255]
    guard case .complete(let all) = try Handshake.decode(output.span) else {
      Issue.record("incomplete")
      return
    }
    #expect(all.reserved.contains(bit))
    output[20 + place] &= ~mask
    guard case .complete(let without) = try Handshake.decode(output.span) else {
      Issue.record("incomplete")
      return
    }
    #expect(!without.reserved.contains(bit))
  }
}
