import Foundation

/// Times a piece of one room, and counts what it allocates.
struct Stopwatch {
  /// Seconds that one timing should last.
  let patience: Double
  /// Name prefixes to run; empty: all.
  let only: [String]

  /// One line of the answer.
  struct Result: Encodable {
    var name: String
    var nanoseconds: Double
    var mallocs: Double?
    /// Payload an iteration works through, in bytes; 0: no such thing.
    var bytes: Int
  }

  func wants(_ name: String) -> Bool {
    only.isEmpty || only.contains { name.hasPrefix($0) }
  }

  /// Measures `body`, which does what it does as many times as it is told. The best of five timings is kept: noise only
  /// ever adds.
  func measure(_ name: String, bytes: Int = 0, _ body: (Int) -> Void) {
    guard wants(name) else { return }
    var count = 1
    var seconds = time(count, body)
    while seconds < patience / 4, count < 1 << 30 {
      count *= 2
      seconds = time(count, body)
    }
    let before = Allocations.sofar
    var best = seconds
    for _ in 0..<5 { best = min(best, time(count, body)) }
    let mallocs = before.flatMap { Allocations.since($0).map { $0 / Double(count * 5) } }
    emit(Result(name: name, nanoseconds: best / Double(count) * 1e9, mallocs: mallocs, bytes: bytes))
  }

  /// For work that cannot be repeated at will: `body` does it once and says how many steps it took.
  func measureOnce(_ name: String, _ body: () -> Int) {
    guard wants(name) else { return }
    let before = Allocations.sofar
    let start = DispatchTime.now().uptimeNanoseconds
    let steps = Double(max(1, body()))
    let nanoseconds = Double(DispatchTime.now().uptimeNanoseconds - start) / steps
    let mallocs = before.flatMap { Allocations.since($0).map { $0 / steps } }
    emit(Result(name: name, nanoseconds: nanoseconds, mallocs: mallocs, bytes: 0))
  }

  /// For a figure in bytes, such as the memory that something takes.
  func report(_ name: String, bytes: Int) {
    emit(Result(name: name, nanoseconds: 0, mallocs: nil, bytes: bytes))
  }

  private func time(_ count: Int, _ body: (Int) -> Void) -> Double {
    let start = DispatchTime.now().uptimeNanoseconds
    body(count)
    return Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
  }

  private func emit(_ result: Result) {
    guard let line = try? JSONEncoder().encode(result) else { return }
    FileHandle.standardOutput.write(line + Data("\n".utf8))
  }
}

/// What libPerfMallocs.so has counted in this process, if it is preloaded.
enum Allocations {
  /// What was allocated since `before` was read, the reading itself left out.
  static func since(_ before: Double) -> Double? {
    sofar.map { max(0, $0 - before - reading) }
  }

  private static let reading: Double = {
    _ = sofar
    guard let first = sofar, let second = sofar else { return 0 }
    return second - first
  }()

  static var sofar: Double? {
    guard let path = ProcessInfo.processInfo.environment["PERF_MALLOCS"],
      let data = FileManager.default.contents(atPath: path)
    else { return nil }
    // Slots of 64 bytes, each of which begins with its count of allocations; see PerfMallocs.h.
    let bytes = [UInt8](data)
    let slot = 64
    var sum = 0.0
    for at in stride(from: 0, through: bytes.count - slot, by: slot) {
      var word: UInt64 = 0
      for place in 0..<8 { word |= UInt64(bytes[at + place]) << UInt64(8 * place) }
      sum += Double(word)
    }
    return sum
  }
}

/// Makes the optimizer believe that a value is used.
@inline(never)
func keep<Value: ~Copyable>(_ value: borrowing Value) {}
