import PeerWire
import Testing
import TorrentModel

/// Messages beside their bytes, as BEP 3, 5, 6 and 10 lay them out.
private let knownMessages: [(message: PeerMessage, hex: String)] = [
  (.keepAlive, "00000000"),
  (.choke, "00000001 00"),
  (.unchoke, "00000001 01"),
  (.interested, "00000001 02"),
  (.notInterested, "00000001 03"),
  (.have(PieceIndex(20)), "00000005 04 00000014"),
  (.bitfield(Bitfield(fullCapacity: 21)), "00000004 05 fffff8"),
  (
    .request(BlockRequest(piece: PieceIndex(1), begin: 16384, length: 16384)),
    "0000000d 06 00000001 00004000 00004000"
  ),
  (.piece(BlockRequest(piece: PieceIndex(20), begin: 0, length: 1000)), "000003f1 07 00000014 00000000"),
  (
    .cancel(BlockRequest(piece: PieceIndex(2), begin: 32768, length: 7232)),
    "0000000d 08 00000002 00008000 00001c40"
  ),
  (.port(6881), "00000003 09 1ae1"),
  (.suggest(PieceIndex(3)), "00000005 0d 00000003"),
  (.haveAll, "00000001 0e"),
  (.haveNone, "00000001 0f"),
  (
    .reject(BlockRequest(piece: PieceIndex(0), begin: 0, length: 1)), "0000000d 10 00000000 00000000 00000001"
  ),
  (.allowedFast(PieceIndex(4)), "00000005 11 00000004"),
  (.extended(id: 0, payload: Array("de".utf8)), "00000004 14 00 6465"),
  (.extended(id: 1, payload: [0, 0, 0, 7]), "00000006 14 01 00000007"),
]

@Suite struct MessageParserTests {
  @Test(arguments: knownMessages) func messagesAreReadAndWrittenAsSpecified(message: PeerMessage, hex: String)
    throws
  {
    let wire = bytes(hex: hex)
    #expect(message.encoded == wire)
    #expect(message.encodedLength == wire.count)
    #expect(try step(wire) == .message(message, length: wire.count))
    // What follows a message does not matter.
    #expect(try step(wire + [9, 9, 9]) == .message(message, length: wire.count))
  }

  @Test(arguments: knownMessages) func everyTruncationSaysHowMuchIsNeeded(message: PeerMessage, hex: String)
    throws
  {
    let wire = bytes(hex: hex)
    for count in 0..<wire.count {
      guard case .incomplete(let needed) = try step(Array(wire.prefix(count))) else {
        Issue.record("\(message) was read from \(count) bytes")
        continue
      }
      #expect(needed > count && needed <= wire.count)
    }
  }

  /// Every length prefix up to 40, for every id, with all of the message there and with the header only.
  @Test func everyWrongLengthIsRefusedBeforeTheMessageHasArrived() {
    let right: [PeerMessage.ID: ClosedRange<Int>] = [
      .choke: 1...1, .unchoke: 1...1, .interested: 1...1, .notInterested: 1...1, .have: 5...5,
      .bitfield: 4...4,
      .request: 13...13, .piece: 10...9 + Limits.requestLength, .cancel: 13...13, .port: 3...3,
      .suggest: 5...5,
      .haveAll: 1...1, .haveNone: 1...1, .reject: 13...13, .allowedFast: 5...5,
      .extended: 2...(2 + MessageParser.extendedHandshakeLengthLimit),
    ]
    let lengths =
      Array(1...40) + [9 + Limits.requestLength, 10 + Limits.requestLength, 1 << 24, Int(UInt32.max)]
    for (id, accepted) in right {
      for length in lengths {
        var message: [UInt8] = []
        for shift in [24, 16, 8, 0] { message.append(UInt8(truncatingIfNeeded: length >> shift)) }
        message.append(id.rawValue)
        if id == .extended { message.append(0) }
        let error = failure(message)
        if accepted.contains(length) {
          #expect(error == nil, "\(id) of \(length) bytes")
        } else if id == .extended, length > accepted.upperBound {
          #expect(
            error
              == .extendedMessageTooLong(id: 0, length: UInt32(length - 2), limit: accepted.upperBound - 2))
        } else {
          #expect(
            error
              == .wrongLength(id, length: UInt32(length), expected: id == .extended ? 2 : accepted.upperBound)
          )
        }
      }
    }
  }

  @Test func fastMessagesNeedBothSidesToHaveAgreed() {
    for (message, _) in knownMessages {
      switch message.id {
      case .suggest, .haveAll, .haveNone, .reject, .allowedFast:
        #expect(failure(message.encoded, parser(isFast: false)) == .notNegotiated(message.id!))
        #expect(
          failure(Array(message.encoded.prefix(5)), parser(isFast: false)) == .notNegotiated(message.id!))
      case .extended:
        #expect(failure(message.encoded, parser(extensions: nil)) == .notNegotiated(.extended))
      default:
        #expect(failure(message.encoded, parser(isFast: false, extensions: nil)) == nil)
      }
    }
    let agreed = MessageParser(
      geometry: nil, ours: [.fast, .extensionProtocol], theirs: [.fast, .dht], extensions: .standard)
    #expect(agreed.isFast && agreed.extensions == nil)
    let other = MessageParser(
      geometry: nil, ours: [.extensionProtocol], theirs: [.fast, .extensionProtocol], extensions: .standard)
    #expect(!other.isFast && other.extensions != nil)
  }

  @Test func piecesOutsideTheTorrentAreRefused() {
    for index in [21, 22, 1 << 22, Int(UInt32.max)] {
      let piece = PieceIndex(index)
      #expect(failure(PeerMessage.have(piece).encoded) == .noSuchPiece(.have, piece))
      #expect(failure(PeerMessage.suggest(piece).encoded) == .noSuchPiece(.suggest, piece))
      #expect(failure(PeerMessage.allowedFast(piece).encoded) == .noSuchPiece(.allowedFast, piece))
      let block = BlockRequest(piece: piece, begin: 0, length: 1)
      #expect(failure(PeerMessage.request(block).encoded) == .noSuchPiece(.request, piece))
      #expect(failure(PeerMessage.piece(block).encoded) == .noSuchPiece(.piece, piece))
    }
  }

  @Test(arguments: [
    (1, 0, 0), (1, 40_000, 1), (1, 39_999, 2), (1, 0, 40_001), (20, 0, 1001), (20, 999, 2), (20, 1000, 1),
    (0, Int(UInt32.max), 1), (0, 1, Int(UInt32.max)), (0, Int(UInt32.max), Int(UInt32.max)),
  ])
  func blocksOutsideTheirPieceAreRefused(piece: Int, begin: Int, length: Int) {
    let block = BlockRequest(piece: PieceIndex(piece), begin: UInt32(begin), length: UInt32(length))
    #expect(failure(PeerMessage.request(block).encoded) == .badBlock(.request, block))
    #expect(failure(PeerMessage.cancel(block).encoded) == .badBlock(.cancel, block))
    #expect(failure(PeerMessage.reject(block).encoded) == .badBlock(.reject, block))
    if length > 0, length <= Limits.requestLength {
      #expect(failure(PeerMessage.piece(block).encoded) == .badBlock(.piece, block))
    } else {
      #expect(failure(PeerMessage.piece(block).encoded) != nil)
    }
  }

  @Test func requestsOfMoreThan128KiBAreRefused() {
    let large = PieceGeometry(totalLength: 4 << 20, pieceLength: 1 << 20)
    let most = BlockRequest(piece: PieceIndex(0), begin: 5, length: UInt32(Limits.requestLength))
    #expect(failure(PeerMessage.request(most).encoded, parser(large)) == nil)
    var more = most
    more.length += 1
    #expect(failure(PeerMessage.request(more).encoded, parser(large)) == .badBlock(.request, more))
  }

  @Test func bitfieldsMustFitTheTorrent() throws {
    #expect(failure(bytes(hex: "00000004 05 fffffc")) == .spareBitsSet)
    #expect(failure(bytes(hex: "00000004 05 000001")) == .spareBitsSet)
    #expect(failure(bytes(hex: "00000003 05")) == .wrongLength(.bitfield, length: 3, expected: 4))
    #expect(failure(bytes(hex: "00000005 05")) == .wrongLength(.bitfield, length: 5, expected: 4))
    let aligned = PieceGeometry(totalLength: 16, pieceLength: 1)
    #expect(
      try step(bytes(hex: "00000003 05 ffff"), parser(aligned))
        == .message(.bitfield(Bitfield(fullCapacity: 16)), length: 7))
  }

  /// BEP 6 wants exactly one of the three, first of all. Neither is held against a peer: aria2 sends them in place of many
  /// `have`s.
  @Test func piecesMayBeListedAgain() throws {
    let lists: [PeerMessage] = [.bitfield(Bitfield(capacity: 21)), .haveAll, .haveNone]
    for first in lists {
      for second in lists {
        let parser = parser()
        _ = try parser.next(in: PeerMessage.have(PieceIndex(1)).encoded.span)
        for message in [first, second] {
          #expect(
            try parser.next(in: message.encoded.span) == .message(message, length: message.encoded.count))
        }
      }
    }
  }

  @Test func beforeTheMetadataIsKnownTheGeneralLimitsHold() throws {
    let parser = parser(nil)
    var pieces = Bitfield(capacity: 24)
    pieces.insert(PieceIndex(23))
    #expect(try step(bytes(hex: "00000004 05 000001"), parser) == .message(.bitfield(pieces), length: 8))
    let longest = MessageParser.bitfieldLengthLimitBeforeMetadata
    #expect(failure(bytes(hex: "00080001 05"), parser) == nil)
    #expect(
      failure(bytes(hex: "00080002 05"), parser)
        == .wrongLength(.bitfield, length: UInt32(longest + 2), expected: longest + 1))
    #expect(
      failure(bytes(hex: "00000001 05"), parser) == .wrongLength(.bitfield, length: 1, expected: longest + 1))
    #expect(failure(PeerMessage.have(PieceIndex(Limits.pieceCount - 1)).encoded, parser) == nil)
    #expect(failure(PeerMessage.have(PieceIndex(Limits.pieceCount)).encoded, parser) != nil)
    // Nothing was offered and nothing asked for, so there are no blocks; told from the first bytes on.
    let block = BlockRequest(piece: PieceIndex(0), begin: 0, length: 1)
    for message in [PeerMessage.request(block), .piece(block), .cancel(block), .reject(block)] {
      let id = message.id!
      #expect(failure(Array(message.encoded.prefix(5)), parser) == .beforeMetadata(id))
    }
    // The port of a DHT node says nothing of pieces.
    #expect(try step(bytes(hex: "00000003 09 1ae1"), parser) == .message(.port(6881), length: 7))
  }

  @Test func theGeometryMayComeLater() throws {
    var parser = parser(nil)
    guard case .message = try parser.next(in: PeerMessage.haveNone.encoded.span) else {
      Issue.record("not taken")
      return
    }
    parser.geometry = oddGeometry
    let block = BlockRequest(piece: PieceIndex(20), begin: 0, length: 1000)
    #expect(
      try parser.next(in: PeerMessage.request(block).encoded.span) == .message(.request(block), length: 17))
    #expect(throws: PeerProtocolError.noSuchPiece(.have, PieceIndex(21))) {
      try parser.next(in: PeerMessage.have(PieceIndex(21)).encoded.span)
    }
  }

  @Test func unknownMessagesAreSkippedWithoutBeingBuffered() throws {
    let known = Set(PeerMessage.ID.all.map(\.rawValue))
    for id in UInt8.min...UInt8.max where !known.contains(id) {
      #expect(try step([0, 0, 0, 1, id]) == .skip(length: 5))
      #expect(try step([0, 0, 1, 0, id]) == .skip(length: 260))
      #expect(try step([0, 4, 0, 0, id]) == .skip(length: 4 + MessageParser.skippedLengthLimit))
      #expect(failure([0, 4, 0, 1, id]) == .unknownMessageTooLong(id: id, length: 0x40001))
      #expect(failure([255, 255, 255, 255, id]) == .unknownMessageTooLong(id: id, length: .max))
    }
  }

  @Test func extendedMessagesAreHeldToTheLimitOfTheirExtension() throws {
    let registry = ExtensionRegistry([
      DontHave.registration, WireExtension(name: "ut_metadata", localID: 2, messageLengthLimit: 17 << 10),
    ])
    let parser = parser(extensions: registry)
    #expect(
      failure(bytes(hex: "00000007 14 01"), parser) == .extendedMessageTooLong(id: 1, length: 5, limit: 4))
    #expect(try step(bytes(hex: "00004402 14 02"), parser) == .incomplete(needed: 0x4406))
    #expect(
      failure(bytes(hex: "00004403 14 02"), parser)
        == .extendedMessageTooLong(id: 2, length: 0x4401, limit: 0x4400))
    #expect(try step(bytes(hex: "00000007 14 03"), parser) == .skip(length: 11))
    #expect(try step(bytes(hex: "00000007 14 ff"), parser) == .skip(length: 11))
    #expect(failure(bytes(hex: "00040001 14 ff"), parser) != nil)
    #expect(failure(bytes(hex: "00000001 14"), parser) == .wrongLength(.extended, length: 1, expected: 2))
  }

  /// A stream of drawn messages, cut into drawn chunks, is read as it was written, and nobody ever has to hold
  /// more than one message (or a piece's header).
  @Test(arguments: 0..<20) func drawnStreamsAreReadAsWritten(seed: Int) throws {
    var random = SeededRandom(seed: UInt64(seed))
    let geometry = PieceGeometry(
      totalLength: .random(in: 1...10_000_000, using: &random),
      pieceLength: .random(in: 100...200_000, using: &random))
    var sent: [PeerMessage] = [.bitfield(drawBitfield(capacity: geometry.pieceCount, &random))]
    for _ in 0..<300 { sent.append(drawMessage(in: geometry, &random)) }
    var stream: [UInt8] = []
    for message in sent {
      message.append(to: &stream)
      if case .piece(let block) = message {
        stream.append(contentsOf: repeatElement(UInt8(block.length & 255), count: Int(block.length)))
      }
    }

    let parser = parser(geometry)
    var received: [PeerMessage] = []
    var start = 0
    var end = 0
    while start < stream.count {
      switch try parser.next(in: stream.span.extracting(start..<max(start, end))) {
      case .incomplete(let needed):
        #expect(needed > end - start)
        #expect(needed <= 5 + geometry.pieceCount / 8 + 400)
        end = min(stream.count, end + Int.random(in: 1...2000, using: &random))
      case .message(let message, let length):
        received.append(message)
        start += length
        if case .piece(let block) = message {
          #expect(start + Int(block.length) <= stream.count)
          start += Int(block.length)
        }
        end = max(start, end)
      case .skip: Issue.record("nothing to skip was sent")
      }
    }
    #expect(received == sent)
  }

  /// Whatever comes in, the parser answers: with a message that lies in the input, a bounded wish, or an error
  /// that can be printed.
  @Test(arguments: 0..<8) func drawnNonsenseIsAnswered(seed: Int) {
    var random = SeededRandom(seed: UInt64(100 + seed))
    for _ in 0..<5000 {
      let geometry = Bool.random(using: &random) ? nil : oddGeometry
      let parser = parser(
        geometry, isFast: .random(using: &random), extensions: Bool.random(using: &random) ? .standard : nil)
      var input: [UInt8] = [
        0, 0, 0, .random(in: 0...20, using: &random), .random(in: 0...22, using: &random),
      ]
      for _ in 0..<Int.random(in: 0...30, using: &random) {
        input.append(.random(in: .min ... .max, using: &random))
      }
      for _ in 0..<Int.random(in: 0...3, using: &random) {
        input[Int.random(in: 0..<input.count, using: &random)] = .random(in: .min ... .max, using: &random)
      }
      do throws(PeerProtocolError) {
        switch try parser.next(in: input.span) {
        case .incomplete(let needed): #expect(needed > input.count && needed < 1 << 20)
        case .skip(let length): #expect(length <= 4 + MessageParser.skippedLengthLimit)
        case .message(let message, let length):
          #expect(length <= input.count)
          // It is the only way to write this message.
          #expect(message.encoded == Array(input.prefix(length)))
        }
      } catch {
        #expect(!error.description.isEmpty)
      }
    }
  }
}

extension PeerMessage.ID {
  static let all: [Self] = (UInt8.min...UInt8.max).compactMap { Self(rawValue: $0) }
}
