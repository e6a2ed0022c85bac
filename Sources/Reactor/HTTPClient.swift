import BlockPool
import CEvent

/// What a server answered.
public struct HTTPResponse: Sendable {
  /// Any final status, errors included: callers decide what they take.
  public var status: Int
  /// The URL that answered, after redirects.
  public var url: URLParts
  /// In the order received.
  public var headers: [(name: String, value: String)]
  public var body: [UInt8]

  /// The first header of that name, compared without regard to case.
  public func header(_ name: String) -> String? {
    let wanted = name.lowercased()
    return headers.first { $0.name.lowercased() == wanted }?.value
  }
}

/// What a caller thinks of a place that is about to be connected to.
public enum HTTPAdmission: Hashable, Sendable {
  case allowed
  case refused(reason: String)
}

/// Asked before every connection with the URL, the address it resolved to (which is the one connected to) and, after a
/// redirect, the URL that redirected.
public typealias HTTPAdmit = (_ url: URLParts, _ address: SocketAddress, _ redirectedFrom: URLParts?) ->
  HTTPAdmission

/// Fetches http and https URLs on a loop.
///
/// Certificates and host names are checked. Each request is one connection (and one more for each redirect), and the
/// address connected to is the one the caller admitted; nothing is resolved a second time.
public final class HTTPClient {
  public struct Options: Sendable {
    /// Whom https trusts; nil makes a default context when the first https URL is fetched, which reads files.
    public var tls: TLSContext?
    public var binding = LocalBinding.unrestricted
    public var userAgent = ""
    public init() {}
  }

  public struct Request {
    public var url: URLParts
    /// Sent as they are; names and values must not hold line breaks.
    public var headers: [(name: String, value: String)] = []
    /// Use addresses of this family only.
    public var family: SocketAddress.Family?
    public var maximumBodyBytes = 2 << 20
    public var maximumHeaderBytes = 16 * 1024
    public var maximumRedirects = 5
    /// For everything: names, connections, redirects and the body.
    public var timeoutNanoseconds: UInt64 = 30_000_000_000
    /// The longest silence on one connection, connecting included; then the next address is tried, if there is one.
    public var idleTimeoutNanoseconds: UInt64 = 15_000_000_000
    public var admit: HTTPAdmit = { _, _, _ in .allowed }

    public init(url: URLParts) { self.url = url }
  }

  public let loop: EventLoop
  let resolver: Resolver
  let options: Options
  private var tls: TLSContext?

  public init(on loop: EventLoop, resolver: Resolver, options: Options = Options()) {
    loop.preconditionOnLoop()
    precondition(resolver.loop === loop)
    self.loop = loop
    self.resolver = resolver
    self.options = options
    self.tls = options.tls
  }

  /// Fetches, and tells `completion` in a later turn, once, unless the exchange is cancelled.
  @discardableResult
  public func get(
    _ request: Request, completion: @escaping (Result<HTTPResponse, HTTPError>) -> Void
  ) -> HTTPExchange {
    loop.preconditionOnLoop()
    let exchange = HTTPExchange(client: self, request: request, completion: completion)
    exchange.start()
    return exchange
  }

  func tlsContext() throws(HTTPError) -> TLSContext {
    if let tls { return tls }
    do throws(TLSContext.LoadError) {
      let made = try TLSContext()
      tls = made
      return made
    } catch {
      throw .tlsUnavailable(reason: error.description)
    }
  }
}
