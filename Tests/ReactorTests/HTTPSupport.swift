import BlockPool
import Reactor
import Testing

/// A TCP server that answers whatever a test tells it to, HTTP or not.
final class ScriptedServer {
  let listener: Listener
  private(set) var connections: [Connection] = []
  private(set) var events: [Recorder] = []
  var url: String { "http://\(listener.localAddress)" }

  /// - Parameter script: gets each new connection once its request's headers are there.
  init(
    at address: SocketAddress = .loopback(.v4), on actor: isolated LoopActor,
    script: @escaping (Connection, String) -> Void
  ) throws {
    var accepted: ((CInt, SocketAddress) -> Void)?
    listener = try Listener(
      family: address.family, port: 0, binding: LocalBinding(address: address), on: actor.loop
    ) { descriptor, peer in accepted?(descriptor, peer) }
    let loop = actor.loop
    accepted = { [weak self] descriptor, peer in
      let recorder = Recorder()
      recorder.onReadable = { connection in
        recorder.readAll(connection)
        let text = String(decoding: recorder.received, as: UTF8.self)
        guard text.hasSuffix("\r\n\r\n") else { return }
        recorder.onReadable = nil
        script(connection, text)
      }
      guard
        let connection = try? Connection(
          adopting: descriptor, remoteAddress: peer, on: loop, handler: recorder)
      else { return }
      self?.connections.append(connection)
      self?.events.append(recorder)
    }
  }

  func close() {
    listener.close()
    for connection in connections { connection.close() }
  }
}

extension Connection {
  func write(_ text: String) { write(copying: Array(text.utf8)) }
}

/// A client without names, which tests give numeric addresses or `localhost`.
struct ClientForTests {
  let client: HTTPClient
  let resolver: Resolver

  init(
    on actor: isolated LoopActor, options: HTTPClient.Options = .init(), asking server: SocketAddress? = nil
  ) {
    resolver = makeResolver(asking: server, on: actor)
    client = HTTPClient(on: actor.loop, resolver: resolver, options: options)
  }

  func close() { resolver.close() }

  func get(_ request: HTTPClient.Request, on actor: isolated LoopActor) async throws -> Result<
    HTTPResponse, HTTPError
  > {
    let signal = Signal()
    var result: Result<HTTPResponse, HTTPError>?
    client.get(request) {
      #expect(result == nil, "answered twice")
      result = $0
      signal.changed()
    }
    #expect(result == nil, "answered from inside the call")
    try await signal.wait(request.url.description, isolation: actor) { result != nil }
    return try #require(result)
  }

  func get(
    _ url: String, on actor: isolated LoopActor, _ adjust: (inout HTTPClient.Request) -> Void = { _ in }
  ) async throws -> Result<HTTPResponse, HTTPError> {
    var request = HTTPClient.Request(url: try URLParts(parsing: url))
    adjust(&request)
    return try await get(request, on: actor)
  }
}

extension Result where Success == HTTPResponse, Failure == HTTPError {
  var error: HTTPError? {
    if case .failure(let error) = self { error } else { nil }
  }

  var text: String? {
    if case .success(let response) = self { String(decoding: response.body, as: UTF8.self) } else { nil }
  }
}
