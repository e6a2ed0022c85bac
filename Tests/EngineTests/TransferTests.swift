import Engine
import Foundation
import Testing

/// Sessions that talk to each other over loopback sockets: real files, real threads, no tracker.
@Suite(.serialized) struct TransferTests {
  /// A folder that goes away with the test.
  final class Scratch {
    let path: String
    init() throws {
      path = FileManager.default.temporaryDirectory.appendingPathComponent("spate-\(UUID().uuidString)").path
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }

    func sub(_ name: String) throws -> String {
      let sub = path + "/" + name
      try FileManager.default.createDirectory(atPath: sub, withIntermediateDirectories: true)
      return sub
    }
  }

  static func write(_ bytes: Int, seed: UInt64, to path: String) throws {
    var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
    var data = Data(capacity: bytes + 8)
    while data.count < bytes {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      withUnsafeBytes(of: state) { data.append(contentsOf: $0) }
    }
    let folder = (path as NSString).deletingLastPathComponent
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try data.prefix(bytes).write(to: URL(fileURLWithPath: path))
  }

  static func session(memory: Int = 16 << 20, resume: String? = nil) async throws -> Session {
    var configuration = SessionConfiguration()
    configuration.memory = memory
    configuration.bind = "127.0.0.1"
    configuration.resumeFolder = resume
    configuration.loops = 1
    configuration.workers = 1
    return try await Session.start(configuration)
  }

  static func torrent(of path: String, pieceLength: Int) async throws -> TorrentMetainfo {
    var options = TorrentCreator.Options()
    options.pieceLength = pieceLength
    return try TorrentMetainfo.parse(try await TorrentCreator.create(path: path, options: options).bytes)
  }

  /// Waits until the torrent has what it wants, for half a minute at most. `session` tells its story when it does not.
  static func waitUntilDone(_ torrent: Torrent, _ session: Session? = nil) async throws {
    for _ in 0..<600 {
      let status = await torrent.status()
      if let error = status.error { Issue.record("\(error)") }
      if status.isComplete { return }
      try await Task.sleep(for: .milliseconds(50))
    }
    var story: [String] = []
    if let session {
      await session.shutdown(within: 5)
      for await event in session.events { story.append("\(event)") }
    }
    Issue.record("not complete: \(await torrent.status())\n\(story.joined(separator: "\n"))")
  }

  static func peer(_ session: Session) throws -> Endpoint {
    let port = try #require(session.listenPort)
    return try #require(Endpoint("127.0.0.1:\(port)"))
  }

  @Test(arguments: [(16 << 10, 16 << 20), (64 << 10, 16 << 20), (1 << 20, 16 << 20), (4 << 20, 4 << 20)])
  func aLeecherGetsEverythingFromASeeder(pieceLength: Int, memory: Int) async throws {
    let scratch = try Scratch()
    let source = try scratch.sub("source") + "/set"
    try Self.write(9_000_001, seed: 1, to: source + "/a.bin")
    try Self.write(0, seed: 2, to: source + "/empty")
    try Self.write(70_000, seed: 3, to: source + "/deep/er/b")
    try Self.write(3, seed: 4, to: source + "/ünï cödé")
    let metainfo = try await Self.torrent(of: source, pieceLength: pieceLength)

    let seeder = try await Self.session(memory: memory)
    let seed = try await seeder.add(metainfo, TorrentOptions(folder: scratch.path + "/source"))
    try await Self.waitUntilDone(seed)
    #expect(await seed.status().state == .seeding)

    let leecher = try await Self.session(memory: memory)
    let kept = await leecher.status().poolInUse
    var options = TorrentOptions(folder: try scratch.sub("target"))
    options.peers = [try Self.peer(seeder)]
    let leech = try await leecher.add(metainfo, options)
    try await Self.waitUntilDone(leech, leecher)
    for file in ["a.bin", "empty", "deep/er/b", "ünï cödé"] {
      #expect(
        FileManager.default.contentsEqual(
          atPath: source + "/" + file, andPath: scratch.path + "/target/set/" + file))
    }
    let counts = await leecher.status()
    #expect(counts.poolHighWater <= memory / 16384)
    #expect(counts.counters.blocksReceived >= 554)
    await leecher.shutdown(within: 5)
    await seeder.shutdown(within: 5)
    #expect(await leecher.status().poolInUse == kept)
    #expect(await seeder.status().poolInUse == kept)
  }

  @Test func selectedFilesOnly() async throws {
    let scratch = try Scratch()
    let source = try scratch.sub("source") + "/set"
    for i in 0..<5 { try Self.write(100_000, seed: UInt64(i), to: source + "/f\(i)") }
    let metainfo = try await Self.torrent(of: source, pieceLength: 32 << 10)
    let seeder = try await Self.session()
    let seed = try await seeder.add(metainfo, TorrentOptions(folder: scratch.path + "/source"))
    try await Self.waitUntilDone(seed)
    let leecher = try await Self.session()
    var options = TorrentOptions(folder: try scratch.sub("target"))
    options.peers = [try Self.peer(seeder)]
    options.selectedFiles = [1, 3]
    let leech = try await leecher.add(metainfo, options)
    try await Self.waitUntilDone(leech, leecher)
    let target = scratch.path + "/target/set"
    #expect(try FileManager.default.contentsOfDirectory(atPath: target).sorted() == ["f1", "f3"])
    for i in [1, 3] {
      #expect(FileManager.default.contentsEqual(atPath: source + "/f\(i)", andPath: target + "/f\(i)"))
    }
    // Another file becomes wanted: its share of boundary pieces is not fetched again.
    let before = await leech.status().downloadedBytes
    try await leech.select(files: [1, 2, 3])
    try await Self.waitUntilDone(leech, leecher)
    #expect(FileManager.default.contentsEqual(atPath: source + "/f2", andPath: target + "/f2"))
    #expect(await leech.status().downloadedBytes - before < 100_000)
    await leecher.shutdown(within: 5)
    await seeder.shutdown(within: 5)
  }

  @Test func whatWasCheckedOnceIsNotReadAgain() async throws {
    let scratch = try Scratch()
    try Self.write(3_000_000, seed: 5, to: scratch.path + "/file.bin")
    let metainfo = try await Self.torrent(of: scratch.path + "/file.bin", pieceLength: 64 << 10)
    let records = try scratch.sub("records")
    for start in 0..<3 {
      let session = try await Self.session(resume: records)
      let torrent = try await session.add(metainfo, TorrentOptions(folder: scratch.path))
      try await Self.waitUntilDone(torrent)
      let states = await torrent.status()
      #expect(states.state == .seeding)
      #expect((states.checkedBytes > 0) == (start == 0), "read at start \(start)")
      await session.shutdown(within: 5)
    }
  }

  @Test func aStoppedDownloadGoesOnFromItsRecord() async throws {
    let scratch = try Scratch()
    let source = try scratch.sub("source") + "/file.bin"
    try Self.write(12_000_000, seed: 9, to: source)
    let metainfo = try await Self.torrent(of: source, pieceLength: 64 << 10)
    let seeder = try await Self.session()
    let seed = try await seeder.add(metainfo, TorrentOptions(folder: scratch.path + "/source"))
    try await Self.waitUntilDone(seed)
    let resume = try scratch.sub("resume")
    var options = TorrentOptions(folder: try scratch.sub("target"))
    options.peers = [try Self.peer(seeder)]
    options.downloadLimit = 8_000_000

    let first = try await Self.session(resume: resume)
    let leech = try await first.add(metainfo, options)
    for _ in 0..<400 where await leech.status().verifiedPieces < 20 {
      try await Task.sleep(for: .milliseconds(20))
    }
    await first.shutdown(within: 5)
    #expect(try FileManager.default.contentsOfDirectory(atPath: resume).count == 1)

    options.downloadLimit = nil
    options.isPaused = true
    let second = try await Self.session(resume: resume)
    let again = try await second.add(metainfo, options)
    for _ in 0..<400 where await again.status().state != .paused {
      try await Task.sleep(for: .milliseconds(20))
    }
    let kept = await again.status()
    #expect(kept.verifiedPieces >= 20 && kept.verifiedPieces < metainfo.info.geometry.pieceCount)
    #expect(kept.checkedBytes == 0, "nothing had to be hashed")
    await again.resume()
    try await Self.waitUntilDone(again, second)
    #expect(await again.status().downloadedBytes <= 12_000_000 - kept.doneBytes + 65536)
    #expect(FileManager.default.contentsEqual(atPath: source, andPath: scratch.path + "/target/file.bin"))
    await second.shutdown(within: 5)
    await seeder.shutdown(within: 5)
  }

  @Test func fiveLeechersFeedEachOther() async throws {
    let scratch = try Scratch()
    let source = try scratch.sub("source") + "/file.bin"
    try Self.write(8_000_000, seed: 5, to: source)
    let metainfo = try await Self.torrent(of: source, pieceLength: 64 << 10)
    let seeder = try await Self.session()
    var seedOptions = TorrentOptions(folder: scratch.path + "/source")
    seedOptions.uploadLimit = 8_000_000
    let seed = try await seeder.add(metainfo, seedOptions)
    try await Self.waitUntilDone(seed)
    var sessions: [Session] = []
    var torrents: [Torrent] = []
    for i in 0..<5 {
      let session = try await Self.session()
      var options = TorrentOptions(folder: try scratch.sub("target\(i)"))
      options.peers = [try Self.peer(seeder)] + (try sessions.map { try Self.peer($0) })
      torrents.append(try await session.add(metainfo, options))
      sessions.append(session)
    }
    for torrent in torrents { try await Self.waitUntilDone(torrent) }
    for i in 0..<5 {
      #expect(
        FileManager.default.contentsEqual(atPath: source, andPath: scratch.path + "/target\(i)/file.bin"))
    }
    var shared: Int64 = 0
    for torrent in torrents { shared += await torrent.status().uploadedBytes }
    #expect(shared > 0, "nobody but the seeder uploaded")
    for session in sessions { await session.shutdown(within: 5) }
    await seeder.shutdown(within: 5)
  }
}
