import PeerWire
import Reactor
import TorrentModel

/// Takes in connections: reads each one's handshake until the info-hash is known, then hands socket and bytes to the
/// torrent, on whatever loop it lives. Confined to the session's first loop.
final class Acceptor {
  /// Connections that have not yet said what they want; more than this are refused.
  private static let pendingLimit = 512

  private let loop: EventLoop
  private let find: (InfoHash) -> LoopBound<PeerHost>?
  private var listeners: [Listener] = []
  private var pending: [ObjectIdentifier: IncomingHandshake] = [:]

  /// - Parameter find: whose an info-hash is, if it is here.
  init(loop: EventLoop, find: @escaping (InfoHash) -> LoopBound<PeerHost>?) {
    self.loop = loop
    self.find = find
  }

  /// Listens on IPv4 and IPv6, on one port. Returns it.
  /// - Throws: when neither family can be listened on.
  func listen(port: UInt16, binding: LocalBinding) throws(ReactorError) -> UInt16 {
    var chosen = port
    var failure: ReactorError?
    for family in [SocketAddress.Family.v4, .v6] where binding.allows(family) {
      do throws(ReactorError) {
        let listener = try Listener(family: family, port: chosen, binding: binding, on: loop) {
          [unowned self] descriptor, peer in
          self.accepted(descriptor, from: Endpoint(keepingScopeOf: peer.unmapped))
        }
        listeners.append(listener)
        chosen = listener.localAddress.port
      } catch {
        failure = error
      }
    }
    if listeners.isEmpty, let failure { throw failure }
    return chosen
  }

  private func accepted(_ descriptor: CInt, from endpoint: Endpoint) {
    guard pending.count < Self.pendingLimit,
      let incoming = try? IncomingHandshake(descriptor, from: endpoint, on: loop, owner: self)
    else { return closeDescriptor(descriptor) }
    pending[ObjectIdentifier(incoming)] = incoming
  }

  private func closeDescriptor(_ descriptor: CInt) { Connection.close(descriptor: descriptor) }

  fileprivate func ended(_ incoming: IncomingHandshake) { pending[ObjectIdentifier(incoming)] = nil }

  fileprivate func identified(_ incoming: IncomingHandshake, _ infoHash: InfoHash) {
    pending[ObjectIdentifier(incoming)] = nil
    guard let host = find(infoHash), let descriptor = incoming.detach() else { return incoming.close() }
    let endpoint = incoming.endpoint
    let bytes = incoming.bytes
    let accept: @Sendable () -> Void = {
      if !host.value.accept(descriptor, from: endpoint, handshake: bytes) {
        Connection.close(descriptor: descriptor)
      }
    }
    if host.loop.isOnLoop { accept() } else { host.loop.post(accept) }
  }

  func close() {
    for listener in listeners { listener.close() }
    listeners = []
    for incoming in pending.values { incoming.close() }
    pending = [:]
  }
}

/// An accepted connection that has not yet said which torrent it is about (BEP 3).
private final class IncomingHandshake: ConnectionHandler {
  let endpoint: Endpoint
  private(set) var bytes: [UInt8] = []
  private var connection: Connection?
  private unowned let owner: Acceptor
  private var timer: TimerID?
  private static let timeout: UInt64 = 10_000_000_000

  init(_ descriptor: CInt, from endpoint: Endpoint, on loop: EventLoop, owner: Acceptor) throws(ReactorError)
  {
    self.endpoint = endpoint
    self.owner = owner
    connection = try Connection(
      adopting: descriptor, remoteAddress: SocketAddress(endpoint), on: loop, handler: self)
    timer = loop.schedule(afterNanoseconds: Self.timeout) { [weak self] in
      guard let self else { return }
      self.timer = nil
      self.end()
    }
  }

  func connectionOpened(_ connection: Connection) {}
  func connectionWritable(_ connection: Connection) {}
  func connectionClosed(_ connection: Connection, reason: ConnectionCloseReason) { end() }

  func connectionReadable(_ connection: Connection) {
    switch connection.read(upTo: Handshake.length - bytes.count, appendingTo: &bytes) {
    case .bytes:
      do throws(PeerProtocolError) {
        switch try Handshake.decode(bytes.span) {
        case .incomplete: break
        case .infoHash(let infoHash, _): owner.identified(self, infoHash)
        case .complete(let handshake): owner.identified(self, handshake.infoHash)
        }
      } catch {
        end()
      }
    case .wouldBlock: break
    case .endOfStream, .error: end()
    }
  }

  private func end() {
    close()
    owner.ended(self)
  }

  func close() {
    cancelTimer()
    connection?.close()
    connection = nil
  }

  /// Lets go of the socket; it is the caller's.
  func detach() -> CInt? {
    cancelTimer()
    let descriptor = connection?.detach()
    connection = nil
    return descriptor
  }

  private func cancelTimer() {
    if let timer, let loop = connection?.loop { loop.cancel(timer) }
    timer = nil
  }
}
