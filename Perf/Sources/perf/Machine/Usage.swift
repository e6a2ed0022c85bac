import Foundation

/// What a process has used of the machine. Times in seconds.
struct Usage: Codable, Equatable {
  var user = 0.0
  var system = 0.0
  var voluntarySwitches = 0
  var involuntarySwitches = 0

  static func - (later: Usage, earlier: Usage) -> Usage {
    Usage(
      user: later.user - earlier.user, system: later.system - earlier.system,
      voluntarySwitches: later.voluntarySwitches - earlier.voluntarySwitches,
      involuntarySwitches: later.involuntarySwitches - earlier.involuntarySwitches)
  }
}

/// Readings of a live process from `/proc`. A process that is gone reads as nil.
struct ProcessStatus {
  let pid: Int32

  private func text(_ name: String) -> String? {
    try? String(contentsOfFile: "/proc/\(pid)/\(name)", encoding: .utf8)
  }

  /// The value after `key:` in a file of `/proc/PID`, its unit dropped.
  private func value(_ key: String, in name: String) -> Int? {
    guard let text = text(name) else { return nil }
    for line in text.split(separator: "\n") where line.hasPrefix(key + ":") {
      let words = line.dropFirst(key.count + 1).split(whereSeparator: { $0 == " " || $0 == "\t" })
      return words.first.flatMap { Int($0) }
    }
    return nil
  }

  /// Highest resident memory so far, in bytes.
  var peakResident: Int? { value("VmHWM", in: "status").map { $0 * 1024 } }

  /// Resident memory now, in bytes.
  var resident: Int? { value("VmRSS", in: "status").map { $0 * 1024 } }

  /// Bytes fetched from block devices (not from the page cache).
  var diskBytesRead: Int? { value("read_bytes", in: "io") }

  /// Bytes asked for by the read calls, whatever served them.
  var bytesRead: Int? { value("rchar", in: "io") }

  /// CPU time in ticks of 10 ms, and the context switches of all living threads.
  var usage: Usage? {
    guard let stat = text("stat"), let close = stat.lastIndex(of: ")") else { return nil }
    let fields = stat[stat.index(after: close)...].split(separator: " ")
    // Counted from the state, which is field 3 of proc(5): utime is 14, stime 15.
    guard fields.count > 13, let user = Double(fields[11]), let system = Double(fields[12]) else {
      return nil
    }
    let ticks = Double(sysconf(Int32(_SC_CLK_TCK)))
    var usage = Usage(user: user / ticks, system: system / ticks)
    let threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task")) ?? []
    for thread in threads {
      usage.voluntarySwitches += value("voluntary_ctxt_switches", in: "task/\(thread)/status") ?? 0
      usage.involuntarySwitches += value("nonvoluntary_ctxt_switches", in: "task/\(thread)/status") ?? 0
    }
    return usage
  }

  var children: [Int32] {
    (text("task/\(pid)/children") ?? "").split(separator: " ").compactMap { Int32($0) }
  }
}
