import Testing
import TorrentModel

@Suite struct GeometryTests {
  @Test(arguments: [
    // total, piece length, pieces, last piece, blocks in the last piece, last block
    (Int64(1), 16384, 1, 1, 1, 1), (16384, 16384, 1, 16384, 1, 16384), (16385, 16384, 2, 1, 1, 1),
    (100_000, 10_000, 10, 10_000, 1, 10_000), (3_145_729, 1_572_864, 3, 1, 1, 1),
    (1 << 40, 512 << 20, 2048, 512 << 20, 32768, 16384), (2_000_000, 1_048_576, 2, 951_424, 59, 1152),
  ])
  func dividesIntoPiecesAndBlocks(
    total: Int64, pieceLength: Int, pieces: Int, lastPiece: Int, blocks: Int, lastBlock: Int
  ) {
    let geometry = PieceGeometry(totalLength: total, pieceLength: pieceLength)
    let last = PieceIndex(pieces - 1)
    #expect(geometry.pieceCount == pieces)
    #expect(geometry.length(of: last) == lastPiece)
    #expect(geometry.blockCount(of: last) == blocks)
    #expect(geometry.length(ofBlock: blocks - 1, in: last) == lastBlock)
    #expect(geometry.length(ofBlock: blocks, in: last) == 0)
    #expect(geometry.length(of: PieceIndex(pieces)) == 0)
    #expect(geometry.isBlock(geometry.request(block: blocks - 1, of: last)))
    #expect(geometry.start(of: last) + Int64(lastPiece) == total)
  }

  @Test func anEmptyTorrentHasNoPieces() {
    let geometry = PieceGeometry(totalLength: 0, pieceLength: 16384)
    #expect(geometry.pieceCount == 0 && geometry.maxBlocksPerPiece == 0)
    #expect(geometry.pieces(from: 0, length: 10).isEmpty)
  }

  @Test func requestsFromStrangersDoNotOverflow() {
    let geometry = PieceGeometry(totalLength: 100_000, pieceLength: 32768)
    let last = PieceIndex(3)
    for (begin, length, inside) in [
      (UInt32(0), UInt32(1696), true), (0, 1697, false), (.max, .max, false), (1, .max, false),
      (.max, 1, false), (0, 0, false),
    ] {
      #expect(geometry.isInside(BlockRequest(piece: last, begin: begin, length: length)) == inside)
    }
    #expect(!geometry.isInside(BlockRequest(piece: PieceIndex(rawValue: .max), begin: 0, length: 1)))
    #expect(!geometry.isBlock(BlockRequest(piece: PieceIndex(0), begin: 1, length: 16384)))
  }

  /// Spans against a byte-by-byte count, over drawn layouts with empty files among them.
  @Test(arguments: 0..<30)
  func spansCoverEveryByteOnce(seed: Int) throws {
    var random = SeededRandom(seed: UInt64(seed))
    let lengths = (0..<Int.random(in: 1...12, using: &random)).map { _ in
      Int64.random(in: 0...40, using: &random)
    }
    let layout = try #require(FileLayout(lengths: lengths))
    let owner = lengths.enumerated().flatMap { file, length in (0..<Int(length)).map { (file, Int64($0)) } }
    for _ in 0..<60 {
      let offset = Int.random(in: 0...(owner.count + 2), using: &random)
      let length = Int.random(in: 0...60, using: &random)
      var bytes: [(Int, Int64)] = []
      for span in layout.spans(from: Int64(offset), length: Int64(length)) {
        #expect(span.length > 0)
        for i in 0..<span.length { bytes.append((span.file, span.offset + i)) }
      }
      let expected = owner.dropFirst(offset).prefix(length)
      #expect(bytes.elementsEqual(expected) { $0 == $1 })
      if offset < owner.count { #expect(layout.file(at: Int64(offset)) == owner[offset].0) }
    }
    let total = layout.totalLength
    let geometry = PieceGeometry(totalLength: total, pieceLength: 16)
    for file in lengths.indices {
      let expected = Set(owner.indices.filter { owner[$0].0 == file }.map { $0 / 16 })
      #expect(Set(layout.pieces(of: file, in: geometry)) == expected)
    }
  }

  @Test func refusesImpossibleLengths() {
    #expect(FileLayout(lengths: [1, -1]) == nil)
    #expect(FileLayout(lengths: [.max, 1]) == nil)
    #expect(FileLayout(lengths: [])?.totalLength == 0)
  }

  @Test func identifiersRoundTrip() throws {
    let hex = "0123456789abcdef00ff00ff0123456789abcdef"
    let hash = try #require(InfoHash(hex: hex.uppercased()))
    #expect(hash.hex == hex)
    #expect(Bytes20(hash.bytes.bytes) == hash.bytes)
    #expect(InfoHash(hex: String(hex.dropLast())) == nil && InfoHash(hex: hex.dropLast() + "g") == nil)
    #expect(Bytes20([UInt8](repeating: 1, count: 21)) == nil)
    var random = SeededRandom(seed: 1)
    let peer = PeerID(prefix: "-S80100-", using: &random)
    #expect(peer.description.hasPrefix("-S80100-"))
    #expect(peer != PeerID(prefix: "-S80100-", using: &random))
  }

  @Test func momentsSaturate() {
    #expect(Moment(nanoseconds: 5) + .seconds(1) == Moment(nanoseconds: 1_000_000_005))
    #expect(Moment.distantFuture + .seconds(1) == .distantFuture)
    #expect(Moment.Interval.seconds(Double.infinity).nanoseconds == .max)
    #expect(Moment.Interval.seconds(.nan) == .zero)
    #expect((Moment(nanoseconds: 3_000_000_000) - .zero).seconds == 3)
  }
}
