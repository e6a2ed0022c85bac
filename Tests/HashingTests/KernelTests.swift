import CHash
import Hashing
import Testing

/// Each kernel, and each family's mixture of them, against OpenSSL's EVP.
@Suite struct KernelTests {
  /// A long run of noise that messages are cut from, and the digests of all messages of up to 300 bytes from its
  /// start.
  static let noise: [UInt8] = {
    var drawing = Drawing(1)
    return drawing.bytes(1 << 18)
  }()
  /// What the words that an algorithm has no use for are set to before, and must be after.
  static let untouched: UInt32 = 0xdead_beef

  /// Hashes messages side by side, each in as many calls as it has cuts. Returns eight words for each.
  static func states(
    _ messages: [PaddedMessage], cuts: [[Int]] = [], _ algorithm: HashAlgorithm, _ table: OpaquePointer
  ) -> [UInt32] {
    var states = [UInt32](repeating: untouched, count: messages.count * 8)
    var done = [Int](repeating: 0, count: messages.count)
    states.withUnsafeMutableBufferPointer { states in
      for index in messages.indices { spate_hash_start(algorithm.shim, states.baseAddress! + index * 8) }
      for round in 0...(cuts.map(\.count).max() ?? 0) {
        var jobs: [spate_hash_job] = []
        jobs.reserveCapacity(messages.count)
        for (index, message) in messages.enumerated() {
          let cut = index < cuts.count && round < cuts[index].count ? cuts[index][round] : message.blocks
          let blocks = cut - done[index]
          // The arrays live in `messages`, which outlives the call.
          let data = message.bytes.withUnsafeBufferPointer { $0.baseAddress! }
          jobs.append(
            spate_hash_job(
              state: states.baseAddress! + index * 8, data: data + message.start + done[index] * 64,
              blocks: blocks))
          done[index] += blocks
        }
        withExtendedLifetime(messages) { spate_hash_update_many(table, algorithm.shim, jobs, jobs.count) }
      }
    }
    return states
  }

  @Test(arguments: Engines.pairs)
  func allShortLengthsAndLaneCounts(_ engine: HashEngine, _ algorithm: HashAlgorithm) {
    let table = Engines.table(engine)
    let expected = (0...300).map { algorithm.referenceState(Self.noise.prefix($0)) }
    let padded = (0...300).map { PaddedMessage(Self.noise.prefix($0), shift: ($0 * 13 + 1) % 64) }
    for streams in 1...20 {
      for first in 0...300 {
        // Neighbours of other lengths, so that lanes run dry one after the other; every length at every count.
        let lengths = (0..<streams).map { (first + $0 * 37) % 301 }
        let got = Self.states(lengths.map { padded[$0] }, algorithm, table)
        if !got.elementsEqual(lengths.lazy.flatMap { expected[$0] }) {
          Issue.record("\(engine.name) \(algorithm): \(streams) streams, lengths \(lengths)")
          return
        }
      }
    }
  }

  @Test(arguments: Engines.pairs)
  func drawnLengthsInPhases(_ engine: HashEngine, _ algorithm: HashAlgorithm) {
    let table = Engines.table(engine)
    var drawing = Drawing(2)
    for streams in 1...20 {
      let ranges = (0..<streams).map { _ in
        let length = Int.random(in: 0...(Bool.random(using: &drawing) ? 1000 : 40_000), using: &drawing)
        let start = Int.random(in: 0...(Self.noise.count - length), using: &drawing)
        return start..<(start + length)
      }
      let messages = ranges.map { range in
        PaddedMessage(Self.noise[range], shift: Int.random(in: 0...70, using: &drawing))
      }
      let cuts = messages.map { message in
        (0..<Int.random(in: 0...3, using: &drawing)).map { _ in
          Int.random(in: 0...message.blocks, using: &drawing)
        }.sorted()
      }
      let got = Self.states(messages, cuts: cuts, algorithm, table)
      #expect(got == ranges.flatMap { algorithm.referenceState(Self.noise[$0]) })
    }
  }

  @Test(arguments: HashKernel.all)
  func selfTest(_ kernel: HashKernel) {
    #expect(kernel.agrees == kernel.isSupported)
    #expect(kernel.passesSelfTest() == kernel.isSupported)
    for lane in 0..<kernel.lanes { #expect(!kernel.passesSelfTest(faultInLane: lane)) }
    #expect(kernel.lanes >= 1 && kernel.lanes <= HashEngine.maximumLanes)
  }

  @Test func numbersOutsideTheTable() {
    #expect(!spate_hash_self_test(-1, -1))
    #expect(!spate_hash_self_test(spate_hash_kernel_count(), -1))
    #expect(spate_hash_engine_of_kernel(-1) == nil)
    #expect(spate_hash_engine_of_kernel(spate_hash_kernel_count()) == nil)
    #expect(!spate_hash_kernel_at(-1).supported)
  }

  @Test func jobsWithoutBlocksAreLeftAlone() {
    var state: [UInt32] = [1, 2, 3, 4, 5, 6, 7, 8]
    let job = state.withUnsafeMutableBufferPointer { state in
      var job = spate_hash_job(state: state.baseAddress, data: nil, blocks: 0)
      spate_hash_update_many(spate_hash_engine_current(), SPATE_SHA1, &job, 1)
      spate_hash_update_many(spate_hash_engine_current(), SPATE_SHA1, nil, 0)
      return job
    }
    #expect(job.blocks == 0)
    #expect(state == [1, 2, 3, 4, 5, 6, 7, 8])
  }
}
