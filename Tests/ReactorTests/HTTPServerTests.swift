import BlockPool
import Reactor
import Testing

@Suite struct HTTPServerTests {
  /// Sends raw text to a server and gives back what comes until the connection ends or `marker` shows.
  private func talk(
    _ text: String, to port: UInt16, until marker: String? = nil, on actor: isolated LoopActor
  ) async throws -> String {
    let events = Recorder()
    let connection = try Connection(connectingTo: .loopback(.v4, port: port), on: actor.loop, handler: events)
    connection.write(text)
    try await events.signal.wait("an answer to \(text.prefix(40))", isolation: actor) {
      events.isEnded || events.readError != nil || events.closed != nil
        || marker.map { String(decoding: events.received, as: UTF8.self).contains($0) } == true
    }
    connection.close()
    if let failure = events.readError?.description ?? events.closed?.description { return failure }
    return String(decoding: events.received, as: UTF8.self)
  }

  private func makeServer(
    on actor: isolated LoopActor, options: HTTPServer.Options = .init(),
    _ handler: @escaping (HTTPServerExchange) -> Void
  ) throws -> (HTTPServer, UInt16) {
    let server = try HTTPServer(on: actor.loop, options: options, handler: handler)
    let port = try server.listen(family: .v4, port: 0, binding: LocalBinding(address: .loopback(.v4)))
    return (server, port)
  }

  @Test func methodsTargetsAndBodies() async throws {
    try await withLoop { actor in
      var seen: [String] = []
      let (server, port) = try makeServer(on: actor) { exchange in
        let query = String(decoding: exchange.query, as: UTF8.self)
        seen.append("\(exchange.method) \(exchange.path) \(query) \(exchange.body.count)")
        exchange.respond(status: 200, body: Array("answer".utf8))
        exchange.respond(status: 500, body: [])
        #expect(exchange.header("Host") == nil && exchange.body.isEmpty, "nothing is left after the answer")
      }
      let close = "Host: x\r\nConnection: close\r\n"
      let plain = try await talk("GET /a?b=%ff HTTP/1.1\r\n\(close)\r\n", to: port, on: actor)
      #expect(plain.hasPrefix("HTTP/1.1 200 OK\r\n") && plain.hasSuffix("\r\n\r\nanswer"))
      #expect(
        plain.contains("\r\nContent-Length: 6\r\n") && plain.contains("\r\nContent-Type: text/plain\r\n"))
      let head = try await talk("HEAD /a HTTP/1.1\r\n\(close)\r\n", to: port, on: actor)
      #expect(head.hasSuffix("\r\n\r\n"))
      let post = try await talk(
        "POST /p HTTP/1.1\r\n\(close)Content-Length: 5\r\n\r\nhello", to: port, on: actor)
      #expect(post.hasSuffix("answer"))
      _ = try await talk("GET http://x/abs?c HTTP/1.1\r\n\(close)\r\n", to: port, on: actor)
      _ = try await talk("GET http://x?d HTTP/1.1\r\n\(close)\r\n", to: port, on: actor)
      let old = try await talk("GET /old HTTP/1.0\r\n\r\n", to: port, on: actor)
      #expect(old.hasSuffix("answer"))
      let unknown = try await talk("BREW / HTTP/1.1\r\n\(close)\r\n", to: port, on: actor)
      #expect(unknown.hasPrefix("HTTP/1.1 501 "))
      #expect(
        seen == ["GET /a b=%ff 0", "HEAD /a  0", "POST /p  5", "GET /abs c 0", "GET / d 0", "GET /old  0"])
      server.close()
    }
  }

  @Test func connectionsAreKeptAndRequestsMayBeSentAhead() async throws {
    try await withLoop { actor in
      let (server, port) = try makeServer(on: actor) { exchange in
        exchange.respond(status: 200, body: Array("<\(exchange.path)>".utf8))
      }
      let request = { (path: String) in "GET \(path) HTTP/1.1\r\nHost: x\r\n\r\n" }
      let text = try await talk(
        request("/1") + request("/2") + request("/3"), to: port, until: "</3>", on: actor)
      #expect(text.components(of: "HTTP/1.1 200 OK") == 3)
      server.close()
    }
  }

  @Test func limitsHold() async throws {
    try await withLoop { actor in
      var options = HTTPServer.Options()
      options.maximumHeaderBytes = 1000
      options.maximumBodyBytes = 1000
      let (server, port) = try makeServer(on: actor, options: options) { exchange in
        exchange.respond(status: 200, body: [])
      }
      let long = String(repeating: "a", count: 5_000)
      let target = try await talk("GET /\(long) HTTP/1.1\r\nHost: x\r\n\r\n", to: port, on: actor)
      #expect(target.hasPrefix("HTTP/") && target.contains(" 400 "))
      let header = try await talk("GET / HTTP/1.1\r\nX: \(long)\r\n\r\n", to: port, on: actor)
      #expect(header.contains(" 400 "))
      let body = try await talk(
        "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1001\r\n\r\n\(long)", to: port,
        on: actor)
      #expect(body.contains(" 413 "))
      let garbage = try await talk("\u{1}\u{2}\u{3}\r\n\r\n", to: port, on: actor)
      #expect(garbage.contains(" 400 "))
      // A chunk line without an end: evhttp has no limit for it.
      let events = Recorder()
      let connection = try Connection(
        connectingTo: .loopback(.v4, port: port), on: actor.loop, handler: events)
      connection.write("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
      connection.write(copying: [UInt8](repeating: UInt8(ascii: "1"), count: 5_000_000))
      try await events.signal.wait("the server to give up", isolation: actor) {
        events.isEnded || events.readError != nil || events.closed != nil
      }
      connection.close()
      server.close()
    }
  }

  @Test func silentAndSlowClientsAreLetGo() async throws {
    try await withLoop { actor in
      var options = HTTPServer.Options()
      options.idleTimeoutNanoseconds = 200_000_000
      options.requestTimeoutNanoseconds = 500_000_000
      let (server, port) = try makeServer(on: actor, options: options) { exchange in
        exchange.respond(status: 200, body: [])
      }
      _ = try await talk("GET / HT", to: port, on: actor)
      // One byte at a time keeps the idle timer away, not the request timer.
      let events = Recorder()
      let slow = try Connection(connectingTo: .loopback(.v4, port: port), on: actor.loop, handler: events)
      func drip() {
        guard !slow.isClosed else { return }
        slow.write("G")
        actor.loop.schedule(afterNanoseconds: 50_000_000, drip)
      }
      drip()
      try await events.signal.wait("the server to hang up", isolation: actor) {
        events.isEnded || events.readError != nil || events.closed != nil
      }
      slow.close()
      server.close()
    }
  }

  @Test func moreConnectionsThanAllowedWait() async throws {
    try await withLoop { actor in
      var options = HTTPServer.Options()
      options.maximumConnections = 3
      let (server, port) = try makeServer(on: actor, options: options) { exchange in
        exchange.respond(status: 200, body: Array("done".utf8))
      }
      var idle: [Connection] = []
      for _ in 0..<3 {
        let events = Recorder()
        idle.append(try Connection(connectingTo: .loopback(.v4, port: port), on: actor.loop, handler: events))
        try await events.signal.wait("connection", isolation: actor) { events.isOpened }
      }
      let events = Recorder()
      let waiting = try Connection(connectingTo: .loopback(.v4, port: port), on: actor.loop, handler: events)
      waiting.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
      await pause(milliseconds: 200, on: actor)
      #expect(events.received.isEmpty)
      #expect(server.connectionCount == 3)
      idle.removeLast().close()
      try await events.signal.wait("its turn", isolation: actor) { events.isEnded }
      #expect(String(decoding: events.received, as: UTF8.self).hasSuffix("done"))
      for connection in idle { connection.close() }
      waiting.close()
      for _ in 0..<500 where server.connectionCount > 0 { await pause(milliseconds: 10, on: actor) }
      #expect(server.connectionCount == 0)
      server.close()
    }
  }

  @Test func answersMayComeLaterOrNever() async throws {
    try await withLoop { actor in
      var kept: [HTTPServerExchange] = []
      let signal = Signal()
      let (server, port) = try makeServer(on: actor) { exchange in
        switch exchange.path {
        case "/later":
          actor.loop.schedule(afterNanoseconds: 20_000_000) {
            exchange.respond(status: 200, body: Array("late".utf8))
          }
        case "/keep":
          kept.append(exchange)
          signal.changed()
        default: break
        }
      }
      let end = " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
      #expect(try await talk("GET /later" + end, to: port, on: actor).hasSuffix("late"))
      #expect(try await talk("GET /dropped" + end, to: port, on: actor).hasPrefix("HTTP/1.1 500 "))
      // The client leaves before the answer.
      let events = Recorder()
      let leaving = try Connection(connectingTo: .loopback(.v4, port: port), on: actor.loop, handler: events)
      leaving.write("GET /keep" + end)
      try await signal.wait("the request", isolation: actor) { kept.count == 1 }
      leaving.reset()
      await pause(milliseconds: 20, on: actor)
      kept[0].respond(status: 200, body: Array("nobody there".utf8))
      // The server closes before the answer.
      let other = try Connection(connectingTo: .loopback(.v4, port: port), on: actor.loop, handler: events)
      other.write("GET /keep" + end)
      try await signal.wait("the other request", isolation: actor) { kept.count == 2 }
      server.close()
      kept[1].respond(status: 200, body: [])
      #expect(kept[1].header("Host") == nil)
      other.close()
    }
  }
}

extension String {
  /// How often `part` occurs.
  fileprivate func components(of part: String) -> Int { ranges(of: part).count }
}
