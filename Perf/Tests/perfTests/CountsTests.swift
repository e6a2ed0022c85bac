import Foundation
import Testing

@testable import perf

enum JSONCoding {
  static func roundTrip(_ report: Report) throws -> Report {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent(
      "report-\(UUID().uuidString).json"
    ).path
    defer { try? FileManager.default.removeItem(atPath: path) }
    try report.json().write(toFile: path, atomically: true, encoding: .utf8)
    return try Report.load(path)
  }
}

struct CountsTests {
  @Test func readsPerfStat() {
    let text = """
      # started on Mon Nov 23 09:00:00 2026

      1234;;raw_syscalls:sys_enter;5;100.00;;
      1000;;syscalls:sys_enter_readv;5;100.00;;
      <not supported>;;syscalls:sys_enter_poll;0;0.00;;
      """
    #expect(CountFiles.parsePerf(text) == ["total": 1234, "readv": 1000])
  }

  @Test func readsStrace() {
    let text = """
          calls syscall
      --------- ----------------
            120 readv
              4 futex
      --------- ----------------
            124 total
      """
    #expect(CountFiles.parseStrace(text) == ["readv": 120, "futex": 4, "total": 124])
  }

  @Test func perBlockIsTheDifferenceOfTwoSizes() {
    var small = Totals(blocks: 1000)
    small.syscalls = 5400
    small.syscallsByName = ["readv": 400, "mmap": 5000]
    small.mallocs = 9000
    small.reported = .init(blocks_received: 900, blocks_sent: 100, copied_bytes: 1000, receive_calls: 300)
    var large = Totals(blocks: 3000)
    large.syscalls = 6200
    large.syscallsByName = ["readv": 1200, "mmap": 5000]
    large.mallocs = 9000
    large.copiedBytes = 16384 * 2000
    large.reported = .init(
      blocks_received: 2900, blocks_sent: 100, copied_bytes: 1000 + 163_840, receive_calls: 700)
    let counts = Totals.difference(large, small)
    #expect(counts.syscalls == 0.4)
    #expect(counts.syscallsByName == ["readv": 0.4])
    #expect(counts.mallocs == 0)
    #expect(counts.copiedShare == 1)
    #expect(counts.reportedCopiedShare == 0.005)
    #expect(counts.receiveCalls == 0.2)
  }

  @Test func whatWasNotCountedIsNotZero() {
    let counts = Totals.difference(Totals(blocks: 2), Totals(blocks: 1))
    #expect(counts.syscalls == nil)
    #expect(counts.mallocs == nil)
    #expect(counts.reportedCopiedShare == nil)
  }

  @Test func clientsByName() throws {
    #expect(
      try Clients.named(["aria2", "libtorrent"]).map(\.name) == ["aria2", "libtorrent", "libtorrent-tuned"])
    #expect(
      try Clients.named(["libtorrent-tuned", "libtorrent"]).map(\.name) == ["libtorrent-tuned", "libtorrent"])
    #expect(throws: Failure.self) { try Clients.named(["nobody"]) }
  }
}
