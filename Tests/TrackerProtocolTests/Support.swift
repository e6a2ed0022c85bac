import TorrentModel
import TrackerProtocol

/// Bytes from hexadecimal digits; spaces are for the reader.
func bytes(hex: String) -> [UInt8] {
  let digits = hex.utf8.filter { $0 != UInt8(ascii: " ") }.map {
    UInt8(String(Unicode.Scalar($0)), radix: 16)!
  }
  precondition(digits.count % 2 == 0)
  return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

func infoHash(_ letter: Character) -> InfoHash { InfoHash(hex: String(repeating: letter, count: 40))! }
func peerID(_ text: String) -> PeerID { PeerID(Bytes20(text.utf8)!) }

let sampleRequest = AnnounceRequest(
  infoHash: InfoHash(hex: "123456789abcdef123456789abcdef123456789a")!,
  peerID: peerID("-S80100-abcdefghijk~"),
  port: 6881, uploaded: 1, downloaded: 2, left: 3, event: .started, numberWanted: 200, key: 0x0abc_def1)

extension Moment {
  static func seconds(_ value: Double) -> Moment { .zero + .seconds(value) }
}

extension Moment.Interval {
  static func minutes(_ value: Int) -> Moment.Interval { .seconds(60 * value) }
}

func drawEndpoint(_ random: inout SeededRandom) -> Endpoint {
  let port = UInt16.random(in: 1...UInt16.max, using: &random)
  if Bool.random(using: &random) {
    return Endpoint(
      address: IPAddress(v4: .random(in: 0x0100_0000..<0xe000_0000, using: &random)), port: port)
  }
  return Endpoint(
    address: IPAddress(high: 0x2001_0db8_0000_0000 | random.next() >> 32, low: random.next()), port: port)
}
