import Testing
import TorrentModel

@testable import DHT

@Suite struct NodeIDTests {
  /// RFC 3720, B.4, and the usual check.
  @Test func checksum() {
    let table: [([UInt8], UInt32)] = [
      (Array("123456789".utf8), 0xe306_9283), ([UInt8](repeating: 0, count: 32), 0x8a91_36aa),
      ([UInt8](repeating: 0xff, count: 32), 0x62a8_ab43), ((0..<32).map { UInt8($0) }, 0x46dd_794e),
    ]
    for (bytes, expected) in table {
      let checksum = CRC32C.checksum(of: bytes.span)
      #expect(checksum == expected)
    }
    let eight: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
    for count in 1...8 {
      let whole = CRC32C.checksum(of: eight.span.extracting(0..<count))
      #expect(CRC32C.checksum(of: 0x0102_0304_0506_0708, count: count) == whole)
    }
  }

  /// The table of BEP 42.
  @Test(arguments: [
    ("124.31.75.21", "5fbfbff10c5d6a4ec8a88e4c6ab4c28b95eee401"),
    ("21.75.31.124", "5a3ce9c14e7a08645677bbd1cfe7d8f956d53256"),
    ("65.23.51.170", "a5d43220bc8f112a3d426c84764f8c2a1150e616"),
    ("84.124.73.14", "1b0321dd1bb1fe518101ceef99462b947a01ff41"),
    ("43.213.53.83", "e56f6cbf5b7c4be0237986d5243b87aa6d51305a"),
  ])
  func table(_ address: String, _ id: String) throws {
    let address = try #require(IPAddress(address))
    let id = try #require(NodeID(hex: id))
    #expect(id.complies(with: address))
    #expect(!NodeID(id.a ^ 1 << 63, id.b, id.c).complies(with: address))
    #expect(!NodeID(id.a ^ 1 << 43, id.b, id.c).complies(with: address), "bit 21 counts")
    #expect(NodeID(id.a ^ 1 << 42, id.b, id.c).complies(with: address), "bit 22 does not")
    #expect(!id.complies(with: IPAddress(8, 8, 8, 8)))
  }

  @Test func drawnForAddresses() throws {
    var random = SeededRandom(seed: 2)
    for _ in 0..<500 {
      let v4 = Net.publicV4(&random).address
      #expect(NodeID(for: v4, using: &random).complies(with: v4))
      let v6 = IPAddress(high: 0x2a00_0000_0000_0000 | random.next() >> 16, low: random.next())
      #expect(NodeID(for: v6, using: &random).complies(with: v6))
      #expect(NodeID(using: &random).complies(with: IPAddress(192, 168, 1, 7)), "local networks are exempt")
    }
  }

  @Test func distances() {
    var random = SeededRandom(seed: 3)
    for _ in 0..<200 {
      let id = NodeID(using: &random)
      #expect(NodeID(id.bytes) == id && NodeID(hex: id.hex) == id)
      #expect(id.sharedBits(with: id) == 160)
      for count in [0, 1, 7, 63, 64, 65, 127, 128, 129, 159] {
        let neighbor = id.neighbor(sharing: count, using: &random)
        #expect(id.sharedBits(with: neighbor) == count)
        #expect((id ^ neighbor).bytes < Bytes20(repeatElement(0xff, count: 20))! || count == 0)
      }
      let other = NodeID(using: &random)
      #expect((id < other) == (id.bytes < other.bytes))
    }
  }

  /// BEP 33's vector.
  @Test func bloomFilter() throws {
    var filter = BloomFilter()
    for last in 0...255 { filter.insert(IPAddress(192, 0, 2, UInt8(last)), sha1: sha1) }
    for last in 0...0x3e7 {
      filter.insert(IPAddress(high: 0x2001_0db8_0000_0000, low: UInt64(last)), sha1: sha1)
    }
    let expected = bytes(
      hex: """
        F6C3F5EA A07FFD91 BDE89F77 7F26FB2B FF37BDB8 FB2BBAA2 FD3DDDE7 BACFFF75 EE7CCBAE
        FE5EEDB1 FBFAFF67 F6ABFF5E 43DDBCA3 FD9B9FFD F4FFD3E9 DFF12D1B DF59DB53 DBE9FA5B
        7FF3B8FD FCDE1AFB 8BEDD7BE 2F3EE71E BBBFE93B CDEEFE14 8246C2BC 5DBFF7E7 EFDCF24F
        D8DC7ADF FD8FFFDF DDFFF7A4 BBEEDF5C B95CE81F C7FCFF1F F4FFFFDF E5F7FDCB B7FD79B3
        FA1FC77B FE07FFF9 05B7B7FF C7FEFEFF E0B8370B B0CD3F5B 7F2BD93F EB4386CF DD6F7FD5
        BFAF2E9E BFFFFEEC D67ADBF7 C67F17EF D5D75EBA 6FFEBA7F FF47A91E B1BFBB53 E8ABFB57
        62ABE8FF 237279BF EFBFEEF5 FFC5FEBF DFE5ADFF ADFEE1FB 737FFFFB FD9F6AEF FEEE76B6
        FD8F72EF
        """)
    var written: [UInt8] = []
    filter.append(to: &written)
    #expect(written == expected)
    // The filters stay outside of the macro, which the compiler cannot expand around inline arrays.
    let isReadBack = BloomFilter(expected.span).map { $0 == filter } ?? false
    let count = filter.estimatedCount
    let emptyCount = BloomFilter().estimatedCount
    let short: [UInt8] = [1, 2, 3]
    let isShortTaken = BloomFilter(short.span) != nil
    #expect(isReadBack && !isShortTaken && emptyCount == 0)
    #expect(abs(count - 1224.9308) < 0.0001)
    var union = BloomFilter()
    union.insert(IPAddress(192, 0, 2, 1), sha1: sha1)
    union.formUnion(filter)
    let isSame = union == filter
    #expect(isSame)
  }

  @Test func logarithm() {
    #expect(abs(BloomFilter.logarithm(1)) < 1e-15)
    #expect(abs(BloomFilter.logarithm(2.718281828459045) - 1) < 1e-14)
    #expect(abs(BloomFilter.logarithm(0.001) + 6.907755278982137) < 1e-13)
  }
}
