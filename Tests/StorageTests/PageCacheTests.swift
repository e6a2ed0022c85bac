import BlockPool
import Glibc
@testable import Storage
import Synchronization
import Testing
import TorrentModel

/// Reads that wait for nothing: right when they succeed, and left to the reading threads where they cannot be.
@Suite struct PageCacheTests {
  static let sample = SelectionTests.sample

  /// A complete torrent, opened, with block 0 of piece 2 read once, so that file `d/b` is open.
  func bench(_ fileSystem: any FileSystem = RealFileSystem(), fileLimit: Int? = nil) throws -> Bench {
    let bench = try Bench(Self.sample, fileSystem: fileSystem, fileLimit: fileLimit)
    mkdir(bench.root, 0o755)
    Self.sample.writeFiles(below: bench.root)
    try bench.open()
    #expect(try bench.check().verified.isFull)
    let block = try bench.takeBlock()
    try read(bench, block, piece: 2, length: blockLength)
    bench.pool.release(block)
    return bench
  }

  func read(_ bench: Bench, _ block: BlockID, piece: Int, length: Int) throws {
    let offset = bench.sample.geometry.start(of: PieceIndex(piece))
    bench.disk.submit(
      bench.storage, .read(BlockRead(token: 7, offset: offset, length: length, block: block)))
    try bench.port.wait("blocksRead") { if case .blocksRead(7, length) = $0 { () } else { nil } }
  }

  /// Reads `length` bytes at `offset` of the contents at hand; nil when that is refused.
  func atHand(_ bench: Bench, _ offset: Int, _ length: Int) throws -> [UInt8]? {
    var reader = bench.disk.makePageCacheReader()
    var blocks = InlineArray<16, BlockID>(repeating: BlockID(rawValue: 0))
    let count = (length + blockLength - 1) / blockLength
    for i in 0..<count { blocks[i] = try bench.takeBlock() }
    defer { for i in 0..<count { bench.pool.release(blocks[i]) } }
    let read = BlockRead(token: 0, offset: Int64(offset), length: length, blocks: blocks)
    guard reader.fill(read, of: bench.storage) else { return nil }
    var bytes: [UInt8] = []
    for i in 0..<count {
      bench.pool.withBytes(of: blocks[i], count: min(blockLength, length - i * blockLength)) { span in
        for byte in 0..<span.byteCount { bytes.append(span.unsafeLoad(fromByteOffset: byte, as: UInt8.self)) }
      }
    }
    return bytes
  }

  @Test(arguments: [(131_072, 16384), (131_072, 262_144), (131_072 + 16384, 65536), (490_000, 10_000)])
  func whatIsInMemoryIsReadAtOnce(offset: Int, length: Int) throws {
    let bench = try bench()
    #expect(try atHand(bench, offset, length) == Array(Self.sample.contents[offset..<offset + length]))
    bench.finish()
  }

  @Test func whatNeedsWaitingIsLeftToOthers() throws {
    // The root and one file.
    let bench = try bench(fileLimit: 2)
    #expect(try atHand(bench, 600_000, 1000) == nil, "a file that is not open")
    #expect(try atHand(bench, 499_000, 2000) == nil, "two files")
    #expect(try atHand(bench, 604_000, 5000) == nil, "behind the end")
    #expect(try atHand(bench, 131_072, 16384) != nil)
    bench.disk.submit(bench.storage, .move(root: bench.folder.path + "/elsewhere"))
    let moving = try atHand(bench, 131_072, 16384)
    try bench.port.wait("moved") { if case .moved = $0 { () } else { nil } }
    #expect(moving == nil || moving == Array(Self.sample.contents[131_072..<147_456]))
    try bench.close()
    #expect(try atHand(bench, 131_072, 16384) == nil, "a closed torrent")
    bench.finish()
  }

  @Test func aFileThatWasCutIsNotReadPastItsEnd() throws {
    let bench = try bench()
    truncate(bench.root + "/d/b", 40_000)
    #expect(try atHand(bench, 131_072, 16384) == nil)
    bench.finish()
  }

  @Test func aFileNobodyLookedAtForASecondIsLookedAtFirst() throws {
    let bench = try bench()
    usleep(1_100_000)
    #expect(try atHand(bench, 131_072, 16384) == nil)
    let block = try bench.takeBlock()
    try read(bench, block, piece: 3, length: blockLength)
    bench.pool.release(block)
    #expect(try atHand(bench, 131_072, 16384) != nil)
    bench.finish()
  }

  @Test func aFileSystemThatCannotTellIsAskedOnce() throws {
    let fileSystem = FaultyFileSystem()
    let bench = try bench(fileSystem)
    fileSystem.set(.readAtHand) { _ in EOPNOTSUPP }
    for _ in 0..<3 { #expect(try atHand(bench, 131_072, 16384) == nil) }
    #expect(fileSystem.count(of: .readAtHand) == 1)
    bench.finish()
  }

  // MARK: Sending from where the bytes are

  /// What would be sent of `length` bytes at `offset` of the contents; nil when they have to be read.
  func sent(_ bench: Bench, _ reader: inout PageCacheReader, _ offset: Int, _ length: Int) -> Int? {
    reader.send(Int64(offset), length, of: bench.storage) { mapping, place in
      #expect(place == Int64(offset) - 100_000, "in file d/b")
      #expect(mapping.isResident(place, length))
      return length
    }
  }

  @Test func whatIsInMemoryIsSentFromThereOnceAReadShowedThatTheSystemKnows() throws {
    let bench = try bench()
    var reader = bench.disk.makePageCacheReader()
    #expect(sent(bench, &reader, 131_072, 16384) == nil, "nothing was read at hand yet")
    #expect(try atHand(bench, 131_072, 16384) != nil)
    #expect(sent(bench, &reader, 131_072, 262_144) == 262_144)
    #expect(sent(bench, &reader, 490_000, 10_000) == 10_000)
    #expect(sent(bench, &reader, 490_000, 20_000) == nil, "two files")
    #expect(sent(bench, &reader, 604_000, 5000) == nil, "behind the end")
    truncate(bench.root + "/d/b", 399_999)
    #expect(sent(bench, &reader, 490_000, 10_000) == nil, "a byte was cut off")
    #expect(sent(bench, &reader, 490_000, 9_999) == 9_999)
    truncate(bench.root + "/d/b", 40_000)
    #expect(sent(bench, &reader, 131_072, 16384) == nil, "cut off")
    try bench.close()
    #expect(sent(bench, &reader, 100_000, 16384) == nil, "a closed torrent")
    bench.finish()
  }

  @Test func whatIsNotInMemoryIsNotSentFromThere() throws {
    let bench = try bench()
    var reader = bench.disk.makePageCacheReader()
    #expect(try atHand(bench, 131_072, 16384) != nil)
    let file = open(bench.root + "/d/b", O_RDONLY)
    defer { close(file) }
    fsync(file)
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED)
    let mapping = try #require(FileMapping(of: file, length: 400_000))
    // Where all is always in memory there is nothing to see.
    guard !mapping.isResident(31_072, 16384) else { return bench.finish() }
    #expect(sent(bench, &reader, 131_072, 16384) == nil)
    bench.finish()
  }

  @Test func aFileThatCannotBeMappedIsAskedOnce() throws {
    let fileSystem = FaultyFileSystem()
    let bench = try bench(fileSystem)
    var reader = bench.disk.makePageCacheReader()
    fileSystem.set(.map) { _ in ENODEV }
    #expect(try atHand(bench, 131_072, 16384) != nil)
    for _ in 0..<3 { #expect(sent(bench, &reader, 131_072, 16384) == nil) }
    #expect(fileSystem.count(of: .map) == 1)
    #expect(try atHand(bench, 131_072, 16384) != nil, "it can be read all the same")
    bench.finish()
  }

  /// Mappings are made anew after some use, so that what they take does not grow with what was sent.
  @Test func mappingsAreRenewed() throws {
    let fileSystem = FaultyFileSystem()
    let bench = try bench(fileSystem)
    var reader = bench.disk.makePageCacheReader()
    #expect(try atHand(bench, 131_072, 16384) != nil)
    for _ in 0..<200 { #expect(sent(bench, &reader, 131_072, 16384) == 16384) }
    #expect((2...20).contains(fileSystem.count(of: .map)))
    bench.finish()
  }
}
