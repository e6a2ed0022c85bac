import Engine
import Foundation
import Logging
import Testing

@testable import SpateCommand

/// What is told of torrents, whichever of an event and a state is seen first.
@Suite struct TransferRunnerTests {
  /// Keeps what it is told.
  private final class Record: ProgressView {
    let interval = 60.0
    let failures: AsyncStream<String>.Continuation

    init(_ failures: AsyncStream<String>.Continuation) { self.failures = failures }

    func update(_ snapshot: ProgressSnapshot) {}
    func news(_ news: ProgressNews, of row: ProgressRow) {
      if case .failed(let reason) = news { failures.yield(reason) }
    }
    func activity(_ text: String) {}
    func finish() { failures.finish() }
  }

  /// Which of a session's events the runner hears.
  enum Hearing: Sendable, CaseIterable {
    case everything
    /// The failure is known by the torrent's state alone: the event is still under way when the run ends.
    case noFailures

    func callAsFunction(_ event: SessionEvent) -> Bool {
      if self == .noFailures, case .failed = event { false } else { true }
    }
  }

  private static func torrent(named name: String) -> Data {
    var bytes = Data("d4:infod5:filesld6:lengthi1000e4:pathl1:aeed6:lengthi0e4:pathl1:beee".utf8)
    bytes += Data("4:name\(name.utf8.count):\(name)".utf8)
    bytes += Data("12:piece lengthi16384e6:pieces20:".utf8) + Data(repeating: 7, count: 20) + Data("ee".utf8)
    return bytes
  }

  /// Two torrents of which a file stands where their folders should be. Empty files are made when a torrent is opened, so
  /// both fail at once.
  @Test(.timeLimit(.minutes(1)), arguments: Hearing.allCases) func failuresAreTold(_ hears: Hearing)
    async throws
  {
    let folder = FileManager.default.temporaryDirectory.appending(
      path: "spate-runner-\(UInt64.random(in: 0 ... .max))")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    var sources: [TorrentSource] = []
    for name in ["one", "two"] {
      let file = folder.appending(path: "\(name).torrent")
      try Self.torrent(named: name).write(to: file)
      try Data("in the way".utf8).write(to: folder.appending(path: name))
      sources.append(.file(file.path))
    }
    var quiet = SessionConfiguration()
    quiet.listenPort = nil
    let plan = TransferPlan(
      goal: TransferGoal(kind: .download), sources: sources, session: quiet,
      torrent: TorrentOptions(folder: folder.path), selection: SelectionRules(), peers: [], concurrent: .max)
    let (told, teller) = AsyncStream<String>.makeStream()
    let runner = TransferRunner(
      plan, console: Console(environment: [:]), view: Record(teller),
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, printsResults: false
    ) { session in
      AsyncStream { heard in
        let ear = Task {
          for await event in session.events where hears(event) { heard.yield(event) }
          heard.finish()
        }
        heard.onTermination = { _ in ear.cancel() }
      }
    }

    let results = try await runner.run()

    #expect(results.map(\.status) == [.failed, .failed])
    var reasons: [String] = []
    for await reason in told { reasons.append(reason) }
    #expect(reasons.sorted() == results.compactMap(\.error).sorted(), "each failure is told once")
    #expect(reasons.count == 2)
  }
}
