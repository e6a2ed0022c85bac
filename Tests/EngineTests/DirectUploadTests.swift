import Engine
import Foundation
import Synchronization
import Testing

/// Blocks that go from the page cache to the socket: what a peer gets is right wherever its socket cuts them.
@Suite struct DirectUploadTests {
  static let length = 8_000_003
  static let pieceLength = 1 << 20

  /// A peer of the test's own, on a blocking socket with a buffer so small that writes are cut all the time.
  private struct SlowPeer: ~Copyable {
    private let socket: CInt
    private let infoHash: [UInt8]

    init(port: UInt16, infoHash: [UInt8], receiveBuffer: CInt) throws {
      socket = Glibc.socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
      self.infoHash = infoHash
      var size = receiveBuffer
      if size > 0 { setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<CInt>.size)) }
      var patience = timeval(tv_sec: 20, tv_usec: 0)
      setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = port.bigEndian
      address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
      let result = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
      }
      try #require(result == 0)
    }

    deinit { close(socket) }

    func send(_ bytes: [UInt8]) throws {
      try #require(Glibc.send(socket, bytes, bytes.count, 0) == bytes.count)
    }

    func receive(_ count: Int) throws -> [UInt8] {
      var bytes = [UInt8](repeating: 0, count: count)
      var done = 0
      while done < count {
        let got = bytes.withUnsafeMutableBytes { recv(socket, $0.baseAddress! + done, count - done, 0) }
        try #require(got > 0, "the connection ended after \(done) of \(count) bytes: \(errno)")
        done += got
      }
      return bytes
    }

    func message() throws -> [UInt8] {
      let length = try receive(4).reduce(0) { $0 << 8 | Int($1) }
      try #require(length <= 1 << 17)
      return try receive(length)
    }

    func shakeHands() throws {
      try send(
        [19] + Array("BitTorrent protocol".utf8) + [UInt8](repeating: 0, count: 8) + infoHash
          + Array("-XX0001-abcdefghijkl".utf8))
      _ = try receive(68)
      try send([0, 0, 0, 1, 2])  // interested
      while try message().first != 1 {}  // until unchoked
    }
  }

  private static func big(_ value: Int) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) }
  }

  /// Fetches all of it, `window` blocks under way, and returns what came.
  private static func fetch(_ peer: borrowing SlowPeer, window: Int, pause: UInt32) throws -> [UInt8] {
    var contents = [UInt8](repeating: 0, count: length)
    var wanted: [(begin: Int, length: Int)] = []
    for start in stride(from: 0, to: length, by: 16384) { wanted.append((start, min(16384, length - start))) }
    var next = 0
    var under: Set<Int> = []
    var done = 0
    while done < wanted.count {
      var requests: [UInt8] = []
      while under.count < window, next < wanted.count {
        let block = wanted[next]
        requests +=
          [0, 0, 0, 13, 6] + big(block.begin / pieceLength) + big(block.begin % pieceLength)
          + big(block.length)
        under.insert(block.begin)
        next += 1
      }
      if !requests.isEmpty { try peer.send(requests) }
      // A batch at a time, so that runs of requests come together.
      for _ in 0..<max(1, under.count / 2) {
        let message = try peer.message()
        guard message.first == 7 else { continue }
        let numbers = message[1..<9].map(Int.init)
        let piece = numbers[0..<4].reduce(0) { $0 << 8 | $1 }
        let begin = piece * pieceLength + numbers[4..<8].reduce(0) { $0 << 8 | $1 }
        try #require(under.remove(begin) != nil, "a block that was not asked for")
        try #require(message.count - 9 == min(16384, length - begin))
        contents.replaceSubrange(begin..<begin + message.count - 9, with: message[9...])
        done += 1
        if pause > 0 { usleep(pause) }
      }
    }
    return contents
  }

  @Test(arguments: [(CInt(0), 250, UInt32(0)), (4096, 250, 0), (4096, 60, 200), (20_000, 200, 0)])
  func aPeerGetsWhatItAsksForWhereverItsSocketCuts(receiveBuffer: CInt, window: Int, pause: UInt32)
    async throws
  {
    let scratch = try TransferTests.Scratch()
    let path = scratch.path + "/file.bin"
    try TransferTests.write(Self.length, seed: 77, to: path)
    let metainfo = try await TransferTests.torrent(of: path, pieceLength: Self.pieceLength)
    let session = try await TransferTests.session()
    let seed = try await session.add(metainfo, TorrentOptions(folder: scratch.path))
    try await TransferTests.waitUntilDone(seed)
    let kept = await session.status().poolInUse
    let port = try #require(session.listenPort)
    let infoHash = (0..<20).map { metainfo.info.infoHash.bytes[$0] }
    let contents = try await withCheckedThrowingContinuation { continuation in
      Thread.detachNewThread {
        continuation.resume(
          with: Result {
            let peer = try SlowPeer(port: port, infoHash: infoHash, receiveBuffer: receiveBuffer)
            try peer.shakeHands()
            return try Self.fetch(peer, window: window, pause: pause)
          })
      }
    }
    #expect(contents == [UInt8](try Data(contentsOf: URL(fileURLWithPath: path))))
    let counters = await session.status().counters
    #expect(counters.blocksSent == Int64((Self.length + 16383) / 16384))
    #expect(counters.blocksSentDirectly > counters.blocksSent / 20, "the way that is tested here")
    await session.shutdown(within: 5)
    #expect(await session.status().poolInUse == kept)
  }
}
