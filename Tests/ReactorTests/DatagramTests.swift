import BlockPool
import Glibc
import Reactor
import Testing

/// Remembers datagrams; answers each when asked to.
final class DatagramRecorder: DatagramHandler {
  let signal = Signal()
  var received: [(bytes: [UInt8], from: SocketAddress)] = []
  var unreachable: [(to: SocketAddress, error: SystemError)] = []
  var answer: (([UInt8], SocketAddress, DatagramSocket) -> Void)?

  func datagramReceived(_ bytes: RawSpan, from sender: SocketAddress, on socket: DatagramSocket) {
    let copy = (0..<bytes.byteCount).map { bytes.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
    received.append((copy, sender))
    answer?(copy, sender, socket)
    signal.changed()
  }

  func datagramUnreachable(_ receiver: SocketAddress, error: SystemError, on socket: DatagramSocket) {
    unreachable.append((receiver, error))
    signal.changed()
  }
}

/// A datagram socket on loopback.
func makeDatagramSocket(
  _ family: SocketAddress.Family = .v4, on actor: isolated LoopActor, _ handler: DatagramRecorder,
  options: DatagramSocket.Options = .init()
) throws -> DatagramSocket {
  var options = options
  options.binding = LocalBinding(address: .loopback(family))
  return try DatagramSocket(family: family, port: 0, options: options, on: actor.loop, handler: handler)
}

@Suite struct DatagramTests {
  /// Whoever asks one address of a machine takes the answer from no other (BEP 15, BEP 5).
  @Test func answersComeFromTheAddressThatWasAsked() async throws {
    try await withLoop { actor in
      let (client, server) = (DatagramRecorder(), DatagramRecorder())
      server.answer = { bytes, sender, socket in socket.send(bytes, to: sender) }
      let serverSocket = try DatagramSocket(family: .v4, port: 0, on: actor.loop, handler: server)
      let clientSocket = try makeDatagramSocket(.v4, on: actor, client)
      let asked = try #require(SocketAddress(host: "127.0.0.77", port: serverSocket.localAddress.port))
      clientSocket.send([1, 2, 3], to: asked)
      try await client.signal.wait("an answer", isolation: actor) { !client.received.isEmpty }
      #expect(client.received.first?.from == asked)
      clientSocket.close()
      serverSocket.close()
    }
  }

  @Test(arguments: [SocketAddress.Family.v4, .v6])
  func datagramsGoAndComeBack(_ family: SocketAddress.Family) async throws {
    try await withLoop { actor in
      let (client, server) = (DatagramRecorder(), DatagramRecorder())
      server.answer = { bytes, sender, socket in socket.send(bytes.reversed(), to: sender) }
      let serverSocket = try makeDatagramSocket(family, on: actor, server)
      let clientSocket = try makeDatagramSocket(family, on: actor, client)
      #expect(serverSocket.localAddress.port != 0)
      // More than one batch, among them an empty one and the longest.
      let messages = (0..<100).map {
        pattern($0 == 99 ? DatagramSocket.maximumLength : $0, seed: UInt64($0 + 1))
      }
      for message in messages { #expect(clientSocket.send(message, to: serverSocket.localAddress)) }
      #expect(clientSocket.queuedCount == 100)
      try await client.signal.wait("answers", isolation: actor) { client.received.count == 100 }
      #expect(server.received.map(\.bytes) == messages)
      #expect(server.received.allSatisfy { $0.from == clientSocket.localAddress })
      #expect(client.received.map(\.bytes) == messages.map { $0.reversed() })
      #expect(clientSocket.queuedCount == 0 && clientSocket.droppedCount == 0)
      clientSocket.close()
      serverSocket.close()
      #expect(!clientSocket.send([1], to: serverSocket.localAddress))
    }
  }

  @Test func whatIsTooLongIsDropped() async throws {
    try await withLoop { actor in
      let (client, server) = (DatagramRecorder(), DatagramRecorder())
      let serverSocket = try makeDatagramSocket(on: actor, server)
      let clientSocket = try makeDatagramSocket(on: actor, client)
      clientSocket.send(
        [UInt8](repeating: 1, count: DatagramSocket.maximumLength + 1), to: serverSocket.localAddress)
      clientSocket.send([2], to: serverSocket.localAddress)
      try await server.signal.wait("the short one", isolation: actor) { !server.received.isEmpty }
      #expect(server.received.map(\.bytes) == [[2]])
      #expect(serverSocket.truncatedCount == 1)
      // Longer than IP allows, and the other family.
      #expect(!clientSocket.send([UInt8](repeating: 1, count: 70_000), to: serverSocket.localAddress))
      #expect(!clientSocket.send([1], to: .loopback(.v6, port: 9)))
      #expect(clientSocket.droppedCount == 2)
      clientSocket.close()
      serverSocket.close()
    }
  }

  @Test func theQueueIsBounded() async throws {
    try await withLoop { actor in
      let handler = DatagramRecorder()
      var options = DatagramSocket.Options()
      options.queueBytes = 1000
      options.queueCount = 10
      let socket = try makeDatagramSocket(on: actor, handler, options: options)
      let target = SocketAddress.loopback(.v4, port: 9)
      #expect((0..<20).filter { _ in socket.send([1], to: target) }.count == 10)
      await pause(milliseconds: 5, on: actor)
      #expect(socket.queuedCount == 0)
      #expect((0..<20).filter { _ in socket.send([UInt8](repeating: 1, count: 300), to: target) }.count == 3)
      #expect(socket.droppedCount == 27)
      socket.close()
    }
  }

  @Test(arguments: [SocketAddress.Family.v4, .v6])
  func unreachablePortsAreReportedWhenWanted(_ family: SocketAddress.Family) async throws {
    try await withLoop { actor in
      let unused = try UnusedPort(family, isDatagram: true)
      let address = unused.address
      let other = DatagramRecorder()
      let otherSocket = try makeDatagramSocket(family, on: actor, other)
      var options = DatagramSocket.Options()
      options.reportsUnreachable = true
      let handler = DatagramRecorder()
      let socket = try makeDatagramSocket(family, on: actor, handler, options: options)
      socket.send([1, 2, 3], to: address)
      try await handler.signal.wait("the report", isolation: actor) { !handler.unreachable.isEmpty }
      #expect(handler.unreachable.map(\.to) == [address])
      #expect(handler.unreachable.map(\.error) == [SystemError(code: ECONNREFUSED)])
      // The socket goes on, with good and bad receivers mixed.
      for _ in 0..<10 {
        socket.send([4], to: address)
        socket.send([5], to: otherSocket.localAddress)
      }
      try await other.signal.wait("datagrams", isolation: actor) { other.received.count == 10 }
      let turns = actor.loop.statistics.turns
      await pause(milliseconds: 50, on: actor)
      #expect(actor.loop.statistics.turns - turns < 100, "an error left in the queue would spin")
      socket.close()
      otherSocket.close()
    }
  }

  /// An interface on which groups of both families can be reached, in a namespace that was made for it:
  /// `unshare -rn sh -c 'ip link set lo up; ip link add spate0 type veth peer name spate1; ip link set spate1 up;
  /// ip addr add 10.9.9.1/24 dev spate0; ip link set spate0 up; sleep 3; swift test --skip-build --filter Datagram'`.
  /// Without one there is loopback, over which no IPv6 group can be reached, and which hears itself in any case.
  static let groupInterface = NetworkInterface.all().first { $0.name == "spate0" }?.name

  /// The groups of local discovery (BEP 14).
  @Test(arguments: ["239.192.152.143:6771", "[ff15::efc0:988f]:6771"])
  func groupsCanBeJoined(_ text: String) async throws {
    try await withLoop { actor in
      let handler = DatagramRecorder()
      var options = DatagramSocket.Options()
      options.sharesPort = true
      let group = try #require(SocketAddress(parsing: text))
      let interface = Self.groupInterface ?? "lo"
      let sockets = try (0..<3).map { _ in
        try DatagramSocket(
          family: group.family, port: 6771, options: options, on: actor.loop, handler: handler)
      }
      let (first, second, third) = (sockets[0], sockets[1], sockets[2])
      try first.join(group, interface: interface)
      try second.join(group, interface: interface)
      if group.family == .v4 || Self.groupInterface != nil {
        first.send([42], to: group)
        try await handler.signal.wait("both", isolation: actor) { handler.received.count == 2 }
        #expect(handler.received.allSatisfy { $0.bytes == [42] && $0.from.port == 6771 })
        // Who left hears nothing more.
        try second.leave(group, interface: interface)
        first.send([43], to: group)
        try await handler.signal.wait("first", isolation: actor) { handler.received.count == 3 }
        await pause(milliseconds: 20, on: actor)
        #expect(handler.received.count == 3 && handler.received.last?.bytes == [43])
        #expect(throws: ReactorError.self) { try second.leave(group, interface: interface) }
      }
      try third.join(group, interface: interface, loopback: false)
      if Self.groupInterface != nil {
        // What is sent without loopback is not heard on this machine, while others are.
        third.send([44], to: group)
        first.send([45], to: group)
        try await handler.signal.wait("first and third", isolation: actor) { handler.received.count == 5 }
        await pause(milliseconds: 20, on: actor)
        #expect(handler.received.dropFirst(3).map(\.bytes) == [[45], [45]])
      }
      #expect(throws: ReactorError.self) { try first.join(group, interface: "no-such-interface") }
      #expect(throws: ReactorError.self) { try first.leave(group, interface: "no-such-interface") }
      #expect(throws: ReactorError.self) { try first.join(.loopback(.v6), interface: "lo") }
      #expect(throws: ReactorError.self) { try first.join(.loopback(.v4), interface: "lo") }
      for socket in sockets { socket.close() }
    }
  }

  @Test func interfacesAreListed() throws {
    let all = NetworkInterface.all()
    let loopback = try #require(all.first { $0.isLoopback })
    #expect(loopback.name == "lo" && loopback.isUp && loopback.index > 0)
    #expect(loopback.addresses.contains(.loopback(.v4)))
    #expect(Set(all.map(\.name)).count == all.count)
    #expect(NetworkInterface.forMulticast().allSatisfy { !$0.isLoopback && $0.isUp && $0.hasMulticast })
    let bound = NetworkInterface.forMulticast(under: LocalBinding(address: .loopback(.v4)))
    #expect(bound.allSatisfy { $0.name == "lo" })
  }

  @Test func aPortInUseIsRefused() async throws {
    try await withLoop { actor in
      let handler = DatagramRecorder()
      let first = try makeDatagramSocket(on: actor, handler)
      var options = DatagramSocket.Options()
      options.binding = LocalBinding(address: .loopback(.v4))
      let error = #expect(throws: ReactorError.self) {
        try DatagramSocket(
          family: .v4, port: first.localAddress.port, options: options, on: actor.loop, handler: handler)
      }
      #expect(error?.cause == SystemError(code: EADDRINUSE))
      #expect(error?.description == "cannot bind UDP \(first.localAddress): Address already in use")
      first.close()
    }
  }
}
