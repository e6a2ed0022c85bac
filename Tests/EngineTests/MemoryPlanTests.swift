import BlockPool
import Testing

@testable import Engine

@Suite struct MemoryPlanTests {
  struct Case: CustomTestStringConvertible, Sendable {
    var memory: Int
    var peers: Int
    var loops = 1
    var workers = 1
    var writers = 1
    /// Bytes that stand beside the pool.
    var beside: Int
    var testDescription: String {
      "\(memory >> 20) MiB, \(peers) peers, \(loops) + \(workers) + \(writers) threads"
    }
  }

  @Test(arguments: [
    Case(memory: 64 << 20, peers: 250, beside: 6 << 20),
    Case(memory: 64 << 20, peers: 500, writers: 2, beside: 8 << 20),
    Case(memory: 128 << 20, peers: 0, loops: 2, workers: 3, writers: 2, beside: 9 << 20),
    // Never more than an eighth.
    Case(memory: 64 << 20, peers: 5000, beside: 8 << 20),
    Case(memory: 64 << 20, peers: .max, loops: 64, workers: 64, beside: 8 << 20),
    Case(memory: Session.minimumMemory, peers: 500, beside: 512 << 10),
    Case(memory: 1 << 40, peers: .max, loops: 4, workers: 4, beside: 1 << 37),
    // Nonsense takes nothing away and adds nothing.
    Case(memory: 64 << 20, peers: .min, beside: 5 << 20),
  ])
  func thePartsMakeTheSum(_ test: Case) {
    let plan = MemoryPlan(
      memory: test.memory, maxPeers: test.peers, loops: test.loops, workers: test.workers,
      writers: test.writers)
    #expect(plan.poolBlocks == (test.memory - test.beside) / BlockPool.blockLength)
  }
}
