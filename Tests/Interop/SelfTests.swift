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
    .needs(.aria2, .transmission, .opentracker, .openssl))
  func transmissionToAria2() async throws {
    try await transfer(
      .oneFile, from: .transmission, to: .aria2, over: .opentrackerHTTPS, madeBy: .transmissionCreate)
  }
}

/// One client seeds, another downloads, a tracker brings them together; every byte is compared.
func transfer(
  _ tree: Tree, from seeder: ClientKind, to leecher: ClientKind, over kind: TrackerKind,
  madeBy maker: TorrentMaker
) async throws {
  try await withSandbox { sandbox in
    let source = try sandbox.directory("source")
    let content = try tree.write(in: source)
    let torrent = try await maker.make(
      "t", from: content, trackers: [kind.announce], pieceLength: 65_536, in: sandbox)
    let infoHash = try await Libtorrent.show(torrent, in: sandbox).infohash
    let tracker = try await kind.start(allowing: [infoHash], in: sandbox)
    var clock = ContinuousClock.now
    func lap(_ what: String) {
      print("   \(seeder)→\(leecher) \(what) \(ContinuousClock.now - clock)"); clock = .now
    }
    _ = try await seeder.client(trusting: tracker.authority).seed(
      torrent, from: source, at: Address(kind.family, Role.seeder), in: sandbox)
    lap("seed")
    try await tracker.wait(infoHash, seeds: 1, in: sandbox)
    lap("tracker")
    let target = try sandbox.directory("target")
    try await leecher.client(trusting: tracker.authority).download(
      torrent, into: target, at: Address(kind.family, Role.leecher), peers: [], in: sandbox)
    lap("download")
    try await expectSame(tree, in: target, as: source, ignoringEmpty: leecher.skipsEmptyFiles, in: sandbox)
  }
}
