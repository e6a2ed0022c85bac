import BlockPool
import Glibc
import Reactor
import Testing

@Suite struct HTTPClientTests {
  @Test(arguments: [SocketAddress.Family.v4, .v6])
  func fetchesFromOurServer(_ family: SocketAddress.Family) async throws {
    try await withLoop { actor in
      let body = pattern(100_000)
      var seen: [String] = []
      let server = try HTTPServer(on: actor.loop) { exchange in
        seen.append("\(exchange.method) \(String(decoding: exchange.target, as: UTF8.self))")
        #expect(exchange.header("user-agent") == "Test/1")
        #expect(exchange.header("X-Extra") == "yes")
        #expect(exchange.header("Accept-Encoding") == nil)
        #expect(exchange.header("Authorization") == "Basic bWU6c2VjcmV0")
        #expect(exchange.peer?.family == family)
        exchange.respond(
          status: 200, contentType: "application/x-test", headers: [("X-Answer", "a b")], body: body)
      }
      let port = try server.listen(family: family, port: 0, binding: LocalBinding(address: .loopback(family)))
      var options = HTTPClient.Options()
      options.userAgent = "Test/1"
      let client = ClientForTests(on: actor, options: options)
      let host = family == .v4 ? "127.0.0.1" : "[::1]"
      let result = try await client.get("http://me:secret@\(host):\(port)/a%20b?x=1&y=%00#z", on: actor) {
        $0.headers = [("X-Extra", "yes")]
      }
      let response = try result.get()
      #expect(response.status == 200)
      #expect(response.body == body)
      #expect(response.header("content-type") == "application/x-test")
      #expect(response.header("X-ANSWER") == "a b")
      #expect(seen == ["GET /a%20b?x=1&y=%00"])
      client.close()
      server.close()
    }
  }

  @Test func followsRedirectsAsFarAsAllowed() async throws {
    try await withLoop { actor in
      var asked: [String] = []
      let server = try HTTPServer(on: actor.loop) { exchange in
        asked.append(exchange.path)
        switch exchange.path {
        case "/relative/start":
          exchange.respond(status: 302, headers: [("Location", "../end?x=1")], body: Array("gone".utf8))
        case "/absolute":
          exchange.respond(
            status: 307, headers: [("Location", "http://\(exchange.header("Host") ?? "")/end")], body: [])
        case "/end": exchange.respond(status: 200, body: Array("here".utf8))
        case "/loop": exchange.respond(status: 301, headers: [("Location", "/loop")], body: [])
        case "/file": exchange.respond(status: 303, headers: [("Location", "file:///etc/passwd")], body: [])
        case "/nowhere": exchange.respond(status: 308, body: [])
        default: exchange.respond(status: 404, body: Array("no".utf8))
        }
      }
      let port = try server.listen(family: .v4, port: 0, binding: LocalBinding(address: .loopback(.v4)))
      let client = ClientForTests(on: actor)
      let base = "http://127.0.0.1:\(port)"
      var admitted: [String] = []
      let relative = try await client.get(base + "/relative/start", on: actor) {
        $0.admit = { url, address, from in
          admitted.append("\(url.path) \(address) \(from?.path ?? "-")")
          return .allowed
        }
      }
      #expect(relative.text == "here")
      #expect(try relative.get().url.description == base + "/end?x=1")
      #expect(
        admitted == ["/relative/start 127.0.0.1:\(port) -", "/end 127.0.0.1:\(port) /relative/start"])
      let absolute = try await client.get(base + "/absolute", on: actor)
      #expect(absolute.text == "here")
      asked = []
      let looping = try await client.get(base + "/loop", on: actor) { $0.maximumRedirects = 3 }
      #expect(looping.error == .tooManyRedirects(3))
      #expect(asked.count == 4)
      let none = try await client.get(base + "/loop", on: actor) { $0.maximumRedirects = 0 }
      #expect(none.error == .tooManyRedirects(0))
      let file = try await client.get(base + "/file", on: actor)
      #expect(file.error == .badRedirect(.unsupportedScheme("file")))
      let refused = try await client.get(base + "/absolute", on: actor) {
        $0.admit = { _, _, from in from == nil ? .allowed : .refused(reason: "not after a redirect") }
      }
      #expect(refused.error == .refusedByPolicy("not after a redirect"))
      // Without a Location, the answer is what it is; so is any other status.
      let nowhere = try await client.get(base + "/nowhere", on: actor)
      #expect(try nowhere.get().status == 308)
      let missing = try await client.get(base + "/missing", on: actor)
      #expect(try missing.get().status == 404)
      #expect(missing.text == "no")
      client.close()
      server.close()
    }
  }

  /// What a server may send, and what comes of it. `@` stands for ten thousand letters.
  static let answers: [(String, String)] = [
    ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "200 hi"),
    ("HTTP/1.0 200 OK\r\n\r\nhi", "200 hi"),
    ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end", "200 until the end"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n3;x=y\r\n yo\r\n0\r\n\r\n", "error"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n3\r\n yo\r\n0\r\n\r\n", "200 hi yo"),
    ("HTTP/1.1 100 Continue\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "200 hi"),
    ("HTTP/1.1 204 No Content\r\n\r\n", "204 "),
    ("HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\noops", "500 oops"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200 "),
    ("HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nhi", "200 hi"),
    ("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\u{1f}x", "bad"),
    ("", "closed early"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhi", "closed early"),
    ("HTTP/1.1 200 OK\r\nContent-", "closed early"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\nhi", "closed early"),
    ("garbage\r\n\r\n", "bad"),
    ("HTTP/9.9 200 OK\r\n\r\nhi", "bad"),
    ("HTTP/1.1 abc OK\r\n\r\nhi", "bad"),
    ("HTTP/1.1 -7 OK\r\n\r\nhi", "bad"),
    ("HTTP/1.1 99999 OK\r\n\r\nhi", "bad"),
    ("HTTP/1.1 200 OK\r\nno colon\r\n\r\nhi", "bad"),
    ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhi", "bad"),
    ("HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nhi", "bad"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhi", "error"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", "too large"),
    ("HTTP/1.1 200 OK\r\n\r\n@", "too large"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n", "too large"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", "error"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "error"),
    ("HTTP/1.1 200 OK\r\nX: @\r\n\r\nhi", "bad"),
    ("@", "bad"),
    (String(repeating: "HTTP/1.1 100 Continue\r\n\r\n", count: 20), "bad"),
  ]

  @Test(arguments: answers)
  func copesWithWhatServersSend(_ answer: String, _ wanted: String) async throws {
    try await withLoop { actor in
      let text = answer.replacing("@", with: String(repeating: "a", count: 10_000))
      let server = try ScriptedServer(on: actor) { connection, _ in
        connection.write(text)
        // evhttp takes the end of the connection after an interim answer for the end of everything.
        if !text.hasPrefix("HTTP/1.1 100") { connection.closeAfterFlush() }
      }
      let client = ClientForTests(on: actor)
      let result = try await client.get(server.url, on: actor) {
        $0.maximumBodyBytes = 1000
        $0.maximumHeaderBytes = 4000
      }
      let outcome =
        switch result {
        case .success(let response): "\(response.status) \(String(decoding: response.body, as: UTF8.self))"
        case .failure(.closedEarly): "closed early"
        case .failure(.badResponse): "bad"
        case .failure(.tooLarge(maximumBytes: 1000)): "too large"
        case .failure(let error): "\(error)"
        }
      if wanted == "error" {
        #expect(result.error != nil)
      } else {
        #expect(outcome == wanted)
      }
      client.close()
      server.close()
    }
  }

  /// Endless answers of every shape: the client gives up before it has taken much more memory than it was allowed.
  static let endless: [(String, String)] = [
    ("HTTP/1.1 200 OK\r\n\r\n", "0123456789abcdef"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1111111111"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "\r\n\r\n\r\n\r\n"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "A: b\r\n"),
    ("HTTP/1.1 200 OK\r\n", "A: b\r\n"),
    ("HTTP/1.1 200 OK\r\nA: b\r\n", " c\r\n"),
    ("", "\r\n\r\n\r\n"),
    ("", "HTTP/1.1 100 Continue\r\nA: b\r\n\r\n"),
    ("", "HTTP"),
  ]

  @Test(arguments: endless)
  func endlessAnswersEnd(_ start: String, _ again: String) async throws {
    try await withLoop { actor in
      var sent = 0
      let piece = Array(String(repeating: again, count: 1 + 4000 / again.utf8.count).utf8)
      let server = try ScriptedServer(on: actor) { connection, _ in
        connection.write(start)
        func more() {
          guard !connection.isClosed else { return }
          if connection.outputLength < 100_000 {
            connection.write(copying: piece)
            sent += piece.count
          }
          actor.loop.schedule(afterNanoseconds: 0, more)
        }
        more()
      }
      let client = ClientForTests(on: actor)
      let result = try await client.get(server.url, on: actor) {
        $0.maximumBodyBytes = 10_000
        $0.maximumHeaderBytes = 4_000
      }
      #expect(result.error != nil && result.error != .timedOut)
      // The server's and the kernel's buffers included.
      #expect(sent < 12_000_000)
      client.close()
      server.close()
    }
  }

  @Test func slowServersTimeOut() async throws {
    try await withLoop { actor in
      let server = try ScriptedServer(on: actor) { _, _ in }
      let client = ClientForTests(on: actor)
      let overall = try await client.get(server.url, on: actor) { $0.timeoutNanoseconds = 100_000_000 }
      #expect(overall.error == .timedOut)
      let idle = try await client.get(server.url, on: actor) { $0.idleTimeoutNanoseconds = 100_000_000 }
      #expect(idle.error == .timedOut)
      // A drop now and then defeats the idle limit, not the overall one.
      let dripping = try ScriptedServer(on: actor) { connection, _ in
        connection.write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        func drip() {
          guard !connection.isClosed else { return }
          connection.write("x")
          actor.loop.schedule(afterNanoseconds: 20_000_000, drip)
        }
        drip()
      }
      let drips = try await client.get(dripping.url, on: actor) {
        $0.timeoutNanoseconds = 300_000_000
        $0.idleTimeoutNanoseconds = 150_000_000
      }
      #expect(drips.error == .timedOut)
      let full = try FullListener()
      let connecting = try await client.get("http://\(full.address)/", on: actor) {
        $0.idleTimeoutNanoseconds = 100_000_000
      }
      #expect(connecting.error == .timedOut)
      client.close()
      server.close()
      dripping.close()
    }
  }

  @Test func failuresSayWhatHappened() async throws {
    try await withLoop { actor in
      let unused = try UnusedPort()
      let address = unused.address
      let client = ClientForTests(on: actor)
      let refused = try await client.get("http://\(address)/", on: actor)
      #expect(refused.error == .connectFailed(address, SystemError(code: ECONNREFUSED)))
      #expect(refused.error?.description == "cannot connect to \(address): Connection refused")
      let unknown = try await client.get("http://tracker.example/announce", on: actor)
      #expect(unknown.error == .resolution(host: "tracker.example", .noNameserver))
      #expect(unknown.error?.description.hasPrefix("tracker.example: ") == true)
      let broken = try await client.get("http://\(address)/", on: actor) { $0.headers = [("X", "a\r\nY: b")] }
      #expect(broken.error == .invalidHeader(name: "X"))
      let resetting = try ScriptedServer(on: actor) { connection, _ in connection.reset() }
      let reset = try await client.get(resetting.url, on: actor)
      #expect(reset.error == .closedEarly)
      resetting.close()
      client.close()
    }
  }

  @Test func onlyAdmittedAddressesAreConnectedTo() async throws {
    try await withLoop { actor in
      let names = NameServer()
      var datagramOptions = DatagramSocket.Options()
      datagramOptions.binding = LocalBinding(address: .loopback(.v4))
      let nameSocket = try DatagramSocket(
        family: .v4, port: 0, options: datagramOptions, on: actor.loop, handler: names)
      var connected = 0
      let server = try ScriptedServer(at: .loopback(.v6), on: actor) { connection, request in
        connected += 1
        #expect(request.contains("\r\nHost: both.test:"))
        connection.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
      }
      let port = server.listener.localAddress.port
      let client = ClientForTests(on: actor, asking: nameSocket.localAddress)
      // 127.0.0.9 refuses the connection, ::1 takes it.
      let refusing = try #require(SocketAddress(parsing: "127.0.0.9:\(port)"))
      let second = try await client.get("http://both.test:\(port)/", on: actor)
      #expect(second.text == "hi")
      #expect(connected == 1)
      let questions = names.questions
      var asked: [SocketAddress] = []
      let none = try await client.get("http://both.test:\(port)/", on: actor) {
        $0.admit = { url, address, _ in
          asked.append(address)
          return .refused(reason: "\(url.host) is not for you")
        }
      }
      #expect(none.error == .refusedByPolicy("both.test is not for you"))
      #expect(Set(asked) == [refusing, .loopback(.v6, port: port)])
      #expect(names.questions <= questions + 2)
      #expect(connected == 1)
      let wrongFamily = try await client.get("http://both.test:\(port)/", on: actor) { $0.family = .v4 }
      #expect(wrongFamily.error == .connectFailed(refusing, SystemError(code: ECONNREFUSED)))
      client.close()
      server.close()
      nameSocket.close()
    }
  }

  @Test func usesTheBoundAddress() async throws {
    try await withLoop { actor in
      let server = try HTTPServer(on: actor.loop) { exchange in
        exchange.respond(status: 200, body: Array((exchange.peer?.host ?? "").utf8))
      }
      let port = try server.listen(family: .v4, port: 0, binding: LocalBinding(address: .loopback(.v4)))
      var options = HTTPClient.Options()
      options.binding = try LocalBinding(parsing: "127.0.0.7")
      let client = ClientForTests(on: actor, options: options)
      let bound = try await client.get("http://127.0.0.1:\(port)/", on: actor)
      #expect(bound.text == "127.0.0.7")
      let other = try await client.get("http://[::1]:\(port)/", on: actor)
      #expect(other.error == .notReachableFromBinding)
      client.close()
      options.binding = try LocalBinding(parsing: "192.0.2.1")
      let unavailable = ClientForTests(on: actor, options: options)
      let result = try await unavailable.get("http://127.0.0.1:\(port)/", on: actor)
      #expect(result.error == .connectFailed(.loopback(.v4, port: port), SystemError(code: EADDRNOTAVAIL)))
      unavailable.close()
      server.close()
    }
  }

  @Test func cancelledRequestsStaySilent() async throws {
    try await withLoop { actor in
      let server = try ScriptedServer(on: actor) { _, _ in }
      let client = ClientForTests(on: actor)
      let request = HTTPClient.Request(url: try URLParts(parsing: server.url))
      for delay in [0, 1, 20] as [UInt64] {
        let exchange = client.client.get(request) { _ in Issue.record("a cancelled request was answered") }
        if delay > 0 { await pause(milliseconds: delay, on: actor) }
        exchange.cancel()
        exchange.cancel()
      }
      await pause(milliseconds: 20, on: actor)
      client.close()
      server.close()
    }
  }

  @Test func aLoopMayEndWithRequestsUnderWay() async throws {
    let loop = try EventLoop(name: "ends")
    try loop.start()
    try await LoopActor(loop).run { actor in
      let server = try ScriptedServer(on: actor) { connection, _ in connection.write("HTTP/1.1 200 OK\r\n") }
      let client = ClientForTests(on: actor)
      for _ in 0..<3 {
        client.client.get(HTTPClient.Request(url: try URLParts(parsing: server.url))) { _ in
          Issue.record("answered after the end")
        }
      }
      await pause(milliseconds: 20, on: actor)
      client.client.get(HTTPClient.Request(url: try URLParts(parsing: server.url))) { _ in }
    }
    loop.stop()
    loop.join()
  }
}
