import Foundation
import Testing

/// Who knows one peer only learns of the others from it (BEP 11): no tracker, no DHT, no local discovery.
///
/// In the middle is a leecher that is held to a trickle: it could not give away the torrent within the time of the test.
/// At the other end is a seed that exchanges nothing, so that it can learn of nobody: who has got everything has made a
/// connection to it, and knew where from the one in the middle. The others tell of peers at once or, of those that came
/// later, after 60 seconds (libtorrent) or 90 (transmission 3.00).
@Suite(.showingLogs)
struct PeerExchangeTests {
  private static let middle = Address(.v4, 2)
  private static let seed = Address(.v4, 3)
  private static let learner = Address(.v4, 4)
  /// Bytes a second.
  private static let trickle = 16_384
  private static let patience = Duration.seconds(200)

  private static let kinds = [ClientKind.libtorrent, .transmission].filter { available([$0.requirement]) }

  @Test("we learn of a peer", .needs(.spate, .libtorrent, .mktorrent), arguments: kinds)
  func fromOthers(_ kind: ClientKind) async throws {
    try await withSandbox { sandbox in
      let torrent = try await Prepared.make(.oneFile, pieceLength: 32_768, in: sandbox)
      let folder = try sandbox.directory("middle")
      switch kind {
      case .libtorrent:
        _ = try await ScriptedPeer.start(
          .honest, torrent.info, of: .oneFile, in: torrent.source, at: Self.seed, in: sandbox)
        _ = try sandbox.start(
          "libtorrent-middle",
          [
            "/usr/bin/python3", Files.drivers.appending(path: "lt_client.py").path, "run", "--torrent",
            torrent.torrent.path, "--save", folder.path, "--listen", Self.middle.description, "--stay",
            "--pex", "--download-limit", String(Self.trickle), "--peer", Self.seed.description,
          ])
      default:
        // It cannot be told of a peer: the seed has to come to it.
        _ = try await Transmission(exchangesPeers: true, downloadLimit: Self.trickle >> 10).leech(
          torrent.torrent, into: folder, at: Self.middle, in: sandbox)
        _ = try await Spate(options: ["--no-pex", "--peer", Self.middle.description]).seed(
          torrent.torrent, from: torrent.source, at: Self.seed, in: sandbox)
      }
      let target = try sandbox.directory("target")
      // Slowly enough that the progress tells of it.
      let child = try Spate(options: ["--download-limit", "1M"]).start(
        [torrent.torrent], into: target, at: Self.learner, peers: [Self.middle], in: sandbox)
      #expect(try await child.exit(within: Self.patience) == .code(0), "\(child.errors.suffix(800))")
      #expect(child.errors.contains(#""pex":1"#), "a peer was known from peer exchange")
      try await expectSame(.oneFile, in: target, as: torrent.source, in: sandbox)
    }
  }

  @Test("others learn of a peer from us", .needs(.spate, .libtorrent, .mktorrent), arguments: kinds)
  func toOthers(_ kind: ClientKind) async throws {
    try await withSandbox { sandbox in
      let torrent = try await Prepared.make(.oneFile, pieceLength: 32_768, in: sandbox)
      let seed = try await ScriptedPeer.start(
        .honest, torrent.info, of: .oneFile, in: torrent.source, at: Self.seed, in: sandbox)
      let target = try sandbox.directory("target")
      let child: Child
      switch kind {
      case .libtorrent:
        child = try sandbox.start(
          "libtorrent-learner",
          [
            "/usr/bin/python3", Files.drivers.appending(path: "lt_client.py").path, "run", "--torrent",
            torrent.torrent.path, "--save", target.path, "--listen", Self.learner.description, "--stay",
            "--pex", "--peer", Self.middle.description,
          ])
      default:
        child = try await Transmission(exchangesPeers: true).leech(
          torrent.torrent, into: target, at: Self.learner, in: sandbox)
      }
      // transmission knows nobody: we come to it.
      let known = kind == .libtorrent ? [Self.seed] : [Self.seed, Self.learner]
      let middle = try Spate(options: ["--download-limit", String(Self.trickle)]).start(
        [torrent.torrent], into: sandbox.directory("middle"), at: Self.middle, peers: known, in: sandbox)
      let source = try Data(contentsOf: torrent.content)
      let got = target.appending(path: torrent.content.lastPathComponent)
      try await eventually(within: Self.patience, every: .milliseconds(200), "\(kind) has it all") {
        (try? Data(contentsOf: got)) == source
      }
      #expect(middle.isRunning, "what was held to a trickle has it all, too")
      await child.stop(within: .seconds(20))
      let sums = try await seed.sums()
      #expect(sums.connections >= 2 && sums.served > 200, "the seed served \(sums)")
    }
  }
}
