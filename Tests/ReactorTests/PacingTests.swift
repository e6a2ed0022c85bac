import Glibc
import Reactor
import Testing

/// Congestion control: a peer on this machine is not paced, any other has the system's own algorithm.
@Suite struct PacingTests {
  private static func algorithm(_ descriptor: CInt) -> String {
    var name = [CChar](repeating: 0, count: 17)
    var length = socklen_t(16)
    getsockopt(descriptor, CInt(IPPROTO_TCP), TCP_CONGESTION, &name, &length)
    return name.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
  }

  private static func newSocket(segment: CInt?) -> CInt {
    let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    if var segment { setsockopt(descriptor, CInt(IPPROTO_TCP), TCP_MAXSEG, &segment, socklen_t(4)) }
    return descriptor
  }

  private static func loopback(port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return address
  }

  private static func withAddress(_ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt)
    -> CInt
  {
    withUnsafePointer(to: loopback(port: port)) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
  }

  /// What the system does for a socket nobody told anything, and what a peer on this machine gets.
  private static var expectations: (system: String, local: String) {
    let plain = newSocket(segment: nil)
    defer { close(plain) }
    let system = algorithm(plain)
    return (system, system.hasPrefix("bbr") ? "reno" : system)
  }

  /// A peer with the segments of another network stands for one on another machine.
  @Test(arguments: [nil, 1400] as [CInt?]) func acceptedConnections(segment: CInt?) async throws {
    let expected = Self.expectations
    try await withLoop { actor in
      let signal = Signal()
      var accepted: CInt = -1
      let listener = try Listener(
        family: .v4, port: 0, binding: LocalBinding(address: .loopback(.v4)), on: actor.loop
      ) { descriptor, _ in
        accepted = descriptor
        signal.changed()
      }
      let peer = Self.newSocket(segment: segment)
      defer { close(peer) }
      #expect(Self.withAddress(listener.localAddress.port) { connect(peer, $0, $1) } == 0)
      try await signal.wait("accept", isolation: actor) { accepted >= 0 }
      #expect(Self.algorithm(accepted) == (segment == nil ? expected.local : expected.system))
      close(accepted)
      listener.close()
    }
  }

  @Test(arguments: [nil, 1400] as [CInt?]) func connectionsOfOurs(segment: CInt?) async throws {
    let expected = Self.expectations
    try await withLoop { actor in
      let server = Self.newSocket(segment: segment)
      defer { close(server) }
      #expect(Self.withAddress(0) { bind(server, $0, $1) } == 0)
      #expect(listen(server, 1) == 0)
      var address = sockaddr_in()
      var length = socklen_t(MemoryLayout<sockaddr_in>.size)
      withUnsafeMutablePointer(to: &address) {
        _ = $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(server, $0, &length) }
      }
      let events = Recorder()
      let connection = try Connection(
        connectingTo: .loopback(.v4, port: UInt16(bigEndian: address.sin_port)),
        on: actor.loop,
        handler: events)
      try await events.signal.wait("connect", isolation: actor) { events.isOpened }
      let descriptor = try #require(connection.detach())
      #expect(Self.algorithm(descriptor) == (segment == nil ? expected.local : expected.system))
      close(descriptor)
    }
  }
}
