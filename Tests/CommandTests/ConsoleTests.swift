import Foundation
import SystemPackage
import Testing

@testable import SpateCommand

/// What goes to which stream, and in which order.
@Suite struct ConsoleTests {
  /// Runs `body` with a console that writes into files, and gives what was written to each.
  private func written(
    _ environment: [String: String] = [:], _ body: (Console) throws -> Void
  ) throws -> (output: String, error: String) {
    let folder = FileManager.default.temporaryDirectory.appending(
      path: "spate-console-\(UInt64.random(in: 0 ... .max))")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    func open(_ name: String) throws -> FileDescriptor {
      try FileDescriptor.open(
        FilePath(folder.appending(path: name).path), .writeOnly, options: [.create, .truncate],
        permissions: .ownerReadWrite)
    }
    let (output, error) = (try open("output"), try open("error"))
    try body(Console(environment: environment, output: output, error: error))
    try output.close()
    try error.close()
    return (
      try String(contentsOf: folder.appending(path: "output"), encoding: .utf8),
      try String(contentsOf: folder.appending(path: "error"), encoding: .utf8)
    )
  }

  @Test func resultsAndLines() throws {
    let text = try written { console in
      try console.result("result")
      console.line("line")
      try console.result([0x64, 0x65])
    }
    #expect(text.output == "result\nde")
    #expect(text.error == "line\n")
  }

  /// A bar that was asked for where nothing can be drawn again stays on one line, and is left tidy.
  @Test func forcedBar() throws {
    let text = try written { console in
      console.draw([("one two", 7)])
      console.draw([("one", 3)])
      console.line("said")
      console.draw([("x", 1)])
      console.clear()
      console.clear()
    }
    #expect(text.error == "one two\rone    \nsaid\nx\n")
  }

  @Test func fullDisk() throws {
    let full = try FileDescriptor.open("/dev/full", .writeOnly)
    let console = Console(environment: [:], output: full, error: full)
    let failure = try #require(throws: CommandFailure.self) { try console.result("x") }
    #expect(failure.status == .diskFull && failure.description.contains("standard output"))
    console.line("nobody hears this, and nothing stops for it")
    try full.close()
  }

  @Test func readerIsGone() throws {
    SystemTerminal.ignoreBrokenPipes()
    let pipe = try FileDescriptor.pipe()
    try pipe.readEnd.close()
    let console = Console(environment: [:], output: pipe.writeEnd, error: pipe.writeEnd)
    let failure = try #require(throws: CommandFailure.self) { try console.result("x") }
    #expect(failure.description.isEmpty)
    try console.result("told once")
    console.line("x")
    try pipe.writeEnd.close()
  }

  @Test func filesHaveLimits() throws {
    let missing = try #require(throws: CommandFailure.self) {
      _ = try FileReading.read("/nonexistent/x", limit: 9, what: "torrent")
    }
    #expect(missing.status == .fileInputOutput && missing.description.contains("/nonexistent/x"))
    let folder = try #require(throws: CommandFailure.self) {
      _ = try FileReading.read("/", limit: 9, what: "torrent")
    }
    #expect(folder.status == .fileInputOutput)
    let endless = try #require(throws: CommandFailure.self) {
      _ = try FileReading.read("/dev/zero", limit: 5000, what: "torrent")
    }
    #expect(endless.description.contains("limit"))
    #expect(try FileReading.read("/dev/null", limit: 9, what: "torrent").isEmpty)
  }
}
