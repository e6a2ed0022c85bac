import BlockPool
import CEvent

/// A listening TCP socket on an event loop.
@safe
public final class Listener: LoopSource {
  /// How long accepting rests when descriptors or memory ran out.
  private static let pauseNanoseconds: UInt64 = 100_000_000

  public let loop: EventLoop
  /// The address listened on, with the port the system chose if 0 was asked for.
  public private(set) var localAddress: SocketAddress
  /// Times accepting had to rest for want of descriptors or memory.
  public private(set) var pauses = 0
  /// What the last rest was for.
  public private(set) var lastPauseCause: SystemError?
  private var raw: OpaquePointer?
  private var token: UInt64 = 0
  private var accepted: ((_ descriptor: CInt, _ peer: SocketAddress) -> Void)?
  private var isSuspended = false
  private var pauseTimer: TimerID?

  /// Listens on `port` (0: any) of the binding's address of the family. IPv6 listeners take IPv6 only.
  /// - Parameter accepted: gets the descriptor of each connection, and owns it: adopt it or close it.
  public init(
    family: SocketAddress.Family, port: UInt16, binding: LocalBinding = .unrestricted, backlog: Int = 512,
    on loop: EventLoop, accepted: @escaping (_ descriptor: CInt, _ peer: SocketAddress) -> Void
  ) throws(ReactorError) {
    loop.preconditionOnLoop()
    let place = (binding.address(for: family) ?? .any(family)).with(port: port)
    self.loop = loop
    self.localAddress = place
    guard binding.allows(family) else {
      throw ReactorError("cannot listen on \(place)", errno: Errno.familyNotSupported)
    }
    token = loop.core.register(self)
    var error: CInt = 0
    unsafe raw = unsafe binding.withSocketBinding(port: port, family: family) { binding in
      unsafe cev_listen(loop.core.raw, token, binding, CInt(clamping: backlog), &error)
    }
    guard let raw = unsafe raw else {
      loop.core.unregister(token)
      throw ReactorError("cannot listen on \(place)", errno: error)
    }
    self.accepted = accepted
    var bound = cev_address()
    if unsafe cev_socket_local_address(cev_listener_descriptor(raw), &bound) == 0 {
      localAddress = SocketAddress(bound) ?? place
    }
  }

  /// Stops listening. Connections that wait to be accepted are reset by the kernel.
  public func close() {
    loop.preconditionOnLoop()
    guard unsafe raw != nil else { return }
    if let pauseTimer { loop.cancel(pauseTimer) }
    loop.core.unregister(token)
    loopStopped()
  }

  /// Leaves new connections waiting in the kernel's queue.
  public func suspend() { setSuspended(true) }

  public func resume() { setSuspended(false) }

  private func setSuspended(_ suspended: Bool) {
    loop.preconditionOnLoop()
    isSuspended = suspended
    if let raw = unsafe raw, pauseTimer == nil { unsafe cev_listener_set_enabled(raw, !suspended) }
  }

  func completed(_ record: cev_record) {
    switch record.kind {
    case .accepted:
      let descriptor = CInt(truncatingIfNeeded: record.value)
      if let accepted, let peer = SocketAddress(record.address) {
        accepted(descriptor, peer)
      } else {
        cev_socket_close(descriptor)
      }
    case .acceptFailed: pause(SystemError(code: CInt(truncatingIfNeeded: record.value)))
    default: break
    }
  }

  /// The shim has stopped accepting: the connection nobody can accept would wake the loop without end.
  private func pause(_ cause: SystemError) {
    pauses += 1
    lastPauseCause = cause
    pauseTimer = loop.schedule(afterNanoseconds: Listener.pauseNanoseconds) { [weak self] in
      guard let self else { return }
      self.pauseTimer = nil
      if let raw = unsafe self.raw, !self.isSuspended { unsafe cev_listener_set_enabled(raw, true) }
    }
  }

  func loopStopped() {
    accepted = nil
    if let raw = unsafe raw { unsafe cev_listener_free(raw) }
    unsafe raw = nil
  }
}
