import BlockPool
import CEvent

/// One request of an ``HTTPClient``, through its redirects to its end.
@safe
public final class HTTPExchange: LoopSource {
  private var client: HTTPClient?
  private let request: HTTPClient.Request
  private var completion: ((Result<HTTPResponse, HTTPError>) -> Void)?

  private var url: URLParts
  private var redirectedFrom: URLParts?
  private var redirects = 0
  /// Admitted addresses of `url` not tried yet.
  private var addresses: ArraySlice<SocketAddress> = []
  private var address: SocketAddress?
  /// Why the address before did not do.
  private var lastFailure: HTTPError?

  private var timer: TimerID?
  private var resolution: Resolution?
  private var token: UInt64?
  private var raw: OpaquePointer?

  init(
    client: HTTPClient, request: HTTPClient.Request,
    completion: @escaping (Result<HTTPResponse, HTTPError>) -> Void
  ) {
    self.client = client
    self.request = request
    self.completion = completion
    self.url = request.url
  }

  /// The completion is not called any more.
  public func cancel() {
    client?.loop.preconditionOnLoop()
    end()
  }

  func start() {
    timer = client?.loop.schedule(afterNanoseconds: request.timeoutNanoseconds) {
      self.timer = nil
      self.finish(.failure(.timedOut))
    }
    resolve()
  }

  // MARK: Steps

  private func resolve() {
    resolution = client?.resolver.resolve(url.host, port: url.port, family: request.family) {
      [weak self] result in
      guard let self else { return }
      self.resolution = nil
      switch result {
      case .success(let found): self.admit(found)
      case .failure(let error): self.finish(.failure(.resolution(host: self.url.host, error)))
      }
    }
  }

  private func admit(_ found: [SocketAddress]) {
    guard let client else { return }
    var failure: HTTPError?
    var admitted: [SocketAddress] = []
    for address in found {
      if !client.options.binding.allows(address.family) {
        failure = failure ?? .notReachableFromBinding
        continue
      }
      switch request.admit(url, address, redirectedFrom) {
      case .allowed: admitted.append(address)
      case .refused(let reason): failure = .refusedByPolicy(reason)
      }
    }
    addresses = admitted[...]
    lastFailure = failure
    tryNextAddress()
  }

  private func tryNextAddress() {
    guard let next = addresses.popFirst() else {
      finish(.failure(lastFailure ?? .resolution(host: url.host, .notFound)))
      return
    }
    address = next
    do throws(HTTPError) {
      try connect(to: next)
    } catch {
      lastFailure = error
      tryNextAddress()
    }
  }

  private func connect(to address: SocketAddress) throws(HTTPError) {
    guard let client else { return }
    let tls = url.scheme == .https ? try client.tlsContext() : nil
    let core = client.loop.core
    let token = core.register(self)
    self.token = token
    unsafe raw = unsafe url.host.withCString { host in
      unsafe url.target.withCString { target in
        var options = unsafe cev_http_options(
          remote: address.raw,
          local: client.options.binding.address(for: address.family)?.raw ?? cev_address(),
          tls: tls?.raw, server_name: host, server_name_is_address: url.address != nil, target: target,
          max_header_bytes: max(0, request.maximumHeaderBytes),
          max_body_bytes: max(0, request.maximumBodyBytes),
          idle_milliseconds: max(1, request.idleTimeoutNanoseconds / 1_000_000))
        return unsafe cev_http_request_new(core.raw, token, &options)
      }
    }
    guard let raw = unsafe raw else {
      releaseRaw()
      throw .outOfResources
    }
    for (name, value) in headers() {
      if unsafe !cev_http_request_add_header(raw, name, value) {
        releaseRaw()
        throw .invalidHeader(name: name)
      }
    }
    if unsafe !cev_http_request_start(raw) {
      releaseRaw()
      throw .connectFailed(address, SystemError(code: Errno.addressNotAvailable))
    }
  }

  private func headers() -> [(String, String)] {
    var headers: [(String, String)] = [("Host", url.authority), ("Connection", "close"), ("Accept", "*/*")]
    if let userAgent = client?.options.userAgent, !userAgent.isEmpty {
      headers.append(("User-Agent", userAgent))
    }
    // After a redirect only what the new URL itself says: the old server's password is not the new one's business.
    if let userInfo = url.userInfo { headers.append(("Authorization", "Basic " + base64(userInfo))) }
    for header in request.headers { headers.append((header.name, header.value)) }
    return headers
  }

  // MARK: Answers

  func completed(_ record: cev_record) {
    guard let raw = unsafe raw else { return }
    if let error = unsafe failure(of: raw) {
      let isWorthAnotherAddress = unsafe !cev_http_request_was_connected(raw)
      releaseRaw()
      lastFailure = error
      if isWorthAnotherAddress { tryNextAddress() } else { finish(.failure(error)) }
      return
    }
    let response = unsafe response(from: raw)
    releaseRaw()
    if [301, 302, 303, 307, 308].contains(response.status), let location = response.header("Location") {
      redirect(to: location)
    } else if let coding = response.header("Content-Encoding"), coding.lowercased() != "identity" {
      finish(.failure(.badResponse(reason: "it is compressed (\(coding)), which was not asked for")))
    } else {
      finish(.success(response))
    }
  }

  private func redirect(to location: String) {
    redirects += 1
    if redirects > request.maximumRedirects {
      finish(.failure(.tooManyRedirects(request.maximumRedirects)))
      return
    }
    do throws(URLError) {
      let next = try url.resolving(location)
      redirectedFrom = url
      url = next
      lastFailure = nil
      resolve()
    } catch {
      finish(.failure(.badRedirect(error)))
    }
  }

  private func failure(of raw: OpaquePointer) -> HTTPError? {
    let text = unsafe String(cString: cev_http_request_failure_text(raw))
    switch unsafe cev_http_request_failure(raw) {
    case .ok: return nil
    case .connectFailed:
      let error = SystemError(code: unsafe cev_http_request_error_number(raw))
      return .connectFailed(address ?? .any(.v4), error)
    case .timedOut: return .timedOut
    case .certificateRefused: return .certificateRefused(host: url.host, reason: text)
    case .tlsFailed: return .tlsFailed(reason: text)
    case .closedEarly: return .closedEarly
    case .badResponse: return .badResponse(reason: "it is not HTTP, or its headers are too long")
    case .tooLarge: return .tooLarge(maximumBytes: request.maximumBodyBytes)
    }
  }

  private func response(from raw: OpaquePointer) -> HTTPResponse {
    var headers: [(name: String, value: String)] = []
    var position: UnsafeRawPointer?
    var name: UnsafePointer<CChar>?
    var value: UnsafePointer<CChar>?
    repeat {
      unsafe position = unsafe cev_http_request_next_header(raw, position, &name, &value)
      guard unsafe position != nil, let name = unsafe name, let value = unsafe value else { break }
      headers.append((unsafe String(cString: name), unsafe String(cString: value)))
    } while true
    let length = unsafe cev_http_request_body_length(raw)
    var body: [UInt8] = []
    if length > 0 {
      body = unsafe [UInt8](unsafeUninitializedCapacity: length) { buffer, count in
        guard let start = buffer.baseAddress else { return }
        count = unsafe cev_http_request_copy_body(raw, start, length)
      }
    }
    return HTTPResponse(
      status: Int(unsafe cev_http_request_status(raw)), url: url, headers: headers, body: body)
  }

  // MARK: Ends

  private func finish(_ result: Result<HTTPResponse, HTTPError>) {
    let completion = completion
    end()
    completion?(result)
  }

  private func end() {
    guard let client else { return }
    completion = nil
    resolution?.cancel()
    resolution = nil
    if let timer { client.loop.cancel(timer) }
    timer = nil
    releaseRaw()
    self.client = nil
  }

  private func releaseRaw() {
    if let raw = unsafe raw { unsafe cev_http_request_free(raw) }
    unsafe raw = nil
    if let token { client?.loop.core.unregister(token) }
    token = nil
  }

  func loopStopped() {
    completion = nil
    if let raw = unsafe raw { unsafe cev_http_request_free(raw) }
    unsafe raw = nil
    token = nil
    client = nil
  }
}

/// RFC 4648, for basic authentication.
func base64(_ bytes: [UInt8]) -> String {
  let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  var result: [UInt8] = []
  result.reserveCapacity((bytes.count + 2) / 3 * 4)
  for start in stride(from: 0, to: bytes.count, by: 3) {
    let chunk = bytes[start..<min(start + 3, bytes.count)]
    var value: UInt32 = 0
    for byte in chunk { value = value << 8 | UInt32(byte) }
    value <<= UInt32(8 * (3 - chunk.count))
    for index in 0..<4 {
      let isPadding = index > chunk.count
      result.append(isPadding ? UInt8(ascii: "=") : alphabet[Int(value >> UInt32(18 - 6 * index) & 63)])
    }
  }
  return String(decoding: result, as: UTF8.self)
}
