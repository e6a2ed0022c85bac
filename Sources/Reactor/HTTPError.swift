import BlockPool

/// Why an HTTP request brought no response.
public enum HTTPError: Error, Hashable, Sendable, CustomStringConvertible {
  case resolution(host: String, ResolveError)
  /// The caller's policy does not allow the place.
  case refusedByPolicy(String)
  case connectFailed(SocketAddress, SystemError)
  /// The local binding has no address of the server's family.
  case notReachableFromBinding
  case timedOut
  case certificateRefused(host: String, reason: String)
  case tlsFailed(reason: String)
  /// TLS cannot be used at all: certificates could not be loaded.
  case tlsUnavailable(reason: String)
  case closedEarly
  case badResponse(reason: String)
  /// The response is bigger than the caller allows.
  case tooLarge(maximumBytes: Int)
  case tooManyRedirects(Int)
  case badRedirect(URLError)
  /// The caller's own header would break the request.
  case invalidHeader(name: String)
  /// Memory or descriptors ran out.
  case outOfResources

  public var description: String {
    switch self {
    case .resolution(let host, let error): "\(host): \(error)"
    case .refusedByPolicy(let reason): reason
    case .connectFailed(let address, let error): "cannot connect to \(address): \(error)"
    case .notReachableFromBinding: "the local address in use cannot reach the server's address family"
    case .timedOut: "the server did not answer in time"
    case .certificateRefused(let host, let reason): "the certificate of \(host) is not accepted: \(reason)"
    case .tlsFailed(let reason): "no secure connection: \(reason)"
    case .tlsUnavailable(let reason): "no secure connections can be made: \(reason)"
    case .closedEarly: "the server closed the connection before its answer was complete"
    case .badResponse(let reason): "the server's answer cannot be used: \(reason)"
    case .tooLarge(let maximum): "the server's answer is larger than \(maximum) bytes"
    case .tooManyRedirects(let count): "the server redirected more than \(count) times"
    case .badRedirect(let error): "the server redirected to a place that cannot be used: \(error)"
    case .invalidHeader(let name): "the request header \(name) cannot be sent"
    case .outOfResources: "out of memory or file descriptors"
    }
  }
}
