/// Base64 (RFC 4648, section 4), for the one header that needs it.
enum Base64 {
  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

  static func encode(_ bytes: [UInt8]) -> String {
    var output: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: 3) {
      let group = bytes[start..<min(start + 3, bytes.count)]
      var word: UInt32 = 0
      for place in 0..<3 {
        word = word << 8 | (start + place < group.endIndex ? UInt32(group[start + place]) : 0)
      }
      for place in 0..<4 {
        let letter = alphabet[Int(word >> UInt32(18 - 6 * place) & 63)]
        output.append(place <= group.count ? letter : UInt8(ascii: "="))
      }
    }
    return String(decoding: output, as: UTF8.self)
  }
}
