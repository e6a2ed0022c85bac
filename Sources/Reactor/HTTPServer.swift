import CEvent

/// A small HTTP/1.1 server on a loop, enough for a tracker: GET, HEAD and POST, bounded in everything.
@safe
public final class HTTPServer: LoopSource {
  public struct Options: Sendable {
    public var maximumHeaderBytes = 8 * 1024
    public var maximumBodyBytes = 64 * 1024
    /// Further connections wait in the kernel's queue.
    public var maximumConnections = 4096
    /// The longest silence on a connection.
    public var idleTimeoutNanoseconds: UInt64 = 30_000_000_000
    /// The longest time a client takes for a whole request, silence or not.
    public var requestTimeoutNanoseconds: UInt64 = 60_000_000_000
    public init() {}
  }

  public let loop: EventLoop
  private var token: UInt64 = 0
  private var raw: OpaquePointer?
  private var handler: ((HTTPServerExchange) -> Void)?
  /// Shared with the exchanges, whose pointers die with the server.
  private let life = HTTPServerLife()

  /// - Parameter handler: answers each request, at once or later.
  public init(
    on loop: EventLoop, options: Options = Options(), handler: @escaping (HTTPServerExchange) -> Void
  ) throws(ReactorError) {
    loop.preconditionOnLoop()
    self.loop = loop
    token = loop.core.register(self)
    var settings = cev_http_server_options(
      max_header_bytes: max(0, options.maximumHeaderBytes), max_body_bytes: max(0, options.maximumBodyBytes),
      max_connections: max(1, options.maximumConnections),
      idle_milliseconds: max(1, options.idleTimeoutNanoseconds / 1_000_000),
      request_milliseconds: max(1, options.requestTimeoutNanoseconds / 1_000_000))
    unsafe raw = unsafe cev_http_server_new(loop.core.raw, token, &settings)
    if unsafe raw == nil {
      loop.core.unregister(token)
      throw ReactorError("cannot make an HTTP server", errno: Errno.noMemory)
    }
    self.handler = handler
  }

  /// Listens on `port` (0: any) of the binding's address of the family, beside what it listens on already.
  /// - Returns: the port.
  @discardableResult
  public func listen(
    family: SocketAddress.Family, port: UInt16, binding: LocalBinding = .unrestricted, backlog: Int = 1024
  ) throws(ReactorError) -> UInt16 {
    loop.preconditionOnLoop()
    let place = (binding.address(for: family) ?? .any(family)).with(port: port)
    guard binding.allows(family), let raw = unsafe raw else {
      throw ReactorError("cannot listen on \(place)", errno: Errno.familyNotSupported)
    }
    var bound: UInt16 = 0
    let error = unsafe binding.withSocketBinding(port: port, family: family) { binding in
      unsafe cev_http_server_listen(raw, binding, CInt(clamping: backlog), &bound)
    }
    if error != 0 { throw ReactorError("cannot listen on \(place)", errno: error) }
    return bound
  }

  /// Open connections.
  public var connectionCount: Int {
    guard let raw = unsafe raw else { return 0 }
    return unsafe cev_http_server_connection_count(raw)
  }

  /// Closes all connections; requests not answered yet get no answer.
  public func close() {
    loop.preconditionOnLoop()
    guard unsafe raw != nil else { return }
    loop.core.unregister(token)
    loopStopped()
  }

  func completed(_ record: cev_record) {
    guard let exchange = unsafe OpaquePointer(bitPattern: Int(record.value)) else { return }
    handler?(unsafe HTTPServerExchange(exchange, life))
  }

  func loopStopped() {
    handler = nil
    life.isOver = true
    if let raw = unsafe raw { unsafe cev_http_server_free(raw) }
    unsafe raw = nil
  }
}

final class HTTPServerLife {
  var isOver = false
}

/// One request to an ``HTTPServer``. Answer it once, on the loop; one that is dropped unanswered is answered with 500.
@safe
public final class HTTPServerExchange {
  private var raw: OpaquePointer?
  private let life: HTTPServerLife

  /// GET, HEAD or POST.
  public let method: String
  /// Who asks, as far as TCP knows; nil when the client has left already.
  public let peer: SocketAddress?
  /// Path and query as sent.
  public let target: [UInt8]

  init(_ raw: OpaquePointer, _ life: HTTPServerLife) {
    unsafe self.raw = unsafe raw
    self.life = life
    self.method = unsafe String(cString: cev_http_exchange_method(raw))
    self.peer = SocketAddress(unsafe cev_http_exchange_peer(raw))
    self.target = unsafe HTTPServerExchange.withoutAuthority(cev_http_exchange_target(raw))
  }

  deinit { respond(status: 500, body: []) }

  /// Clients may send a whole URL (RFC 9112, section 3.2.2); what counts starts with the slash after its host.
  private static func withoutAuthority(_ target: UnsafePointer<CChar>) -> [UInt8] {
    var bytes: [UInt8] = []
    var position = unsafe target
    while unsafe position.pointee != 0 {
      bytes.append(UInt8(bitPattern: unsafe position.pointee))
      unsafe position += 1
    }
    guard bytes.first != UInt8(ascii: "/") else { return bytes }
    for scheme in ["http://", "https://"] where bytes.starts(with: scheme.utf8) {
      let rest = bytes.dropFirst(scheme.utf8.count)
      guard let start = rest.firstIndex(where: { "/?".utf8.contains($0) }) else { return [UInt8(ascii: "/")] }
      return (bytes[start] == UInt8(ascii: "/") ? [] : [UInt8(ascii: "/")]) + bytes[start...]
    }
    return bytes
  }

  /// The path as sent, percent-encoding included.
  public var path: String {
    String(decoding: target.prefix { $0 != UInt8(ascii: "?") }, as: UTF8.self)
  }

  /// What follows the question mark, as sent; empty when there is none.
  public var query: ArraySlice<UInt8> {
    guard let mark = target.firstIndex(of: UInt8(ascii: "?")) else { return [] }
    return target[(mark + 1)...]
  }

  /// The first header of that name. Nil after the answer.
  public func header(_ name: String) -> String? {
    guard let raw = unsafe live, let value = unsafe cev_http_exchange_header(raw, name) else { return nil }
    return unsafe String(cString: value)
  }

  /// The request's body. Empty after the answer.
  public var body: [UInt8] {
    guard let raw = unsafe live else { return [] }
    let length = unsafe cev_http_exchange_body_length(raw)
    if length == 0 { return [] }
    return unsafe [UInt8](unsafeUninitializedCapacity: length) { buffer, count in
      guard let start = buffer.baseAddress else { return }
      count = unsafe cev_http_exchange_copy_body(raw, start, length)
    }
  }

  /// Answers. A second answer, or one to a client that left, is ignored.
  public func respond(
    status: Int, contentType: String = "text/plain", headers: [(name: String, value: String)] = [],
    body: [UInt8]
  ) {
    guard let raw = unsafe live else { return }
    unsafe self.raw = nil
    _ = unsafe cev_http_exchange_add_header(raw, "Content-Type", contentType)
    for header in headers { _ = unsafe cev_http_exchange_add_header(raw, header.name, header.value) }
    unsafe body.withUnsafeBytes { buffer in
      unsafe cev_http_exchange_reply(
        raw, CInt(clamping: status), HTTPServerExchange.reason(status), buffer.baseAddress, buffer.count)
    }
  }

  private var live: OpaquePointer? { life.isOver ? nil : unsafe raw }

  private static func reason(_ status: Int) -> String {
    switch status {
    case 200: "OK"
    case 204: "No Content"
    case 301: "Moved Permanently"
    case 302: "Found"
    case 307: "Temporary Redirect"
    case 308: "Permanent Redirect"
    case 400: "Bad Request"
    case 403: "Forbidden"
    case 404: "Not Found"
    case 405: "Method Not Allowed"
    case 429: "Too Many Requests"
    case 500: "Internal Server Error"
    case 503: "Service Unavailable"
    default: "Status \(status)"
    }
  }
}
