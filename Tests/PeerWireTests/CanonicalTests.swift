import PeerWire
import Testing
import TorrentModel

@Suite struct AllowedFastTests {
  /// SHA-1 for the inputs of these tests only, worked out by another program.
  static func sha1(_ input: Span<UInt8>) -> Bytes20 {
    let known = [
      "50040400aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": "873ad9e326238a7096f3320c379fb49d5132ae18",
      "873ad9e326238a7096f3320c379fb49d5132ae18": "f06741233e4f7f6197e5305495353c8dfd85d6fe",
      "20010db800000001aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": "ab8942fb24bcadf15e3d06a1a894752774426029",
      "ab8942fb24bcadf15e3d06a1a894752774426029": "05f8f606e58723a7a75e14db3c1d61ee612a7f87",
    ]
    var hex = ""
    for index in input.indices {
      hex += input[index] < 16 ? "0" : ""
      hex += String(input[index], radix: 16)
    }
    guard let digest = known[hex] else {
      Issue.record("unexpected input \(hex)")
      return Bytes20()
    }
    return Bytes20(hex: digest)!
  }

  let infoHash = InfoHash(hex: String(repeating: "a", count: 40))!

  func pieces(_ address: String, pieceCount: Int = 1313, count: Int) -> [UInt32] {
    AllowedFast.pieces(
      for: IPAddress(address)!, infoHash: infoHash, pieceCount: pieceCount, count: count, sha1: Self.sha1
    ).map(\.rawValue)
  }

  @Test func theExamplesOfTheSpecificationComeOut() {
    #expect(pieces("80.4.4.200", count: 7) == [1059, 431, 808, 1217, 287, 376, 1188])
    #expect(pieces("80.4.4.200", count: 9) == [1059, 431, 808, 1217, 287, 376, 1188, 353, 508])
    // The last byte of the address does not count.
    #expect(pieces("80.4.4.7", count: 7) == pieces("80.4.4.200", count: 7))
  }

  @Test func addressesOfVersion6CountByTheirSubnet() {
    #expect(pieces("2001:db8:0:1::5", count: 10) == [465, 552, 869, 1132, 907, 395, 336, 3, 1258, 266])
    #expect(pieces("2001:db8:0:1:ffff::", count: 3) == [465, 552, 869])
  }

  @Test func smallTorrentsGiveEverything() {
    #expect(pieces("80.4.4.200", pieceCount: 3, count: 10) == [0, 1, 2])
    #expect(pieces("80.4.4.200", pieceCount: 10, count: 10) == Array(0..<10))
    #expect(pieces("80.4.4.200", pieceCount: 0, count: 10) == [])
    #expect(pieces("80.4.4.200", count: 0) == [])
  }

  @Test func aDigestThatNeverChangesEndsTheSearch() {
    let pieces = AllowedFast.pieces(
      for: IPAddress(1, 2, 3, 4), infoHash: infoHash, pieceCount: 100, count: 10, sha1: { _ in Bytes20() })
    #expect(pieces == [PieceIndex(0)])
  }
}

@Suite struct PeerPriorityTests {
  func priority(_ first: String, _ second: String) -> UInt32? {
    PeerPriority.priority(Endpoint(first)!, Endpoint(second)!)
  }

  /// The first two are the specification's; the others are CRC-32C of the masked bytes, by another program.
  @Test(arguments: [
    ("123.213.32.10:1", "98.76.54.32:2", UInt32(0xec2d_7224)),
    ("123.213.32.10:1", "123.213.32.234:2", 0x9956_8189),
    ("230.12.123.3:1234", "230.12.123.3:300", 0xae8b_7034),
    ("230.12.123.1:1234", "230.12.123.3:300", 0x99c5_4d79),
    ("230.12.23.1:1234", "230.12.123.3:300", 0x21fd_5f80),
    ("230.120.23.1:1234", "230.12.123.3:300", 0xfa9a_860e),
    (
      "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:1234", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:300",
      0xae8b_7034
    ),
    (
      "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:1", "[ffff:0fff:ffff:ffff:ffff:ffff:ffff:ffff]:1",
      0x59d7_1f38
    ),
    (
      "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:1", "[ffff:ffff:ff0f:ffff:ffff:ffff:ffff:ffff]:1",
      0x755f_8512
    ),
    ("[2001:db8:2:00ff:ffff:ffff:ffff:ffff]:1", "[2001:db8:2:ffff:ffff:ffff:ffff:ffff]:1", 0x6f24_694d),
    ("[2001:db8::1]:1", "[2001:db8::2]:1", 0x5baf_182f),
    ("[2001:db8::154]:1", "[2001:db8::255]:1", 0x8192_1fc2),
    ("1.2.3.4:1", "[2001:db8::2]:1", nil),
  ])
  func bothSidesArriveAtTheSame(first: String, second: String, expected: UInt32?) {
    #expect(priority(first, second) == expected)
    #expect(priority(second, first) == expected)
  }
}

@Suite struct ClientNameTests {
  @Test(arguments: [
    ("-TR4060-abcdefghijkl", "Transmission 4.0.6"), ("-qB4650-abcdefghijkl", "qBittorrent 4.6.5"),
    ("-LT20B0-abcdefghijkl", "libtorrent 2.0.11"), ("-lt0D80-abcdefghijkl", "rTorrent 0.13.8"),
    ("-UT355W-abcdefghijkl", "µTorrent 3.5.5.32"), ("-DE211s-abcdefghijkl", "Deluge 2.1.1.54"),
    ("-ZZ1234-abcdefghijkl", "ZZ 1.2.3.4"), ("-FG0180abcdefghijklm", "FlashGet 0.1.8"),
    ("-ML2.7.2-kgjjfkdabcd", "MLDonkey 2.7.2"), ("A2-1-36-0-abcdefghij", "aria2 1.36.0"),
    ("M7-10-5--abcdefghijk", "Mainline 7.10.5"), ("Q1-0-0--abcdefghijkl", "Queen Bee 1.0.0"),
    ("T03I----abcdefghijkl", "BitTornado 0.3.18"), ("S58B-----abcdefghijk", "Shadow's client 5.8.11"),
    ("XBT054d-abcdefghijkl", "XBT Client 0.5.4"), ("AZ2500BTabcdefghijkl", "BitTyrant"),
    ("OP1234abcdefghijklmn", "Opera build 1234"), ("346------abcdefghijk", "TorrenTopia"),
    ("exbc\u{0}\u{38}abcdefghijklmn", "BitComet 0.56"), ("-BOWA0C-ABCDEFGHIJKL", "Bits on Wheels"),
    ("-G3nickname-abcdefgh", "G3 Torrent"), ("TIX0123-abcdefghijkl", "Tixati"),
  ])
  func clientsAreRecognised(id: String, name: String) {
    #expect(PeerID(Bytes20(id.utf8)!).clientName == name)
  }

  @Test func otherIdsHaveNoName() {
    for id in ["abcdefghijklmnopqrst", "--------------------", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"] {
      #expect(PeerID(Bytes20(id.utf8)!).clientName == nil)
    }
  }

  @Test func namesOfDrawnIdsArePrintable() {
    var random = SeededRandom(seed: 20)
    let starts: [StaticString] = ["", "-", "-T", "M", "A2-", "exbc", "OP", "-ML", "T", "XBT"]
    for start in starts {
      for _ in 0..<2000 {
        guard let name = PeerID(prefix: start, using: &random).clientName else { continue }
        #expect(name.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7f })
        #expect(name.utf8.count < 64)
      }
    }
  }
}
