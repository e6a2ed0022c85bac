/// Reads bencode (BEP 3) from bytes that stay where they are.
///
/// One pass checks the whole input and notes where each value begins, eight bytes per value; nothing is copied
/// and nothing is recursive. The ``BencodeNode`` that comes back looks into the input and into the parser's
/// notes, so neither may change while it is in use. A parser that is kept reuses its memory: parsing the next
/// packet allocates nothing once the largest one was seen.
///
/// Only canonical integers and lengths are taken, and no dictionary may hold a key twice, for two programs
/// could read such an input differently. Keys out of order are common in real torrents: they are taken, and
/// ``BencodeNode/firstUnsortedKey`` says where.
public struct BencodeParser: Sendable {
  /// What an input may cost.
  public var limits: BencodeLimits

  private var tokens: [BencodeToken] = []
  private var open: [OpenContainer] = []
  private var keyScratch: [UInt32] = []
  private var firstUnsortedKey: Int?

  public init(limits: BencodeLimits) {
    self.limits = limits
  }

  /// Reads one value that takes up the whole input.
  ///
  /// - Throws: ``BencodeError``, also when bytes follow the value.
  @_lifetime(copy bytes, &self)
  public mutating func parse(_ bytes: Span<UInt8>) throws(BencodeError) -> BencodeNode {
    let length = try scan(bytes)
    guard length == bytes.count else {
      throw BencodeError(.trailingBytes(count: bytes.count - length), offset: length)
    }
    return BencodeNode(bytes: bytes, tokens: tokens.span, index: 0)
  }

  /// Reads one value from the start of the input and leaves what follows alone, as the extension messages that
  /// carry raw bytes after a dictionary need (BEP 9). The value ends at ``BencodeNode/range``'s upper bound.
  ///
  /// - Throws: ``BencodeError``.
  @_lifetime(copy bytes, &self)
  public mutating func parsePrefix(_ bytes: Span<UInt8>) throws(BencodeError) -> BencodeNode {
    _ = try scan(bytes)
    return BencodeNode(bytes: bytes, tokens: tokens.span, index: 0)
  }

  /// Gives back memory above `values` values that a large input left behind.
  public mutating func shrink(toValues values: Int) {
    if tokens.capacity > values { tokens = [] }
    if keyScratch.capacity > values { keyScratch = [] }
  }
}

/// A list or dictionary whose end was not seen yet.
private struct OpenContainer {
  /// Index of its token.
  var token: UInt32
  /// In a dictionary the token of the latest key; in a list how many elements are complete.
  var position: UInt32
  var state: State

  enum State: UInt8 {
    case list
    case firstKey
    case nextKey
    case value
  }
  /// Some key was smaller than the one before it.
  var isUnsorted = false
}

extension BencodeParser {
  /// Fills ``tokens`` from one value at the start of `bytes`, and returns its length.
  private mutating func scan(_ bytes: Span<UInt8>) throws(BencodeError) -> Int {
    tokens.removeAll(keepingCapacity: true)
    open.removeAll(keepingCapacity: true)
    firstUnsortedKey = nil
    guard !bytes.isEmpty else { throw BencodeError(.empty, offset: 0) }
    guard bytes.count <= limits.length else {
      throw BencodeError(.tooLong(length: bytes.count, limit: limits.length), offset: limits.length)
    }

    var at = 0
    repeat {
      guard at < bytes.count else { throw failure(.truncated, at: at, in: bytes) }
      let byte = bytes[at]
      if byte == UInt8(ascii: "e") {
        at = try endContainer(at: at, in: bytes)
        continue
      }
      guard tokens.count < limits.values else {
        throw failure(.tooManyValues(limit: limits.values), at: at, in: bytes)
      }
      let isKey = open.last.map { $0.state == .firstKey || $0.state == .nextKey } ?? false
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"):
        at = try string(at: at, in: bytes)
        if isKey { try noteKey(in: bytes) } else { valueIsComplete() }
      case _ where isKey:
        throw failure(.keyIsNotAString, at: at, in: bytes)
      case UInt8(ascii: "i"):
        at = try integer(at: at, in: bytes)
        valueIsComplete()
      case UInt8(ascii: "l"):
        try beginContainer(.list, at: at, in: bytes)
        at += 1
      case UInt8(ascii: "d"):
        try beginContainer(.dictionary, at: at, in: bytes)
        at += 1
      default:
        throw failure(.unexpectedByte(byte), at: at, in: bytes)
      }
    } while !open.isEmpty
    tokens.append(BencodeToken(endAt: at))
    tokens.append(BencodeToken(endAt: firstUnsortedKey ?? BencodeToken.nowhere))
    return at
  }

  private mutating func beginContainer(
    _ kind: BencodeKind, at offset: Int, in bytes: Span<UInt8>
  ) throws(BencodeError) {
    guard open.count < limits.depth else {
      throw failure(.tooDeep(limit: limits.depth), at: offset, in: bytes)
    }
    open.append(
      OpenContainer(
        token: UInt32(truncatingIfNeeded: tokens.count), position: 0,
        state: kind == .list ? .list : .firstKey))
    tokens.append(BencodeToken(offset: offset, kind: kind))
  }

  private mutating func endContainer(at offset: Int, in bytes: Span<UInt8>) throws(BencodeError) -> Int {
    guard let container = open.last else {
      throw failure(.unexpectedByte(bytes[offset]), at: offset, in: bytes)
    }
    guard container.state != .value else { throw failure(.keyWithoutValue, at: offset, in: bytes) }
    guard tokens.count < limits.values else {
      throw failure(.tooManyValues(limit: limits.values), at: offset, in: bytes)
    }
    if container.isUnsorted { try refuseDuplicateKeys(of: container, in: bytes) }
    tokens.append(BencodeToken(endAt: offset))
    let index = Int(container.token)
    tokens[index].skip = tokens.count - index
    open.removeLast()
    valueIsComplete()
    return offset + 1
  }

  /// Moves the innermost open container past the value that just ended.
  @inline(__always)
  private mutating func valueIsComplete() {
    guard !open.isEmpty else { return }
    let top = open.count - 1
    if open[top].state == .list {
      open[top].position &+= 1
    } else {
      open[top].state = .nextKey
    }
  }

  /// Reads the string at `offset` into a token and returns where it ends.
  private mutating func string(at offset: Int, in bytes: Span<UInt8>) throws(BencodeError) -> Int {
    var length = 0
    var at = offset
    while true {
      guard at < bytes.count else { throw failure(.truncated, at: at, in: bytes) }
      let digit = bytes[at] &- UInt8(ascii: "0")
      guard digit <= 9 else { break }
      // Stops long before overflow, and keeps the prefix within the token's four bits.
      guard length <= limits.stringLength else { break }
      length = length * 10 + Int(digit)
      at += 1
    }
    guard length <= limits.stringLength else {
      throw failure(.stringTooLong(limit: limits.stringLength), at: offset, in: bytes)
    }
    guard bytes[at] == UInt8(ascii: ":"), bytes[offset] != UInt8(ascii: "0") || at == offset + 1 else {
      throw failure(.malformedStringLength, at: offset, in: bytes)
    }
    at += 1
    guard length <= bytes.count - at else {
      throw failure(
        .truncatedString(length: length, available: bytes.count - at), at: offset, in: bytes)
    }
    tokens.append(BencodeToken(offset: offset, kind: .string, header: at - offset))
    return at + length
  }

  /// Checks the integer at `offset`, adds its token and returns where it ends.
  private mutating func integer(at offset: Int, in bytes: Span<UInt8>) throws(BencodeError) -> Int {
    var at = offset + 1
    guard at < bytes.count else { throw failure(.truncated, at: at, in: bytes) }
    let isNegative = bytes[at] == UInt8(ascii: "-")
    if isNegative { at += 1 }
    let firstDigit = at
    // The magnitude is gathered below zero, where one more value fits.
    var value: Int64 = 0
    var fits = true
    while true {
      guard at < bytes.count else { throw failure(.truncated, at: at, in: bytes) }
      let digit = bytes[at] &- UInt8(ascii: "0")
      guard digit <= 9 else { break }
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, borrow) = product.subtractingReportingOverflow(Int64(digit))
      fits = fits && !overflow && !borrow
      value = sum
      at += 1
    }
    guard bytes[at] == UInt8(ascii: "e"), at > firstDigit else {
      throw failure(.malformedInteger, at: offset, in: bytes)
    }
    if bytes[firstDigit] == UInt8(ascii: "0"), isNegative || at > firstDigit + 1 {
      throw failure(.nonCanonicalInteger, at: offset, in: bytes)
    }
    guard fits, isNegative || value != .min else {
      throw failure(.integerOutOfRange, at: offset, in: bytes)
    }
    tokens.append(BencodeToken(offset: offset, kind: .integer))
    return at + 1
  }
}

extension BencodeParser {
  /// The bytes of the string that is token `index`. Its length is read from its prefix, since the token that
  /// will tell its end may still be missing.
  @_lifetime(copy bytes)
  private func stringBytes(_ index: UInt32, in bytes: Span<UInt8>) -> Span<UInt8> {
    let token = tokens[Int(index)]
    let begin = Int(token.offset) + token.header
    var length = 0
    for at in Int(token.offset)..<(begin - 1) {
      length = length * 10 + Int(bytes[at] &- UInt8(ascii: "0"))
    }
    return bytes.extracting(begin..<(begin + length))
  }

  /// Holds the key that is the latest token against the one before it in its dictionary.
  private mutating func noteKey(in bytes: Span<UInt8>) throws(BencodeError) {
    let top = open.count - 1
    let key = UInt32(truncatingIfNeeded: tokens.count - 1)
    let previous = open[top].position
    let isFirst = open[top].state == .firstKey
    open[top].position = key
    open[top].state = .value
    guard !isFirst else { return }
    let order = Self.compare(stringBytes(previous, in: bytes), stringBytes(key, in: bytes))
    guard order >= 0 else { return }
    let offset = Int(tokens[Int(key)].offset)
    guard order > 0 else { throw failure(.duplicateKey, at: offset, in: bytes) }
    open[top].isUnsorted = true
    firstUnsortedKey = min(firstUnsortedKey ?? offset, offset)
  }

  /// Looks for equal keys in a dictionary whose keys are not in order: sorts them and compares neighbours.
  private mutating func refuseDuplicateKeys(
    of container: OpenContainer, in bytes: Span<UInt8>
  ) throws(BencodeError) {
    // Taken out of `self`, so that the comparison may look at the tokens meanwhile.
    var keys: [UInt32] = []
    swap(&keys, &keyScratch)
    defer { swap(&keys, &keyScratch) }
    keys.removeAll(keepingCapacity: true)
    var index = Int(container.token) + 1
    while index < tokens.count {
      keys.append(UInt32(truncatingIfNeeded: index))
      index += 1
      index += tokens[index].skip
    }
    keys.sort { Self.compare(stringBytes($0, in: bytes), stringBytes($1, in: bytes)) < 0 }
    for place in keys.indices.dropFirst() {
      let (left, right) = (keys[place - 1], keys[place])
      guard Self.compare(stringBytes(left, in: bytes), stringBytes(right, in: bytes)) == 0 else { continue }
      open[open.count - 1].position = max(left, right)
      open[open.count - 1].state = .value
      throw failure(.duplicateKey, at: Int(tokens[Int(max(left, right))].offset), in: bytes)
    }
  }

  /// Negative, zero or positive as `left` sorts before, with or after `right`, as raw bytes (BEP 3).
  static func compare(_ left: Span<UInt8>, _ right: Span<UInt8>) -> Int {
    for index in 0..<min(left.count, right.count) where left[index] != right[index] {
      return left[index] < right[index] ? -1 : 1
    }
    return left.count - right.count
  }

  /// An error with the way to where the scan stands.
  private func failure(
    _ problem: BencodeError.Problem, at offset: Int, in bytes: Span<UInt8>
  ) -> BencodeError {
    var path = BencodeKeyPath()
    for container in open {
      switch container.state {
      case .list: path.append(index: Int(container.position))
      case .firstKey, .nextKey: break
      case .value: path.append(key: stringBytes(container.position, in: bytes))
      }
    }
    return BencodeError(problem, offset: offset, keyPath: path.text)
  }
}
