import BlockPool
import PeerWire
import Reactor
import TorrentModel

/// Who is told what a peer's byte stream holds.
protocol PeerStreamSink: AnyObject {
  /// A complete message other than a block. Throws to close the connection.
  func messageArrived(_ message: PeerMessage) throws(PeerProtocolError)
  /// Blocks of the torrent are complete, in the order in which they came, and now the sink's. Whether they were asked for
  /// is the sink's to find out.
  func blocksArrived(_ blocks: Span<ArrivedBlock>)
  /// A block of the torrent came when the pool was empty, and was dropped.
  func blockDropped(_ block: BlockRequest)
  /// False once the sink has closed the connection: what else landed is of no interest.
  var isOpen: Bool { get }
}

/// A block in memory.
struct ArrivedBlock {
  var request: BlockRequest
  var id: BlockID
}

/// The receiving half of one peer's connection: plans each read so that predicted blocks land in the pool, and turns what
/// landed into messages. Between reads it holds at most the block under way and the beginning of a message.
struct PeerStream {
  var parser: MessageParser
  /// Beginning of a message whose rest has not come, including its length prefix.
  private var leftover: [UInt8] = []
  private var current: PartialBlock?
  /// Bytes of an ignored message that are still to come.
  private var skip = 0
  /// Payload that came outside of a prediction and is not yet counted with what a read brought.
  private var unpredictedPayload = 0

  private struct PartialBlock {
    var request: BlockRequest
    var block: BlockID
    var filled: Int
  }

  /// What one read brought.
  struct Received {
    /// As `readv` gave it: bytes, 0 at the end of the stream, or a negated errno.
    var result = 0
    /// Payload of blocks among the bytes, by the header that announces it.
    var payload = 0
  }

  init(parser: MessageParser) { self.parser = parser }

  /// Whether a block is under way.
  var hasPartialBlock: Bool { current != nil }

  /// Gives back what the stream holds. Call once, when the connection ends.
  mutating func close(_ reader: ScatterReader) {
    if let partial = current { reader.recycle(partial.block) }
    current = nil
    leftover = []
  }

  /// Bytes that came before the stream was set up (behind a handshake).
  mutating func feed(
    _ bytes: Span<UInt8>, _ reader: ScatterReader, to sink: some PeerStreamSink
  ) throws(PeerProtocolError) {
    try parse(bytes, reader, to: sink)
  }

  /// Reads once.
  /// - Parameters:
  ///   - limit: bytes to ask for at most (a rate limit).
  ///   - reserve: blocks to leave in the pool.
  ///   - expected: writes the lengths of the blocks that were asked for and have not come, in the order in which they are
  ///     expected, as many as there are or there is room for; returns how many. At most 16 KiB each.
  ///   - source: the connection.
  /// - Returns: nil when nothing could be read because the pool is empty: try again when it is not.
  mutating func receive(
    _ reader: ScatterReader, to sink: some PeerStreamSink, limit: Int, reserve: Int,
    expected: (inout MutableSpan<Int32>) -> Int, from source: some VectoredSource
  ) throws(PeerProtocolError) -> Received? {
    reader.begin()
    if let partial = current {
      reader.addRemainder(
        of: partial.block, from: partial.filled, count: Int(partial.request.length) - partial.filled)
    }
    // The start of a message that is no block, or of one to be dropped, is finished by way of the tail.
    let predicts = skip == 0 && (leftover.count < 5 || leftover[4] == PeerMessage.ID.piece.rawValue)
    var planned = 0
    // No tail when more blocks are expected than were planned: it would catch the beginning of the next one, which then had
    // to be copied, or dropped while the pool is empty.
    var isAll = true
    if predicts {
      // Room for the block under way, the most that a plan takes (`ScatterReader.mostFrames`), and one that tells of more.
      var lengths = InlineArray<66, Int32>(repeating: 0)
      let first = current == nil ? 0 : 1
      var room = lengths.mutableSpan
      let count = expected(&room)
      if count > first {
        planned = reader.addFrames(
          lengths.span.extracting(first..<count), prefix: leftover.span, reserve: reserve)
        if planned == 0 && current == nil { return nil }
        isAll = first + planned == count
      }
    }
    if planned == 0 && current == nil {
      reader.addTail(count: ScatterReader.tailLength)
    } else if isAll {
      reader.addTail(count: PeerStream.shortTail)
    }
    if planned > 0 { leftover.removeAll(keepingCapacity: true) }

    var received = Received()
    received.result = reader.read(from: source, limit: limit)
    try sort(reader, planned: planned, to: sink, &received)
    received.payload += unpredictedPayload
    unpredictedPayload = 0
    return received
  }

  /// Behind predicted blocks: room for a few small messages.
  private static let shortTail = 512

  private mutating func sort(
    _ reader: ScatterReader, planned: Int, to sink: some PeerStreamSink, _ received: inout Received
  ) throws(PeerProtocolError) {
    var arrived = ArrivedBatch()
    defer { arrived.flush(to: sink) }
    if var partial = current {
      partial.filled += reader.remainderLanded
      received.payload += reader.remainderLanded
      guard partial.filled == Int(partial.request.length) else {
        current = partial
        return
      }
      current = nil
      arrived.add(partial.request, partial.block, to: sink)
    }
    for frame in 0..<planned {
      let landing = reader.landing(ofFrame: frame)
      let landed = landing.landed
      guard landed > 0 else { return }
      guard landed >= PieceHeader.length else {
        reader.withHeader(ofFrame: frame) { for i in 0..<landed { leftover.append($0[i]) } }
        return
      }
      let header = reader.withHeader(ofFrame: frame) { PieceHeader.decode($0) }
      guard let header, PieceHeader.length + Int(header.length) == landing.length, isBlock(header) else {
        arrived.flush(to: sink)
        try parseLanded(reader, from: frame, to: sink)
        return
      }
      received.payload += landed - PieceHeader.length
      let block = reader.takeBlock(ofFrame: frame)
      guard landed == landing.length else {
        current = PartialBlock(request: header, block: block, filled: landed - PieceHeader.length)
        return
      }
      arrived.add(header, block, to: sink)
    }
    arrived.flush(to: sink)
    try parseLanded(reader, from: planned, to: sink)
  }

  /// Whether it is one of the torrent's. Payload of others is dropped unread.
  private func isBlock(_ request: BlockRequest) -> Bool { parser.geometry?.isBlock(request) ?? false }

  /// Reads what landed from a frame on the slow way.
  private mutating func parseLanded(
    _ reader: ScatterReader, from frame: Int, to sink: some PeerStreamSink
  ) throws(PeerProtocolError) {
    if frame < reader.frameCount {
      try reader.linearize(from: frame) { (bytes) throws(PeerProtocolError) in
        try parse(bytes, reader, to: sink)
      }
    } else {
      try reader.withTail { (bytes) throws(PeerProtocolError) in try parse(bytes, reader, to: sink) }
    }
  }

  private mutating func parse(
    _ bytes: Span<UInt8>, _ reader: ScatterReader, to sink: some PeerStreamSink
  ) throws(PeerProtocolError) {
    guard !bytes.isEmpty else { return }
    if leftover.isEmpty {
      try parseWhole(bytes, reader, to: sink)
    } else {
      for i in bytes.indices { leftover.append(bytes[i]) }
      let joined = leftover
      leftover = []
      try parseWhole(joined.span, reader, to: sink)
    }
  }

  private mutating func parseWhole(
    _ bytes: Span<UInt8>, _ reader: ScatterReader, to sink: some PeerStreamSink
  ) throws(PeerProtocolError) {
    var offset = 0
    while offset < bytes.count && sink.isOpen {
      if skip > 0 {
        let dropped = min(skip, bytes.count - offset)
        skip -= dropped
        offset += dropped
        continue
      }
      switch try parser.next(in: bytes.extracting(offset..<bytes.count)) {
      case .incomplete:
        for i in offset..<bytes.count { leftover.append(bytes[i]) }
        return
      case .skip(let length):
        skip = length
      case .message(.piece(let request), let length):
        offset += length
        let landed = min(Int(request.length), bytes.count - offset)
        take(request, bytes.extracting(offset..<(offset + landed)), reader, to: sink)
        offset += landed
      case .message(let message, let length):
        offset += length
        try sink.messageArrived(message)
      }
    }
  }

  /// A block outside of the prediction: copied into the pool.
  private mutating func take(
    _ request: BlockRequest, _ bytes: Span<UInt8>, _ reader: ScatterReader, to sink: some PeerStreamSink
  ) {
    let missing = Int(request.length) - bytes.count
    unpredictedPayload += bytes.count
    guard isBlock(request), Int(request.length) <= BlockPool.blockLength else {
      skip = missing
      return
    }
    guard let block = reader.spareBlock() else {
      sink.blockDropped(request)
      skip = missing
      return
    }
    reader.copy(bytes, to: block, at: 0)
    if missing == 0 {
      let one = InlineArray<1, ArrivedBlock>(repeating: ArrivedBlock(request: request, id: block))
      sink.blocksArrived(one.span)
    } else {
      current = PartialBlock(request: request, block: block, filled: bytes.count)
    }
  }
}

/// Blocks of one read on their way to the sink: told together, since each call costs more than a block's share of it.
private struct ArrivedBatch {
  private static let limit = 32
  private var blocks = InlineArray<32, ArrivedBlock>(
    repeating: ArrivedBlock(
      request: BlockRequest(piece: PieceIndex(0), begin: 0, length: 0), id: BlockID(rawValue: 0)))
  private var count = 0

  mutating func add(_ request: BlockRequest, _ id: BlockID, to sink: some PeerStreamSink) {
    blocks[count] = ArrivedBlock(request: request, id: id)
    count += 1
    if count == ArrivedBatch.limit { flush(to: sink) }
  }

  mutating func flush(to sink: some PeerStreamSink) {
    guard count > 0 else { return }
    let count = count
    self.count = 0
    sink.blocksArrived(blocks.span.extracting(..<count))
  }
}
