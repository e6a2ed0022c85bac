import Reactor
import TorrentModel
import TrackerProtocol

/// An event loop for one question.
private func withLoop<Success: Sendable, Failure: Error>(
  _ body: @escaping @Sendable (EventLoop, @escaping @Sendable (Result<Success, Failure>) -> Void) -> Void
) async -> Result<Success, Failure>? {
  guard let loop = try? EventLoop(name: "spate-ask"), (try? loop.start()) != nil else { return nil }
  let result = await withCheckedContinuation {
    (continuation: CheckedContinuation<Result<Success, Failure>, Never>) in
    loop.post { body(loop) { continuation.resume(returning: $0) } }
  }
  loop.stop()
  return result
}

/// Why something could not be fetched or found, for a person.
public struct NetworkFailure: Error, Hashable, Sendable, CustomStringConvertible {
  public var description: String
  public init(description: String) { self.description = description }

  static let noLoop = NetworkFailure(description: "the system has no descriptors or threads left")
}

extension Session {
  /// Fetches a file over http or https, as a person asked for it: any address, at most five redirects.
  /// - Parameters:
  ///   - limit: bytes taken at most.
  ///   - certificateFile: certificate authorities (PEM) to trust beside the system's.
  public static func fetch(
    url: String, limit: Int = Limits.metainfoLength, timeout seconds: Double = 60,
    userAgent: String = Release.userAgent,
    certificateFile: String? = nil
  ) async throws(NetworkFailure) -> [UInt8] {
    let parts: URLParts
    do { parts = try URLParts(parsing: url) } catch {
      throw NetworkFailure(description: "\(url): \(error.description)")
    }
    var tls: TLSContext?
    if let certificateFile {
      do { tls = try TLSContext(extraCAFile: certificateFile) } catch {
        throw NetworkFailure(description: error.description)
      }
    }
    let trust = tls
    let result: Result<[UInt8], NetworkFailure>? = await withLoop { loop, done in
      let resolver = Resolver(on: loop)
      var options = HTTPClient.Options()
      options.userAgent = userAgent
      options.tls = trust
      let client = HTTPClient(on: loop, resolver: resolver, options: options)
      var request = HTTPClient.Request(url: parts)
      request.maximumBodyBytes = limit
      request.timeoutNanoseconds = UInt64(max(1, seconds) * 1e9)
      client.get(request) { answer in
        withExtendedLifetime(client) {}
        resolver.close()
        switch answer {
        case .success(let response) where response.status == 200: done(.success(response.body))
        case .success(let response):
          done(
            .failure(
              NetworkFailure(description: "\(parts): the server answered with status \(response.status)")))
        case .failure(let error):
          done(.failure(NetworkFailure(description: "\(parts): \(error.description)")))
        }
      }
    }
    return try (result ?? .failure(.noLoop)).get()
  }

  /// The addresses of a host, each with the port. Numeric addresses need no name server.
  public static func resolve(host: String, port: UInt16) async throws(NetworkFailure) -> [Endpoint] {
    let result: Result<[Endpoint], NetworkFailure>? = await withLoop { loop, done in
      let resolver = Resolver(on: loop)
      resolver.resolve(host, port: port) { answer in
        resolver.close()
        done(
          answer.map { $0.map { Endpoint($0.unmapped) } }
            .mapError { NetworkFailure(description: "\(host): \($0.description)") })
      }
    }
    return try (result ?? .failure(.noLoop)).get()
  }
}

/// Asks trackers how many peers a torrent has (BEP 48, BEP 15).
public enum TrackerScraper {
  /// What a tracker knows of one torrent; nil where it does not say.
  public struct Counts: Hashable, Sendable {
    public var seeds: Int?
    public var leechers: Int?
    /// How often the torrent was downloaded.
    public var downloaded: Int?

    public init(seeds: Int? = nil, leechers: Int? = nil, downloaded: Int? = nil) {
      self.seeds = seeds
      self.leechers = leechers
      self.downloaded = downloaded
    }
  }

  /// One entry for each info-hash, in order; nil where the tracker does not know the torrent.
  /// - Parameter url: the announce URL.
  public static func scrape(
    _ url: String, _ infoHashes: [InfoHash], bind: String? = nil, userAgent: String = Release.userAgent,
    certificateFile: String? = nil, isFromUser: Bool = true
  ) async throws(NetworkFailure) -> [Counts?] {
    let tracker: TrackerURL
    do { tracker = try TrackerURL(url) } catch {
      let name = printableText(url.utf8.span, lengthLimit: 200)
      throw NetworkFailure(description: "'\(name)' is no tracker that can be asked: \(error.description)")
    }
    var place = LocalBinding.unrestricted
    var tls: TLSContext?
    do {
      if let bind { place = try LocalBinding(parsing: bind) }
      if let certificateFile { tls = try TLSContext(extraCAFile: certificateFile) }
    } catch {
      throw NetworkFailure(description: "\(error)")
    }
    let (binding, trust) = (place, tls)
    let result: Result<[Counts?], NetworkFailure>? = await withLoop { loop, done in
      let client = TrackerClient(loop: loop, binding: binding, userAgent: userAgent, tls: trust)
      _ = client.scrape(tracker, infoHashes, isFromUser: isFromUser) { answer in
        client.close()
        done(
          answer.map { entries in
            entries.map { entry in
              entry.map { Counts(seeds: $0.seeds, leechers: $0.leechers, downloaded: $0.downloaded) }
            }
          }.mapError { NetworkFailure(description: $0.description) })
      }
    }
    return try (result ?? .failure(.noLoop)).get()
  }
}
