import Engine
import Testing

@testable import SpateCommand

/// When a torrent is done, and what the command then ends with.
@Suite struct TransferTests {
  typealias Step = (at: Double, state: TorrentState, down: Int64, up: Int64)

  static func verdicts(_ goal: TransferGoal, _ steps: [Step], hadPeer: Bool = true) -> [TransferVerdict] {
    var watch = TransferWatch()
    return steps.map { step in
      watch.observe(
        TransferSample(
          state: step.state, total: 1000, downloaded: step.down, uploaded: step.up, everHadPeer: hadPeer),
        of: goal, now: step.at)
    }
  }

  @Test func downloads() {
    let goal = TransferGoal(kind: .download)
    #expect(
      Self.verdicts(
        goal,
        [
          (0, .opening, 0, 0), (1, .checking, 0, 0), (2, .downloading, 0, 0), (9e9, .downloading, 0, 0),
          (9e9, .finished, 0, 0),
        ])
        == [.goOn, .goOn, .goOn, .goOn, .goalMet])
    #expect(Self.verdicts(goal, [(0, .failed, 0, 0), (1, .downloading, 0, 0)]) == [.failed, .goOn])
  }

  @Test func timesOut() {
    let goal = TransferGoal(kind: .download, timeout: 10)
    // The clock starts with the download, and anew with every byte and after every check.
    let steps: [Step] = [
      (0, .checking, 0, 0), (100, .checking, 0, 0), (101, .downloading, 0, 0), (110.9, .downloading, 0, 0),
      (110.95, .downloading, 5, 0), (120.9, .downloading, 5, 0), (121, .downloading, 5, 0),
    ]
    #expect(
      Self.verdicts(goal, steps) == [.goOn, .goOn, .goOn, .goOn, .goOn, .goOn, .timedOut(hadPeer: true)])
    #expect(
      Self.verdicts(goal, [(0, .downloading, 0, 0), (10, .downloading, 0, 0)], hadPeer: false).last
        == .timedOut(hadPeer: false))
    #expect(
      Self.verdicts(
        goal,
        [(0, .downloading, 0, 0), (5, .paused, 0, 0), (20, .downloading, 0, 0), (29, .downloading, 0, 0)]
      ).last
        == .goOn)
    // Seeding knows no such limit.
    #expect(
      Self.verdicts(
        TransferGoal(kind: .download, seedTime: 1e6, timeout: 10),
        [(0, .seeding, 0, 0), (99, .seeding, 0, 0)]
      ).last == .goOn)
  }

  @Test func seeds() {
    #expect(
      Self.verdicts(TransferGoal(kind: .seed), [(0, .checking, 0, 0), (1, .downloading, 0, 0)]) == [
        .goOn, .incomplete,
      ])
    #expect(
      Self.verdicts(TransferGoal(kind: .seed), [(0, .seeding, 0, 0), (1e9, .seeding, 0, 1 << 40)]) == [
        .goOn, .goOn,
      ])
    #expect(
      Self.verdicts(
        TransferGoal(kind: .download, seedRatio: 1.5), [(0, .seeding, 0, 1499), (1, .seeding, 0, 1500)])
        == [.goOn, .goalMet])
    // Only time spent seeding counts.
    #expect(
      Self.verdicts(
        TransferGoal(kind: .seed, seedTime: 10),
        [(0, .checking, 0, 0), (50, .seeding, 0, 0), (59, .seeding, 0, 0), (60, .seeding, 0, 0)])
        == [.goOn, .goOn, .goOn, .goalMet])
    // Whichever comes first.
    let both = TransferGoal(kind: .download, seedRatio: 1, seedTime: 10)
    #expect(Self.verdicts(both, [(0, .seeding, 0, 0), (1, .seeding, 0, 1000)]).last == .goalMet)
    #expect(Self.verdicts(both, [(0, .seeding, 0, 0), (10, .seeding, 0, 0)]).last == .goalMet)
    #expect(TransferGoal(kind: .download).seeds == false)
    #expect(TransferGoal(kind: .download, seedTime: 0).seeds)
  }

  // MARK: Exit codes

  @Test func worstFirst() {
    #expect(Set(CommandStatus.worstFirst) == Set(CommandStatus.allCases))
    #expect(CommandStatus.worstFirst.count == CommandStatus.allCases.count)
    #expect(CommandStatus.worst(of: []) == .success)
    #expect(CommandStatus.worst(of: [.success, .interrupted, .timedOut]) == .timedOut)
    #expect(CommandStatus.worst(of: [.network, .diskFull, .notBencode]) == .diskFull)
  }

  /// The codes are promised: the numbers of the documentation.
  @Test func numbers() {
    let promised: [CommandStatus: Int32] = [
      .success: 0, .other: 1, .timedOut: 2, .network: 6, .interrupted: 7, .diskFull: 9, .fileInputOutput: 17,
      .notBencode: 25, .notTorrent: 26, .dataMismatch: 32, .usage: 64,
    ]
    #expect(promised.count == CommandStatus.allCases.count)
    for (status, number) in promised {
      #expect(status.rawValue == number)
      #expect(CommandStatus.table.contains("\(number)  \(status.meaning)"))
    }
  }

  @Test(
    arguments: [
      (.diskFull, .diskFull), (.inputOutput, .fileInputOutput), (.fileMissing, .fileInputOutput),
      (.fileChanged, .fileInputOutput), (.permission, .fileInputOutput), (.other, .other),
    ] as [(TorrentFailure.Kind, CommandStatus)])
  func diskFailures(_ kind: TorrentFailure.Kind, _ status: CommandStatus) {
    #expect(CommandFailure(TorrentFailure(kind: kind, description: "x")).status == status)
  }

  @Test(
    arguments: [
      ("This is no torrent", .notBencode), ("", .notBencode), ("d3:fooi1ee", .notTorrent),
      ("li1ee", .notTorrent),
      ("d4:infod6:lengthi9e4:name1:a12:piece lengthi16384e6:pieces3:abcee", .notTorrent),
      ("d4:info", .notBencode),
    ] as [(String, CommandStatus)])
  func torrents(_ text: String, _ status: CommandStatus) throws {
    let error = try #require(throws: MetainfoError.self) { _ = try TorrentMetainfo.parse(Array(text.utf8)) }
    let failure = CommandFailure(error, in: "'x.torrent'")
    #expect(failure.status == status)
    #expect(failure.description.hasPrefix("'x.torrent' is no valid torrent"))
  }

  @Test(
    arguments: [
      (.cannotListen(port: 1, reason: "x"), .other), (.memoryTooSmall(minimum: 1 << 22), .usage),
      (.notATracker("ftp://x", reason: "y"), .usage), (.cannotBind("eth9", reason: "x"), .other),
    ] as [(SessionError, CommandStatus)])
  func sessions(_ error: SessionError, _ status: CommandStatus) {
    #expect(CommandFailure(error).status == status)
  }

  // MARK: Sources

  @Test func sources() throws {
    #expect(try TorrentSource(argument: "-") == .standardInput)
    #expect(try TorrentSource(argument: "a.torrent") == .file("a.torrent"))
    #expect(try TorrentSource(argument: "HTTPS://a/b.torrent") == .url("HTTPS://a/b.torrent"))
    #expect(try TorrentSource(argument: "file:///a%20b.torrent") == .file("/a b.torrent"))
    #expect(try TorrentSource(argument: "http.torrent") == .file("http.torrent"))
    for refused in ["", "magnet:?xt=urn:btih:0"] {
      #expect(throws: CommandFailure.self) { try TorrentSource(argument: refused) }
    }
    let list = "# comment\n\n  a.torrent \r\nhttp://x/y.torrent\n\t# another\nb c.torrent"
    #expect(
      try TorrentSource.list(Array(list.utf8)) == [
        .file("a.torrent"), .url("http://x/y.torrent"), .file("b c.torrent"),
      ])
    #expect(throws: CommandFailure.self) { try TorrentSource.all(["-"], list: "-") }
    #expect(throws: CommandFailure.self) { try TorrentSource.all(["-", "-"], list: nil) }
    #expect(throws: CommandFailure.self) { try TorrentSource.all([], list: "/dev/null") }
  }

  @Test func queue() throws {
    var jobs = TransferJobs((0..<4).map { .file("\($0)") })
    #expect(jobs.loadNext() == 0)
    #expect(jobs.loadNext() == 1)
    #expect((jobs.loading, jobs.waiting, jobs.ended) == (2, 2, 0))
    let result = TransferResult(status: .failed, exit: .other, name: "0")
    jobs.enter(.ended(result), 0)
    jobs.enter(.leftOut, 1)
    #expect((jobs.loading, jobs.waiting, jobs.ended) == (0, 2, 2))
    #expect(!jobs.isOver && !jobs.isSettled)
    for number in [2, 3] {
      #expect(jobs.loadNext() == number)
      jobs.enter(.ended(result), number)
    }
    #expect(jobs.loadNext() == nil)
    #expect(jobs.isOver && jobs.isSettled)
    #expect(jobs.results.count == 3, "what was left out has no result")
    #expect(jobs.snapshot().finished == 4)
  }

  @Test func failingDisksAreCounted() {
    var jobs = TransferJobs((0..<2).map { .file("\($0)") })
    #expect(jobs.nextSource == .file("0"))
    #expect(jobs.loadNext() == 0)
    jobs.setFailure(TorrentFailure(kind: .diskFull, description: "no room"), 0)
    #expect(jobs[0].failure != nil && jobs.working == 0, "it is not with the session yet")
    jobs.setFailure(nil, 0)
    #expect(jobs[0].failure == nil && jobs.working == 0)
  }

  @Test func allowLists() throws {
    let hash = String(repeating: "0a", count: 20)
    let found = try AllowList.file(Array("# list\n\(hash)  # first\r\n\n\(hash.uppercased())\n".utf8), "list")
    #expect(found.map(\.hex) == [hash])
    #expect(try AllowList.infoHashes([hash]).count == 1)
    let failure = try #require(throws: CommandFailure.self) {
      try AllowList.file(Array("\(hash)\nxyz\n".utf8), "list")
    }
    #expect(failure.status == .usage && failure.description.contains("line 2"))
  }
}
