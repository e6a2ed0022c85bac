import Foundation

/// A condition did not come true in time.
struct DeadlineExceeded: Error, CustomStringConvertible {
  let what: String
  let limit: Duration

  var description: String { "gave up after \(limit) waiting until \(what)" }
}

/// How much longer than planned every wait may take: `SPATE_INTEROP_PATIENCE=4` for a slow machine or a sanitizer.
let patience: Double = ProcessInfo.processInfo.environment["SPATE_INTEROP_PATIENCE"].flatMap(Double.init) ?? 1

/// Asks `probe` again and again until it has an answer. What a test waits for is always a condition and never a length
/// of time; `limit` is only there so that a failure ends.
func first<Answer>(
  within limit: Duration = .seconds(30), every interval: Duration = .milliseconds(20), _ what: String,
  _ probe: () async throws -> Answer?
) async throws -> Answer {
  let limit = limit * patience
  let deadline = ContinuousClock.now + limit
  while true {
    if let answer = try await probe() { return answer }
    if ContinuousClock.now >= deadline { throw DeadlineExceeded(what: what, limit: limit) }
    try await Task.sleep(for: interval)
  }
}

/// Waits until `condition` holds.
func eventually(
  within limit: Duration = .seconds(30), every interval: Duration = .milliseconds(20), _ what: String,
  _ condition: () async throws -> Bool
) async throws {
  _ = try await first(within: limit, every: interval, what) { try await condition() ? true : nil }
}
