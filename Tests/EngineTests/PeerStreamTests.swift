import BlockPool
import Glibc
import PeerWire
import Reactor
import Testing
import TorrentModel

@testable import Engine

/// A socket that delivers a given stream in pieces of drawn size.
private final class ScriptedSource: VectoredSource {
  var bytes: [UInt8]
  var position = 0
  var sizes: () -> Int
  init(_ bytes: [UInt8], sizes: @escaping () -> Int) {
    self.bytes = bytes
    self.sizes = sizes
  }
  func readVectors(_ vectors: UnsafeBufferPointer<iovec>) -> Int {
    guard position < bytes.count else { return 0 }
    var budget = min(sizes(), bytes.count - position)
    var moved = 0
    for vector in vectors where budget > 0 {
      let count = min(budget, vector.iov_len)
      bytes.withUnsafeBytes { vector.iov_base.copyMemory(from: $0.baseAddress! + position, byteCount: count) }
      position += count
      moved += count
      budget -= count
    }
    return moved
  }
}

private final class Recorder: PeerStreamSink {
  let pool: BlockPool
  var wanted: [BlockRequest] = []
  var messages: [PeerMessage] = []
  var blocks: [(BlockRequest, [UInt8])] = []
  var dropped: [BlockRequest] = []
  var isOpen = true
  init(_ pool: BlockPool) { self.pool = pool }
  func messageArrived(_ message: PeerMessage) { messages.append(message) }
  func blocksArrived(_ arrived: Span<ArrivedBlock>) {
    for i in arrived.indices { blockArrived(arrived[i].request, in: arrived[i].id) }
  }
  private func blockArrived(_ block: BlockRequest, in id: BlockID) {
    wanted.removeAll { $0 == block }
    let bytes = pool.withBytes(of: id, count: Int(block.length)) { raw in
      (0..<raw.byteCount).map { raw.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
    }
    blocks.append((block, bytes))
    pool.release(id)
  }
  func blockDropped(_ block: BlockRequest) {
    wanted.removeAll { $0 == block }
    dropped.append(block)
  }
}

@Suite struct PeerStreamTests {
  static let geometry = PieceGeometry(totalLength: 5_000_000, pieceLength: 50_000)

  /// Writes the lengths of the blocks, as far as there is room.
  static func fill(_ lengths: inout MutableSpan<Int32>, _ requests: ArraySlice<BlockRequest>) -> Int {
    let count = min(lengths.count, requests.count)
    for i in 0..<count { lengths[i] = Int32(requests[requests.startIndex + i].length) }
    return count
  }

  static func payload(_ request: BlockRequest) -> [UInt8] {
    let seed = request.piece.rawValue &* 31 &+ request.begin &* 7
    return (0..<request.length).map { UInt8(truncatingIfNeeded: seed &+ $0 &* ($0 >> 5 | 1)) }
  }

  /// A drawn stream of blocks (in order or not, some never asked for) with other messages between them, delivered in
  /// drawn portions under drawn rate limits: what comes out is what went in.
  @Test(arguments: 0..<24)
  func whatGoesInComesOut(seed: Int) throws {
    var random = SeededRandom(seed: UInt64(seed))
    let pool = try BlockPool(capacity: 64)
    let reader = ScatterReader(pool: pool, maxFrames: Int.random(in: 1...12, using: &random))
    let sink = Recorder(pool)
    var stream = PeerStream(
      parser: MessageParser(geometry: Self.geometry, isFast: true, extensions: .standard))

    var requests: [BlockRequest] = []
    for piece in 0..<5 {
      for block in 0..<Self.geometry.blockCount(of: PieceIndex(piece)) {
        requests.append(Self.geometry.request(block: block, of: PieceIndex(piece)))
      }
    }
    sink.wanted = requests
    var bytes: [UInt8] = []
    var messages: [PeerMessage] = []
    var blocks: [BlockRequest] = []
    let chatter = [0, 3, 30, 100].randomElement(using: &random)!
    let disorder = [0, 5].randomElement(using: &random)!
    var order = requests
    for i in order.indices where Int.random(in: 0..<100, using: &random) < disorder {
      order.swapAt(i, order.indices.randomElement(using: &random)!)
    }
    for request in order {
      while Int.random(in: 0..<130, using: &random) < chatter {
        let choices: [PeerMessage] = [
          .have(PieceIndex(7)), .keepAlive, .choke, .unchoke, .haveAll, .cancel(requests[0]),
          .extended(id: 0, payload: [UInt8](repeating: 100, count: Int.random(in: 0...3000, using: &random))),
        ]
        let message = choices.randomElement(using: &random)!
        if message == .haveAll && messages.contains(.haveAll) { continue }
        messages.append(message)
        message.append(to: &bytes)
      }
      if Int.random(in: 0..<40, using: &random) == 0 {  // a message of an unknown id
        bytes += [0, 0, 0, 5, 99, 1, 2, 3, 4]
      }
      if Int.random(in: 0..<40, using: &random) == 0 {  // a block nobody asked for
        let stranger = BlockRequest(
          piece: PieceIndex(90), begin: 0, length: UInt32.random(in: 1...40_000, using: &random))
        PieceHeader.append(stranger, to: &bytes)
        bytes += Self.payload(stranger)
      }
      blocks.append(request)
      PieceHeader.append(request, to: &bytes)
      bytes += Self.payload(request)
    }
    var sizes = random
    let most = [1, 14, 500, 20_000, 200_000].randomElement(using: &random)!
    let source = ScriptedSource(most == 1 ? Array(bytes.prefix(2_000)) : bytes) {
      Int.random(in: 1...most, using: &sizes)
    }
    let reserve = 4
    var idle = 0
    var pendingOrder = requests
    while true {
      if pendingOrder.count != sink.wanted.count { pendingOrder = sink.wanted }
      let outstanding = Int.random(in: 0...pendingOrder.count, using: &random)
      let limit = Bool.random(using: &random) ? Int.max : Int.random(in: 1...30_000, using: &random)
      let received = try stream.receive(
        reader, to: sink, limit: limit,
        reserve: reserve, expected: { Self.fill(&$0, pendingOrder.prefix(outstanding)) }, from: source)
      if Bool.random(using: &random) { reader.releaseSpare() }
      guard let received else { break }
      if received.result == 0 { idle += 1 }
      if idle > 0 { break }
    }
    #expect(sink.dropped.isEmpty)
    if most > 1 {
      #expect(sink.messages == messages)
      #expect(sink.blocks.map(\.0) == blocks)
    } else {
      #expect(sink.messages == Array(messages.prefix(sink.messages.count)))
      #expect(sink.blocks.map(\.0) == Array(blocks.prefix(sink.blocks.count)))
    }
    for (request, content) in sink.blocks { #expect(content == Self.payload(request), "\(request)") }
    stream.close(reader)
    reader.releaseSpare()
    #expect(pool.inUse == 0)
  }

  @Test func blocksAsPredictedAreNotCopied() throws {
    let pool = try BlockPool(capacity: 64)
    let reader = ScatterReader(pool: pool)
    let sink = Recorder(pool)
    var stream = PeerStream(parser: MessageParser(geometry: Self.geometry, isFast: true, extensions: nil))
    let requests = (0..<100).map { Self.geometry.request(block: $0 % 4, of: PieceIndex($0 / 4)) }
    sink.wanted = requests
    var bytes: [UInt8] = []
    for request in requests {
      PieceHeader.append(request, to: &bytes)
      bytes += Self.payload(request)
    }
    let source = ScriptedSource(bytes) { 70_001 }
    while true {
      let left = sink.wanted
      let received = try #require(
        try stream.receive(
          reader, to: sink, limit: .max, reserve: 0,
          expected: { Self.fill(&$0, left[...]) }, from: source))
      if received.result == 0 { break }
    }
    #expect(sink.blocks.count == 100)
    #expect(reader.copiedBytes == 0)
  }

  @Test func anEmptyPoolReadsNothing() throws {
    let pool = try BlockPool(capacity: 2)
    var held: [BlockID] = []
    pool.take(2, into: &held)
    let reader = ScatterReader(pool: pool)
    let sink = Recorder(pool)
    var stream = PeerStream(parser: MessageParser(geometry: Self.geometry, isFast: true, extensions: nil))
    let request = Self.geometry.request(block: 0, of: PieceIndex(0))
    sink.wanted = [request]
    var bytes: [UInt8] = []
    PieceHeader.append(request, to: &bytes)
    bytes += Self.payload(request)
    let source = ScriptedSource(bytes) { .max }
    #expect(
      try stream.receive(
        reader, to: sink, limit: .max, reserve: 0, expected: { Self.fill(&$0, [request]) }, from: source)
        == nil)
    #expect(source.position == 0)
    pool.release(held)
    let received = try stream.receive(
      reader, to: sink, limit: .max, reserve: 0, expected: { Self.fill(&$0, [request]) }, from: source)
    #expect(received?.result == bytes.count && sink.blocks.count == 1)
  }
}

extension PeerStream.Received: Equatable {
  public static func == (a: Self, b: Self) -> Bool { a.result == b.result && a.payload == b.payload }
}
