import BlockPool
import Glibc
import Reactor

import Testing

/// Code isolated to this actor runs on the loop's thread, so tests can hold connections and await what happens.
actor LoopActor {
  nonisolated let loop: EventLoop
  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

  init(_ loop: EventLoop) { self.loop = loop }

  func run<T: Sendable>(_ body: @Sendable (isolated LoopActor) async throws -> T) async throws -> T {
    try await body(self)
  }
}

/// Runs `body` on a fresh loop that is stopped afterwards; checks that it leaves nothing open.
func withLoop<T: Sendable>(
  _ name: String = "test", _ body: @Sendable (isolated LoopActor) async throws -> T
) async throws -> T {
  let loop = try EventLoop(name: name)
  try loop.start()
  let actor = LoopActor(loop)
  defer {
    loop.stop()
    loop.join()
  }
  let result = try await actor.run(body)
  let left = try await actor.run { $0.loop.sourceCount }
  #expect(left == 0, "sources were left open")
  return result
}

/// Runs `body` outside of two fresh loops.
func withTwoLoops(_ body: @Sendable (LoopActor, LoopActor) async throws -> Void) async throws {
  let loops = try [EventLoop(name: "first"), EventLoop(name: "second")]
  for loop in loops { try loop.start() }
  let actors = loops.map { LoopActor($0) }
  defer {
    for loop in loops {
      loop.stop()
      loop.join()
    }
  }
  try await body(actors[0], actors[1])
  for actor in actors {
    let left = try await actor.run { $0.loop.sourceCount }
    #expect(left == 0, "sources were left open")
  }
}

struct TimedOut: Error {
  var waitingFor: String
}

/// Something tests wait on. Lives on one loop.
final class Signal {
  private var waiters: [(condition: () -> Bool, continuation: CheckedContinuation<Bool, Never>, id: Int)] = []
  private var nextID = 0

  /// Looks at the conditions again.
  func changed() {
    var met: [CheckedContinuation<Bool, Never>] = []
    waiters.removeAll { waiter in
      guard waiter.condition() else { return false }
      met.append(waiter.continuation)
      return true
    }
    for continuation in met { continuation.resume(returning: true) }
  }

  /// Waits until `condition` holds; looked at after every `changed`.
  func wait(
    _ what: String, seconds: UInt64 = 20, isolation: isolated LoopActor, until condition: @escaping () -> Bool
  ) async throws {
    if condition() { return }
    nextID += 1
    let id = nextID
    isolation.loop.schedule(afterNanoseconds: seconds * 1_000_000_000) { [weak self] in
      guard let self, let index = self.waiters.firstIndex(where: { $0.id == id }) else { return }
      self.waiters.remove(at: index).continuation.resume(returning: false)
    }
    let isMet = await withCheckedContinuation { continuation in
      waiters.append((condition, continuation, id))
    }
    if !isMet { throw TimedOut(waitingFor: what) }
  }
}

/// Lets at least `milliseconds` of the loop's time go by.
func pause(milliseconds: UInt64, on actor: isolated LoopActor) async {
  await withCheckedContinuation { continuation in
    actor.loop.schedule(afterNanoseconds: milliseconds * 1_000_000) { continuation.resume() }
  }
}

/// A connection handler that reads everything and remembers what happened.
final class Recorder: ConnectionHandler {
  let signal = Signal()
  var received: [UInt8] = []
  var isOpened = false
  var writableCount = 0
  var isEnded = false
  var readError: SystemError?
  var closed: ConnectionCloseReason?
  var readsItself = true
  var readableCount = 0
  /// Called before each read instead of reading, when set.
  var onReadable: ((Connection) -> Void)?

  func connectionOpened(_ connection: Connection) {
    isOpened = true
    signal.changed()
  }

  func connectionReadable(_ connection: Connection) {
    readableCount += 1
    if let onReadable {
      onReadable(connection)
    } else {
      readAll(connection)
    }
    signal.changed()
  }

  func readAll(_ connection: Connection) {
    var buffer = [UInt8](repeating: 0, count: 65536)
    for _ in 0..<4 {
      var span = buffer.mutableSpan
      var bytes = span.mutableBytes
      switch connection.read(into: &bytes) {
      case .bytes(let count): received += buffer[..<count]
      case .wouldBlock: return
      case .endOfStream:
        isEnded = true
        connection.pauseReading()
        return
      case .error(let error):
        readError = error
        connection.pauseReading()
        return
      }
    }
  }

  func connectionWritable(_ connection: Connection) {
    writableCount += 1
    signal.changed()
  }

  func connectionClosed(_ connection: Connection, reason: ConnectionCloseReason) {
    closed = reason
    signal.changed()
  }
}

/// Two connected connections on one loop.
struct ConnectedPair {
  let left: Connection
  let right: Connection
  let leftEvents: Recorder
  let rightEvents: Recorder

  func close() {
    left.close()
    right.close()
  }
}

/// Connects over loopback.
func makePair(
  _ family: SocketAddress.Family = .v4, on actor: isolated LoopActor, options: Connection.Options = .init()
) async throws -> ConnectedPair {
  let leftEvents = Recorder()
  let rightEvents = Recorder()
  let signal = Signal()
  var accepted: Connection?
  let listener = try Listener(
    family: family, port: 0, binding: LocalBinding(address: .loopback(family)), on: actor.loop
  ) { descriptor, peer in
    accepted = try? Connection(
      adopting: descriptor, remoteAddress: peer, on: actor.loop, handler: rightEvents)
    signal.changed()
  }
  let left = try Connection(
    connectingTo: listener.localAddress, on: actor.loop, options: options, handler: leftEvents)
  try await leftEvents.signal.wait("connect", isolation: actor) { leftEvents.isOpened }
  try await signal.wait("accept", isolation: actor) { accepted != nil }
  listener.close()
  return ConnectedPair(
    left: left, right: try #require(accepted), leftEvents: leftEvents, rightEvents: rightEvents)
}

/// Bytes that differ from place to place.
func pattern(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
  var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
  return (0..<count).map { _ in
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return UInt8(truncatingIfNeeded: state)
  }
}

/// Open descriptors of this process.
func openDescriptors() -> Int {
  var count = 0
  for descriptor in 0..<4096 where fcntl(CInt(descriptor), F_GETFD) >= 0 { count += 1 }
  return count
}

/// A list that any thread may append to.
final class Log<Entry: Sendable>: Sendable {
  private let storage = Lock<[Entry]>([])
  func append(_ entry: Entry) { storage.withLock { $0.append(entry) } }
  var entries: [Entry] { storage.withLock { $0 } }
}

/// Runs `body` on several threads at once and waits for all.
@concurrent
func concurrently(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) async {
  await withTaskGroup(of: Void.self) { group in
    for number in 0..<count { group.addTask { body(number) } }
  }
}

/// A port of 127.0.0.1 (or ::1) that belongs to somebody, so that no other test gets it, and where nobody listens.
///
/// A listener that was closed would not do: a process being started beside holds a copy of its socket for a moment.
final class UnusedPort {
  let address: SocketAddress
  private let descriptor: CInt

  /// For UDP when `isDatagram`: then the port takes datagrams from one peer only, which does not exist.
  init(_ family: SocketAddress.Family = .v4, isDatagram: Bool = false) throws {
    let type = isDatagram ? SOCK_DGRAM : SOCK_STREAM
    descriptor = socket(family == .v4 ? AF_INET : AF_INET6, CInt(type.rawValue), 0)
    address = try RawSocket.bindToLoopback(descriptor, family)
    if isDatagram, try RawSocket.connect(descriptor, to: address.with(port: 1)) != 0 {
      throw SystemError(code: errno)
    }
  }

  deinit { close(descriptor) }
}

/// A listening socket whose queue is full, so that connecting to it gets no answer.
final class FullListener {
  let address: SocketAddress
  private var descriptors: [CInt] = []

  init() throws {
    let listener = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    descriptors.append(listener)
    address = try RawSocket.bindToLoopback(listener, .v4)
    guard listen(listener, 0) == 0 else { throw SystemError(code: errno) }
    for _ in 0..<4 {
      let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_NONBLOCK.rawValue), 0)
      descriptors.append(descriptor)
      _ = try RawSocket.connect(descriptor, to: address)
    }
  }

  deinit { for descriptor in descriptors { close(descriptor) } }
}

/// System calls for the other side of a test.
enum RawSocket {
  /// Binds to any port and gives back the address.
  static func bindToLoopback(_ descriptor: CInt, _ family: SocketAddress.Family) throws -> SocketAddress {
    try withStorage(of: .loopback(family)) { pointer, length in
      var length = length
      let isBound =
        unsafe bind(descriptor, pointer, length) == 0 && getsockname(descriptor, pointer, &length) == 0
      guard isBound else { throw SystemError(code: errno) }
      // The port is at the same place in both kinds of address.
      let port = unsafe UnsafeMutableRawPointer(pointer).load(fromByteOffset: 2, as: UInt16.self)
      return .loopback(family, port: UInt16(bigEndian: port))
    }
  }

  static func connect(_ descriptor: CInt, to address: SocketAddress) throws -> CInt {
    try withStorage(of: address) { pointer, length in unsafe Glibc.connect(descriptor, pointer, length) }
  }

  private static func withStorage<R>(
    of address: SocketAddress, _ body: (UnsafeMutablePointer<sockaddr>, socklen_t) throws -> R
  ) throws -> R {
    var storage = sockaddr_in6()
    return try unsafe withUnsafeMutableBytes(of: &storage) { bytes in
      unsafe bytes.storeBytes(
        of: sa_family_t(address.family == .v4 ? AF_INET : AF_INET6), as: sa_family_t.self)
      unsafe bytes.storeBytes(of: address.port.bigEndian, toByteOffset: 2, as: UInt16.self)
      for (index, byte) in address.bytes.enumerated() {
        unsafe bytes[(address.family == .v4 ? 4 : 8) + index] = byte
      }
      let length = address.family == .v4 ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size
      guard let start = bytes.baseAddress else { throw SystemError(code: EFAULT) }
      return try unsafe body(start.assumingMemoryBound(to: sockaddr.self), socklen_t(length))
    }
  }
}

/// Runs `body` with the path of a file that holds `text`.
func withTemporaryFile<T>(_ text: String, _ body: (String) async throws -> T) async throws -> T {
  var template = Array("/tmp/spate-test-XXXXXX".utf8CString)
  let descriptor = unsafe mkstemp(&template)
  guard descriptor >= 0 else { throw SystemError(code: errno) }
  let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  defer { unlink(path) }
  let bytes = Array(text.utf8)
  guard unsafe write(descriptor, bytes, bytes.count) == bytes.count else { throw SystemError(code: errno) }
  close(descriptor)
  return try await body(path)
}
