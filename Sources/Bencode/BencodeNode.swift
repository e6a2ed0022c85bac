/// One value of a parsed input: a view into the input's bytes that copies nothing.
///
/// Asking a node for what it is not (a list for its integer) gives `nil`, so a chain like
/// `root["info"]?["length"]?.integer` checks kinds as it goes.
@frozen
public struct BencodeNode: ~Escapable {
  @usableFromInline let bytes: Span<UInt8>
  @usableFromInline let tokens: Span<BencodeToken>
  @usableFromInline let index: Int

  @inlinable
  @_lifetime(copy bytes, copy tokens)
  init(bytes: Span<UInt8>, tokens: Span<BencodeToken>, index: Int) {
    self.bytes = bytes
    self.tokens = tokens
    self.index = index
  }

  /// What kind of value this is.
  @inlinable public var kind: BencodeKind { tokens[index].kind }

  /// Where the encoded value lies in the input, its `d` and `e` or length included.
  @inlinable public var range: Range<Int> {
    let token = tokens[index]
    return Int(token.offset)..<Int(tokens[index + token.skip].offset)
  }

  /// Offset of the first dictionary key of the whole input that comes after a greater one, or `nil` when every
  /// key is in order: then the input is canonical, and writing it again gives the same bytes.
  public var firstUnsortedKey: Int? {
    let offset = Int(tokens[tokens.count - 1].offset)
    return offset == BencodeToken.nowhere ? nil : offset
  }

  /// The encoded value as it stands in the input: what an info-hash is taken of (BEP 3).
  @inlinable public var encoded: Span<UInt8> {
    @_lifetime(copy self)
    get { bytes.extracting(range) }
  }

  /// Where the bytes of a string lie in the input, without the length before them.
  @inlinable public var stringRange: Range<Int>? {
    let token = tokens[index]
    guard token.kind == .string else { return nil }
    return Int(token.offset) + token.header..<Int(tokens[index + 1].offset)
  }

  /// The bytes of a string.
  @inlinable public var string: Span<UInt8>? {
    @_lifetime(copy self)
    get {
      guard let range = stringRange else { return nil }
      return bytes.extracting(range)
    }
  }

  /// A copy of the bytes of a string.
  public var stringBytes: [UInt8]? {
    guard let string else { return nil }
    return [UInt8](capacity: string.count) { copy in
      for index in string.indices { copy.append(string[index]) }
    }
  }

  /// A string as text, or `nil` where it is no UTF-8.
  public var text: String? {
    guard let string, let utf8 = try? UTF8Span(validating: string) else { return nil }
    return String(copying: utf8)
  }

  /// The value of an integer.
  @inlinable public var integer: Int64? {
    let token = tokens[index]
    guard token.kind == .integer else { return nil }
    var at = Int(token.offset) + 1
    let isNegative = bytes[at] == UInt8(ascii: "-")
    if isNegative { at += 1 }
    var value: Int64 = 0
    while true {
      let digit = bytes[at] &- UInt8(ascii: "0")
      guard digit <= 9 else { break }
      // The parser saw that it fits.
      value = value &* 10 &- Int64(digit)
      at += 1
    }
    return isNegative ? value : 0 &- value
  }

  /// The way to this value from the outermost one, as in `info.files[3].path`. It costs a walk over the
  /// siblings on the way: it is for errors.
  public var keyPath: String {
    var path = BencodeKeyPath()
    var container = 0
    while container < index {
      let isDictionary = tokens[container].kind == .dictionary
      var child = container + 1
      var position = 0
      while true {
        let value = isDictionary ? child + 1 : child
        let next = value + tokens[value].skip
        if index < next {
          if isDictionary {
            let key = tokens[child]
            path.append(
              key: bytes.extracting(Int(key.offset) + key.header..<Int(tokens[value].offset)))
          } else {
            path.append(index: position)
          }
          container = value
          break
        }
        child = next
        position += 1
      }
    }
    return path.text
  }
}
