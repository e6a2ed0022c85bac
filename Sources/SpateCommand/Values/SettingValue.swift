import ArgumentParser

/// A value that an option, an environment variable or the configuration file can hold.
protocol SettingValue: ExpressibleByArgument, Sendable {
  /// What a value must look like, for a person: "a size such as 512K or 2G".
  static var form: String { get }
}

extension SettingValue {
  /// For options: a refusal says what is wanted.
  static func from(_ argument: String) throws -> Self {
    guard let value = Self(argument: argument) else { throw ValidationError("it must be \(form)") }
    return value
  }
}

extension SettingValue where Self: CaseIterable & RawRepresentable, RawValue == String {
  static var form: String { "one of " + allCases.map(\.rawValue).joined(separator: ", ") }
}

/// Any text.
extension String: SettingValue {
  static var form: String { "a text" }
}

/// A number that counts something; every option has a range of its own.
struct Count<Range: CountRange>: SettingValue, Hashable {
  let value: Int

  init?(argument: String) {
    guard let value = Int(argument), Range.range.contains(value), argument.first != "+" else { return nil }
    self.value = value
  }

  static var form: String {
    Range.range.upperBound > 1 << 40
      ? "a whole number from \(Range.range.lowerBound) on"
      : "a whole number from \(Range.range.lowerBound) to \(Range.range.upperBound)"
  }
}

protocol CountRange: Sendable {
  static var range: ClosedRange<Int> { get }
}

enum Positive: CountRange { static let range = 1...Int.max }
enum PortRange: CountRange { static let range = 0...65_535 }
enum ThreadRange: CountRange { static let range = 1...256 }
enum PeerRange: CountRange { static let range = 1...65_535 }

/// 0 to 65,535; 0 lets the system choose.
typealias PortNumber = Count<PortRange>

extension Count where Range == PortRange {
  var port: UInt16 { UInt16(truncatingIfNeeded: value) }
}

/// A number with a fraction, not negative.
struct Ratio: SettingValue, Hashable {
  let value: Double

  init?(argument: String) {
    guard argument.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == 0x2e }),
      let value = Double(argument),
      value.isFinite
    else { return nil }
    self.value = value
  }

  static var form: String { "a number such as 1 or 1.5" }
}
