import Glibc
import Reactor
import Testing

/// What concerns the whole process runs in a process of its own.
@Suite struct ProcessTests {
  @Test func aListenerRestsWhenDescriptorsRunOut() async {
    await #expect(processExitsWith: .success) {
      // The concurrency runtime opens its own descriptors when first used, and does not survive being refused.
      try await Task.sleep(for: .milliseconds(50))
      try await withLoop { actor in
        let signal = Signal()
        var accepted: [CInt] = []
        let listener = try Listener(
          family: .v4, port: 0, binding: LocalBinding(address: .loopback(.v4)), on: actor.loop
        ) { descriptor, _ in
          accepted.append(descriptor)
          signal.changed()
        }
        let events = Recorder()
        let connection = try Connection(connectingTo: listener.localAddress, on: actor.loop, handler: events)
        // No descriptor is left for the other side: those that are open stay so, new ones would be too high.
        let former = limitDescriptors(to: 3)
        try await events.signal.wait("the kernel's side", isolation: actor) { events.isOpened }
        let turns = actor.loop.statistics.turns
        await pause(milliseconds: 250, on: actor)
        #expect(accepted.isEmpty)
        #expect(listener.pauses >= 1)
        #expect(listener.lastPauseCause?.code == EMFILE)
        #expect(actor.loop.statistics.turns - turns < 50, "a listener without descriptors must not spin")
        _ = limitDescriptors(to: former)
        try await signal.wait("accepting again", isolation: actor) { accepted.count == 1 }
        connection.close()
        listener.close()
        for descriptor in accepted { close(descriptor) }
      }
    }
  }

  @Test func anHTTPServerRestsWhenDescriptorsRunOut() async {
    await #expect(processExitsWith: .success) {
      try await Task.sleep(for: .milliseconds(50))
      try await withLoop { actor in
        let server = try HTTPServer(on: actor.loop) { $0.respond(status: 200, body: Array("here".utf8)) }
        let port = try server.listen(family: .v4, port: 0, binding: LocalBinding(address: .loopback(.v4)))
        let events = Recorder()
        let connection = try Connection(
          connectingTo: .loopback(.v4, port: port), on: actor.loop, handler: events)
        connection.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        let former = limitDescriptors(to: 3)
        try await events.signal.wait("the kernel's side", isolation: actor) { events.isOpened }
        let turns = actor.loop.statistics.turns
        await pause(milliseconds: 250, on: actor)
        #expect(server.connectionCount == 0)
        #expect(actor.loop.statistics.turns - turns < 50, "a listener without descriptors must not spin")
        _ = limitDescriptors(to: former)
        try await events.signal.wait("the answer", isolation: actor) { events.isEnded }
        #expect(String(decoding: events.received, as: UTF8.self).hasSuffix("here"))
        connection.close()
        server.close()
      }
    }
  }

  @Test func signalsArriveOnTheLoop() async {
    await #expect(processExitsWith: .success) {
      try await withTwoLoops { first, second in
        let caught = Log<CInt>()
        let source = try await first.run { actor in
          let source = try SignalSource([SIGINT, SIGTERM], on: actor.loop) { number in
            actor.loop.preconditionOnLoop()
            caught.append(number)
          }
          return LoopBound(source, on: actor.loop)
        }
        try await second.run { actor in
          let error = #expect(throws: ReactorError.self) {
            try SignalSource([SIGHUP], on: actor.loop) { _ in }
          }
          #expect(error?.cause.code == EBUSY)
        }
        kill(getpid(), SIGTERM)
        kill(getpid(), SIGINT)
        try await first.run { actor in
          for _ in 0..<100 where caught.entries.count < 2 { await pause(milliseconds: 10, on: actor) }
          source.value.close()
          source.value.close()
        }
        #expect(Set(caught.entries) == [SIGTERM, SIGINT])
        // Free for another loop now.
        try await second.run { actor in try SignalSource([SIGHUP], on: actor.loop) { _ in }.close() }
      }
    }
  }

  /// Writing to a connection that is gone must be an error, not the end of the process.
  @Test func brokenPipesDoNotKill() async {
    await #expect(processExitsWith: .success) {
      try await withLoop { actor in
        let pair = try await makePair(on: actor)
        pair.right.reset()
        for _ in 0..<3 {
          pair.left.write(copying: [1])
          await pause(milliseconds: 5, on: actor)
        }
        #expect(pair.leftEvents.closed != nil)
        pair.close()
      }
    }
  }

  @Test func closedThingsLeaveNoDescriptors() async {
    await #expect(processExitsWith: .success) {
      try await Task.sleep(for: .milliseconds(50))
      // Once, so that what is opened for good (random numbers, the test harness) is open.
      try await exerciseEverything()
      let before = openDescriptors()
      for _ in 0..<3 { try await exerciseEverything() }
      // The last reference to a loop may go a moment after its thread.
      var after = openDescriptors()
      for _ in 0..<50 where after > before {
        usleep(20_000)
        after = openDescriptors()
      }
      #expect(after <= before)
    }
  }
}

/// Sets the highest number of a new descriptor (those that are open stay so) and gives back the former limit.
func limitDescriptors(to limit: UInt) -> UInt {
  var limits = rlimit()
  getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits)
  let former = limits.rlim_cur
  limits.rlim_cur = limit
  setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits)
  return former
}

/// Opens and closes one of everything, some of it in mid-flight.
func exerciseEverything() async throws {
  try await withLoop { actor in
    let pair = try await makePair(on: actor)
    pair.left.write(copying: [UInt8](repeating: 1, count: 100_000))
    let client = ClientForTests(on: actor)
    let server = try HTTPServer(on: actor.loop) { exchange in exchange.respond(status: 200, body: [1]) }
    let port = try server.listen(family: .v6, port: 0, binding: LocalBinding(address: .loopback(.v6)))
    let result = try await client.get("http://[::1]:\(port)/", on: actor)
    #expect(try result.get().status == 200)
    let silent = try ScriptedServer(on: actor) { _, _ in }
    let exchange = client.client.get(HTTPClient.Request(url: try URLParts(parsing: silent.url))) { _ in }
    let socket = try makeDatagramSocket(on: actor, DatagramRecorder())
    socket.send([1], to: socket.localAddress)
    await pause(milliseconds: 20, on: actor)
    exchange.cancel()
    socket.close()
    silent.close()
    server.close()
    client.close()
    pair.close()
  }
}
