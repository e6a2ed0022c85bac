import FuzzDriver
import Glibc
import PeerWire
import Swarm
import TorrentModel
import TrackerProtocol

/// Payloads of extended messages and local announces; and machines that live on them. The first byte says which.
func fuzzOne(_ input: [UInt8]) {
  guard let kind = input.first else { return }
  let payload = Array(input.dropFirst())
  switch kind & 7 {
  case 0: fuzzHandshake(payload)
  case 1: fuzzMetadata(payload)
  case 2: fuzzExchange(payload)
  case 3: fuzzLocalAnnounce(payload)
  case 4: fuzzFetch(payload)
  case 5: fuzzExchangeMachine(payload)
  case 6: fuzzRecords(payload)
  default: fuzzEarly(payload)
  }
}

private func taken<Value>(_ body: () throws(PeerProtocolError) -> Value) -> Value? {
  do throws(PeerProtocolError) { return try body() } catch {
    precondition(!error.description.isEmpty)
    return nil
  }
}

private func fuzzHandshake(_ payload: [UInt8]) {
  for registry in [ExtensionRegistry.standard, .privateTorrent] {
    guard
      var handshake = taken({ () throws(PeerProtocolError) in
        try ExtendedHandshake.decode(payload.span, registry: registry)
      })
    else { return }
    if let size = handshake.metadataSize { precondition((1...Limits.metadataLength).contains(size)) }
    var remote = RemoteExtensions()
    remote.apply(handshake)
    // A name that was cut would be cut again.
    handshake.client = nil
    let again = taken { () throws(PeerProtocolError) in
      try ExtendedHandshake.decode(handshake.encoded().span, registry: registry)
    }
    precondition(again == handshake, "an extended handshake changed on the way")
  }
}

private func fuzzMetadata(_ payload: [UInt8]) {
  guard case let message?? = taken({ () throws(PeerProtocolError) in try Metadata.decode(payload.span) })
  else {
    return
  }
  var output: [UInt8] = []
  switch message {
  case .request(let piece): Metadata.appendRequest(piece: piece, remoteID: 1, to: &output)
  case .reject(let piece): Metadata.appendReject(piece: piece, remoteID: 1, to: &output)
  case .data(let piece, let length, let bytes):
    precondition((1...Metadata.pieceLength).contains(bytes.count) && (0..<2048).contains(piece))
    precondition((1...Limits.metadataLength).contains(length ?? 1))
    return
  }
  let again = taken { () throws(PeerProtocolError) in try Metadata.decode(Array(output[6...]).span) }
  precondition(again == message)
}

private func fuzzExchange(_ payload: [UInt8]) {
  guard var message = taken({ () throws(PeerProtocolError) in try PeerExchange.decode(payload.span) }) else {
    return
  }
  precondition(message.added.count <= 50 && message.dropped.count <= 50)
  precondition(message.added.allSatisfy { $0.endpoint.isPlausiblePeer })
  message.ignoredCount = 0
  // The families come apart.
  let added =
    message.added.filter(\.endpoint.address.isV4) + message.added.filter { !$0.endpoint.address.isV4 }
  let again = taken { () throws(PeerProtocolError) in
    try PeerExchange.decode(PeerExchange.encode(message).span)
  }
  precondition(again?.added == added && Set(again?.dropped ?? []) == Set(message.dropped))
}

private func fuzzLocalAnnounce(_ payload: [UInt8]) {
  var discovery = LocalDiscovery(port: 1, cookie: Array("cookie".utf8))
  discovery.added(InfoHash(Bytes20()), isPrivate: false, now: .zero)
  for found in discovery.datagramArrived(
    payload.span, from: Endpoint(address: IPAddress(192, 0, 2, 1), port: 6771), now: .zero)
  {
    precondition(found.infoHash == InfoHash(Bytes20()) && found.endpoint.isPlausiblePeer)
  }
  do throws(LocalAnnounceError) {
    let announce = try LocalAnnounce.decode(payload.span)
    precondition(announce.port > 0 && !announce.infoHashes.isEmpty)
    var sent = announce
    sent.infoHashes = Array(sent.infoHashes.prefix(LocalAnnounce.infoHashLimit))
    sent.cookie = sent.cookie.filter { $0 > 0x20 && $0 < 0x7f }
    let bytes = sent.encoded(for: .v6)
    precondition(bytes.count <= LocalAnnounce.sentLengthLimit)
    let again = try LocalAnnounce.decode(bytes.span)
    precondition(again == sent)
  } catch {
    precondition(!error.description.isEmpty)
  }
}

private let metadata = (0..<36_000).map { UInt8(truncatingIfNeeded: $0 &* 13) }

/// The input is a script of what peers do to a fetch. Whatever they do, an honest peer brings it to its end.
private func fuzzFetch(_ script: [UInt8]) {
  let digest: @Sendable (Span<UInt8>) -> Bytes20 = { bytes in
    var state: UInt64 = 1
    for index in bytes.indices { state = (state ^ UInt64(bytes[index])) &* 0x0000_0100_0000_01b3 }
    var result = Bytes20()
    for index in 0..<8 { result[index] = UInt8(truncatingIfNeeded: state >> UInt64(index * 8)) }
    return result
  }
  var fetch = MetadataFetch(infoHash: InfoHash(digest(metadata.span)), sha1: digest)
  var now = Moment.zero
  var result: [UInt8]?
  let honest = PeerKey(20)
  func carryOut() {
    while !fetch.actions.isEmpty, result == nil {
      let actions = fetch.actions
      fetch.actions.removeAll()
      for action in actions {
        switch action {
        case .request(let key, let piece) where key == honest:
          guard let range = Metadata.range(ofPiece: piece, length: metadata.count) else {
            preconditionFailure("no such piece")
          }
          fetch.dataArrived(
            from: key, piece: piece, totalLength: metadata.count, bytes: Array(metadata[range]), now: now)
        case .request, .disconnect: break
        case .ban(let endpoint): precondition(endpoint.port != 20, "an honest peer is convicted")
        case .complete(let bytes): result = bytes
        }
      }
    }
  }
  var rest = script[...]
  while let operation = rest.popFirst(), result == nil {
    let key = PeerKey(Int(operation >> 3) % 16)
    let argument = Int(rest.popFirst() ?? 0)
    let endpoint = Endpoint(address: IPAddress(198, 51, 100, UInt8(key.rawValue)), port: key.rawValue + 1)
    let lengths = [
      metadata.count, metadata.count + argument, argument, Limits.metadataLength - argument, 1 << 40,
    ]
    switch operation & 7 {
    case 0, 1: fetch.offered(by: key, at: endpoint, length: lengths[argument % 5], now: now)
    case 2: fetch.withdrawn(by: key, now: now)
    case 3: fetch.rejected(by: key, piece: argument & 3, now: now)
    case 4:
      now = now + .milliseconds(argument * 100)
      fetch.tick(now: now)
    default:
      let piece = argument & 3
      let isRight = argument & 4 != 0
      let range = Metadata.range(ofPiece: piece, length: metadata.count) ?? 0..<(argument + 1)
      let bytes =
        isRight && range.upperBound <= metadata.count
        ? Array(metadata[range])
        : [UInt8](repeating: UInt8(argument), count: argument & 8 == 0 ? range.count : argument)
      fetch.dataArrived(
        from: key, piece: piece, totalLength: argument & 16 == 0 ? nil : metadata.count, bytes: bytes,
        now: now)
    }
    carryOut()
    precondition(fetch.heldLength <= 3 * Limits.metadataLength)
  }
  if result == nil {
    fetch.offered(
      by: honest, at: Endpoint(address: IPAddress(198, 51, 100, 99), port: 20), length: metadata.count,
      now: now)
    carryOut()
    for _ in 0..<20_000 where result == nil && fetch.nextDeadline < .distantFuture {
      now = max(now, fetch.nextDeadline)
      fetch.tick(now: now)
      carryOut()
    }
  }
  precondition(result == metadata, "the fetch hangs")
}

/// The input is a script of peers that come, go and talk.
private func fuzzExchangeMachine(_ script: [UInt8]) {
  var machine = PeerExchangeMachine()
  var random = SeededRandom(seed: 1)
  var now = Moment.zero
  var open: Set<Int> = []
  var rest = script[...]
  while let operation = rest.popFirst() {
    let number = Int(operation >> 3)
    let key = PeerKey(number)
    let argument = rest.popFirst() ?? 0
    let endpoint = Endpoint(address: IPAddress(198, 51, 100, UInt8(number)), port: UInt16(argument & 3))
    switch operation & 7 {
    case 0, 1:
      guard open.insert(number).inserted else { continue }
      machine.peerConnected(
        key, at: endpoint.address, listensOn: argument & 4 == 0 ? endpoint : nil, now: now)
      machine.exchangeChanged(key, takesMessages: true, now: now)
    case 2:
      open.remove(number)
      machine.peerDisconnected(key)
    case 3: machine.listenEndpointKnown(key, endpoint)
    case 4: machine.exchangeChanged(key, takesMessages: argument & 1 == 0, now: now)
    case 5:
      let message = PeerExchange.Message(added: [.init(endpoint)])
      if case .contacts(let contacts) = machine.messageReceived(
        from: key, message, now: now, isOwn: { _ in false })
      {
        precondition(open.contains(number) && contacts.count <= 1)
      }
    default:
      now = now + .seconds(Int(argument))
      for (peer, message) in machine.tick(now: now, random: &random, flags: { _ in [] }) {
        precondition(open.contains(peer.offset) && !message.isEmpty)
        _ = PeerExchange.encode(message)
      }
      precondition(machine.nextDeadline > now)
    }
  }
}

private func fuzzRecords(_ payload: [UInt8]) {
  let records = PeerRecord.decode(payload.span)
  precondition(records.count <= PeerRecord.listLimit && records.allSatisfy { $0.endpoint.isPlausiblePeer })
  precondition(PeerRecord.decode(PeerRecord.encode(records).span) == records)
}

/// A connection whose metadata comes in the middle of it.
private func fuzzEarly(_ stream: [UInt8]) {
  var parser = MessageParser(geometry: nil, isFast: true, extensions: .standard)
  var early = EarlyMessages()
  var position = 0
  let geometry = PieceGeometry(totalLength: 801_000, pieceLength: 40_000)
  do throws(PeerProtocolError) {
    reading: while position < stream.count {
      switch try parser.next(in: stream.span.extracting(position..<stream.count)) {
      case .incomplete: break reading
      case .skip(let length): position += length
      case .message(let message, let length):
        position += length
        early.note(message)
      }
    }
    precondition(early.heldLength <= Limits.pieceCount / 8 + 1024)
    parser.geometry = geometry
    for message in try early.messages(for: geometry) {
      switch message {
      case .have(let piece), .allowedFast(let piece): precondition(geometry.contains(piece))
      case .bitfield(let set): precondition(set.capacity == geometry.pieceCount)
      default: break
      }
    }
  } catch {
    precondition(!error.description.isEmpty)
  }
}

exit(fuzz(fuzzOne))
