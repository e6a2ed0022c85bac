import CEvent

/// Why a name has no address.
public enum ResolveError: Error, Hashable, Sendable, CustomStringConvertible {
  case invalidName
  case notFound
  /// The name servers did not answer, or could not find out.
  case temporaryFailure
  case failed
  /// The machine names no server in resolv.conf.
  case noNameserver
  /// There is no route to any of the name servers: the machine is offline.
  case networkUnreachable
  case timedOut

  public var description: String {
    switch self {
    case .invalidName: "this cannot be a host name"
    case .notFound: "the host name is not known"
    case .temporaryFailure: "the name servers do not answer"
    case .failed: "the name servers' answer makes no sense"
    case .noNameserver: "no name server is configured on this machine"
    case .networkUnreachable: "the network is unreachable"
    case .timedOut: "the name was not resolved in time"
    }
  }
}

/// Finds the addresses of host names without blocking: the hosts file, then the name servers of resolv.conf.
///
/// Costs nothing while nothing is asked. Must be closed, as everything on a loop.
@safe
public final class Resolver: LoopSource {
  public struct Options: Sendable {
    public var resolvConf: String? = "/etc/resolv.conf"
    public var hosts: String? = "/etc/hosts"
    /// Servers asked beside those of resolv.conf.
    public var nameservers: [SocketAddress] = []
    public var timeoutNanoseconds: UInt64 = 10_000_000_000
    public init() {}
  }

  /// How often the files are looked at for changes, at most.
  private static let recheckNanoseconds: UInt64 = 5_000_000_000

  public let loop: EventLoop
  private let options: Options
  private var token: UInt64 = 0
  private var raw: OpaquePointer?
  private var stamps: [UInt64] = []
  private var checkedAt: UInt64 = 0
  fileprivate var pending: [ObjectIdentifier: Resolution] = [:]

  public init(on loop: EventLoop, options: Options = Options()) {
    loop.preconditionOnLoop()
    self.loop = loop
    self.options = options
    token = loop.core.register(self)
    load()
  }

  /// Gives the system's parts back; what is under way is cancelled.
  public func close() {
    loop.preconditionOnLoop()
    guard unsafe raw != nil else { return }
    for resolution in pending.values { resolution.cancel() }
    loop.core.unregister(token)
    loopStopped()
  }

  func completed(_ record: cev_record) {}

  func loopStopped() {
    if let raw = unsafe raw { unsafe cev_resolver_free(raw) }
    unsafe raw = nil
  }

  /// Finds addresses of `host`, each with `port`, and tells `completion` in a later turn, once, unless the resolution
  /// is cancelled. Numeric addresses and `localhost` need no server.
  @discardableResult
  public func resolve(
    _ host: String, port: UInt16, family: SocketAddress.Family? = nil,
    completion: @escaping (Result<[SocketAddress], ResolveError>) -> Void
  ) -> Resolution {
    loop.preconditionOnLoop()
    let resolution = Resolution(self, port: port, completion)
    pending[ObjectIdentifier(resolution)] = resolution
    if let address = SocketAddress(host: host, port: port) {
      let isWanted = family == nil || family == address.family
      resolution.answerSoon(isWanted ? .success([address]) : .failure(.notFound))
    } else if Resolver.isLocalhost(host) {
      // RFC 6761, section 6.3: never a question for the network.
      let families = family.map { [$0] } ?? [.v4, .v6]
      resolution.answerSoon(.success(families.map { .loopback($0, port: port) }))
    } else if host.isEmpty || host.utf8.count > 253 || host.utf8.contains(where: { $0 <= 0x20 || $0 >= 0x7f })
    {
      resolution.answerSoon(.failure(.invalidName))
    } else {
      reloadIfChanged()
      if let raw = unsafe raw {
        unsafe resolution.ask(raw, host, family, timeoutNanoseconds: options.timeoutNanoseconds)
      } else {
        resolution.answerSoon(.failure(.failed))
      }
    }
    return resolution
  }

  private static func isLocalhost(_ host: String) -> Bool {
    let name = host.lowercased()
    return name == "localhost" || name == "localhost." || name.hasSuffix(".localhost")
  }

  private func load() {
    unsafe raw = unsafe Resolver.withOptionalCString(options.resolvConf) { resolvConf in
      unsafe Resolver.withOptionalCString(options.hosts) { hosts in
        unsafe cev_resolver_new(loop.core.raw, resolvConf, hosts)
      }
    }
    if let raw = unsafe raw {
      for server in options.nameservers {
        var address = server.raw
        _ = unsafe cev_resolver_add_nameserver(raw, &address)
      }
    }
    stamps = currentStamps()
    checkedAt = loop.core.now
  }

  private func currentStamps() -> [UInt64] {
    [options.resolvConf, options.hosts].map { path in path.map { unsafe cev_file_stamp($0) } ?? 0 }
  }

  /// A machine that changes networks gets other servers.
  private func reloadIfChanged() {
    guard pending.count == 1, loop.core.now - checkedAt >= Resolver.recheckNanoseconds else { return }
    checkedAt = loop.core.now
    guard currentStamps() != stamps else { return }
    if let raw = unsafe raw { unsafe cev_resolver_free(raw) }
    load()
  }

  private static func withOptionalCString<R>(
    _ text: String?, _ body: (UnsafePointer<CChar>?) -> R
  ) -> R {
    guard let text else { return body(nil) }
    return unsafe text.withCString { unsafe body($0) }
  }
}

/// One question to a ``Resolver``.
@safe
public final class Resolution: LoopSource {
  private var resolver: Resolver?
  private let port: UInt16
  private var completion: ((Result<[SocketAddress], ResolveError>) -> Void)?
  private var token: UInt64?
  private var raw: OpaquePointer?
  private var timer: TimerID?

  fileprivate init(
    _ resolver: Resolver, port: UInt16,
    _ completion: @escaping (Result<[SocketAddress], ResolveError>) -> Void
  ) {
    self.resolver = resolver
    self.port = port
    self.completion = completion
  }

  /// The completion is not called any more.
  public func cancel() {
    resolver?.loop.preconditionOnLoop()
    end()
  }

  fileprivate func answerSoon(_ result: Result<[SocketAddress], ResolveError>) {
    timer = resolver?.loop.schedule(afterNanoseconds: 0) { [weak self] in
      self?.timer = nil
      self?.finish(result)
    }
  }

  fileprivate func ask(
    _ base: OpaquePointer, _ host: String, _ family: SocketAddress.Family?, timeoutNanoseconds: UInt64
  ) {
    guard let resolver else { return }
    let token = resolver.loop.core.register(self)
    self.token = token
    unsafe raw = unsafe cev_resolve(base, token, host, CInt(family?.rawValue ?? 0))
    guard unsafe raw != nil else { return answerSoon(.failure(.failed)) }
    timer = resolver.loop.schedule(afterNanoseconds: timeoutNanoseconds) { [weak self] in
      self?.timer = nil
      self?.finish(.failure(.timedOut))
    }
  }

  func completed(_ record: cev_record) {
    guard let raw = unsafe raw else { return }
    switch unsafe cev_resolution_result(raw) {
    case .ok:
      let count = unsafe cev_resolution_count(raw)
      let addresses = (0..<count).compactMap { index in
        SocketAddress(unsafe cev_resolution_address(raw, index))?.with(port: port)
      }
      finish(.success(addresses))
    case .notFound: finish(.failure(.notFound))
    case .temporary: finish(.failure(.temporaryFailure))
    case .noNameserver: finish(.failure(.noNameserver))
    case .unreachable: finish(.failure(.networkUnreachable))
    case .failed, .noMemory: finish(.failure(.failed))
    }
  }

  private func finish(_ result: Result<[SocketAddress], ResolveError>) {
    let completion = completion
    end()
    completion?(result)
  }

  private func end() {
    guard let resolver else { return }
    completion = nil
    if let timer { resolver.loop.cancel(timer) }
    timer = nil
    if let token { resolver.loop.core.unregister(token) }
    token = nil
    releaseRaw()
    self.resolver = nil
    resolver.pending[ObjectIdentifier(self)] = nil
  }

  private func releaseRaw() {
    if let raw = unsafe raw { unsafe cev_resolution_free(raw) }
    unsafe raw = nil
  }

  func loopStopped() {
    completion = nil
    releaseRaw()
    resolver = nil
  }
}
