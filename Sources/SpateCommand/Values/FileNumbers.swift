/// Numbers of files, from 1, as `--select-file` takes them: `1-5,8,12-`.
struct FileNumbers: SettingValue, Hashable {
  private(set) var ranges: [ClosedRange<Int>] = []

  init?(argument: String) {
    for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
      let ends = part.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
      guard let first = ends.first.flatMap(Self.number) else { return nil }
      let last: Int
      switch ends.count {
      case 1: last = first
      // Open to the end.
      case _ where ends[1].isEmpty: last = .max
      default:
        guard let number = Self.number(ends[1]) else { return nil }
        last = number
      }
      guard first <= last else { return nil }
      ranges.append(first...last)
    }
  }

  private static func number(_ text: Substring) -> Int? {
    guard text.utf8.allSatisfy(isDigit), let number = Int(text), number > 0 else { return nil }
    return number
  }

  func contains(_ number: Int) -> Bool { ranges.contains { $0.contains(number) } }

  /// The first number named that is above `count`, if there is one.
  func firstNumber(above count: Int) -> Int? {
    for range in ranges {
      if range.lowerBound > count { return range.lowerBound }
      if range.upperBound > count && range.upperBound != .max { return range.upperBound }
    }
    return nil
  }

  static var form: String { "numbers of files as 'spate show' lists them, such as 1-5,8 or 12-" }
}
