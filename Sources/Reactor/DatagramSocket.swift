import BlockPool
import CEvent

/// What a datagram socket tells its owner, on the socket's loop.
public protocol DatagramHandler: AnyObject {
  /// `bytes` are valid during the call.
  func datagramReceived(_ bytes: RawSpan, from sender: SocketAddress, on socket: DatagramSocket)
  /// ICMP says that a datagram sent to `receiver` did not arrive (nobody listens there, no route, too big). Only for
  /// sockets made with ``DatagramSocket/Options/reportsUnreachable``. Anyone on the way can forge it: a hint.
  func datagramUnreachable(_ receiver: SocketAddress, error: SystemError, on socket: DatagramSocket)
}

extension DatagramHandler {
  public func datagramUnreachable(_ receiver: SocketAddress, error: SystemError, on socket: DatagramSocket) {}
}

/// A bound UDP socket on an event loop. Datagrams are received and sent in batches; what is sent leaves at the end of
/// the turn.
@safe
public final class DatagramSocket: LoopSource {
  public struct Options: Sendable {
    public var binding = LocalBinding.unrestricted
    /// Several sockets may share the port (SO_REUSEPORT), as multicast listeners do. Of groups, only those are heard that
    /// this socket joined.
    public var sharesPort = false
    public var reportsUnreachable = false
    /// Most bytes of unsent datagrams; more are dropped, as the network would.
    public var queueBytes = 1 << 20
    /// Most unsent datagrams.
    public var queueCount = 4096
    /// SO_RCVBUF in bytes; 0 leaves the kernel's default.
    public var receiveBufferBytes = 0
    /// SO_SNDBUF in bytes; 0 leaves the kernel's default.
    public var sendBufferBytes = 0
    public init() {}
  }

  /// The longest datagram that is received whole, in bytes; longer ones are counted and dropped.
  public static let maximumLength = 8192
  /// Batches read in one turn, of 32 datagrams each, so that a flood leaves room for everything else.
  private static let batchesPerTurn = 8

  public let loop: EventLoop
  /// Dropped when the socket closes.
  public var handler: (any DatagramHandler)?
  /// The address bound, with the port the system chose if 0 was asked for.
  public private(set) var localAddress: SocketAddress
  /// Received datagrams that were too long.
  public private(set) var truncatedCount: UInt64 = 0
  private var raw: OpaquePointer?
  private var token: UInt64 = 0
  private let reportsUnreachable: Bool
  /// While a datagram is delivered: who sent it, and to which address of ours.
  private var arrival: (sender: SocketAddress, at: cev_address)?

  /// Binds `port` (0: any) of the binding's address of the family. IPv6 sockets take IPv6 only.
  public init(
    family: SocketAddress.Family, port: UInt16, options: Options = Options(), on loop: EventLoop,
    handler: any DatagramHandler
  ) throws(ReactorError) {
    loop.preconditionOnLoop()
    let place = (options.binding.address(for: family) ?? .any(family)).with(port: port)
    self.loop = loop
    self.localAddress = place
    self.reportsUnreachable = options.reportsUnreachable
    guard options.binding.allows(family) else {
      throw ReactorError("cannot bind UDP \(place)", errno: Errno.familyNotSupported)
    }
    token = loop.core.register(self)
    var error: CInt = 0
    unsafe raw = unsafe options.binding.withSocketBinding(port: port, family: family) { binding in
      unsafe cev_datagram_open(
        loop.core.raw, token, binding, options.sharesPort, options.reportsUnreachable,
        max(0, options.queueBytes),
        max(0, options.queueCount), &error)
    }
    guard let raw = unsafe raw else {
      loop.core.unregister(token)
      throw ReactorError("cannot bind UDP \(place)", errno: error)
    }
    self.handler = handler
    let descriptor = unsafe cev_datagram_descriptor(raw)
    // A refused buffer size costs datagrams under load, not function.
    _ = cev_socket_set_buffers(
      descriptor, CInt(clamping: options.receiveBufferBytes), CInt(clamping: options.sendBufferBytes))
    var bound = cev_address()
    if unsafe cev_socket_local_address(descriptor, &bound) == 0 {
      localAddress = SocketAddress(bound) ?? place
    }
  }

  /// Queues a copy of `bytes` for `receiver`, to leave at the end of the turn. What is sent back while a datagram is
  /// delivered leaves from the address that it came to, on a machine that has several.
  /// - Returns: false when it was dropped: the queue is full, or the receiver is of the other family.
  @discardableResult
  public func send(_ bytes: RawSpan, to receiver: SocketAddress) -> Bool {
    loop.assertOnLoop()
    guard let raw = unsafe raw else { return false }
    var address = receiver.raw
    var origin = cev_address()
    if let arrival, arrival.sender == receiver { origin = arrival.at }
    return unsafe bytes.withUnsafeBytes { buffer in
      guard let start = buffer.baseAddress else {
        var nothing: UInt8 = 0
        return unsafe cev_datagram_send(raw, &nothing, 0, &address, &origin)
      }
      return unsafe cev_datagram_send(raw, start, buffer.count, &address, &origin)
    }
  }

  /// Queues a copy of `bytes` for `receiver`, to leave at the end of the turn.
  @discardableResult
  public func send(_ bytes: [UInt8], to receiver: SocketAddress) -> Bool {
    unsafe send(bytes.span.bytes, to: receiver)
  }

  /// Datagrams that wait to be sent.
  public var queuedCount: Int {
    guard let raw = unsafe raw else { return 0 }
    return unsafe cev_datagram_queue_count(raw)
  }

  /// Datagrams that were dropped instead of sent.
  public var droppedCount: UInt64 {
    guard let raw = unsafe raw else { return 0 }
    return unsafe cev_datagram_dropped(raw)
  }

  /// Joins a multicast group on an interface, or where the kernel thinks best. The socket must be bound to the group's
  /// port and to any address, or to the group itself.
  ///
  /// What is sent to groups leaves there from now on, so each interface needs a socket of its own.
  ///
  /// - Parameters:
  ///   - hopLimit: how many routers far what is sent to groups travels; 1 stays in the network.
  ///   - loopback: whether listeners of this machine, this socket among them, hear it too.
  public func join(
    _ group: SocketAddress, interface: String? = nil, hopLimit: Int = 1, loopback: Bool = true
  ) throws(ReactorError) {
    loop.preconditionOnLoop()
    guard let raw = unsafe raw else { return }
    let index = try Self.index(of: interface, group)
    var address = group.raw
    let error = unsafe cev_datagram_join(raw, &address, index, CInt(clamping: hopLimit), loopback)
    if error != 0 { throw ReactorError("cannot join \(group.host)", errno: error) }
  }

  /// Leaves a group that was joined on the same interface.
  public func leave(_ group: SocketAddress, interface: String? = nil) throws(ReactorError) {
    loop.preconditionOnLoop()
    guard let raw = unsafe raw else { return }
    let index = try Self.index(of: interface, group)
    var address = group.raw
    let error = unsafe cev_datagram_leave(raw, &address, index)
    if error != 0 { throw ReactorError("cannot leave \(group.host)", errno: error) }
  }

  private static func index(of interface: String?, _ group: SocketAddress) throws(ReactorError) -> UInt32 {
    guard let interface else { return 0 }
    let index = unsafe cev_interface_index(interface)
    guard index != 0 else {
      throw ReactorError("no interface \(interface) for \(group.host)", errno: Errno.noDevice)
    }
    return index
  }

  /// Closes the socket. Queued datagrams of this turn are dropped.
  public func close() {
    loop.preconditionOnLoop()
    guard unsafe raw != nil else { return }
    loop.core.unregister(token)
    loopStopped()
  }

  func completed(_ record: cev_record) {
    for _ in 0..<DatagramSocket.batchesPerTurn {
      guard let raw = unsafe raw else { return }
      var received: UnsafePointer<cev_received>?
      let count = unsafe cev_datagram_receive(raw, &received)
      if let received = unsafe received {
        for index in 0..<count { unsafe deliver(unsafe received[index]) }
      }
      if count < 32 { break }
    }
    deliverUnreachable()
  }

  private func deliver(_ datagram: cev_received) {
    if unsafe datagram.truncated {
      truncatedCount += 1
      return
    }
    guard let sender = unsafe SocketAddress(datagram.from), sender.port != 0 else { return }
    let bytes = unsafe RawSpan(_unsafeStart: datagram.bytes, byteCount: Int(datagram.length))
    arrival = unsafe (sender, datagram.at)
    defer { arrival = nil }
    handler?.datagramReceived(bytes, from: sender, on: self)
  }

  private func deliverUnreachable() {
    guard reportsUnreachable else { return }
    var report = cev_unreachable()
    while let raw = unsafe raw, unsafe cev_datagram_next_unreachable(raw, &report) {
      guard let receiver = SocketAddress(report.to) else { continue }
      handler?.datagramUnreachable(receiver, error: SystemError(code: report.error), on: self)
    }
  }

  func loopStopped() {
    handler = nil
    if let raw = unsafe raw { unsafe cev_datagram_free(raw) }
    unsafe raw = nil
  }
}
