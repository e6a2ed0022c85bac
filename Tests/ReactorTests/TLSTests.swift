import BlockPool
import Reactor
import Testing

@Suite(.enabled(if: ChildProcess.hasOpenSSL, "needs the openssl command"))
struct TLSTests {
  @Test func serversMustProveWhoTheyAre() async throws {
    let authority = try TestAuthority()
    let body = String(repeating: "secret ", count: 5_000)
    try authority.write("HTTP/1.0 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)", to: "page")
    try authority.write("HTTP/1.0 200 OK\r\n\r\n\(body)", to: "unmeasured")
    try authority.issue("good", for: "DNS:localhost,IP:127.0.0.1")
    try authority.issue("other", for: "DNS:other.example,IP:127.0.0.2")
    try authority.issue("wild", for: "DNS:*.test.localhost")
    try authority.issue("expired", for: "DNS:localhost,IP:127.0.0.1", days: -1)
    try authority.issue("self", for: "DNS:localhost,IP:127.0.0.1", selfSigned: true)
    let trusting = try TLSContext(extraCAFile: authority.caFile)
    let wary = try TLSContext()

    // Certificate, whom the client trusts, host: the reason for a refusal, or nil.
    let rows: [(String, TLSContext, String, String?)] = [
      ("good", trusting, "localhost", nil),
      ("good", trusting, "127.0.0.1", nil),
      ("good", wary, "localhost", "unable to get local issuer certificate"),
      ("other", trusting, "localhost", "hostname mismatch"),
      ("other", trusting, "127.0.0.1", "IP address mismatch"),
      ("wild", trusting, "a.test.localhost", nil),
      ("wild", trusting, "a.b.test.localhost", "hostname mismatch"),
      ("expired", trusting, "localhost", "certificate has expired"),
      ("self", trusting, "localhost", "self-signed certificate"),
    ]
    for name in ["good", "other", "wild", "expired", "self"] {
      let (server, port) = try authority.serve(name)
      for (certificate, tls, host, wanted) in rows where certificate == name {
        try await withLoop { actor in
          var options = HTTPClient.Options()
          options.tls = tls
          let client = ClientForTests(on: actor, options: options)
          let result = try await client.get("https://\(host):\(port)/page", on: actor) { $0.family = .v4 }
          if let wanted {
            #expect(result.error == .certificateRefused(host: host, reason: wanted), "\(name) for \(host)")
          } else {
            #expect(result.error == nil, "\(name) for \(host)")
            let isWhole = result.text == body
            #expect(isWhole)
            let unmeasured = try await client.get("https://\(host):\(port)/unmeasured", on: actor) {
              $0.family = .v4
            }
            #expect(unmeasured.error == nil)
            let isWholeToo = unmeasured.text == body
            #expect(isWholeToo)
          }
          client.close()
        }
      }
      _ = server
    }
  }

  @Test func whatIsNotTLSIsToldApart() async throws {
    try await withLoop { actor in
      var options = HTTPClient.Options()
      options.tls = try TLSContext()
      let client = ClientForTests(on: actor, options: options)
      // A plain HTTP server where TLS is expected.
      let signal = Signal()
      var accepted: [Connection] = []
      let events = Recorder()
      events.onReadable = { connection in
        connection.write("HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.closeAfterFlush()
      }
      let listener = try Listener(
        family: .v4, port: 0, binding: LocalBinding(address: .loopback(.v4)), on: actor.loop
      ) { descriptor, peer in
        if let connection = try? Connection(
          adopting: descriptor, remoteAddress: peer, on: actor.loop, handler: events)
        {
          accepted.append(connection)
        }
        signal.changed()
      }
      let plain = try await client.get("https://\(listener.localAddress)/", on: actor)
      #expect(plain.error == .tlsFailed(reason: "wrong version number"))
      // One that hangs up during the handshake.
      events.onReadable = { $0.close() }
      let hangingUp = try await client.get("https://\(listener.localAddress)/", on: actor)
      guard case .tlsFailed = hangingUp.error else {
        Issue.record("\(String(describing: hangingUp.error))")
        return
      }
      // One that never says a word.
      events.onReadable = { $0.pauseReading() }
      let silent = try await client.get("https://\(listener.localAddress)/", on: actor) {
        $0.idleTimeoutNanoseconds = 100_000_000
      }
      #expect(silent.error == .timedOut)
      listener.close()
      for connection in accepted { connection.close() }
      let unused = try UnusedPort()
      let refused = try await client.get("https://\(unused.address)/", on: actor)
      #expect(refused.error?.description == "cannot connect to \(unused.address): Connection refused")
      client.close()
    }
  }

  @Test func unreadableAuthoritiesAreRefused() throws {
    let error = #expect(throws: TLSContext.LoadError.self) {
      try TLSContext(extraCAFile: "/nonexistent/ca.pem")
    }
    #expect(error?.description.contains("/nonexistent/ca.pem") == true)
    let empty = #expect(throws: TLSContext.LoadError.self) { try TLSContext(extraCAFile: "/dev/null") }
    #expect(empty?.description.hasPrefix("cannot read the CA file: ") == true)
  }
}
