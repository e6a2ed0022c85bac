import CEvent

/// A network interface of this machine, as it is at the moment.
public struct NetworkInterface: Hashable, Sendable {
  public var name: String
  public var index: UInt32
  /// It is switched on, and a network is at the other end.
  public var isUp: Bool
  public var isLoopback: Bool
  public var hasMulticast: Bool
  /// Its addresses, with port 0.
  public var addresses: [SocketAddress] = []

  /// Whether it has an address of the family.
  public func has(_ family: SocketAddress.Family) -> Bool { addresses.contains { $0.family == family } }

  /// All interfaces, by number.
  public static func all() -> [NetworkInterface] {
    var entries: [cev_interface] = []
    var count = 64
    // Addresses may be added between two calls.
    for _ in 0..<4 {
      entries = [cev_interface](repeating: cev_interface(), count: count)
      let found = Int(unsafe cev_interface_list(&entries, CInt(clamping: count)))
      guard found > count else {
        entries.removeLast(count - max(0, found))
        break
      }
      count = found + 16
    }
    var interfaces: [String: NetworkInterface] = [:]
    for entry in entries {
      let name = entry.nameText
      var interface =
        interfaces[name]
        ?? NetworkInterface(
          name: name, index: entry.index, isUp: entry.is_up, isLoopback: entry.is_loopback,
          hasMulticast: entry.has_multicast)
      if let address = SocketAddress(entry.address) { interface.addresses.append(address.with(port: 0)) }
      interfaces[name] = interface
    }
    return interfaces.values.sorted { $0.index < $1.index }
  }

  /// The interfaces on which neighbours can be looked for: up, not loopback, and able to reach a group. Of a restricted
  /// binding, only the one it names.
  public static func forMulticast(under binding: LocalBinding = .unrestricted) -> [NetworkInterface] {
    all().filter { interface in
      guard interface.isUp, interface.hasMulticast else { return false }
      if let device = binding.device { return interface.name == device }
      if binding.isUnrestricted { return !interface.isLoopback }
      return interface.addresses.contains { address in
        let bound = binding.address(for: address.family)
        return bound.map { $0.high == address.high && $0.low == address.low } ?? false
      }
    }
  }
}

extension cev_interface {
  /// The name, which ends with a zero.
  fileprivate var nameText: String {
    unsafe withUnsafeBytes(of: name) { bytes in
      let end = unsafe bytes.firstIndex(of: 0) ?? bytes.count
      return unsafe String(decoding: bytes[..<end], as: UTF8.self)
    }
  }
}
