/// The four kinds of value (BEP 3).
@frozen
public enum BencodeKind: UInt8, Sendable, Hashable {
  case string = 0
  case integer = 1
  case list = 2
  case dictionary = 3
}

/// Where one value begins, and how far it is to the next: eight bytes per value, in input order.
///
/// A list or dictionary is followed by its members and then by an end token, and after the outermost value
/// comes one more end token. So a value always ends where the next sibling's token, ``skip`` tokens further
/// on, begins, and no length is stored. The very last token is a note: its offset is that of the first key out
/// of order, or ``nowhere``.
@frozen
@usableFromInline
struct BencodeToken: BitwiseCopyable, Sendable {
  /// Offset of the value's first byte.
  @usableFromInline var offset: UInt32
  /// Bits 0–2: kind, 4 for an end token. Bits 3–6: bytes of `123:` before a string's own bytes.
  /// Bits 7–31: how many tokens this value takes, itself included.
  @usableFromInline var word: UInt32

  @usableFromInline static let maximumSkip = (1 << 25) - 1
  @usableFromInline static let end: UInt32 = 4
  @usableFromInline static let nowhere = Int(UInt32.max)

  @inlinable
  init(offset: Int, kind: BencodeKind, header: Int = 0, skip: Int = 1) {
    self.offset = UInt32(truncatingIfNeeded: offset)
    word =
      UInt32(kind.rawValue) | UInt32(truncatingIfNeeded: header) << 3
      | UInt32(truncatingIfNeeded: skip) << 7
  }

  @inlinable
  init(endAt offset: Int) {
    self.offset = UInt32(truncatingIfNeeded: offset)
    word = Self.end | 1 << 7
  }

  @inlinable var isEnd: Bool { word & 7 == Self.end }

  @inlinable var kind: BencodeKind {
    switch word & 7 {
    case 0: .string
    case 1: .integer
    case 2: .list
    default: .dictionary
    }
  }

  @inlinable var header: Int { Int(word >> 3 & 15) }

  @inlinable var skip: Int {
    get { Int(word >> 7) }
    set { word = word & 127 | UInt32(truncatingIfNeeded: newValue) << 7 }
  }
}
