import FuzzDriver
import Glibc
import PeerWire
import TorrentModel

/// A connection: a handshake as far as it goes, and then messages. The first byte says what is known and agreed on.
///
/// What is read from a growing buffer is what is read from the whole one; a message that was taken is written as it came;
/// and nobody is ever asked to hold more than the limits allow.
func fuzzOne(_ input: [UInt8]) {
  guard let flags = input.first else { return }
  let stream = Array(input.dropFirst())
  fuzzHandshake(stream)

  let geometries: [PieceGeometry?] = [
    nil, PieceGeometry(totalLength: 801_000, pieceLength: 40_000),
    PieceGeometry(totalLength: 0, pieceLength: 1),
    PieceGeometry(totalLength: 1 << 40, pieceLength: 1 << 20),
  ]
  let parser = MessageParser(
    geometry: geometries[Int(flags & 3)], isFast: flags & 4 != 0, extensions: flags & 8 != 0 ? .standard : nil
  )
  let whole = read(stream, parser, isGrowing: false)
  let grown = read(stream, parser, isGrowing: true)
  precondition(whole == grown, "a growing buffer was read otherwise than the whole one")
}

private func fuzzHandshake(_ stream: [UInt8]) {
  do throws(PeerProtocolError) {
    guard case .complete(let handshake) = try Handshake.decode(stream.span) else { return }
    var output: [UInt8] = []
    handshake.append(to: &output)
    precondition(output.elementsEqual(stream.prefix(Handshake.length)))
    _ = handshake.peerID.clientName
  } catch {
    precondition(error == .notBitTorrent)
  }
}

private struct Outcome: Equatable {
  var messages: [PeerMessage] = []
  var error: PeerProtocolError?
  var position = 0
}

private func read(_ stream: [UInt8], _ first: MessageParser, isGrowing: Bool) -> Outcome {
  let parser = first
  var outcome = Outcome()
  var end = isGrowing ? 0 : stream.count
  do throws(PeerProtocolError) {
    while outcome.position < stream.count {
      let position = outcome.position
      end = max(end, position)
      switch try parser.next(in: stream.span.extracting(position..<end)) {
      case .incomplete(let needed):
        precondition(needed > end - position && needed <= 1 << 20)
        guard end < stream.count else { return outcome }
        end += 1
      case .skip(let length):
        precondition(length >= 5 && length <= 4 + MessageParser.skippedLengthLimit)
        outcome.position += length
      case .message(let message, let length):
        var written: [UInt8] = []
        message.append(to: &written)
        precondition(
          length == message.encodedLength && written == Array(stream[position..<(position + length)]))
        precondition(!message.description.isEmpty)
        outcome.messages.append(message)
        outcome.position += length
        if case .piece(let block) = message {
          precondition(PieceHeader.decode(written.span) == block)
          outcome.position += Int(block.length)
        }
        if case .extended(let id, let payload) = message { try extended(id, payload, parser) }
      }
    }
  } catch {
    precondition(!error.description.isEmpty)
    outcome.error = error
  }
  return outcome
}

private func extended(_ id: UInt8, _ payload: [UInt8], _ parser: MessageParser) throws(PeerProtocolError) {
  if id == DontHave.registration.localID {
    _ = try DontHave.decode(payload.span, pieceCount: parser.geometry?.pieceCount)
    return
  }
  if id == Metadata.registration.localID {
    _ = try Metadata.decode(payload.span)
    return
  }
  if id == PeerExchange.registration.localID {
    _ = try PeerExchange.decode(payload.span)
    return
  }
  var handshake = try ExtendedHandshake.decode(payload.span, registry: .standard)
  var remote = RemoteExtensions()
  remote.apply(handshake)
  // A name that was cut would be cut again.
  handshake.client = nil
  let again = try ExtendedHandshake.decode(handshake.encoded().span, registry: .standard)
  precondition(again == handshake, "an extended handshake changed on the way")
}

exit(fuzz(fuzzOne))
