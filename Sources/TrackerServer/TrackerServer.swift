import Reactor
import Synchronization
import TorrentModel
import TrackerProtocol

/// A tracker over HTTP and UDP, on one port, IPv4 and IPv6 (BEP 3, 7, 15, 23, 48). For local swarms and tests; good for many
/// thousands of peers on one core.
public final class TrackerServer: Sendable {
  public struct Options: Sendable {
    /// 0 lets the system choose.
    public var port: UInt16 = 6969
    /// Local address or interface to listen on; nil is all.
    public var bind: String?
    /// Seconds between announces that peers are asked for.
    public var interval = 1800
    /// Seconds between announces at least.
    public var minimumInterval = 30
    /// Seconds after which a silent peer is forgotten; nil takes twice the interval and a minute.
    public var expiry: Int?
    /// The torrents that are tracked; nil is any.
    public var allowed: Set<InfoHash>?
    public var limits = SwarmTable.Limits()
    public init() {}
  }

  public struct Failure: Error, Sendable, CustomStringConvertible {
    public var description: String
  }

  /// Counts since the start.
  public struct Statistics: Hashable, Sendable {
    public var torrents = 0
    public var peers = 0
    public var seeds = 0
    public var announces: UInt64 = 0
    public var scrapes: UInt64 = 0
    public var refusals: UInt64 = 0
    public var seconds = 0.0
  }

  private let loop: EventLoop
  private let state: LoopBound<TrackerState>
  /// The port listened on.
  public let port: UInt16

  /// Listens. At least one of the two address families must be there.
  public static func start(_ options: Options = Options()) async throws(Failure) -> TrackerServer {
    do {
      let loop = try EventLoop(name: "spate-tracker")
      try loop.start()
      do {
        let (state, port) = try await loop.run { () throws(ReactorError) in
          let state = TrackerState(options, on: loop)
          let port = try state.listen()
          return (LoopBound(state, on: loop), port)
        }
        return TrackerServer(loop: loop, state: state, port: port)
      } catch {
        loop.stop()
        throw error
      }
    } catch {
      throw Failure(description: "\(error)")
    }
  }

  private init(loop: EventLoop, state: LoopBound<TrackerState>, port: UInt16) {
    self.loop = loop
    self.state = state
    self.port = port
  }

  deinit { loop.stop() }

  public func statistics() async -> Statistics {
    let state = state
    return await loop.run { state.value.statistics() }
  }

  /// Closes all sockets and ends the thread.
  public func stop() async {
    let state = state
    await loop.run { state.value.close() }
    loop.stop()
  }
}
