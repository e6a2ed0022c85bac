import Reactor
import Testing

/// A name server for one test: knows a few names, and can be made to stay silent.
final class NameServer: DatagramHandler {
  var questions = 0
  var isSilent = false

  func datagramReceived(_ bytes: RawSpan, from sender: SocketAddress, on socket: DatagramSocket) {
    questions += 1
    guard !isSilent else { return }
    var message = (0..<bytes.byteCount).map { bytes.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
    var position = 12
    var labels: [String] = []
    while position < message.count, message[position] != 0 {
      let length = Int(message[position])
      labels.append(
        String(decoding: message[position + 1..<position + 1 + length], as: UTF8.self).lowercased())
      position += 1 + length
    }
    let kind = message[position + 2]
    message = Array(message[..<(position + 5)])
    message[2] = 0x81
    message[3] = 0x80
    message.replaceSubrange(6..<12, with: [0, 0, 0, 0, 0, 0])
    let record: [UInt8] = [0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60]
    switch (labels.joined(separator: "."), kind) {
    // No test listens on this address.
    case ("both.test", 1), ("v4.test", 1): message += record + [0, 4, 127, 0, 0, 9]
    case ("both.test", 28): message += record + [0, 16] + [UInt8](repeating: 0, count: 15) + [1]
    case ("v4.test", 28): break
    default: message[3] = 0x83
    }
    if message.count > position + 5 { message[7] = 1 }
    socket.send(message, to: sender)
  }
}

/// A resolver that asks only the given server (if any) and reads no file.
func makeResolver(asking server: SocketAddress?, hosts: String? = nil, on actor: isolated LoopActor)
  -> Resolver
{
  var options = Resolver.Options()
  options.resolvConf = nil
  options.hosts = hosts
  options.nameservers = server.map { [$0] } ?? []
  options.timeoutNanoseconds = 1_000_000_000_000
  return Resolver(on: actor.loop, options: options)
}

func resolve(
  _ name: String, port: UInt16 = 80, family: SocketAddress.Family? = nil, with resolver: Resolver,
  on actor: isolated LoopActor
) async throws -> Result<[SocketAddress], ResolveError> {
  let signal = Signal()
  var result: Result<[SocketAddress], ResolveError>?
  resolver.resolve(name, port: port, family: family) {
    result = $0
    signal.changed()
  }
  #expect(result == nil, "answered from inside the question")
  try await signal.wait("resolution of \(name)", isolation: actor) { result != nil }
  return try #require(result)
}

/// Checks what a name resolves to, in any order.
func expect(
  _ name: String, port: UInt16 = 80, family: SocketAddress.Family? = nil, with resolver: Resolver,
  on actor: isolated LoopActor, gives wanted: Result<Set<String>, ResolveError>,
  sourceLocation: SourceLocation = #_sourceLocation
) async throws {
  let result = try await resolve(name, port: port, family: family, with: resolver, on: actor)
  let found = result.map { Set($0.map(\.description)) }
  #expect(found == wanted, sourceLocation: sourceLocation)
}

@Suite struct ResolverTests {
  @Test func numericAndLocalNamesNeedNoServer() async throws {
    try await withLoop { actor in
      let resolver = makeResolver(asking: nil, on: actor)
      try await expect("10.1.2.3", port: 7, with: resolver, on: actor, gives: .success(["10.1.2.3:7"]))
      try await expect("2001:db8::1", with: resolver, on: actor, gives: .success(["[2001:db8::1]:80"]))
      try await expect("::1", family: .v4, with: resolver, on: actor, gives: .failure(.notFound))
      try await expect("LocalHost", with: resolver, on: actor, gives: .success(["127.0.0.1:80", "[::1]:80"]))
      try await expect("a.localhost", family: .v6, with: resolver, on: actor, gives: .success(["[::1]:80"]))
      for name in ["", "a b", "a\0b", "bücher", String(repeating: "a", count: 254)] {
        try await expect(name, with: resolver, on: actor, gives: .failure(.invalidName))
      }
      resolver.close()
    }
  }

  @Test func withoutAServerTheAnswerComesAtOnce() async throws {
    try await withLoop { actor in
      for path in [nil, "/nonexistent/resolv.conf", "/dev/null"] as [String?] {
        var options = Resolver.Options()
        options.resolvConf = path
        options.hosts = "/nonexistent/hosts"
        // Shorter than any time-out of evdns, which would show as that.
        options.timeoutNanoseconds = 1_000_000_000
        let resolver = Resolver(on: actor.loop, options: options)
        try await expect("tracker.example", with: resolver, on: actor, gives: .failure(.noNameserver))
        resolver.close()
      }
    }
  }

  @Test func withoutARouteTheAnswerComesAtOnce() async throws {
    try await withLoop { actor in
      // No machine has an interface of that number.
      let server = SocketAddress(v6High: 0xfe80_0000_0000_0000, low: 1, port: 53, scope: 0x7fff_fff0)
      let resolver = makeResolver(asking: server, on: actor)
      try await expect("tracker.example", with: resolver, on: actor, gives: .failure(.networkUnreachable))
      resolver.close()
    }
  }

  @Test func serversAreAsked() async throws {
    try await withLoop { actor in
      let server = NameServer()
      var options = DatagramSocket.Options()
      options.binding = LocalBinding(address: .loopback(.v4))
      let socket = try DatagramSocket(family: .v4, port: 0, options: options, on: actor.loop, handler: server)
      let resolver = makeResolver(asking: socket.localAddress, on: actor)
      try await expect(
        "both.test", port: 9, with: resolver, on: actor, gives: .success(["127.0.0.9:9", "[::1]:9"]))
      try await expect("both.test", family: .v6, with: resolver, on: actor, gives: .success(["[::1]:80"]))
      try await expect("V4.test", with: resolver, on: actor, gives: .success(["127.0.0.9:80"]))
      try await expect("unknown.test", with: resolver, on: actor, gives: .failure(.notFound))
      // An idle resolver leaves the loop asleep.
      let turns = actor.loop.statistics.turns
      await pause(milliseconds: 300, on: actor)
      #expect(actor.loop.statistics.turns - turns < 20)
      resolver.close()
      socket.close()
    }
  }

  @Test func theHostsFileIsRead() async throws {
    try await withTemporaryFile("127.0.0.5 tracker.test other\n::1 tracker.test\n# 127.0.0.6 not.test\n") {
      path in
      try await withLoop { actor in
        let resolver = makeResolver(asking: nil, hosts: path, on: actor)
        try await expect(
          "tracker.test", with: resolver, on: actor, gives: .success(["127.0.0.5:80", "[::1]:80"]))
        try await expect("other", family: .v6, with: resolver, on: actor, gives: .failure(.notFound))
        try await expect("not.test", with: resolver, on: actor, gives: .failure(.noNameserver))
        resolver.close()
      }
    }
  }

  @Test func silentServersTimeOutAndCancelledQuestionsStaySilent() async throws {
    try await withLoop { actor in
      let server = NameServer()
      server.isSilent = true
      var options = DatagramSocket.Options()
      options.binding = LocalBinding(address: .loopback(.v4))
      let socket = try DatagramSocket(family: .v4, port: 0, options: options, on: actor.loop, handler: server)
      var resolverOptions = Resolver.Options()
      resolverOptions.resolvConf = nil
      resolverOptions.hosts = nil
      resolverOptions.nameservers = [socket.localAddress]
      resolverOptions.timeoutNanoseconds = 100_000_000
      let resolver = Resolver(on: actor.loop, options: resolverOptions)
      try await expect("slow.test", with: resolver, on: actor, gives: .failure(.timedOut))
      var isCalled = false
      let question = resolver.resolve("slower.test", port: 1) { _ in isCalled = true }
      resolver.resolve("10.0.0.1", port: 1) { _ in isCalled = true }.cancel()
      question.cancel()
      question.cancel()
      await pause(milliseconds: 150, on: actor)
      #expect(!isCalled)
      #expect(server.questions > 0)
      // Closing with a question under way.
      resolver.resolve("slowest.test", port: 1) { _ in isCalled = true }
      resolver.close()
      await pause(milliseconds: 150, on: actor)
      #expect(!isCalled)
      socket.close()
    }
  }

  @Test func aLoopMayEndWithQuestionsUnderWay() async throws {
    let loop = try EventLoop(name: "ends")
    try loop.start()
    let actor = LoopActor(loop)
    try await actor.run { actor in
      let server = NameServer()
      server.isSilent = true
      var options = DatagramSocket.Options()
      options.binding = LocalBinding(address: .loopback(.v4))
      let socket = try DatagramSocket(family: .v4, port: 0, options: options, on: actor.loop, handler: server)
      let resolver = makeResolver(asking: socket.localAddress, on: actor)
      resolver.resolve("slow.test", port: 1) { _ in Issue.record("answered after the end") }
      await pause(milliseconds: 20, on: actor)
    }
    loop.stop()
    loop.join()
  }
}
