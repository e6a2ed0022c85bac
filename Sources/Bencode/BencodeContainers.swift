extension BencodeNode {
  /// The value of a dictionary's key, found by looking at one key after the other. Nothing is allocated.
  @inlinable
  public subscript(key: String) -> BencodeNode? {
    @_lifetime(copy self)
    get { value(forKey: key.utf8.span) }
  }

  /// The value of a dictionary's key that is given as raw bytes, as the info-hashes of a scrape reply are.
  @inlinable
  @_lifetime(copy self)
  public func value(forKey key: Span<UInt8>) -> BencodeNode? {
    let container = tokens[index]
    guard container.kind == .dictionary else { return nil }
    var child = index + 1
    while !tokens[child].isEnd {
      let begin = Int(tokens[child].offset) + tokens[child].header
      let end = Int(tokens[child + 1].offset)
      if end - begin == key.count {
        var place = 0
        while place < key.count && bytes[begin + place] == key[place] { place += 1 }
        if place == key.count {
          return BencodeNode(bytes: bytes, tokens: tokens, index: child + 1)
        }
      }
      child += 1
      child += tokens[child].skip
    }
    return nil
  }

  /// The elements of a list, to be taken with `next()`.
  @inlinable public var elements: BencodeElements? {
    @_lifetime(copy self)
    get {
      guard tokens[index].kind == .list else { return nil }
      return BencodeElements(bytes: bytes, tokens: tokens, next: index + 1)
    }
  }

  /// The entries of a dictionary in the order of the input, to be taken with `next()`.
  @inlinable public var entries: BencodeEntries? {
    @_lifetime(copy self)
    get {
      guard tokens[index].kind == .dictionary else { return nil }
      return BencodeEntries(bytes: bytes, tokens: tokens, next: index + 1)
    }
  }

  /// How many elements a list, or entries a dictionary has; 0 for others. It costs a walk over them.
  @inlinable public var count: Int {
    let container = tokens[index]
    guard container.kind == .list || container.kind == .dictionary else { return 0 }
    var children = 0
    var child = index + 1
    while !tokens[child].isEnd {
      children += 1
      child += tokens[child].skip
    }
    return container.kind == .list ? children : children / 2
  }

  /// Whether this is a list or dictionary without members, or a string without bytes.
  @inlinable public var isEmpty: Bool {
    switch tokens[index].kind {
    case .list, .dictionary: tokens[index + 1].isEnd
    case .string: stringRange?.isEmpty ?? true
    case .integer: false
    }
  }
}

/// The elements of a list, one after the other.
@frozen
public struct BencodeElements: ~Escapable {
  @usableFromInline let bytes: Span<UInt8>
  @usableFromInline let tokens: Span<BencodeToken>
  @usableFromInline var child: Int

  @inlinable
  @_lifetime(copy bytes, copy tokens)
  init(bytes: Span<UInt8>, tokens: Span<BencodeToken>, next: Int) {
    self.bytes = bytes
    self.tokens = tokens
    child = next
  }

  /// The next element, or `nil` after the last.
  @inlinable
  @_lifetime(copy self)
  public mutating func next() -> BencodeNode? {
    let token = tokens[child]
    guard !token.isEnd else { return nil }
    let node = BencodeNode(bytes: bytes, tokens: tokens, index: child)
    child += token.skip
    return node
  }
}

/// A key of a dictionary with its value.
@frozen
public struct BencodeEntry: ~Escapable {
  /// The raw bytes of the key.
  public let key: Span<UInt8>
  public let value: BencodeNode

  @inlinable
  @_lifetime(copy key, copy value)
  init(key: Span<UInt8>, value: BencodeNode) {
    self.key = key
    self.value = value
  }
}

/// The entries of a dictionary, one after the other.
@frozen
public struct BencodeEntries: ~Escapable {
  @usableFromInline let bytes: Span<UInt8>
  @usableFromInline let tokens: Span<BencodeToken>
  @usableFromInline var child: Int

  @inlinable
  @_lifetime(copy bytes, copy tokens)
  init(bytes: Span<UInt8>, tokens: Span<BencodeToken>, next: Int) {
    self.bytes = bytes
    self.tokens = tokens
    child = next
  }

  /// The next entry, or `nil` after the last.
  @inlinable
  @_lifetime(copy self)
  public mutating func next() -> BencodeEntry? {
    let key = tokens[child]
    guard !key.isEnd else { return nil }
    let value = BencodeNode(bytes: bytes, tokens: tokens, index: child + 1)
    let begin = Int(key.offset) + key.header
    child += 1
    let end = Int(tokens[child].offset)
    child += tokens[child].skip
    return BencodeEntry(key: bytes.extracting(begin..<end), value: value)
  }
}
