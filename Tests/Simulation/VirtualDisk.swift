import TorrentModel

/// The blocks of one node. A block is a number; the right number for each block is known to all.
struct VirtualDisk {
  let geometry: PieceGeometry
  let contentSeed: UInt64
  /// Blocks of verified pieces.
  private(set) var pieces: [[UInt64]?]
  /// Blocks of pieces under way. Each holds a lease of the pool.
  private var open: [PieceIndex: [UInt64?]] = [:]
  /// Hash jobs under way, by piece: the number of the job.
  private var jobs: [PieceIndex: Int] = [:]
  private var started = 0

  init(geometry: PieceGeometry, contentSeed: UInt64, has: (PieceIndex) -> Bool) {
    self.geometry = geometry
    self.contentSeed = contentSeed
    pieces = (0..<geometry.pieceCount).map { p in
      has(PieceIndex(p))
        ? (0..<geometry.blockCount(of: PieceIndex(p))).map {
          Self.content(contentSeed, PieceIndex(p), $0)
        } : nil
    }
  }

  /// The right content of a block.
  static func content(_ seed: UInt64, _ piece: PieceIndex, _ block: Int) -> UInt64 {
    var random = SeededRandom(seed: seed ^ UInt64(piece.rawValue) << 20 ^ UInt64(block))
    return random.next()
  }

  var leases: Int { open.values.reduce(0) { $0 + $1.count { $0 != nil } } }
  var jobCount: Int { jobs.count }

  func isRight(_ piece: PieceIndex) -> Bool {
    guard let blocks = pieces[piece.offset] else { return false }
    return blocks.indices.allSatisfy { blocks[$0] == Self.content(contentSeed, piece, $0) }
  }

  func read(_ request: BlockRequest) -> UInt64? { pieces[request.piece.offset]?[request.blockOffset] }

  /// Takes a block in. Returns the number of the hash job when the piece is complete.
  mutating func store(_ block: BlockRequest, _ content: UInt64) -> Int? {
    let count = geometry.blockCount(of: block.piece)
    open[block.piece, default: [UInt64?](repeating: nil, count: count)][block.blockOffset] = content
    guard jobs[block.piece] == nil, open[block.piece]?.allSatisfy({ $0 != nil }) == true else { return nil }
    started += 1
    jobs[block.piece] = started
    return started
  }

  mutating func abandon(_ piece: PieceIndex) {
    open[piece] = nil
    jobs[piece] = nil
  }

  /// The end of a hash job: whether the piece is right, and the digests of its blocks. Nil if the piece was abandoned.
  mutating func finish(_ piece: PieceIndex, job: Int) -> (isRight: Bool, digests: [UInt64])? {
    guard jobs[piece] == job, let blocks = open[piece] else { return nil }
    abandon(piece)
    let digests = blocks.map { $0 ?? 0 }
    let isRight = digests.indices.allSatisfy { digests[$0] == Self.content(contentSeed, piece, $0) }
    if isRight { pieces[piece.offset] = digests }
    return (isRight, digests)
  }
}
