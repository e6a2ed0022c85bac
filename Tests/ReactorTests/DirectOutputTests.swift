import BlockPool
import Glibc
import Reactor
import Testing
import TorrentModel

/// Bytes of files that are sent from where the system holds them.
@Suite struct DirectOutputTests {
  /// A file with a pattern in it, gone with the test.
  private final class Sample {
    let descriptor: CInt
    let bytes: [UInt8]
    let mapping: FileMapping

    init(_ length: Int) throws {
      var template = Array("/tmp/spate-direct-XXXXXX".utf8CString)
      descriptor = template.withUnsafeMutableBufferPointer { mkstemp($0.baseAddress!) }
      template.withUnsafeBufferPointer { _ = unlink($0.baseAddress!) }
      bytes = pattern(length, seed: 5)
      try #require(write(descriptor, bytes, length) == length)
      mapping = try #require(FileMapping(of: descriptor, length: Int64(length)))
    }

    deinit { close(descriptor) }

    /// What a peer is to get of a range: every block behind its header.
    func expected(_ range: Range<Int64>, _ headers: [UInt8]) -> [UInt8] {
      var result: [UInt8] = []
      let count = (range.count + 16383) / 16384
      let length = headers.count / count
      for i in 0..<count {
        let start = Int(range.lowerBound) + i * 16384
        result += headers[i * length..<(i + 1) * length]
        result += bytes[start..<min(start + 16384, Int(range.upperBound))]
      }
      return result
    }
  }

  /// Drawn runs among other output, to a peer that reads, then does not, then reads on: what is said to have left arrives, once
  /// and in order, and nothing else.
  @Test(arguments: [0, 8 * 1024, 64 * 1024], [UInt64(1), 2, 3])
  func whatLeftArrivesInOrder(_ sendBuffer: Int, _ seed: UInt64) async throws {
    try await withLoop { actor in
      var options = Connection.Options()
      options.sendBufferBytes = sendBuffer
      let pair = try await makePair(on: actor, options: options)
      let sample = try Sample(2_000_003)
      var random = SeededRandom(seed: seed)
      var expected: [UInt8] = []
      var cut = 0
      var refused = 0
      for step in 0..<300 {
        switch Int.random(in: 0..<8, using: &random) {
        case 0..<2:
          let bytes = pattern(Int.random(in: 1...40, using: &random), seed: UInt64(step))
          pair.left.write(copying: bytes)
          expected += bytes
        case 2..<6:
          let blocks = Int.random(in: 1...(step % 5 == 0 ? 64 : 4), using: &random)
          let length = (blocks - 1) * 16384 + Int.random(in: 1...16384, using: &random)
          let start = Int64.random(in: 0...(2_000_003 - Int64(length)), using: &random)
          let headers = pattern(blocks * 13, seed: UInt64(step) + 1000)
          let whole = sample.expected(start..<start + Int64(length), headers)
          let hadOutput = pair.left.outputLength > 0
          let sent = pair.left.write(start..<start + Int64(length), of: sample.mapping, headers: headers.span)
          #expect(sent >= 0 && sent <= whole.count)
          if sent == 0 { refused += 1 } else if sent < whole.count { cut += 1 }
          #expect(sent == 0 || pair.left.outputLength == 0, "it went past older output")
          if sent == 0, !hadOutput { #expect(pair.left.outputLength == 0) }
          expected += whole[..<sent]
          sample.mapping.release(start, length)
        case 6: pair.left.flush()
        default: await pause(milliseconds: 1, on: actor)
        }
        if step == 100 { pair.right.pauseReading() }
        if step == 200 { pair.right.resumeReading() }
        #expect(pair.left.bytesSent + UInt64(pair.left.outputLength) == UInt64(expected.count))
      }
      try await pair.rightEvents.signal.wait("everything", isolation: actor) {
        pair.rightEvents.received.count >= expected.count
      }
      #expect(pair.rightEvents.received == expected)
      #expect(sendBuffer == 0 || cut > 0 && refused > 0, "the peer that does not read fills its socket")
      pair.close()
    }
  }

  @Test func bytesThatAreGoneCostNothing() async throws {
    try await withLoop { actor in
      let pair = try await makePair(on: actor)
      let sample = try Sample(200_000)
      ftruncate(sample.descriptor, 0)
      let headers = [UInt8](repeating: 1, count: 13)
      // The header may have been taken before the missing bytes were found.
      let sent = pair.left.write(32768..<49152, of: sample.mapping, headers: headers.span)
      #expect(sent == 0 || sent == 13)
      pair.left.write(copying: [9, 8, 7])
      try await pair.rightEvents.signal.wait("later output", isolation: actor) {
        pair.rightEvents.received.count >= sent + 3
      }
      #expect(pair.rightEvents.received == headers[..<sent] + [9, 8, 7])
      #expect(pair.left.isOpen)
      pair.close()
    }
  }

  @Test func aBrokenConnectionTakesNothing() async throws {
    try await withLoop { actor in
      let pair = try await makePair(on: actor)
      let sample = try Sample(200_000)
      pair.right.reset()
      await pause(milliseconds: 20, on: actor)
      let headers = [UInt8](repeating: 1, count: 13)
      _ = pair.left.write(0..<16384, of: sample.mapping, headers: headers.span)
      #expect(pair.left.write(0..<16384, of: sample.mapping, headers: headers.span) == 0)
      try await pair.leftEvents.signal.wait("closed", isolation: actor) { pair.leftEvents.closed != nil }
      #expect(pair.left.write(0..<16384, of: sample.mapping, headers: headers.span) == 0)
      pair.close()
    }
  }
}
