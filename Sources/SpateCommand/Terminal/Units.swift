/// Sizes, rates and times as people read them. Units are powers of 1024.
enum Units {
  private static let names = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]

  /// `0 B`, `999 B`, `1.50 KiB`, `12.3 MiB`, `123 GiB`: three digits that matter.
  static func size(_ bytes: Int64) -> String {
    let (unit, value) = scaled(bytes)
    return "\(number(value, unit)) \(names[unit])"
  }

  static func rate(_ bytesPerSecond: Int) -> String { size(Int64(bytesPerSecond)) + "/s" }

  /// `0.42/1.00 GiB`: the part in the unit of the whole.
  static func part(_ done: Int64, of total: Int64) -> String {
    let (unit, value) = scaled(total)
    let part = Double(max(0, done)) / factor(unit)
    return "\(number(done == total ? value : part, unit, like: value))/\(number(value, unit)) \(names[unit])"
  }

  /// Rounded down to a tenth, so that 100 % means all.
  static func percent(_ done: Int64, of total: Int64) -> String {
    guard total > 0 else { return "100%" }
    if done >= total { return "100%" }
    let tenths = Int((Double(max(0, done)) / Double(total) * 1000).rounded(.down))
    let capped = min(tenths, 999)
    return "\(capped / 10).\(capped % 10)%"
  }

  /// `45s`, `3m07s`, `1h02m`, `2d03h`.
  static func time(_ seconds: Int) -> String {
    func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
    switch max(0, seconds) {
    case let s where s < 60: return "\(s)s"
    case let s where s < 3600: return "\(s / 60)m\(two(s % 60))s"
    case let s where s < 86_400: return "\(s / 3600)h\(two(s / 60 % 60))m"
    case let s where s < 100 * 86_400: return "\(s / 86_400)d\(two(s / 3600 % 24))h"
    default: return ">99d"
    }
  }

  /// For results: tenths below ten seconds.
  static func duration(_ seconds: Double) -> String {
    guard seconds.isFinite, seconds >= 0 else { return "0s" }
    if seconds < 10 { return "\(fixed(seconds, 1))s" }
    return time(Int(min(seconds, 1e9)))
  }

  private static func factor(_ unit: Int) -> Double { Double(1 << (10 * unit)) }

  private static func scaled(_ bytes: Int64) -> (unit: Int, value: Double) {
    var unit = 0
    // 1023.9 MiB would be written with four digits: it is 1.00 GiB.
    while unit + 1 < names.count, Double(max(0, bytes)) / factor(unit) >= (unit == 0 ? 1024 : 999.5) {
      unit += 1
    }
    return (unit, Double(max(0, bytes)) / factor(unit))
  }

  /// - Parameter whole: the value whose decimals are used too.
  private static func number(_ value: Double, _ unit: Int, like whole: Double? = nil) -> String {
    let guide = whole ?? value
    if unit == 0 { return String(Int(value)) }
    return fixed(value, guide < 9.995 ? 2 : guide < 99.95 ? 1 : 0)
  }

  private static func fixed(_ value: Double, _ decimals: Int) -> String {
    let scale = decimals == 2 ? 100 : decimals == 1 ? 10 : 1
    let rounded = Int((value * Double(scale)).rounded())
    if decimals == 0 { return String(rounded) }
    let fraction = String(rounded % scale)
    return "\(rounded / scale)." + String(repeating: "0", count: decimals - fraction.count) + fraction
  }
}
