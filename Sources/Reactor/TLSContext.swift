import CEvent

/// Whom TLS clients trust: the system's certificate authorities (OpenSSL's places, which `SSL_CERT_FILE` and
/// `SSL_CERT_DIR` override) and perhaps one more file. TLS 1.2 at least.
///
/// Making one reads files: do it once, off the loops, and share it.
@safe
public final class TLSContext: @unchecked Sendable {
  // The OpenSSL context behind `raw` is not changed after init, and OpenSSL locks what it counts in it.
  let raw: OpaquePointer

  public struct LoadError: Error, Hashable, Sendable, CustomStringConvertible {
    public var description: String
  }

  /// - Parameter extraCAFile: path of PEM certificates to trust beside the system's.
  public init(extraCAFile: String? = nil) throws(LoadError) {
    var text = [CChar](repeating: 0, count: 256)
    let made = unsafe text.withUnsafeMutableBufferPointer { text -> OpaquePointer? in
      guard let start = text.baseAddress else { return nil }
      guard let extraCAFile else { return unsafe cev_tls_new(nil, start, text.count) }
      return unsafe extraCAFile.withCString { unsafe cev_tls_new($0, start, text.count) }
    }
    guard let made = unsafe made else {
      let reason = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      throw LoadError(description: extraCAFile.map { "\(reason) (\($0))" } ?? reason)
    }
    unsafe raw = unsafe made
  }

  deinit { unsafe cev_tls_free(raw) }
}
