import TorrentModel
func infoHash(of encoded: Span<UInt8>) -> InfoHash {
  var m = encoded.indices.map { encoded[$0] }
  let bits = UInt64(m.count) * 8
  m.append(0x80); while m.count % 64 != 56 { m.append(0) }
  for i in (0..<8).reversed() { m.append(UInt8(truncatingIfNeeded: bits >> (8 * UInt64(i)))) }
  var h: [UInt32] = [0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0]
  func rol(_ x: UInt32, _ n: UInt32) -> UInt32 { x << n | x >> (32 - n) }
  var w = [UInt32](repeating: 0, count: 80)
  for c in stride(from: 0, to: m.count, by: 64) {
    for i in 0..<16 {
      w[i] =
        UInt32(m[c + i * 4]) << 24 | UInt32(m[c + i * 4 + 1]) << 16 | UInt32(m[c + i * 4 + 2]) << 8
        | UInt32(m[c + i * 4 + 3])
    }
    for i in 16..<80 { w[i] = rol(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1) }
    var (a, b, cc, d, e) = (h[0], h[1], h[2], h[3], h[4])
    for i in 0..<80 {
      let f: UInt32, k: UInt32
      switch i {
      case 0..<20: f = (b & cc) | (~b & d); k = 0x5A827999
      case 20..<40: f = b ^ cc ^ d; k = 0x6ED9EBA1
      case 40..<60: f = (b & cc) | (b & d) | (cc & d); k = 0x8F1BBCDC
      default: f = b ^ cc ^ d; k = 0xCA62C1D6
      }
      let t = rol(a, 5) &+ f &+ e &+ k &+ w[i]
      e = d; d = cc; cc = rol(b, 30); b = a; a = t
    }
    h[0] &+= a; h[1] &+= b; h[2] &+= cc; h[3] &+= d; h[4] &+= e
  }
  return InfoHash(
    Bytes20(h.flatMap { [UInt8($0 >> 24), UInt8($0 >> 16 & 255), UInt8($0 >> 8 & 255), UInt8($0 & 255)] })!)
}
