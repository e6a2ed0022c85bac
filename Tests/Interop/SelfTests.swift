import Foundation
import Testing

/// The other clients among themselves: shows that the drivers and the network of the tests work, so that a failure
/// elsewhere is Spate's.
@Suite(.showingLogs)
struct SelfTests {
  @Test(
    "aria2 seeds, libtorrent downloads, over opentracker",
    .needs(.aria2, .libtorrent, .opentracker, .mktorrent),
    arguments: [TrackerKind.opentrackerHTTP, .opentrackerUDP])
  func aria2ToLibtorrent(tracker: TrackerKind) async throws {
    try await transfer(.mixed, from: .aria2, to: .libtorrent, over: tracker, madeBy: .mktorrent)
  }

  @Test(
    "transmission seeds, aria2 downloads, over opentracker behind HTTPS",
    .needs(.aria2, .transmission, .libtorrent, .opentracker, .openssl))
  func transmissionToAria2() async throws {
    try await transfer(
      .oneFile, from: .transmission, to: .aria2, over: .opentrackerHTTPS, madeBy: .transmissionCreate)
  }

  /// The lying peer is believed at first, or the tests of bans would show nothing.
  @Test("libtorrent finds out a lying peer, over IPv6", .needs(.libtorrent, .mktorrent))
  func lyingPeer() async throws {
    try await withSandbox { sandbox in
      let torrent = try await Prepared.make(.mixed, pieceLength: 32_768, in: sandbox)
      let liar = try await ScriptedPeer.start(
        .liesOnceIn(2), torrent.info, of: .mixed, in: torrent.source, at: Address(.v6, Role.second),
        in: sandbox)
      _ = try await Libtorrent(options: ["--upload-limit", "1000000"])
        .seed(torrent.torrent, from: torrent.source, at: Address(.v6, Role.seeder), in: sandbox)
      let target = try sandbox.directory("target")
      try await Libtorrent().download(
        torrent.torrent, into: target, at: Address(.v6, Role.leecher),
        peers: [Address(.v6, Role.second), Address(.v6, Role.seeder)], in: sandbox)
      try await expectSame(.mixed, in: target, as: torrent.source, in: sandbox)
      let sums = try await liar.sums()
      #expect(sums.lied > 0)
    }
  }
}

/// One client seeds, another downloads, a tracker brings them together; every byte is compared.
func transfer(
  _ tree: Tree, from seeder: ClientKind, to leecher: ClientKind, over kind: TrackerKind,
  madeBy maker: TorrentMaker
) async throws {
  try await withSandbox { sandbox in
    let torrent = try await Prepared.make(tree, by: maker, trackers: [kind.announce], in: sandbox)
    let tracker = try await kind.start(allowing: [torrent.info.infohash], in: sandbox)
    _ = try await seeder.client(trusting: tracker.authority)
      .seed(torrent.torrent, from: torrent.source, at: Address(kind.family, Role.seeder), in: sandbox)
    try await tracker.wait(torrent.info.infohash, seeds: 1, in: sandbox)
    let target = try sandbox.directory("target")
    try await leecher.client(trusting: tracker.authority).download(
      torrent.torrent, into: target, at: Address(kind.family, Role.leecher), peers: [], in: sandbox)
    try await expectSame(
      tree, in: target, as: torrent.source, ignoringEmpty: leecher.skipsEmptyFiles, in: sandbox)
  }
}
