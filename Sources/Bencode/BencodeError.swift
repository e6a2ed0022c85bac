/// Why an input is not bencode, or not bencode that is taken, and where.
public struct BencodeError: Error, Hashable, Sendable {
  /// What is wrong.
  public enum Problem: Hashable, Sendable {
    /// The input is empty.
    case empty
    /// The input ends inside a value.
    case truncated
    /// A string says it is `length` bytes long and only `available` bytes follow.
    case truncatedString(length: Int, available: Int)
    /// This byte begins no value.
    case unexpectedByte(UInt8)
    /// A dictionary key is not a string.
    case keyIsNotAString
    /// A dictionary ends after a key that has no value.
    case keyWithoutValue
    /// A dictionary holds the same key twice.
    case duplicateKey
    /// An integer has no digits, or something else between `i` and `e`.
    case malformedInteger
    /// An integer is written with a leading zero or as minus zero (BEP 3).
    case nonCanonicalInteger
    /// An integer does not fit in 64 bits.
    case integerOutOfRange
    /// The length of a string is not digits and a colon, or has a leading zero.
    case malformedStringLength
    /// A string is longer than the limit.
    case stringTooLong(limit: Int)
    /// The input is longer than the limit.
    case tooLong(length: Int, limit: Int)
    /// Lists and dictionaries nest deeper than the limit.
    case tooDeep(limit: Int)
    /// There are more values than the limit.
    case tooManyValues(limit: Int)
    /// `count` bytes follow the value.
    case trailingBytes(count: Int)
  }

  /// What is wrong.
  public let problem: Problem
  /// The offset of the offending byte from the start of the input.
  public let offset: Int
  /// The way to the offending value, as in `info.files[3].path`; empty for the outermost value.
  public let keyPath: String

  public init(_ problem: Problem, offset: Int, keyPath: String = "") {
    self.problem = problem
    self.offset = offset
    self.keyPath = keyPath
  }

  /// Whether a limit refused the input, and not its form: it may well be correct bencode.
  public var isLimit: Bool {
    switch problem {
    case .stringTooLong, .tooLong, .tooDeep, .tooManyValues: true
    default: false
    }
  }
}

extension BencodeError: CustomStringConvertible {
  public var description: String {
    let place = keyPath.isEmpty ? "at byte \(offset)" : "at byte \(offset), in \(keyPath)"
    return "\(problem) \(place)"
  }
}

extension BencodeError.Problem: CustomStringConvertible {
  public var description: String {
    switch self {
    case .empty: "the input is empty"
    case .truncated: "the input ends in the middle of a value"
    case .truncatedString(let length, let available):
      "a string of \(length) bytes is cut off after \(available) bytes"
    case .unexpectedByte(let byte): "byte \(BencodeKeyPath.quoted(byte)) begins no value"
    case .keyIsNotAString: "a dictionary key is not a string"
    case .keyWithoutValue: "a dictionary ends after a key that has no value"
    case .duplicateKey: "a dictionary holds the same key twice"
    case .malformedInteger: "an integer is not made of digits only"
    case .nonCanonicalInteger: "an integer has a leading zero or is minus zero"
    case .integerOutOfRange: "an integer does not fit in 64 bits"
    case .malformedStringLength: "the length of a string is not written as digits and a colon"
    case .stringTooLong(let limit): "a string is longer than the limit of \(limit) bytes"
    case .tooLong(let length, let limit):
      "the input has \(length) bytes, more than the limit of \(limit)"
    case .tooDeep(let limit): "lists and dictionaries nest deeper than the limit of \(limit)"
    case .tooManyValues(let limit): "there are more than \(limit) values"
    case .trailingBytes(let count): "the value is followed by \(count) bytes that do not belong to it"
    }
  }
}
