import CEvent

/// Which local address or interface sockets use, as `--bind` says it.
public struct LocalBinding: Hashable, Sendable {
  /// Interface that sockets are tied to (SO_BINDTODEVICE), or nil.
  public private(set) var device: String?
  public private(set) var v4: SocketAddress?
  public private(set) var v6: SocketAddress?

  /// Everything the machine has.
  public static let unrestricted = LocalBinding()

  private init() {}

  /// Only this address. The other family cannot be used then.
  public init(address: SocketAddress) {
    if address.family == .v4 { v4 = address.with(port: 0) } else { v6 = address.with(port: 0) }
  }

  /// Only this interface. Where the process may not tie sockets to one (that takes CAP_NET_RAW on older kernels), the
  /// interface's present addresses stand for it.
  public init(interface name: String) throws(ReactorError) {
    guard !name.isEmpty, !name.utf8.contains(0) else {
      throw ReactorError("cannot use interface \"\(name)\"", errno: Errno.noDevice)
    }
    let refusal = unsafe cev_interface_probe(name)
    // HTTP connections can be bound to addresses only, so these are wanted in either case.
    v4 = LocalBinding.address(of: name, family: .v4)
    v6 = LocalBinding.address(of: name, family: .v6)
    if refusal == 0 {
      device = name
    } else if refusal == Errno.noDevice || (v4 == nil && v6 == nil) {
      throw ReactorError("cannot use interface \(name)", errno: refusal)
    }
  }

  /// An address (`10.0.0.1`, `fe80::1%eth0`) or else the name of an interface.
  public init(parsing text: String) throws(ReactorError) {
    if let address = SocketAddress(host: text, port: 0) {
      self.init(address: address)
    } else {
      try self.init(interface: text)
    }
  }

  public var isUnrestricted: Bool { device == nil && v4 == nil && v6 == nil }

  /// Whether sockets of the family can be made under this binding.
  public func allows(_ family: SocketAddress.Family) -> Bool {
    isUnrestricted || device != nil || address(for: family) != nil
  }

  /// The address for the family, if there is one; port 0.
  public func address(for family: SocketAddress.Family) -> SocketAddress? {
    family == .v4 ? v4 : v6
  }

  private static func address(of name: String, family: SocketAddress.Family) -> SocketAddress? {
    var raw = cev_address()
    guard unsafe cev_interface_address(name, CInt(family.rawValue), &raw) == 0 else { return nil }
    return SocketAddress(raw)?.with(port: 0)
  }

  /// What listeners and datagram sockets bind: the device with any address, or the address.
  func withSocketBinding<R>(
    port: UInt16, family: SocketAddress.Family, _ body: (UnsafePointer<cev_binding>) -> R
  ) -> R {
    let own = device == nil ? address(for: family) : nil
    let address = (own ?? .any(family)).with(port: port)
    return unsafe withBinding(address: address.raw, body)
  }

  /// What outgoing connections bind: the device, or the address with any port, or nothing.
  func withConnectBinding<R>(family: SocketAddress.Family, _ body: (UnsafePointer<cev_binding>) -> R) -> R {
    let own = device == nil ? address(for: family) : nil
    return unsafe withBinding(address: own?.raw ?? cev_address(), body)
  }

  private func withBinding<R>(address: cev_address, _ body: (UnsafePointer<cev_binding>) -> R) -> R {
    guard let device else {
      var binding = unsafe cev_binding(address: address, device: nil)
      return unsafe body(&binding)
    }
    return unsafe device.withCString { name in
      var binding = unsafe cev_binding(address: address, device: name)
      return unsafe body(&binding)
    }
  }
}
