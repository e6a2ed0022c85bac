import BlockPool
import CEvent
import Glibc

/// What a connection tells its owner. All calls come on the connection's loop, outside of any call into it.
public protocol ConnectionHandler: AnyObject {
  /// A connection attempt succeeded. Not called for adopted sockets, which are open from the start.
  func connectionOpened(_ connection: Connection)
  /// There is something to ``Connection/readv(_:)``: bytes, the end of the stream or an error. Called in every turn
  /// until it is read or reading is paused.
  func connectionReadable(_ connection: Connection)
  /// The output fell to the low watermark after having been above it.
  func connectionWritable(_ connection: Connection)
  /// The connection failed or was flushed, and is closed. Not called after ``Connection/close()``.
  func connectionClosed(_ connection: Connection, reason: ConnectionCloseReason)
}

/// Why a connection closed on its own.
public enum ConnectionCloseReason: Hashable, Sendable, CustomStringConvertible {
  case connectFailed(SystemError)
  case connectTimedOut
  case writeFailed(SystemError)
  /// All output was handed to the kernel after ``Connection/closeAfterFlush(timeoutNanoseconds:)``.
  case flushed
  /// The peer did not take the rest of the output in time.
  case flushTimedOut

  public var description: String {
    switch self {
    case .connectFailed(let error): "cannot connect: \(error)"
    case .connectTimedOut: "cannot connect: no answer in time"
    case .writeFailed(let error): "cannot send: \(error)"
    case .flushed: "closed after sending everything"
    case .flushTimedOut: "closed before everything was sent: the peer takes no more"
    }
  }
}

/// What a read brought.
@frozen
public enum ReadResult: Hashable, Sendable {
  /// So many bytes, at least one.
  case bytes(Int)
  /// Nothing is there now.
  case wouldBlock
  /// The peer will send nothing more.
  case endOfStream
  /// The connection is broken.
  case error(SystemError)
}

/// One TCP connection on an event loop: half a bufferevent, and reads of one's own.
///
/// Output and connecting are libevent's; reading is `readv` straight to where the bytes belong, when the handler was
/// told that there is something to read. Output is sent at the end of the turn, everything of a turn together.
///
/// The loop keeps an open connection alive, and the connection its handler, until it is closed.
@safe
public final class Connection: LoopSource {
  public struct Options: Sendable {
    public var binding = LocalBinding.unrestricted
    public var connectTimeoutMilliseconds: UInt64 = 10_000
    /// SO_RCVBUF in bytes; 0 leaves the kernel's automatic sizing.
    public var receiveBufferBytes = 0
    /// SO_SNDBUF in bytes; 0 leaves the kernel's automatic sizing.
    public var sendBufferBytes = 0
    public init() {}
  }

  public let loop: EventLoop
  /// Who is told what happens. Dropped when the connection closes.
  public var handler: (any ConnectionHandler)?
  /// The peer, as given to connect or as accepted.
  public let remoteAddress: SocketAddress
  /// Whether the connection was made (and is not closed).
  public private(set) var isOpen: Bool
  private var raw: OpaquePointer?
  private var token: UInt64 = 0
  private var flushTimer: TimerID?

  /// Starts connecting to `remote`. The handler hears the outcome.
  /// - Throws: when the attempt fails at once (no route, no descriptors, a binding without the address's family).
  public init(
    connectingTo remote: SocketAddress, on loop: EventLoop, options: Options = Options(),
    handler: any ConnectionHandler
  ) throws(ReactorError) {
    loop.preconditionOnLoop()
    self.loop = loop
    self.handler = handler
    self.remoteAddress = remote
    self.isOpen = false
    guard options.binding.allows(remote.family) else {
      self.handler = nil
      throw ReactorError("cannot connect to \(remote)", errno: Errno.familyNotSupported)
    }
    token = loop.core.register(self)
    var error: CInt = 0
    var address = remote.raw
    unsafe raw = unsafe options.binding.withConnectBinding(family: remote.family) { binding in
      unsafe cev_connect(
        loop.core.raw, token, &address, binding, options.connectTimeoutMilliseconds,
        CInt(clamping: options.receiveBufferBytes), CInt(clamping: options.sendBufferBytes), &error)
    }
    if unsafe raw == nil {
      loop.core.unregister(token)
      self.handler = nil
      throw ReactorError("cannot connect to \(remote)", errno: error)
    }
  }

  /// Takes over a connected socket: an accepted one, or one that another loop detached. When it throws, the
  /// descriptor is still the caller's.
  public init(
    adopting descriptor: CInt, remoteAddress: SocketAddress, on loop: EventLoop,
    handler: any ConnectionHandler
  ) throws(ReactorError) {
    loop.preconditionOnLoop()
    self.loop = loop
    self.handler = handler
    self.remoteAddress = remoteAddress
    self.isOpen = true
    token = loop.core.register(self)
    var error: CInt = 0
    unsafe raw = unsafe cev_adopt(loop.core.raw, token, descriptor, &error)
    if unsafe raw == nil {
      loop.core.unregister(token)
      self.handler = nil
      self.isOpen = false
      throw ReactorError("cannot take over a connection with \(remoteAddress)", errno: error)
    }
  }

  /// Whether the connection is closed for good.
  public var isClosed: Bool { unsafe raw == nil }

  // MARK: Reading

  /// Reads what is there into the vectors, with one system call and no copy.
  @unsafe
  public func readv(_ vectors: UnsafeBufferPointer<iovec>) -> ReadResult {
    loop.assertOnLoop()
    guard let raw = unsafe raw, let start = vectors.baseAddress, vectors.count > 0 else { return .wouldBlock }
    // IOV_MAX; the kernel refuses longer lists as a whole.
    let count = unsafe cev_connection_readv(raw, start, CInt(min(vectors.count, 1024)))
    if count > 0 { return .bytes(count) }
    if count == 0 { return .endOfStream }
    let code = CInt(truncatingIfNeeded: -count)
    return code == Errno.wouldBlock ? .wouldBlock : .error(SystemError(code: code))
  }

  /// Reads up to `bytes.byteCount` bytes into the span.
  public func read(into bytes: inout MutableRawSpan) -> ReadResult {
    unsafe bytes.withUnsafeMutableBytes { buffer in
      var vector = unsafe iovec(iov_base: buffer.baseAddress, iov_len: buffer.count)
      return unsafe withUnsafePointer(to: &vector) { pointer in
        unsafe readv(UnsafeBufferPointer(start: pointer, count: 1))
      }
    }
  }

  /// The handler is not told of anything readable until ``resumeReading()``; TCP slows the peer down. The end of the
  /// stream and errors are not noticed either.
  public func pauseReading() { setReading(false) }

  public func resumeReading() { setReading(true) }

  public private(set) var isReading = true

  private func setReading(_ reading: Bool) {
    loop.assertOnLoop()
    guard let raw = unsafe raw, reading != isReading else { return }
    isReading = reading
    unsafe cev_connection_set_reading(raw, reading)
  }

  /// The handler is told of something readable only once so many bytes are there (or the stream ended): SO_RCVLOWAT.
  public func setReceiveLowWatermark(_ bytes: Int) {
    guard let raw = unsafe raw else { return }
    _ = unsafe cev_socket_set_receive_low_watermark(cev_connection_descriptor(raw), CInt(clamping: bytes))
  }

  // MARK: Writing

  /// Queues a copy of `bytes`. Ignored when the connection is closed.
  public func write(copying bytes: RawSpan) {
    loop.assertOnLoop()
    guard let raw = unsafe raw, bytes.byteCount > 0 else { return }
    let isQueued = unsafe bytes.withUnsafeBytes { buffer in
      unsafe cev_connection_write(raw, buffer.baseAddress!, buffer.count)
    }
    precondition(isQueued, "out of memory")
  }

  /// Queues a copy of `bytes`. Ignored when the connection is closed.
  public func write(copying bytes: Span<UInt8>) { unsafe write(copying: bytes.bytes) }

  /// Queues a copy of `bytes`. Ignored when the connection is closed.
  public func write(copying bytes: [UInt8]) { unsafe write(copying: bytes.span.bytes) }

  /// Queues `count` bytes of a block without copying them. The block must stay as it is until it comes back through
  /// ``EventLoop/onBlocksReturned(_:)``, which happens exactly once for each call, whatever becomes of the connection.
  /// - Returns: false when the connection is closed; then the block does not come back.
  @discardableResult
  public func write(block: BlockID, of pool: BlockPool, offset: Int = 0, count: Int = BlockPool.blockLength)
    -> Bool
  {
    loop.assertOnLoop()
    precondition(offset >= 0 && count > 0 && count <= BlockPool.blockLength - offset)
    precondition(Int(block.rawValue) < pool.capacity)
    guard let raw = unsafe raw else { return false }
    let isQueued = unsafe cev_connection_write_block(
      raw, pool.address(of: block) + offset, count, block.rawValue)
    precondition(isQueued, "out of memory")
    return true
  }

  /// Sends bytes of a file straight from the page cache, cut into blocks of 16 KiB, each behind its header: what is queued goes
  /// first, then as much of this as the socket has room for. Nothing of it is queued.
  /// - Parameters:
  ///   - range: where in the file the bytes are; they must be in memory, or the call waits for the device.
  ///   - headers: of equal length, one for each block, end to end.
  /// - Returns: the bytes that left, headers included; none where older output is in the way, the socket is full, the file
  ///   has been cut short, or the connection broke, which the handler hears of in the next turn.
  /// - Precondition: there are 1 to 64 blocks, and a header for each.
  public func write(_ range: Range<Int64>, of mapping: FileMapping, headers: Span<UInt8>) -> Int {
    loop.assertOnLoop()
    let blockCount = (range.count + BlockPool.blockLength - 1) / BlockPool.blockLength
    precondition(blockCount >= 1 && blockCount <= CEV_RUN_BLOCKS && headers.count % blockCount == 0)
    guard let raw = unsafe raw else { return 0 }
    return unsafe headers.withUnsafeBufferPointer { headers in
      unsafe cev_connection_write_run(
        raw, headers.baseAddress!, headers.count / blockCount,
        mapping.address(of: range.lowerBound, range.count),
        range.count, BlockPool.blockLength)
    }
  }

  /// Hands what is queued to the kernel now rather than at the end of the turn: for blocks that have just been filled, while
  /// their bytes are in the processor's cache. A failure is told of in the next turn.
  public func flush() {
    loop.assertOnLoop()
    guard let raw = unsafe raw else { return }
    unsafe cev_connection_flush_now(raw)
  }

  /// Bytes queued and not yet with the kernel.
  public var outputLength: Int {
    guard let raw = unsafe raw else { return 0 }
    return unsafe cev_connection_output_length(raw)
  }

  /// Bytes handed to the kernel so far; what was sent before the connection closed is not remembered.
  public var bytesSent: UInt64 {
    guard let raw = unsafe raw else { return 0 }
    return unsafe cev_connection_bytes_sent(raw)
  }

  /// The handler hears ``ConnectionHandler/connectionWritable(_:)`` when the output falls to `bytes` after having
  /// been above. 0 at first: then every write is followed by it.
  public func setLowWatermark(_ bytes: Int) {
    loop.assertOnLoop()
    precondition(bytes >= 0)
    guard let raw = unsafe raw else { return }
    unsafe cev_connection_set_low_watermark(raw, bytes)
  }

  // MARK: Closing

  /// Closes at once. Unsent output is dropped, its blocks come back, and the handler hears nothing more.
  public func close() {
    loop.preconditionOnLoop()
    guard let raw = unsafe raw else { return }
    forget()
    unsafe cev_connection_free(raw)
  }

  /// Closes with an RST, so that the peer's and our kernel forget the connection at once.
  public func reset() {
    loop.preconditionOnLoop()
    guard let raw = unsafe raw else { return }
    forget()
    unsafe cev_socket_reset(cev_connection_detach(raw))
  }

  /// Reads nothing more, sends what is queued and closes then, or after `timeoutNanoseconds`. The handler is told.
  public func closeAfterFlush(timeoutNanoseconds: UInt64 = 10_000_000_000) {
    loop.preconditionOnLoop()
    guard let raw = unsafe raw, flushTimer == nil else { return }
    isReading = false
    flushTimer = loop.schedule(afterNanoseconds: timeoutNanoseconds) { [weak self] in
      self?.flushTimer = nil
      self?.closed(.flushTimedOut)
    }
    unsafe cev_connection_close_after_flush(raw)
  }

  /// Lets go of the socket without closing it, for another loop to adopt. Unsent output is dropped.
  /// - Returns: the descriptor, which the caller owns, or nil when the connection is closed or not open yet.
  public func detach() -> CInt? {
    loop.preconditionOnLoop()
    guard let raw = unsafe raw, isOpen else { return nil }
    forget()
    return unsafe cev_connection_detach(raw)
  }

  private func forget() {
    unsafe raw = nil
    isOpen = false
    handler = nil
    if let flushTimer { loop.cancel(flushTimer) }
    flushTimer = nil
    loop.core.unregister(token)
  }

  private func closed(_ reason: ConnectionCloseReason) {
    let handler = handler
    close()
    handler?.connectionClosed(self, reason: reason)
  }

  // MARK: Addresses

  /// The local address, or nil when the connection is closed.
  public var localAddress: SocketAddress? {
    guard let raw = unsafe raw else { return nil }
    var address = cev_address()
    guard unsafe cev_socket_local_address(cev_connection_descriptor(raw), &address) == 0 else { return nil }
    return SocketAddress(address)
  }

  // MARK: LoopSource

  func completed(_ record: cev_record) {
    switch record.kind {
    case .readable:
      // Reading may have been paused by an earlier completion of the same turn.
      if isReading { handler?.connectionReadable(self) }
    case .writable: handler?.connectionWritable(self)
    case .opened:
      isOpen = true
      handler?.connectionOpened(self)
    case .failed: closed(reason(record))
    default: break
    }
  }

  private func reason(_ record: cev_record) -> ConnectionCloseReason {
    let error = SystemError(code: CInt(truncatingIfNeeded: record.value))
    return switch cev_close_cause(rawValue: record.detail) {
    case .connectFailed: .connectFailed(error)
    case .connectTimedOut: .connectTimedOut
    case .flushed: .flushed
    default: .writeFailed(error)
    }
  }

  func loopStopped() {
    guard let raw = unsafe raw else { return }
    unsafe self.raw = nil
    isOpen = false
    handler = nil
    unsafe cev_connection_free(raw)
  }
}
