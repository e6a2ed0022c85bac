import BlockPool
import Glibc
import Reactor
import Testing

@Suite struct ConnectionTests {
  @Test(arguments: [SocketAddress.Family.v4, .v6])
  func bytesGoBothWays(_ family: SocketAddress.Family) async throws {
    try await withLoop { actor in
      let pair = try await makePair(family, on: actor)
      #expect(pair.left.isOpen && pair.right.isOpen)
      #expect(pair.left.remoteAddress.family == family)
      #expect(pair.right.remoteAddress == pair.left.localAddress)
      let question = pattern(300_000)
      let answer = pattern(100_000, seed: 2)
      pair.left.write(copying: question)
      pair.right.write(copying: answer.span.extracting(..<50_000))
      pair.right.write(copying: Array(answer[50_000...]))
      try await pair.rightEvents.signal.wait("question", isolation: actor) {
        pair.rightEvents.received.count == question.count
      }
      try await pair.leftEvents.signal.wait("answer", isolation: actor) {
        pair.leftEvents.received.count == answer.count
      }
      #expect(pair.rightEvents.received == question)
      #expect(pair.leftEvents.received == answer)
      #expect(pair.left.outputLength == 0)
      #expect(pair.left.bytesSent == UInt64(question.count))
      pair.close()
      #expect(pair.left.isClosed)
      #expect(pair.left.localAddress == nil)
    }
  }

  @Test func scatteredReadsFillSeveralPlacesAtOnce() async throws {
    try await withLoop { actor in
      let pair = try await makePair(on: actor)
      let pool = try BlockPool(capacity: 2)
      let blocks = try [#require(pool.take()), #require(pool.take())]
      let message = pattern(2 * (13 + 16384))
      var headers = [UInt8](repeating: 0, count: 26)
      var filled = 0
      pair.right.setReceiveLowWatermark(message.count)
      pair.rightEvents.onReadable = { connection in
        unsafe headers.withUnsafeMutableBytes { header in
          let vectors = unsafe [
            iovec(iov_base: header.baseAddress, iov_len: 13),
            iovec(iov_base: pool.address(of: blocks[0]), iov_len: 16384),
            iovec(iov_base: header.baseAddress! + 13, iov_len: 13),
            iovec(iov_base: pool.address(of: blocks[1]), iov_len: 16384),
          ]
          let result = unsafe vectors.withUnsafeBufferPointer { unsafe connection.readv($0) }
          if case .bytes(let count) = result { filled += count }
        }
      }
      pair.left.write(copying: message)
      try await pair.rightEvents.signal.wait("both blocks", isolation: actor) { filled > 0 }
      // SO_RCVLOWAT held the reader back until everything was there.
      #expect(filled == message.count)
      #expect(pair.rightEvents.readableCount == 1)
      #expect(Array(message[..<13]) == Array(headers[..<13]))
      #expect(Array(message[16397..<16410]) == Array(headers[13...]))
      for (index, start) in [13, 16410].enumerated() {
        pool.withBytes(of: blocks[index]) { bytes in
          for offset in 0..<16384
          where bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self) != message[start + offset] {
            Issue.record("block \(index) differs at \(offset)")
            break
          }
        }
      }
      pool.release(blocks)
      pair.close()
    }
  }

  @Test func referencedBlocksArriveAndComeBackOnce() async throws {
    try await withLoop { actor in
      let pair = try await makePair(on: actor)
      let pool = try BlockPool(capacity: 64)
      var returned: [BlockID] = []
      let signal = Signal()
      actor.loop.onBlocksReturned { blocks in
        returned += blocks
        signal.changed()
      }
      var blocks: [BlockID] = []
      pool.take(64, into: &blocks)
      var expected: [UInt8] = []
      for (index, block) in blocks.enumerated() {
        let payload = pattern(16384, seed: UInt64(index))
        pool.withMutableBytes(of: block) { bytes in
          for offset in 0..<16384 {
            bytes.storeBytes(of: payload[offset], toByteOffset: offset, as: UInt8.self)
          }
        }
        let header = pattern(13, seed: UInt64(index) + 1000)
        pair.left.write(copying: header)
        // A part of the block, then the rest: two references, two returns.
        #expect(pair.left.write(block: block, of: pool, offset: 0, count: 4000))
        #expect(pair.left.write(block: block, of: pool, offset: 4000, count: 12384))
        expected += header + payload
      }
      #expect(pair.left.outputLength == expected.count)
      try await pair.rightEvents.signal.wait("blocks", isolation: actor) {
        pair.rightEvents.received.count == expected.count
      }
      #expect(pair.rightEvents.received == expected)
      try await signal.wait("returns", isolation: actor) { returned.count >= 128 }
      #expect(returned.count == 128)
      for block in blocks { #expect(returned.count { $0 == block } == 2) }
      pair.close()
      await pause(milliseconds: 5, on: actor)
      #expect(returned.count == 128)
      pool.release(blocks)
    }
  }

  @Test(arguments: ["close", "reset", "detach", "peer resets"])
  func blocksComeBackOnceWhenAConnectionEndsInMidSend(_ way: String) async throws {
    try await withLoop { actor in
      var options = Connection.Options()
      options.sendBufferBytes = 16 * 1024
      let pair = try await makePair(on: actor, options: options)
      pair.right.pauseReading()
      let pool = try BlockPool(capacity: 512)
      var returned: [BlockID] = []
      let signal = Signal()
      actor.loop.onBlocksReturned { blocks in
        returned += blocks
        signal.changed()
      }
      var blocks: [BlockID] = []
      pool.take(512, into: &blocks)
      for block in blocks {
        pair.left.write(copying: [1, 2, 3])
        pair.left.write(block: block, of: pool)
      }
      // Until the kernel takes no more.
      var last = -1
      while last != pair.left.outputLength {
        last = pair.left.outputLength
        await pause(milliseconds: 20, on: actor)
      }
      #expect(last > 0)
      #expect(returned.count < 512)
      switch way {
      case "close": pair.left.close()
      case "reset": pair.left.reset()
      case "detach": close(try #require(pair.left.detach()))
      default:
        pair.right.reset()
        try await pair.leftEvents.signal.wait("failure", isolation: actor) {
          pair.leftEvents.closed != nil || pair.leftEvents.readError != nil
        }
        pair.left.close()
      }
      #expect(!pair.left.write(block: blocks[0], of: pool), "a closed connection takes no block")
      try await signal.wait("returns", isolation: actor) { returned.count >= 512 }
      await pause(milliseconds: 5, on: actor)
      #expect(returned.count == 512)
      #expect(Set(returned).count == 512)
      pool.release(blocks)
      pair.close()
    }
  }

  @Test func theEndOfTheStreamAndResetsAreTold() async throws {
    try await withLoop { actor in
      let ended = try await makePair(on: actor)
      ended.left.write(copying: [7])
      ended.left.closeAfterFlush()
      try await ended.rightEvents.signal.wait("end", isolation: actor) { ended.rightEvents.isEnded }
      #expect(ended.rightEvents.received == [7])
      #expect(ended.leftEvents.closed == .flushed)
      #expect(ended.left.isClosed)
      ended.close()

      let broken = try await makePair(on: actor)
      broken.left.reset()
      try await broken.rightEvents.signal.wait("reset", isolation: actor) {
        broken.rightEvents.readError != nil
      }
      #expect(broken.rightEvents.readError == SystemError(code: ECONNRESET))
      #expect(broken.leftEvents.closed == nil, "who closes is not told")
      broken.right.write(copying: [1])
      try await broken.rightEvents.signal.wait("failed write", isolation: actor) {
        broken.rightEvents.closed != nil
      }
      #expect(broken.rightEvents.closed == .writeFailed(SystemError(code: EPIPE)))
      #expect(broken.rightEvents.closed?.description.contains("Broken pipe") == true)
      broken.close()
    }
  }

  @Test func refusedConnectionsSaySo() async throws {
    try await withLoop { actor in
      let unused = try UnusedPort()
      let events = Recorder()
      let connection = try Connection(connectingTo: unused.address, on: actor.loop, handler: events)
      connection.write(copying: [1, 2, 3])
      try await events.signal.wait("refusal", isolation: actor) { events.closed != nil }
      #expect(events.closed == .connectFailed(SystemError(code: ECONNREFUSED)))
      #expect(!events.isOpened)
      #expect(connection.isClosed)
    }
  }

  @Test func connectionsTimeOut() async throws {
    try await withLoop { actor in
      // Nobody accepts: once the queue is full, Linux drops further SYNs.
      let full = try FullListener()
      let events = Recorder()
      var options = Connection.Options()
      options.connectTimeoutMilliseconds = 50
      let connection = try Connection(
        connectingTo: full.address, on: actor.loop, options: options, handler: events)
      try await events.signal.wait("timeout", isolation: actor) { events.closed != nil }
      #expect(events.closed == .connectTimedOut)
      #expect(connection.isClosed)
      // Closing while connecting is silent.
      let other = try Connection(
        connectingTo: full.address, on: actor.loop, options: options, handler: events)
      events.closed = nil
      other.close()
      await pause(milliseconds: 80, on: actor)
      #expect(events.closed == nil)
    }
  }

  @Test func impossibleConnectionsFailAtOnce() async throws {
    try await withLoop { actor in
      var options = Connection.Options()
      options.binding = LocalBinding(address: .loopback(.v4))
      let error = #expect(throws: ReactorError.self) {
        try Connection(
          connectingTo: .loopback(.v6, port: 1), on: actor.loop, options: options, handler: Recorder())
      }
      #expect(error?.cause == SystemError(code: EAFNOSUPPORT))
      #expect(error?.description.hasPrefix("cannot connect to [::1]:1: ") == true)
      // An address nobody here has: documentation space.
      options.binding = LocalBinding(address: SocketAddress(v4: 0xc000_0201, port: 0))
      let other = #expect(throws: ReactorError.self) {
        try Connection(
          connectingTo: .loopback(.v4, port: 1), on: actor.loop, options: options, handler: Recorder())
      }
      #expect(other?.cause == SystemError(code: EADDRNOTAVAIL))
    }
  }

  @Test func connectionsUseTheBoundAddress() async throws {
    try await withLoop { actor in
      let from = try #require(SocketAddress(parsing: "127.0.0.8:0"))
      var options = Connection.Options()
      options.binding = LocalBinding(address: from)
      let pair = try await makePair(on: actor, options: options)
      #expect(pair.left.localAddress?.host == "127.0.0.8")
      #expect(pair.right.remoteAddress.host == "127.0.0.8")
      pair.close()
    }
  }

  @Test func pausedReadingHoldsThePeerBack() async throws {
    try await withLoop { actor in
      let pair = try await makePair(on: actor)
      pair.right.pauseReading()
      let message = pattern(100_000)
      pair.left.write(copying: message)
      await pause(milliseconds: 20, on: actor)
      #expect(pair.rightEvents.readableCount == 0)
      pair.right.resumeReading()
      try await pair.rightEvents.signal.wait("bytes", isolation: actor) {
        pair.rightEvents.received.count == message.count
      }
      #expect(pair.rightEvents.received == message)
      pair.close()
    }
  }

  @Test func theLowWatermarkTellsWhenToWriteMore() async throws {
    try await withLoop { actor in
      var options = Connection.Options()
      options.sendBufferBytes = 64 * 1024
      let pair = try await makePair(on: actor, options: options)
      pair.left.setLowWatermark(50_000)
      pair.left.write(copying: pattern(40_000))
      await pause(milliseconds: 5, on: actor)
      #expect(pair.leftEvents.writableCount == 0, "never above the mark")
      pair.right.pauseReading()
      pair.left.write(copying: [UInt8](repeating: 7, count: 8_000_000))
      await pause(milliseconds: 20, on: actor)
      #expect(pair.left.outputLength > 50_000)
      #expect(pair.leftEvents.writableCount == 0, "above the mark")
      pair.right.resumeReading()
      try await pair.leftEvents.signal.wait("room", isolation: actor) { pair.leftEvents.writableCount == 1 }
      #expect(pair.left.outputLength <= 50_000)
      try await pair.rightEvents.signal.wait("everything", isolation: actor) {
        pair.rightEvents.received.count == 8_040_000
      }
      #expect(pair.leftEvents.writableCount == 1)
      pair.close()
    }
  }

  @Test func aFlushThatIsNotTakenEnds() async throws {
    try await withLoop { actor in
      let pair = try await makePair(on: actor)
      pair.right.pauseReading()
      pair.left.write(copying: [UInt8](repeating: 7, count: 20_000_000))
      pair.left.closeAfterFlush(timeoutNanoseconds: 100_000_000)
      try await pair.leftEvents.signal.wait("end", isolation: actor) { pair.leftEvents.closed != nil }
      #expect(pair.leftEvents.closed == .flushTimedOut)
      pair.close()
    }
  }

  @Test func outputWrittenBeforeTheConnectionIsMadeIsSent() async throws {
    try await withLoop { actor in
      let rightEvents = Recorder()
      var right: Connection?
      let listener = try Listener(
        family: .v4, port: 0, binding: LocalBinding(address: .loopback(.v4)), on: actor.loop
      ) { descriptor, peer in
        right = try? Connection(
          adopting: descriptor, remoteAddress: peer, on: actor.loop, handler: rightEvents)
      }
      let leftEvents = Recorder()
      let left = try Connection(connectingTo: listener.localAddress, on: actor.loop, handler: leftEvents)
      left.write(copying: [1, 2, 3])
      #expect(left.outputLength == 3)
      try await rightEvents.signal.wait("bytes", isolation: actor) { rightEvents.received == [1, 2, 3] }
      #expect(leftEvents.isOpened)
      left.close()
      right?.close()
      listener.close()
    }
  }

  /// As a handshake does it: one loop accepts and reads the first bytes, another one goes on.
  @Test func aSocketMovesBetweenLoops() async throws {
    final class Server {
      let events = Recorder()
      let signal = Signal()
      var listener: Listener?
      var connection: Connection?
    }
    try await withTwoLoops { first, second in
      let (server, address) = try await first.run { actor in
        let server = Server()
        let listener = try Listener(
          family: .v4, port: 0, binding: LocalBinding(address: .loopback(.v4)), on: actor.loop
        ) { descriptor, peer in
          server.connection = try? Connection(
            adopting: descriptor, remoteAddress: peer, on: actor.loop, handler: server.events)
          server.signal.changed()
        }
        server.listener = listener
        return (LoopBound(server, on: actor.loop), listener.localAddress)
      }
      let client = try await second.run { actor in
        let events = Recorder()
        let connection = try Connection(connectingTo: address, on: actor.loop, handler: events)
        connection.write(copying: Array("hello".utf8))
        return LoopBound((connection, events), on: actor.loop)
      }
      let (descriptor, peer, firstBytes) = try await first.run { actor in
        let server = server.value
        try await server.signal.wait("client", isolation: actor) { server.connection != nil }
        try await server.events.signal.wait("handshake", isolation: actor) {
          server.events.received.count == 5
        }
        let connection = try #require(server.connection)
        let descriptor = try #require(connection.detach())
        #expect(connection.isClosed && connection.detach() == nil)
        server.listener?.close()
        return (descriptor, connection.remoteAddress, server.events.received)
      }
      #expect(firstBytes == Array("hello".utf8))
      try await second.run { actor in
        let events = Recorder()
        let moved = try Connection(adopting: descriptor, remoteAddress: peer, on: actor.loop, handler: events)
        let (connection, clientEvents) = client.value
        moved.write(copying: Array("welcome".utf8))
        try await clientEvents.signal.wait("answer", isolation: actor) { clientEvents.received.count == 7 }
        connection.write(copying: pattern(50_000))
        try await events.signal.wait("more", isolation: actor) { events.received.count == 50_000 }
        #expect(events.received == pattern(50_000))
        moved.close()
        connection.close()
      }
    }
  }
}
