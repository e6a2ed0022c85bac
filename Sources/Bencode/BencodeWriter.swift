/// Writes canonical bencode (BEP 3): dictionary keys in order and each once.
///
/// The order of keys is the caller's to keep, and a key out of order is a programmer's error that stops the
/// program: dictionaries with keys from outside must be sorted first. A writer that is kept and cleared with
/// ``removeAll()`` allocates nothing once it has grown.
public struct BencodeWriter: Sendable {
  /// What was written so far.
  public private(set) var bytes: [UInt8]
  private var open: [Container] = []

  private enum Container: Sendable {
    case list
    /// A dictionary that waits for a key or its end; the range is that of the latest key in ``bytes``.
    case key(after: Range<Int>?)
    /// A dictionary that waits for the value of a key.
    case value(ofKeyAt: Range<Int>)
  }

  /// - Parameter capacity: how many bytes to make room for at once.
  public init(reserving capacity: Int = 0) {
    bytes = []
    bytes.reserveCapacity(capacity)
  }

  /// Whether every list and dictionary was ended.
  public var isComplete: Bool { open.isEmpty && !bytes.isEmpty }

  /// Starts over, and keeps the memory.
  public mutating func removeAll() {
    bytes.removeAll(keepingCapacity: true)
    open.removeAll(keepingCapacity: true)
  }

  /// Writes an integer.
  @inlinable
  public mutating func integer(_ value: some FixedWidthInteger) {
    integer(magnitude: UInt64(value.magnitude), isNegative: value < 0)
  }

  @usableFromInline
  mutating func integer(magnitude: UInt64, isNegative: Bool) {
    beginValue()
    bytes.append(UInt8(ascii: "i"))
    if isNegative { bytes.append(UInt8(ascii: "-")) }
    appendDecimal(magnitude)
    bytes.append(UInt8(ascii: "e"))
  }

  /// Writes a string of raw bytes.
  public mutating func string(_ value: Span<UInt8>) {
    beginValue()
    appendString(value)
  }

  /// Writes a string of raw bytes.
  public mutating func string(_ value: [UInt8]) { string(value.span) }

  /// Writes a string as UTF-8.
  public mutating func string(_ value: String) { string(value.utf8.span) }

  /// Writes a value that is bencode already, as it is.
  public mutating func encoded(_ value: Span<UInt8>) {
    precondition(!value.isEmpty, "an encoded value has at least two bytes")
    beginValue()
    append(value)
  }

  /// Begins a list; ``end()`` ends it.
  public mutating func beginList() {
    beginValue()
    bytes.append(UInt8(ascii: "l"))
    open.append(.list)
  }

  /// Begins a dictionary; ``end()`` ends it.
  public mutating func beginDictionary() {
    beginValue()
    bytes.append(UInt8(ascii: "d"))
    open.append(.key(after: nil))
  }

  /// Writes a dictionary key; its value must follow.
  public mutating func key(_ key: Span<UInt8>) {
    guard case .key(let previous)? = open.last else {
      preconditionFailure("a key can only be written inside a dictionary, after the value of the key before")
    }
    appendString(key)
    let range = bytes.count - key.count..<bytes.count
    if let previous {
      precondition(
        BencodeParser.compare(bytes.span.extracting(previous), key) < 0,
        "dictionary keys must be written in ascending order")
    }
    open[open.count - 1] = .value(ofKeyAt: range)
  }

  /// Writes a dictionary key; its value must follow.
  public mutating func key(_ key: String) { self.key(key.utf8.span) }

  /// Ends the list or dictionary that was begun last.
  public mutating func end() {
    if case .value? = open.last { preconditionFailure("the last key of a dictionary has no value") }
    precondition(open.popLast() != nil, "no list or dictionary is open")
    bytes.append(UInt8(ascii: "e"))
  }
}

extension BencodeWriter {
  /// Writes a key with an integer.
  @inlinable
  public mutating func entry(_ key: String, integer value: some FixedWidthInteger) {
    self.key(key)
    integer(value)
  }

  /// Writes a key with a string of raw bytes.
  public mutating func entry(_ key: String, string value: Span<UInt8>) {
    self.key(key)
    string(value)
  }

  /// Writes a key with a string of raw bytes.
  public mutating func entry(_ key: String, string value: [UInt8]) { entry(key, string: value.span) }

  /// Writes a key with a string as UTF-8.
  public mutating func entry(_ key: String, string value: String) { entry(key, string: value.utf8.span) }

  private mutating func beginValue() {
    switch open.last {
    case .list?: break
    case .value(let key)?: open[open.count - 1] = .key(after: key)
    case .key?: preconditionFailure("a dictionary's value needs a key")
    case nil: precondition(bytes.isEmpty, "the outermost value is complete")
    }
  }

  private mutating func appendString(_ value: Span<UInt8>) {
    appendDecimal(UInt64(value.count))
    bytes.append(UInt8(ascii: ":"))
    append(value)
  }

  private mutating func append(_ value: Span<UInt8>) {
    bytes.append(addingCapacity: value.count) { output in
      for index in value.indices { output.append(value[index]) }
    }
  }

  private mutating func appendDecimal(_ value: UInt64) {
    let first = bytes.count
    var rest = value
    repeat {
      bytes.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10))
      rest /= 10
    } while rest > 0
    bytes[first...].reverse()
  }
}
