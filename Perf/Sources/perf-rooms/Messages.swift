import PeerWire
import TorrentModel

private let geometry = PieceGeometry(totalLength: 4 << 30, pieceLength: 1 << 20)

/// Decodes each message once and returns how many bytes that took.
private func parseAll(_ parser: MessageParser, _ bytes: [UInt8]) -> Int {
  var at = 0
  while at < bytes.count {
    switch try? parser.next(in: bytes.span.extracting(at..<bytes.count)) {
    case .message(let message, let length)?:
      keep(message)
      at += length
    case .skip(let length)?: at += length
    case .incomplete?, nil: preconditionFailure("the samples are whole messages")
    }
  }
  return at
}

func benchmarkMessages(_ stopwatch: Stopwatch) {
  func decode(_ name: String, _ messages: [PeerMessage]) {
    var bytes: [UInt8] = []
    for message in messages { message.append(to: &bytes) }
    let parser = MessageParser(geometry: geometry, isFast: true, extensions: .standard)
    stopwatch.measure("messages.decode.\(name)") { count in
      var left = count
      while left > 0 {
        keep(parseAll(parser, bytes))
        left -= messages.count
      }
    }
  }
  let requests = (0..<64).map { geometry.request(block: $0, of: PieceIndex(17)) }
  decode("request", requests.map { .request($0) })
  decode("have", (0..<64).map { .have(PieceIndex($0 * 60)) })
  decode("piece", requests.map { .piece($0) })

  var full: [UInt8] = []
  PeerMessage.bitfield(Bitfield(fullCapacity: geometry.pieceCount)).append(to: &full)
  stopwatch.measure("messages.decode.bitfield-4096") { count in
    for _ in 0..<count {
      let parser = MessageParser(geometry: geometry, isFast: true, extensions: nil)
      keep(parseAll(parser, full))
    }
  }
  let headers = requests.map { PieceHeader.encode($0) }
  stopwatch.measure("messages.decode.piece-header") { count in
    for i in 0..<count { keep(PieceHeader.decode(headers[i & 63].span)?.begin) }
  }
  var out: [UInt8] = []
  out.reserveCapacity(64 * 17)
  stopwatch.measure("messages.encode.request") { count in
    for i in 0..<count {
      if i & 63 == 0 { out.removeAll(keepingCapacity: true) }
      PeerMessage.appendRequest(requests[i & 63], to: &out)
    }
    keep(out.count)
  }
}
