/// A point in monotonic time, in nanoseconds from an arbitrary start. The pure rooms are told the time; they never ask for it.
@frozen
public struct Moment: Hashable, Comparable, Sendable {
  public var nanoseconds: Int64

  @inlinable public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }
  public static let zero = Moment(nanoseconds: 0)
  /// Later than every other moment: "never".
  public static let distantFuture = Moment(nanoseconds: .max)

  @inlinable public static func < (a: Moment, b: Moment) -> Bool { a.nanoseconds < b.nanoseconds }

  /// Saturates at `distantFuture`.
  @inlinable public static func + (a: Moment, b: Interval) -> Moment {
    let (sum, overflow) = a.nanoseconds.addingReportingOverflow(b.nanoseconds)
    return Moment(nanoseconds: overflow ? (b.nanoseconds > 0 ? .max : .min) : sum)
  }
  @inlinable public static func - (a: Moment, b: Interval) -> Moment {
    a + Interval(nanoseconds: -b.nanoseconds)
  }
  @inlinable public static func - (a: Moment, b: Moment) -> Interval {
    Interval(nanoseconds: a.nanoseconds &- b.nanoseconds)
  }

  /// A length of time, in nanoseconds. Half the size of `Duration`, and arithmetic on it is one instruction.
  @frozen
  public struct Interval: Hashable, Comparable, Sendable {
    public var nanoseconds: Int64
    @inlinable public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }
    public static let zero = Interval(nanoseconds: 0)
    @inlinable public static func seconds(_ value: Int) -> Interval {
      Interval(nanoseconds: Int64(value).multipliedReportingOverflow(by: 1_000_000_000).partialValue)
    }
    /// Saturates; NaN becomes zero.
    public static func seconds(_ value: Double) -> Interval {
      let scaled = value * 1e9
      guard !scaled.isNaN else { return .zero }
      return Interval(nanoseconds: scaled >= 9.2e18 ? .max : scaled <= -9.2e18 ? .min : Int64(scaled))
    }
    @inlinable public static func milliseconds(_ value: Int) -> Interval {
      Interval(nanoseconds: Int64(value) &* 1_000_000)
    }
    @inlinable public var seconds: Double { Double(nanoseconds) / 1e9 }
    @inlinable public static func < (a: Interval, b: Interval) -> Bool { a.nanoseconds < b.nanoseconds }
    @inlinable public static func + (a: Interval, b: Interval) -> Interval {
      Interval(nanoseconds: a.nanoseconds &+ b.nanoseconds)
    }
    @inlinable public static func - (a: Interval, b: Interval) -> Interval {
      Interval(nanoseconds: a.nanoseconds &- b.nanoseconds)
    }
    @inlinable public static func * (a: Interval, b: Int) -> Interval {
      let (product, overflow) = a.nanoseconds.multipliedReportingOverflow(by: Int64(b))
      return Interval(nanoseconds: overflow ? .max : product)
    }
  }
}
