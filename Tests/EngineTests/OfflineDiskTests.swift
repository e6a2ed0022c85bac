import Glibc
import Testing

@testable import Engine

@Suite struct OfflineDiskTests {
  /// Threads of this process that check.
  private static func checkers() throws -> Int {
    let folder = try #require(unsafe opendir("/proc/self/task"))
    defer { unsafe closedir(folder) }
    var count = 0
    while let entry = unsafe readdir(folder) {
      let thread = unsafe withUnsafePointer(to: &entry.pointee.d_name) { name in
        unsafe name.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
      }
      guard let file = unsafe fopen("/proc/self/task/\(thread)/comm", "r") else { continue }
      var line = [CChar](repeating: 0, count: 64)
      if unsafe fgets(&line, 64, file) != nil,
        String(decoding: line.map { UInt8(bitPattern: $0) }, as: UTF8.self).hasPrefix("spate-check-")
      {
        count += 1
      }
      unsafe fclose(file)
    }
    return count
  }

  /// What `--threads` of `create` and `verify` says.
  @Test(arguments: [1, 3, 64]) func asManyThreadsAsAskedForHash(_ workers: Int) throws {
    let before = try Self.checkers()
    let offline = try OfflineDisk(workers: workers)
    defer { offline.disk.shutdown() }
    // A thread takes its name when it first runs.
    for _ in 0..<500 where try Self.checkers() - before < workers { usleep(10_000) }
    #expect(try Self.checkers() - before == workers)
  }
}
