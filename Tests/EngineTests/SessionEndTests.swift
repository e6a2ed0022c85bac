import Reactor
import Storage
import Testing

@testable import Engine

/// What a session leaves behind when nobody holds it any more: nothing.
@Suite struct SessionEndTests {
  /// Looks into a session without keeping it.
  fileprivate struct Traces {
    weak var loop: EventLoop?
    weak var disk: DiskService?
    var isGone: Bool { loop == nil && disk == nil }
  }

  /// A session with one torrent that is complete.
  private func seeding(in scratch: TransferTests.Scratch) async throws -> (Session, Torrent) {
    try TransferTests.write(300_000, seed: 1, to: scratch.path + "/data")
    let metainfo = try await TransferTests.torrent(of: scratch.path + "/data", pieceLength: 64 << 10)
    let session = try await TransferTests.session()
    let torrent = try await session.add(metainfo, TorrentOptions(folder: scratch.path))
    try await TransferTests.waitUntilDone(torrent)
    return (session, torrent)
  }

  /// A command that ends takes torrents out and shuts the session down at the same time: nobody waits for an end that has
  /// been, and nobody goes on before it.
  @Test(.timeLimit(.minutes(1))) func aTorrentMayBeClosedByMany() async throws {
    let scratch = try TransferTests.Scratch()
    let (session, torrent) = try await seeding(in: scratch)
    await withTaskGroup { group in
      for _ in 0..<4 {
        group.addTask {
          await torrent.close(deletingFiles: false)
          #expect(await torrent.isClosed)
        }
      }
    }
    await torrent.close(deletingFiles: false)
    await session.shutdown(within: 60)
  }

  private func traces(isShutDown: Bool) async throws -> Traces {
    let scratch = try TransferTests.Scratch()
    let (session, _) = try await seeding(in: scratch)
    if isShutDown { await session.shutdown(within: 5) }
    return await session.traces()
  }

  @Test(arguments: [true, false]) func threadsAndMemoryGoWithTheSession(isShutDown: Bool) async throws {
    let traces = try await traces(isShutDown: isShutDown)
    for _ in 0..<200 where !traces.isGone { try await Task.sleep(for: .milliseconds(50)) }
    #expect(traces.loop == nil)
    #expect(traces.disk == nil)
  }
}

extension Torrent {
  fileprivate var isClosed: Bool {
    get async {
      let driver = driver
      return await home.loop.run { driver.value.isClosed }
    }
  }
}

extension Session {
  fileprivate func traces() -> SessionEndTests.Traces {
    SessionEndTests.Traces(loop: homes[0].loop, disk: shared.disk)
  }
}
