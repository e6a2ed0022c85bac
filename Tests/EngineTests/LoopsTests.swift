import Testing
import TorrentModel

@testable import Engine

/// Torrents are spread over the event loops, each a thread of its own.
@Suite struct LoopsTests {
  static func session(loops: Int) async throws -> Session {
    var configuration = SessionConfiguration()
    configuration.memory = 16 << 20
    configuration.bind = "127.0.0.1"
    configuration.loops = loops
    return try await Session.start(configuration)
  }

  @Test func eachLoopCarriesItsShare() async throws {
    let scratch = try TransferTests.Scratch()
    let seeder = try await Self.session(loops: 2)
    let leecher = try await Self.session(loops: 2)
    let target = try scratch.sub("target")
    var leeches: [Torrent] = []
    for number in 0..<4 {
      let path = "\(scratch.path)/file\(number)"
      try TransferTests.write(2_000_000, seed: UInt64(number), to: path)
      let metainfo = try await TransferTests.torrent(of: path, pieceLength: 64 << 10)
      let seed = try await seeder.add(metainfo, TorrentOptions(folder: scratch.path))
      try await TransferTests.waitUntilDone(seed)
      var options = TorrentOptions(folder: target)
      options.peers = [try TransferTests.peer(seeder)]
      leeches.append(try await leecher.add(metainfo, options))
    }
    for leech in leeches { try await TransferTests.waitUntilDone(leech, leecher) }
    for (session, count) in [(seeder, \DataPathCounters.blocksSent), (leecher, \.blocksReceived)] {
      #expect(session.homes.count == 2)
      for home in session.homes {
        let carried = await home.visit { $0.counters[keyPath: count] }
        #expect(carried >= 2 * 123, "two torrents each, of 123 blocks")
      }
    }
    await leecher.shutdown(within: 5)
    await seeder.shutdown(within: 5)
  }
}
