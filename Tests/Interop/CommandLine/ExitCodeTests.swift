import Foundation
import Testing

/// The exit codes of the command line, one table.
@Suite(.showingLogs)
struct ExitCodeTests {
  /// A command line in which `%name%` stands for a file of the test, and how it must end.
  struct Case: Sendable, CustomTestStringConvertible {
    let arguments: [String]
    let code: Int32
    /// What must be said on standard error, in lower case.
    let says: String

    init(_ line: String, _ code: Int32, says: String = "") {
      arguments = line.split(separator: " ").map(String.init)
      self.code = code
      self.says = says
    }
    var testDescription: String { "\(arguments.joined(separator: " ")) → \(code)" }
  }

  static let offline = [
    Case("show %good%", 0), Case("show %good% --json", 0), Case("verify %good% -d %source%", 0),
    Case("create %content% -o %new%", 0), Case("download %good% -d %source% --no-tracker --check", 0),
    Case("--help", 0), Case("download --help", 0), Case("--version", 0),

    Case("show %text%", 25, says: "byte"), Case("show %empty%", 25), Case("download %text% -d %target%", 25),
    Case("verify %text% -d %source%", 25), Case("show %cut%", 25, says: "byte"),

    Case("show %dictionary%", 26, says: "info"), Case("show %list%", 26), Case("show %v2%", 26, says: "v2"),
    Case("show %badpieces%", 26, says: "pieces"), Case("download %dictionary% -d %target%", 26),
    Case("show %climbing%", 0),

    Case("verify %good% -d %changed%", 32), Case("verify %good% -d %short%", 32),
    Case("verify %good% -d %nothing%", 32),

    Case("show %missing%", 17, says: "missing"), Case("download %missing% -d %target%", 17),
    Case("create %missing%", 17), Case("download %good% -d %file%/below --no-tracker --peer 10.77.0.5:1", 17),
    Case("create %content% -o %file%/below.torrent", 17),

    Case("", 64), Case("frobnicate", 64), Case("download", 64), Case("download %good% --frobnicate", 64),
    Case("download %good% --download-limit many", 64), Case("download %good% --allocation maybe", 64),
    Case("download %good% --select-file 9-1", 64), Case("download %good% --peer nowhere", 64),
    Case("create", 64), Case("create %content% -l 12345x", 64), Case("show", 64), Case("verify", 64),
    Case("download %good% --progress loudly", 64), Case("tracker --port 70000", 64),
  ]

  @Test(.needs(.spate, .libtorrent, .mktorrent)) func offline() async throws {
    try await withSandbox { sandbox in
      let names = try await Self.files(in: sandbox)
      for one in Self.offline {
        let arguments = one.arguments.map { argument in
          names.reduce(argument) { $0.replacing("%\($1.key)%", with: $1.value) }
        }
        let ended = try await Spate.run(arguments, in: sandbox)
        #expect(ended.status == .code(one.code), "\(one.testDescription): \(ended.errors.suffix(300))")
        #expect(
          one.says.isEmpty || ended.errors.lowercased().contains(one.says),
          "\(one.testDescription): \(ended.errors.suffix(300))")
        if one.code != 0 {
          #expect(!ended.errors.isEmpty, "\(one.testDescription): ends without a word")
        }
      }
    }
  }

  /// The files the table speaks of.
  private static func files(in sandbox: Sandbox) async throws -> [String: String] {
    let torrent = try await Prepared.make(.tiny, pieceLength: 32_768, in: sandbox)
    var names = [
      "good": torrent.torrent.path, "source": torrent.source.path, "content": torrent.content.path,
      "missing": sandbox.scratch.appending(path: "missing.torrent").path,
      "new": sandbox.scratch.appending(path: "new.torrent").path,
    ]
    for name in ["target", "nothing"] { names[name] = try sandbox.directory(name).path }
    let whole = try Data(contentsOf: torrent.torrent)
    let pieces = String(repeating: "x", count: 20)
    let contents: [String: Data] = [
      "text": Data("This is no torrent.\n".utf8), "empty": Data(), "cut": whole.prefix(whole.count / 2),
      "dictionary": Data("d3:fooi1ee".utf8), "list": Data("li1ee".utf8), "file": Data("a file".utf8),
      "badpieces": Data("d4:infod6:lengthi9e4:name1:a12:piece lengthi16384e6:pieces3:abcee".utf8),
      "v2": Data(
        "d4:infod9:file treed1:ad0:d6:lengthi9e11:pieces root32:\(String(repeating: "r", count: 32))eee12:meta versioni2e4:name1:a12:piece lengthi16384eee"
          .utf8),
      // A path that climbs out is made safe, not refused.
      "climbing": Data(
        "d4:infod5:filesld6:lengthi9e4:pathl2:..2:..6:passwdeee4:name1:a12:piece lengthi16384e6:pieces20:\(pieces)ee"
          .utf8),
    ]
    for (name, data) in contents {
      let path = sandbox.scratch.appending(path: "case-\(name)")
      try data.write(to: path)
      names[name] = path.path
    }
    // The same content with one byte changed, and with one file cut short.
    for (name, change) in [
      ("changed", { (data: inout Data) in data[data.count / 2] ^= 1 }),
      ("short", { (data: inout Data) in data.removeLast(10) }),
    ] as [(String, (inout Data) -> Void)] {
      let folder = try sandbox.directory(name)
      try torrent.tree.write(in: folder)
      let file = folder.appending(path: "tiny/sub/y")
      var data = try Data(contentsOf: file)
      change(&data)
      try data.write(to: file)
      names[name] = folder.path
    }
    return names
  }

  /// Ends that need a network: nothing arrives, or nobody is there.
  enum Trouble: String, CaseIterable, Sendable {
    case peerNeverUnchokes, peerStops, trackerIsDown, trackerRefuses, nameUnknown, noTrackerNoPeer

    var code: Int32 {
      switch self {
      case .peerNeverUnchokes, .peerStops: 2
      case .trackerIsDown, .trackerRefuses, .nameUnknown, .noTrackerNoPeer: 6
      }
    }

    var announce: String? {
      switch self {
      case .trackerIsDown: "http://10.77.0.1:7777/announce"
      case .trackerRefuses: TrackerKind.opentrackerHTTP.announce
      case .nameUnknown: "udp://no-such-name.test:6969/announce"
      default: nil
      }
    }
  }

  @Test(.needs(.spate, .libtorrent, .mktorrent, .opentracker), arguments: Trouble.allCases)
  func troubles(_ trouble: Trouble) async throws {
    try await withSandbox { sandbox in
      let torrent = try await Prepared.make(
        .tiny, trackers: trouble.announce.map { [$0] } ?? [], pieceLength: 32_768, in: sandbox)
      var peers: [Address] = []
      switch trouble {
      case .peerNeverUnchokes, .peerStops:
        peers = [Address(.v4, Role.seeder)]
        _ = try await ScriptedPeer.start(
          trouble == .peerStops ? .stallsAfter(3) : .chokes, torrent.info, of: .tiny, in: torrent.source,
          at: peers[0],
          in: sandbox)
      case .trackerRefuses: _ = try await TrackerKind.opentrackerHTTP.start(allowing: [], in: sandbox)
      case .trackerIsDown, .nameUnknown, .noTrackerNoPeer: break
      }
      let child = try Spate(options: ["--timeout", "4"]).start(
        [torrent.torrent], into: try sandbox.directory("target"), at: Address(.v4, Role.leecher),
        peers: peers,
        in: sandbox)
      #expect(try await child.exit(within: .seconds(60)) == .code(trouble.code))
      #expect(!child.errors.isEmpty)
      let document = try FinalDocument(child.output)
      #expect(document.torrents.first?.error?.isEmpty == false, "the document names no error")
    }
  }
}
