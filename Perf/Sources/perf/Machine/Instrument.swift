import Foundation

/// What a client is run under. Timed runs are run under nothing.
enum Instrument {
  case none
  /// Counts system calls, allocations and copies.
  case counting(CountFiles)
  /// Samples stacks into the file.
  case profiling(Profiler, String)

  /// Whether times taken meanwhile mean nothing.
  var disturbs: Bool {
    if case .none = self { false } else { true }
  }

  /// Whether only numbers are taken, which memory that is not warm does not change. A profile it would fill with faults.
  var isCounting: Bool { files != nil }

  var files: CountFiles? {
    if case .counting(let files) = self { files } else { nil }
  }

  func wrap(_ arguments: [String], _ home: Home) -> [String] {
    switch self {
    case .none: arguments
    case .counting(let files): files.wrap(arguments, home)
    case .profiling(let profiler, let file): profiler.wrap(arguments, file)
    }
  }
}

/// Where the counts of one run are left.
struct CountFiles {
  let syscalls: String
  let mallocs: String
  let reported: String
  /// `perf` with the kernel's tracepoints hardly slows the client; `strace` is the fallback.
  let usesPerf: Bool

  init(_ folder: String) {
    syscalls = folder + "/syscalls.txt"
    mallocs = folder + "/mallocs.bin"
    reported = folder + "/reported.json"
    usesPerf = Home.find("perf") != nil && !Self.tracepoints.isEmpty
    for path in [syscalls, mallocs, reported] { try? FileManager.default.removeItem(atPath: path) }
  }

  /// The system calls worth naming, as far as this kernel has them.
  private static let names = [
    "accept4", "connect", "epoll_ctl", "epoll_pwait", "epoll_wait", "fallocate", "fdatasync", "fsync",
    "ftruncate",
    "futex", "io_uring_enter", "lseek", "madvise", "mmap", "munmap", "poll", "pread64", "preadv", "pwrite64",
    "pwritev", "read", "readv", "recvfrom", "recvmsg", "sched_yield", "sendfile64", "sendmsg", "sendto",
    "sync_file_range", "timerfd_settime", "write", "writev",
  ]

  private static let tracepoints: [String] = {
    for root in ["/sys/kernel/tracing/events", "/sys/kernel/debug/tracing/events"] {
      guard FileManager.default.fileExists(atPath: root + "/raw_syscalls/sys_enter") else { continue }
      let named = names.filter { FileManager.default.fileExists(atPath: "\(root)/syscalls/sys_enter_\($0)") }
      return ["raw_syscalls:sys_enter"] + named.map { "syscalls:sys_enter_\($0)" }
    }
    return []
  }()

  fileprivate func wrap(_ arguments: [String], _ home: Home) -> [String] {
    let preloaded = ["env", "LD_PRELOAD=\(home.mallocs)", "PERF_MALLOCS=\(mallocs)"] + arguments
    if usesPerf {
      return ["perf", "stat", "-x", ";", "-o", syscalls] + Self.tracepoints.flatMap { ["-e", $0] } + ["--"]
        + preloaded
    }
    guard Home.find("strace") != nil else { return preloaded }
    return ["strace", "-f", "-c", "-U", "calls,name", "-o", syscalls] + preloaded
  }

  /// What was counted, for a transfer of so many blocks.
  func totals(blocks: Int) -> Totals {
    var totals = Totals(blocks: Double(blocks))
    let text = (try? String(contentsOfFile: syscalls, encoding: .utf8)) ?? ""
    totals.syscallsByName = usesPerf ? Self.parsePerf(text) : Self.parseStrace(text)
    totals.syscalls = totals.syscallsByName.removeValue(forKey: "total")
    if let data = FileManager.default.contents(atPath: mallocs) { totals.addMallocs(data) }
    if let data = FileManager.default.contents(atPath: reported) {
      totals.reported = try? JSONDecoder().decode(Totals.Reported.self, from: data)
    }
    return totals
  }

  /// Lines of `perf stat -x ;`: `value;unit;event;…`.
  static func parsePerf(_ text: String) -> [String: Double] {
    var counts: [String: Double] = [:]
    for line in text.split(separator: "\n") {
      let fields = line.split(separator: ";", omittingEmptySubsequences: false)
      guard fields.count > 2, let value = Double(fields[0]) else { continue }
      let event = String(fields[2])
      counts[event.hasPrefix("raw_") ? "total" : event.replacing("syscalls:sys_enter_", with: "")] = value
    }
    return counts
  }

  /// Lines of `strace -c -U calls,name`: `count name`, a rule, `count total`.
  static func parseStrace(_ text: String) -> [String: Double] {
    var counts: [String: Double] = [:]
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ")
      guard words.count == 2, let value = Double(words[0]) else { continue }
      counts[String(words[1])] = value
    }
    return counts
  }
}

/// Counts of a whole run.
struct Totals {
  /// What a client says of itself when `SPATE_COUNTERS` names a file: payload blocks, payload bytes copied in user space,
  /// and calls that received payload.
  struct Reported: Codable {
    var blocks_received: Double
    var blocks_sent: Double
    var copied_bytes: Double
    var receive_calls: Double

    var blocks: Double { blocks_received + blocks_sent }
  }

  var blocks: Double
  var syscalls: Double?
  var syscallsByName: [String: Double] = [:]
  var mallocs: Double?
  var frees = 0.0
  var copiedBytes = 0.0
  var reported: Reported?

  init(blocks: Double) {
    self.blocks = blocks
  }

  /// Adds up the slots that libPerfMallocs.so left; see PerfMallocs.h for their layout.
  fileprivate mutating func addMallocs(_ data: Data) {
    let bytes = [UInt8](data)
    let slotBytes = 64
    guard bytes.count >= slotBytes else { return }
    func word(_ at: Int) -> Double {
      Double((0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[at + $1]) << UInt64(8 * $1) })
    }
    var allocations = 0.0
    for slot in stride(from: 0, through: bytes.count - slotBytes, by: slotBytes) {
      allocations += word(slot)
      frees += word(slot + 16)
      copiedBytes += word(slot + 32)
    }
    mallocs = allocations
  }

  /// Per block, by what the larger transfer took more than the smaller one.
  static func difference(_ large: Totals, _ small: Totals) -> Counts {
    let blocks = large.blocks - small.blocks
    func per(_ more: Double, _ less: Double) -> Double { max(0, more - less) / blocks }
    var counts = Counts()
    if let more = large.syscalls, let less = small.syscalls { counts.syscalls = per(more, less) }
    for (name, more) in large.syscallsByName {
      let each = per(more, small.syscallsByName[name] ?? 0)
      if each >= 0.001 { counts.syscallsByName[name] = each }
    }
    if let more = large.mallocs, let less = small.mallocs {
      counts.mallocs = per(more, less)
      counts.frees = per(large.frees, small.frees)
      counts.copiedShare = per(large.copiedBytes, small.copiedBytes) / Double(blockBytes)
    }
    if let more = large.reported, let less = small.reported, more.blocks > less.blocks {
      let blocks = more.blocks - less.blocks
      counts.reportedCopiedShare = max(0, more.copied_bytes - less.copied_bytes) / blocks / Double(blockBytes)
      counts.receiveCalls = max(0, more.receive_calls - less.receive_calls) / blocks
    }
    return counts
  }
}
