import Engine
import Foundation
import Testing
import TrackerServer

/// Sessions, the tracker client and the tracker server with each other, over real sockets.
@Suite(.serialized) struct TrackerTests {
  static func tracker(allowed: Set<InfoHash>? = nil) async throws -> TrackerServer {
    var options = TrackerServer.Options()
    options.port = 0
    options.interval = 5
    options.minimumInterval = 1
    options.bind = "127.0.0.1"
    options.allowed = allowed
    return try await TrackerServer.start(options)
  }

  @Test(arguments: ["http", "udp"])
  func peersFindEachOther(scheme: String) async throws {
    let scratch = try TransferTests.Scratch()
    let source = try scratch.sub("source") + "/file.bin"
    try TransferTests.write(600_000, seed: 5, to: source)
    let tracker = try await Self.tracker()
    let url = "\(scheme)://127.0.0.1:\(tracker.port)/announce"
    var create = TrackerFixture.options
    create.trackers = [[url]]
    let bytes = try await TorrentCreator.create(path: source, options: create).bytes
    let metainfo = try TorrentMetainfo.parse(bytes)
    let seeder = try await TransferTests.session()
    let seed = try await seeder.add(metainfo, TorrentOptions(folder: scratch.path + "/source"))
    try await TransferTests.waitUntilDone(seed, seeder)
    for _ in 0..<200 where await tracker.statistics().seeds == 0 {
      try await Task.sleep(for: .milliseconds(20))
    }
    #expect(await tracker.statistics().seeds == 1)

    let leecher = try await TransferTests.session()
    let leech = try await leecher.add(metainfo, TorrentOptions(folder: try scratch.sub("target")))
    try await TransferTests.waitUntilDone(leech, leecher)
    #expect(FileManager.default.contentsEqual(atPath: source, andPath: scratch.path + "/target/file.bin"))
    for _ in 0..<200 where await tracker.statistics().seeds < 2 {
      try await Task.sleep(for: .milliseconds(20))
    }
    let counts = try await TrackerScraper.scrape(url, [metainfo.info.infoHash])
    #expect(counts == [TrackerScraper.Counts(seeds: 2, leechers: 0, downloaded: 1)])

    // `stopped` is announced on the way out.
    await leecher.shutdown(within: 5)
    #expect(await tracker.statistics().peers == 1)
    await seeder.shutdown(within: 5)
    #expect(await tracker.statistics().peers == 0)
    await tracker.stop()
  }

  @Test func aTrackerMayRefuse() async throws {
    let scratch = try TransferTests.Scratch()
    let source = try scratch.sub("source") + "/file.bin"
    try TransferTests.write(100_000, seed: 5, to: source)
    let tracker = try await Self.tracker(allowed: [])
    var create = TrackerFixture.options
    create.trackers = [["http://127.0.0.1:\(tracker.port)/announce"]]
    let metainfo = try TorrentMetainfo.parse(
      try await TorrentCreator.create(path: source, options: create).bytes)
    let session = try await TransferTests.session()
    let torrent = try await session.add(metainfo, TorrentOptions(folder: try scratch.sub("target")))
    var reason: String?
    for _ in 0..<200 where reason == nil {
      reason = await torrent.status().trackers.first?.failure
      try await Task.sleep(for: .milliseconds(20))
    }
    #expect(reason == "this tracker does not track that torrent")
    await session.shutdown(within: 5)
    await tracker.stop()
  }

  /// A torrent's author may name services of this machine only if the path is a tracker's.
  @Test func torrentsDoNotPokeAtLocalServices() async throws {
    let scratch = try TransferTests.Scratch()
    let source = try scratch.sub("source") + "/file.bin"
    try TransferTests.write(100_000, seed: 5, to: source)
    let tracker = try await Self.tracker()
    let url = "http://127.0.0.1:\(tracker.port)/stats?delete=everything"
    var create = TrackerFixture.options
    create.trackers = [[url], ["ftp://127.0.0.1/announce"], ["udp://127.0.0.1:\(tracker.port)/x"]]
    let metainfo = try TorrentMetainfo.parse(
      try await TorrentCreator.create(path: source, options: create).bytes)
    let session = try await TransferTests.session()
    let torrent = try await session.add(metainfo, TorrentOptions(folder: try scratch.sub("target")))
    var failures: [String] = []
    for _ in 0..<200 where failures.count < 2 {
      failures = await torrent.status().trackers.compactMap(\.failure)
      try await Task.sleep(for: .milliseconds(20))
    }
    #expect(failures.count == 2 && failures.allSatisfy { $0.contains("127.0.0.1") }, "\(failures)")
    let statistics = await tracker.statistics()
    #expect(statistics.announces == 0 && statistics.refusals == 0)
    await session.shutdown(within: 5)
    await tracker.stop()
    #expect(throws: (any Error).self) { try TorrentMetainfo.parse([]) }
  }
}

enum TrackerFixture {
  static var options: TorrentCreator.Options {
    var options = TorrentCreator.Options()
    options.pieceLength = 32 << 10
    return options
  }
}
