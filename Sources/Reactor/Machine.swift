import CEvent
import Glibc

/// What the machine has.
public enum Machine {
  /// Processors this process may run on, at least one.
  public static var cores: Int { max(1, Int(sysconf(CInt(_SC_NPROCESSORS_ONLN)))) }
}

extension Connection {
  /// Appends up to `count` bytes that are there to `bytes`. For the few bytes of a handshake, not for payload.
  public func read(upTo count: Int, appendingTo bytes: inout [UInt8]) -> ReadResult {
    var chunk = [UInt8](repeating: 0, count: count)
    let result = unsafe chunk.withUnsafeMutableBytes { buffer in
      var span = unsafe MutableRawSpan(_unsafeBytes: buffer)
      return read(into: &span)
    }
    if case .bytes(let number) = result { bytes += chunk[..<number] }
    return result
  }

  /// Closes a connected socket that nobody took over.
  public static func close(descriptor: CInt) { cev_socket_close(descriptor) }
}

extension [UInt8] {
  /// A copy of the bytes.
  public init(copying bytes: RawSpan) {
    self = unsafe bytes.withUnsafeBytes { unsafe [UInt8]($0) }
  }
}
