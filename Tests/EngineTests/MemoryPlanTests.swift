import BlockPool
import Testing

@testable import Engine

@Suite struct MemoryPlanTests {
  struct Case: CustomTestStringConvertible, Sendable {
    var memory: Int
    var peers: Int
    var loops = 1
    var workers = 1
    /// Bytes that stand beside the pool.
    var beside: Int
    var testDescription: String { "\(memory >> 20) MiB, \(peers) peers, \(loops) + \(workers) threads" }
  }

  @Test(arguments: [
    Case(memory: 64 << 20, peers: 500, beside: 4 << 20),
    Case(memory: 64 << 20, peers: 0, loops: 2, workers: 3, beside: 5 << 20),
    // Never more than an eighth.
    Case(memory: 64 << 20, peers: 5000, beside: 8 << 20),
    Case(memory: 64 << 20, peers: .max, loops: 64, workers: 64, beside: 8 << 20),
    Case(memory: Session.minimumMemory, peers: 500, beside: 512 << 10),
    Case(memory: 1 << 40, peers: .max, loops: 4, workers: 4, beside: 1 << 37),
    // Nonsense takes nothing away and adds nothing.
    Case(memory: 64 << 20, peers: .min, beside: 2 << 20),
  ])
  func thePartsMakeTheSum(_ test: Case) {
    let plan = MemoryPlan(
      memory: test.memory, maxPeers: test.peers, loops: test.loops, workers: test.workers)
    #expect(plan.poolBlocks == (test.memory - test.beside) / BlockPool.blockLength)
  }
}
