import BlockPool
import Hashing

/// Pieces of 256 KiB, filled once with bytes that differ, hashed over and over.
private struct Pieces {
  static let blocks = 16
  let pool: BlockPool
  private(set) var leased: [[BlockID]] = []

  init?(_ count: Int) {
    guard let pool = try? BlockPool(capacity: count * Self.blocks) else { return nil }
    self.pool = pool
    for piece in 0..<count {
      var ids: [BlockID] = []
      guard pool.take(Self.blocks, into: &ids) == Self.blocks else { return nil }
      for (block, id) in ids.enumerated() {
        unsafe pool.address(of: id).initializeMemory(
          as: UInt8.self, repeating: UInt8(truncatingIfNeeded: piece &* 31 &+ block),
          count: BlockPool.blockLength)
      }
      leased.append(ids)
    }
  }

  static var bytes: Int { blocks * BlockPool.blockLength }

  /// Hashes every piece once, all of them waiting before the first is hashed.
  func hashAll<Digest: HashDigest>(_ lanes: HashLanes<Digest>) {
    for ids in leased {
      let stream = lanes.open()
      for id in ids { lanes.append(stream, block: id, count: BlockPool.blockLength) }
      lanes.finish(stream)
    }
    var delivered = 0
    lanes.run { _, digest in
      keep(digest)
      delivered += 1
    }
    precondition(delivered == leased.count, "every piece has a digest")
  }
}

func benchmarkHashes(_ stopwatch: Stopwatch) {
  // Each kernel that works here, with as many streams as it takes at once.
  for kernel in HashKernel.all where kernel.isSupported && kernel.agrees {
    guard let engine = HashEngine(kernel) else { continue }
    measure(stopwatch, "hash.kernel.\(kernel.name)", kernel.algorithm, engine, streams: kernel.lanes)
  }
  // What the engine chooses for so many waiting pieces.
  for algorithm in HashAlgorithm.allCases {
    for streams in [1, 2, 4, 8, 16, 64] {
      let name = algorithm == .sha1 ? "sha1" : "sha256"
      measure(stopwatch, "hash.lanes.\(name)-\(streams)-pieces", algorithm, .current, streams: streams)
    }
  }
}

private func measure(
  _ stopwatch: Stopwatch, _ name: String, _ algorithm: HashAlgorithm, _ engine: HashEngine, streams: Int
) {
  guard stopwatch.wants(name), let pieces = Pieces(streams) else { return }
  let bytes = streams * Pieces.bytes
  switch algorithm {
  case .sha1:
    let lanes = SHA1Lanes(pool: pieces.pool, engine: engine)
    stopwatch.measure(name, bytes: bytes) { count in for _ in 0..<count { pieces.hashAll(lanes) } }
  case .sha256:
    let lanes = SHA256Lanes(pool: pieces.pool, engine: engine)
    stopwatch.measure(name, bytes: bytes) { count in for _ in 0..<count { pieces.hashAll(lanes) } }
  }
}
