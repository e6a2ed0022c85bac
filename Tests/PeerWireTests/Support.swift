import PeerWire
import TorrentModel

/// Bytes from hexadecimal digits; spaces are for the reader.
func bytes(hex: String) -> [UInt8] {
  let digits = hex.utf8.filter { $0 != UInt8(ascii: " ") }.map {
    UInt8(String(Unicode.Scalar($0)), radix: 16)!
  }
  precondition(digits.count % 2 == 0)
  return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

extension PeerMessage {
  var encoded: [UInt8] {
    var output: [UInt8] = []
    append(to: &output)
    return output
  }
}

/// 21 pieces of 40,000 bytes, the last one 1,000 bytes: no power of two, no multiple of a block.
let oddGeometry = PieceGeometry(totalLength: 801_000, pieceLength: 40_000)

func parser(
  _ geometry: PieceGeometry? = oddGeometry, isFast: Bool = true, extensions: ExtensionRegistry? = .standard
) -> MessageParser {
  MessageParser(geometry: geometry, isFast: isFast, extensions: extensions)
}

/// What parsing these bytes gives, with a parser of its own.
func step(_ bytes: [UInt8], _ parser: MessageParser = parser()) throws(PeerProtocolError)
  -> MessageParser.Step
{
  let parser = parser
  return try parser.next(in: bytes.span)
}

/// The error that parsing these bytes ends with.
func failure(_ bytes: [UInt8], _ parser: MessageParser = parser()) -> PeerProtocolError? {
  do throws(PeerProtocolError) {
    _ = try step(bytes, parser)
    return nil
  } catch {
    return error
  }
}

func drawPiece(in geometry: PieceGeometry, _ random: inout SeededRandom) -> PieceIndex {
  PieceIndex(Int.random(in: 0..<geometry.pieceCount, using: &random))
}

func drawBlock(in geometry: PieceGeometry, _ random: inout SeededRandom) -> BlockRequest {
  let piece = drawPiece(in: geometry, &random)
  let length = geometry.length(of: piece)
  let begin = Int.random(in: 0..<length, using: &random)
  let most = min(length - begin, Limits.requestLength)
  return BlockRequest(
    piece: piece, begin: UInt32(begin), length: UInt32(Int.random(in: 1...most, using: &random)))
}

/// A message of any kind but the three that may come once only.
func drawMessage(in geometry: PieceGeometry, _ random: inout SeededRandom) -> PeerMessage {
  switch Int.random(in: 0..<14, using: &random) {
  case 0: .keepAlive
  case 1: .choke
  case 2: .unchoke
  case 3: .interested
  case 4: .notInterested
  case 5: .have(drawPiece(in: geometry, &random))
  case 6: .request(drawBlock(in: geometry, &random))
  case 7: .cancel(drawBlock(in: geometry, &random))
  case 8: .reject(drawBlock(in: geometry, &random))
  case 9: .piece(drawBlock(in: geometry, &random))
  case 10: .port(.random(in: .min ... .max, using: &random))
  case 11: .suggest(drawPiece(in: geometry, &random))
  case 12: .allowedFast(drawPiece(in: geometry, &random))
  default:
    .extended(
      id: 0,
      payload: (0..<Int.random(in: 0...300, using: &random)).map { _ in
        .random(in: .min ... .max, using: &random)
      })
  }
}

func drawBitfield(capacity: Int, _ random: inout SeededRandom) -> Bitfield {
  var pieces = Bitfield(capacity: capacity)
  for piece in 0..<capacity where Bool.random(using: &random) { pieces.insert(PieceIndex(piece)) }
  return pieces
}
