/// A length of time: `30`, `30s`, `1.5m`, `2h`, `1d`, `1h30m`. Without a unit it is seconds.
struct TimeSpan: SettingValue, Hashable {
  let seconds: Double

  init(seconds: Double) { self.seconds = seconds }

  init?(argument: String) {
    var total = 0.0
    var rest = Substring(argument)
    var smallestUnit = Double.infinity
    while !rest.isEmpty {
      let number = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
      guard !number.isEmpty, let value = Double(number), value.isFinite else { return nil }
      rest = rest.dropFirst(number.count)
      let unit: Double
      switch rest.first {
      case nil: unit = 1
      case "s": unit = 1
      case "m": unit = 60
      case "h": unit = 3600
      case "d": unit = 86_400
      default: return nil
      }
      // "30" alone is seconds, but "1h30" could mean either: it is refused.
      if rest.isEmpty && smallestUnit != .infinity { return nil }
      guard unit < smallestUnit else { return nil }
      smallestUnit = unit
      rest = rest.dropFirst()
      total += value * unit
    }
    guard smallestUnit != .infinity, total <= Self.limit else { return nil }
    seconds = total
  }

  /// A hundred years, far below what would overflow a clock.
  private static let limit = 3.2e9

  static var form: String { "a time such as 30, 30s, 5m, 2h or 1h30m" }
}
