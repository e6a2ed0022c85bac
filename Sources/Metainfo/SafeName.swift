/// Makes one component of a path out of whatever bytes a torrent holds.
///
/// The result is UTF-8, 1 to 255 bytes long, and neither `.` nor `..`. The same bytes always give the same name:
/// clients that keep files of an earlier run find them again.
enum SafeName {
  /// Appends the safe form of `raw` to `output`.
  ///
  /// - Returns: whether it differs from `raw`.
  @discardableResult
  static func append(_ raw: Span<UInt8>, to output: inout [UInt8], rules: PathRules) -> Bool {
    let start = output.count
    var isChanged = false
    var at = 0
    while at < raw.count {
      let byte = raw[at]
      if byte < 0x80 {
        if isSafe(byte) {
          output.append(byte)
        } else {
          output.append(underscore)
          isChanged = true
        }
        at += 1
        continue
      }
      let (scalar, length) = decode(raw, at: at)
      if length == 0 {
        // No UTF-8: the byte in hexadecimal keeps different names different.
        output.append(UInt8(ascii: "%"))
        output.append(hexDigit(byte >> 4))
        output.append(hexDigit(byte & 15))
        isChanged = true
        at += 1
      } else if isMisleading(scalar) {
        output.append(underscore)
        isChanged = true
        at += length
      } else {
        for place in at..<(at + length) { output.append(raw[place]) }
        at += length
      }
    }
    let isShort = output.count - start <= 2
    if isShort && output[start...].allSatisfy({ $0 == UInt8(ascii: ".") }) {
      output.removeLast(output.count - start)
      output.append(underscore)
      return true
    }
    if rules.avoidsDeviceNames && isDeviceName(output[start...]) {
      output.insert(underscore, at: start)
      isChanged = true
    }
    if output.count - start > PathLimits.nameLength {
      shorten(&output, from: start)
      isChanged = true
    }
    return isChanged
  }

  /// The safe form of a text.
  static func name(_ raw: String, rules: PathRules) -> String {
    var output: [UInt8] = []
    append(raw.utf8.span, to: &output, rules: rules)
    return String(decoding: output, as: UTF8.self)
  }

  private static let underscore = UInt8(ascii: "_")

  private static func isSafe(_ byte: UInt8) -> Bool {
    byte >= 0x20 && byte != 0x7f && byte != UInt8(ascii: "/") && byte != UInt8(ascii: "\\")
  }

  /// Controls, line separators, and what turns the direction of text, with which a name can look like another.
  private static func isMisleading(_ scalar: UInt32) -> Bool {
    switch scalar {
    case 0x80...0x9f, 0x061c, 0x200e, 0x200f, 0x2028...0x202e, 0x2066...0x2069, 0xfeff, 0xfff9...0xfffb: true
    default: false
    }
  }

  /// The scalar that begins at `index` and its length in bytes; length 0 where there is no correct UTF-8.
  private static func decode(_ bytes: Span<UInt8>, at index: Int) -> (scalar: UInt32, length: Int) {
    let first = UInt32(bytes[index])
    let length: Int
    var scalar: UInt32
    let smallest: UInt32
    switch first {
    case 0xc2...0xdf: (length, scalar, smallest) = (2, first & 0x1f, 0x80)
    case 0xe0...0xef: (length, scalar, smallest) = (3, first & 0x0f, 0x800)
    case 0xf0...0xf4: (length, scalar, smallest) = (4, first & 0x07, 0x1_0000)
    default: return (0, 0)
    }
    guard bytes.count - index >= length else { return (0, 0) }
    for place in index + 1..<index + length {
      guard bytes[place] & 0xc0 == 0x80 else { return (0, 0) }
      scalar = scalar << 6 | UInt32(bytes[place] & 0x3f)
    }
    guard scalar >= smallest, scalar <= 0x10_ffff, !(0xd800...0xdfff).contains(scalar) else { return (0, 0) }
    return (scalar, length)
  }

  private static func hexDigit(_ value: UInt8) -> UInt8 {
    value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "A") + value - 10
  }
}

extension SafeName {
  /// Whether Windows takes the name for a device: what stands before the first dot counts, in any case, and
  /// spaces at its end do not.
  static func isDeviceName(_ name: ArraySlice<UInt8>) -> Bool {
    var base = name.prefix { $0 != UInt8(ascii: ".") }
    while base.last == UInt8(ascii: " ") { base.removeLast() }
    guard (3...7).contains(base.count) else { return false }
    var upper = Array(base)
    for index in upper.indices where (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(upper[index]) {
      upper[index] -= 0x20
    }
    if deviceNames.contains(where: { upper.elementsEqual($0.utf8) }) { return true }
    guard upper.starts(with: "COM".utf8) || upper.starts(with: "LPT".utf8) else { return false }
    let number = upper.dropFirst(3)
    if number.count == 1, let digit = number.first {
      return (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit)
    }
    // ¹, ² and ³ count as digits there.
    return [[0xc2, 0xb9], [0xc2, 0xb2], [0xc2, 0xb3]].contains(Array(number))
  }

  private static let deviceNames = ["CON", "PRN", "AUX", "NUL", "CLOCK$", "CONIN$", "CONOUT$"]

  /// Where the extension of a name begins, its dot included; the end of the name when there is none.
  static func extensionStart(_ name: ArraySlice<UInt8>) -> Int {
    guard let dot = name.lastIndex(of: UInt8(ascii: ".")), dot > name.startIndex,
      name.endIndex - dot <= PathLimits.extensionLength
    else { return name.endIndex }
    return dot
  }

  /// The greatest index not beyond `index` at which no scalar is cut in two.
  static func boundary(_ name: ArraySlice<UInt8>, notAfter index: Int) -> Int {
    var boundary = index
    while boundary > name.startIndex && boundary < name.endIndex && name[boundary] & 0xc0 == 0x80 {
      boundary -= 1
    }
    return boundary
  }

  /// Cuts the name at `start` out of its middle so that the extension stays.
  private static func shorten(_ output: inout [UInt8], from start: Int) {
    let dot = extensionStart(output[start...])
    let room = PathLimits.shortenedNameLength - (output.count - dot)
    output.removeSubrange(boundary(output[start..<dot], notAfter: start + room)..<dot)
  }
}
