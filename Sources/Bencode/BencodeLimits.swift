/// What an input may cost before it is refused.
///
/// Every figure is checked before the memory it stands for is taken, so a parser never holds more than
/// eight bytes per value of ``values`` and sixteen per level of ``depth``, whatever the input says.
@frozen
public struct BencodeLimits: Sendable, Equatable {
  /// The longest input in bytes.
  public let length: Int
  /// How deep lists and dictionaries may nest; the outermost one is level 1.
  public let depth: Int
  /// How many values there may be: every string, integer, list, dictionary and dictionary key counts, and
  /// the end of every list and dictionary.
  public let values: Int
  /// The longest string in bytes, keys included.
  public let stringLength: Int

  /// The most that ``length`` can be: offsets are held in 32 bits.
  public static let maximumLength = Int(UInt32.max) - 1
  /// The most that ``values`` can be: distances between values are held in 25 bits.
  public static let maximumValues = BencodeToken.maximumSkip

  /// - Parameters:
  ///   - length: the longest input in bytes.
  ///   - depth: the deepest nesting.
  ///   - values: the most values; by default as many as an input of this length can hold.
  ///   - stringLength: the longest string in bytes; by default the length of the input.
  @inlinable
  public init(length: Int, depth: Int, values: Int? = nil, stringLength: Int? = nil) {
    precondition(length >= 0 && length <= Self.maximumLength, "BencodeLimits.length is out of range")
    precondition(depth >= 0 && depth <= 4096, "BencodeLimits.depth is out of range")
    self.length = length
    self.depth = depth
    self.values = min(max(0, values ?? length), Self.maximumValues)
    self.stringLength = min(max(0, stringLength ?? length), length)
  }
}
