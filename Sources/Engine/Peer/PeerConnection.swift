import BlockPool
import DequeModule
import PeerWire
import Reactor
import Swarm
import TorrentModel

/// One peer of a torrent: the connection, the handshake, the stream of messages in and the queue of blocks out.
///
/// What to say to whom is the swarm's to decide; this class only carries bytes and reports.
final class PeerConnection: ConnectionHandler, PeerStreamSink {
  /// How far the connection has come.
  private enum Phase {
    case connecting
    /// Our half is sent (outgoing), or the peer's is being read (incoming). What has come of the peer's half so far.
    case handshaking([UInt8])
    /// Both halves are done, and the peer has said nothing yet. See ``settle()``.
    case settling(Handshake)
    case established
    case closed
  }

  private unowned var host: PeerHost
  let endpoint: Endpoint
  let isIncoming: Bool
  /// The connection's number in the swarm, once the handshake is done.
  private(set) var key: PeerKey?
  private var connection: Connection?
  private var phase: Phase
  private var stream: PeerStream
  private var remoteExtensions = RemoteExtensions()
  private(set) var client = ""
  /// What the peer can do, once the handshake is done.
  private(set) var reserved: ReservedBits = []
  private var handshakeTimer: TimerID?

  /// Blocks the swarm told us to send, in order.
  var uploads = Deque<BlockRequest>()
  /// In the driver's list of peers that were given blocks to send.
  var isGivenUploads = false
  /// In the driver's list of peers whose next block is being read.
  var isWaitingForRead = false
  /// How many blocks to try to send at once from the page cache: no more than the socket is likely to take.
  var directRunLimit = PeerConnection.longestDirectRun
  /// In the driver's list of peers that a rate limit holds back.
  var isThrottled = false

  /// Output up to which blocks are queued: enough to fill a fast connection for a turn, so little that a `cancel`
  /// still finds most blocks unsent.
  static let outputHighWater = 512 * 1024
  static let outputLowWater = 128 * 1024
  /// Blocks sent with one call: a MiB. The longer the calls, the fewer times a receiver has to be woken up.
  static let longestDirectRun = 64
  static let shortestDirectRun = 4
  private static let handshakeTimeout: UInt64 = 20_000_000_000
  private static let settlingTime: UInt64 = 100_000_000

  /// Starts connecting.
  init(connectingTo endpoint: Endpoint, host: PeerHost, binding: LocalBinding) throws(ReactorError) {
    self.host = host
    self.endpoint = endpoint
    self.isIncoming = false
    self.phase = .connecting
    self.stream = PeerStream(parser: MessageParser(geometry: nil, isFast: false, extensions: nil))
    var options = Connection.Options()
    options.binding = binding
    connection = try Connection(
      connectingTo: SocketAddress(endpoint), on: host.context.loop, options: options, handler: self)
  }

  /// Takes over an accepted socket, of whose handshake `bytes` have been read: at least up to the info-hash.
  init(
    adopting descriptor: CInt, from endpoint: Endpoint, handshake bytes: [UInt8], host: PeerHost
  ) throws(ReactorError) {
    self.host = host
    self.endpoint = endpoint
    self.isIncoming = true
    self.phase = .handshaking(bytes)
    self.stream = PeerStream(parser: MessageParser(geometry: nil, isFast: false, extensions: nil))
    connection = try Connection(
      adopting: descriptor, remoteAddress: SocketAddress(endpoint), on: host.context.loop, handler: self)
    prepareConnection()
    sendHandshake()
    startHandshakeTimer()
    advanceHandshake()
  }

  /// From now on the connection belongs to `host`, which knows the torrent's geometry.
  func move(to host: PeerHost) {
    self.host = host
    stream.parser.geometry = host.pieceGeometry
    stream.parser.extensions = stream.parser.extensions == nil ? nil : host.extensions
  }

  /// Our address on this connection.
  var localAddress: IPAddress? { connection?.localAddress.map { Endpoint($0).address } }

  var isOpen: Bool { if case .closed = phase { false } else { true } }
  var isEstablished: Bool { if case .established = phase { true } else { false } }
  private var context: LoopContext { host.context }

  // MARK: Connection events

  func connectionOpened(_ connection: Connection) {
    prepareConnection()
    phase = .handshaking([])
    sendHandshake()
    startHandshakeTimer()
  }

  private func prepareConnection() {
    connection?.setLowWatermark(Self.outputLowWater)
  }

  private var waitsForEmptyOutput = false

  /// The queue moves again when the output is empty.
  func waitForEmptyOutput() {
    guard !waitsForEmptyOutput else { return }
    waitsForEmptyOutput = true
    connection?.setLowWatermark(0)
  }

  /// The queue moves again when the output has become short: it holds blocks to go on with meanwhile.
  func waitForShortOutput() {
    guard waitsForEmptyOutput else { return }
    waitsForEmptyOutput = false
    prepareConnection()
  }

  func connectionReadable(_ connection: Connection) {
    switch phase {
    case .handshaking: readHandshake()
    case .settling(let handshake):
      establish(handshake)
      if isEstablished { receive() }
    case .established: receive()
    case .connecting, .closed: break
    }
  }

  func connectionWritable(_ connection: Connection) {
    guard isEstablished, !uploads.isEmpty else { return }
    host.pumpUploads(self)
  }

  func connectionClosed(_ connection: Connection, reason: ConnectionCloseReason) {
    switch reason {
    case .connectFailed, .connectTimedOut: close(.connectFailed, detail: reason.description)
    case .writeFailed, .flushTimedOut, .flushed: close(.connectionLost, detail: reason.description)
    }
  }

  // MARK: Handshake (BEP 3)

  private func sendHandshake() {
    var bytes: [UInt8] = []
    var reserved = ReservedBits.supported
    if !host.isPrivate, context.shared.discovery?.hasDHT == true { reserved.insert(.dht) }
    Handshake(reserved: reserved, infoHash: host.infoHash, peerID: context.shared.peerID).append(to: &bytes)
    connection?.write(copying: bytes.span)
  }

  private func startHandshakeTimer() {
    handshakeTimer = context.loop.schedule(afterNanoseconds: Self.handshakeTimeout) { [weak self] in
      guard let self else { return }
      self.handshakeTimer = nil
      if !self.isEstablished { self.close(.protocolError, detail: "no handshake in time") }
    }
  }

  /// Reads just the missing bytes, so that what follows them is read where it belongs.
  private func readHandshake() {
    guard case .handshaking(var bytes) = phase, let connection else { return }
    switch connection.read(upTo: Handshake.length - bytes.count, appendingTo: &bytes) {
    case .bytes:
      phase = .handshaking(bytes)
      advanceHandshake()
    case .wouldBlock: break
    case .endOfStream: close(.closedByPeer, detail: "closed during the handshake")
    case .error(let error): close(.connectionLost, detail: error.description)
    }
  }

  private func advanceHandshake() {
    guard case .handshaking(let bytes) = phase else { return }
    do throws(PeerProtocolError) {
      switch try Handshake.decode(bytes.span) {
      case .incomplete: break
      case .infoHash(let infoHash, _):
        guard infoHash == host.infoHash else { throw .infoHashMismatch }
      case .complete(let handshake):
        guard handshake.infoHash == host.infoHash else { throw .infoHashMismatch }
        guard handshake.peerID != context.shared.peerID else {
          return close(.selfConnection, detail: "connected to ourselves")
        }
        if isIncoming { settle(handshake) } else { establish(handshake) }
      }
    } catch {
      close(.protocolError, detail: error.description)
    }
  }

  /// Some clients lose whatever comes right behind the handshake that answers theirs. So on an accepted connection the
  /// first message waits until the peer has said something, which most do at once, or a moment has passed.
  private func settle(_ handshake: Handshake) {
    phase = .settling(handshake)
    context.loop.schedule(afterNanoseconds: Self.settlingTime) { [weak self] in
      guard let self, case .settling(let handshake) = self.phase else { return }
      self.establish(handshake)
    }
  }

  private func establish(_ handshake: Handshake) {
    if let handshakeTimer { context.loop.cancel(handshakeTimer) }
    handshakeTimer = nil
    stream.parser = MessageParser(
      geometry: host.pieceGeometry, ours: .supported, theirs: handshake.reserved, extensions: host.extensions)
    reserved = handshake.reserved
    client = handshake.peerID.clientName ?? ""
    phase = .established
    key = host.peerEstablished(self, handshake)
  }

  // MARK: Receiving

  /// Reads once, as far as the rate limits and the pool allow.
  private func receive() {
    guard let connection, let key else { return }
    var limit = Int.max
    if host.isDownloadLimited {
      limit = host.grantDownload(256 * 1024)
      guard limit > 0 else {
        connection.pauseReading()
        return host.throttle(self)
      }
    }
    let swarm = host.swarm
    let reserve = host.isSeeding ? 0 : context.reserve
    do throws(PeerProtocolError) {
      let received = try stream.receive(
        context.reader, to: self, limit: limit, reserve: reserve,
        expected: { swarm?.expectedLengths(key, into: &$0) ?? 0 }, from: connection)
      guard let received else {
        if limit != .max { host.refundDownload(limit) }
        connection.pauseReading()
        return context.starve(self)
      }
      if limit != .max { host.refundDownload(limit - max(0, received.result)) }
      if received.payload > 0 { host.payloadReceived(key, received.payload) }
      if received.result > 0 { host.context.touch(host) }
      if received.result == 0 { close(.closedByPeer, detail: "closed by the peer") }
      if received.result < 0 && received.result != -Errno.tryAgain {
        close(.connectionLost, detail: SystemError(code: CInt(-received.result)).description)
      }
    } catch {
      close(.protocolError, detail: error.description)
    }
  }

  /// The pool has blocks again.
  func poolRefilled() {
    if isOpen { connection?.resumeReading() }
  }

  /// The rate limit lets something through again.
  func unthrottle() {
    isThrottled = false
    guard isOpen else { return }
    connection?.resumeReading()
    if !uploads.isEmpty { host.pumpUploads(self) }
  }

  func messageArrived(_ message: PeerMessage) throws(PeerProtocolError) {
    guard let key else { return }
    switch message {
    case .extended(let id, let payload): try extendedArrived(key, id, payload.span)
    case .port(let port):
      context.shared.discovery?.addNode(Endpoint(address: endpoint.address, port: port))
      host.messageArrived(key, message)
    default: host.messageArrived(key, message)
    }
  }

  private func extendedArrived(
    _ key: PeerKey, _ id: UInt8, _ payload: Span<UInt8>
  ) throws(PeerProtocolError) {
    switch id {
    case 0:
      let handshake = try ExtendedHandshake.decode(payload, registry: host.extensions)
      remoteExtensions.apply(handshake)
      if let name = handshake.client { client = name }
      host.extendedHandshakeArrived(key, handshake, from: self)
    case DontHave.registration.localID:
      host.dontHaveArrived(key, try DontHave.decode(payload, pieceCount: host.pieceGeometry?.pieceCount))
    case Metadata.registration.localID where host.extensions[id] != nil:
      if let message = try Metadata.decode(payload) { try host.metadataArrived(key, message) }
    case PeerExchange.registration.localID where host.extensions[id] != nil:
      try host.contactsArrived(key, try PeerExchange.decode(payload))
    default: break
    }
  }

  func blocksArrived(_ blocks: Span<ArrivedBlock>) {
    // A connection that was closed for what it said last gets nothing done any more.
    guard let key, isOpen else {
      for i in blocks.indices { context.reader.recycle(blocks[i].id) }
      return
    }
    host.blocksArrived(key, blocks)
  }

  func blockDropped(_ block: BlockRequest) {
    guard let key else { return }
    host.blockDropped(key, block)
  }

  // MARK: Sending

  func write(_ bytes: Span<UInt8>) { connection?.write(copying: bytes) }

  func send(_ message: PeerMessage) { context.output.append(message, to: self) }

  /// The peer's id for an extension of ours, if it takes part in it (BEP 10).
  func remoteID(of item: WireExtension) -> UInt8? { remoteExtensions[item] }

  /// Whether another block may be queued now.
  var hasRoomForOutput: Bool { (connection?.outputLength ?? .max) < Self.outputHighWater }

  /// Queues `count` bytes of a pinned block; the loop reports when they left.
  func write(block: BlockID, offset: Int, count: Int) -> Bool {
    connection?.write(block: block, of: context.pool, offset: offset, count: count) ?? false
  }

  /// Sends blocks of a file, each behind its header, as far as the socket has room; returns the bytes that left.
  func write(_ range: Range<Int64>, of mapping: FileMapping, headers: Span<UInt8>) -> Int {
    connection?.write(range, of: mapping, headers: headers) ?? 0
  }

  /// Hands what is queued to the kernel now.
  func flush() { connection?.flush() }

  // MARK: Closing

  /// Ends the connection, once, and tells the driver why.
  func close(_ reason: DisconnectReason, detail: String) {
    guard isOpen else { return }
    phase = .closed
    if let handshakeTimer { context.loop.cancel(handshakeTimer) }
    handshakeTimer = nil
    stream.close(context.reader)
    connection?.close()
    connection = nil
    host.peerClosed(self, reason, detail: detail)
  }
}

/// The one errno value the engine itself compares with.
enum Errno {
  static let tryAgain = 11
}
