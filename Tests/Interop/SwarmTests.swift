import Foundation
import Testing

/// Several clients at once, good and bad.
@Suite(.showingLogs)
struct SwarmTests {
  @Test(
    "all clients seed, one peer lies, over two trackers",
    .needs(.spate, .aria2, .transmission, .libtorrent, .opentracker, .mktorrent))
  func everybodySeeds() async throws {
    try await withSandbox { sandbox in
      let kinds = [TrackerKind.opentrackerUDP, .opentrackerHTTP]
      let torrent = try await Prepared.make(
        .mixed, trackers: kinds.map(\.announce), pieceLength: 32_768, in: sandbox)
      let tracker = try await kinds[0].start(allowing: [torrent.info.infohash], in: sandbox)
      for (number, kind) in ClientKind.allCases.enumerated() {
        _ = try await kind.client().seed(
          torrent.torrent, from: torrent.source, at: Address(.v4, Role.second + number), in: sandbox)
      }
      try await tracker.wait(torrent.info.infohash, seeds: ClientKind.allCases.count, in: sandbox)
      let liar = Address(.v4, Role.seeder)
      _ = try await ScriptedPeer.start(
        .liesAlways, torrent.info, of: torrent.tree, in: torrent.source, at: liar, in: sandbox)
      let target = try sandbox.directory("target")
      // Slowly enough that every peer gets a part.
      try await Spate(options: ["--download-limit", "1M"]).download(
        torrent.torrent, into: target, at: Address(.v4, Role.leecher), peers: [liar], in: sandbox)
      try await expectSame(.mixed, in: target, as: torrent.source, in: sandbox)
    }
  }

  @Test(
    "spate and aria2 download from a slow seed and from each other",
    .needs(.spate, .aria2, .libtorrent, .mktorrent))
  func leechersExchange() async throws {
    try await withSandbox { sandbox in
      let kind = TrackerKind.spateHTTP
      let torrent = try await Prepared.make(
        .oneFile, trackers: [kind.announce], pieceLength: 65_536, in: sandbox)
      let tracker = try await kind.start(allowing: [torrent.info.infohash], in: sandbox)
      _ = try await Libtorrent(options: ["--upload-limit", "600000"])
        .seed(torrent.torrent, from: torrent.source, at: Address(.v4, Role.seeder), in: sandbox)
      try await tracker.wait(torrent.info.infohash, seeds: 1, in: sandbox)
      let mine = try sandbox.directory("mine")
      let theirs = try sandbox.directory("theirs")
      let spate = try Spate().start(
        [torrent.torrent], into: mine, at: Address(.v4, Role.leecher), in: sandbox)
      try await tracker.wait(torrent.info.infohash, peers: 2, in: sandbox)
      try await Aria2().download(
        torrent.torrent, into: theirs, at: Address(.v4, Role.second), peers: [], in: sandbox)
      #expect(try await spate.exit(within: .seconds(90)) == .code(0))
      try await expectSame(.oneFile, in: mine, as: torrent.source, in: sandbox)
      try await expectSame(.oneFile, in: theirs, as: torrent.source, in: sandbox)
      let document = try FinalDocument(spate.output)
      #expect(document.torrents.map(\.bytes_up).reduce(0, +) > 0, "nothing went from Spate to aria2")
    }
  }

  struct Bad: Sendable, CustomTestStringConvertible {
    let manner: ScriptedPeer.Manner
    let isFast: Bool
    /// It is found out and not spoken to again.
    let isBanned: Bool
    var testDescription: String { "\(manner)\(isFast ? ", fast extension" : "")" }
  }

  /// A bad peer beside a slow honest one. The download completes, and who lied is not asked again.
  @Test(
    .needs(.spate, .libtorrent, .mktorrent),
    arguments: [
      Bad(manner: .liesAlways, isFast: false, isBanned: true),
      Bad(manner: .liesAlways, isFast: true, isBanned: true),
      Bad(manner: .liesOnceIn(3), isFast: true, isBanned: true),
      Bad(manner: .liesFirst, isFast: false, isBanned: false),
      Bad(manner: .stallsAfter(3), isFast: false, isBanned: false),
      Bad(manner: .stallsAfter(0), isFast: true, isBanned: false),
      Bad(manner: .chokes, isFast: true, isBanned: false),
    ])
  func badPeer(_ one: Bad) async throws {
    try await withSandbox { sandbox in
      let torrent = try await Prepared.make(.mixed, pieceLength: 65_536, in: sandbox)
      let bad = Address(.v4, Role.second)
      let honest = Address(.v4, Role.seeder)
      let peer = try await ScriptedPeer.start(
        one.manner, torrent.info, of: .mixed, in: torrent.source, at: bad, fast: one.isFast, in: sandbox)
      _ = try await Libtorrent(options: ["--upload-limit", "600000"])
        .seed(torrent.torrent, from: torrent.source, at: honest, in: sandbox)
      let target = try sandbox.directory("target")
      try await Spate().download(
        torrent.torrent, into: target, at: Address(.v4, Role.leecher), peers: [bad, honest], in: sandbox)
      try await expectSame(.mixed, in: target, as: torrent.source, in: sandbox)
      let sums = try await peer.sums()
      #expect(sums.connections >= 1, "the bad peer was never met")
      if one.isBanned {
        #expect(sums.lied > 0)
        #expect(sums.connections == 1, "spoken to again after it lied")
      }
    }
  }
}
