import BlockPool
import Glibc
import Hashing
@testable import Storage
import Synchronization
import Testing
import TorrentModel

/// A folder of its own for a test, gone with it.
final class TemporaryFolder: Sendable {
  let path: String
  private let isKept: Bool

  /// A folder that others made and others remove.
  init(keeping path: String) {
    self.path = path
    isKept = true
  }

  init(in parent: String = "/tmp") {
    var template = Array("\(parent)/spate-storage-XXXXXX".utf8CString)
    path = template.withUnsafeMutableBufferPointer { buffer in
      mkdtemp(buffer.baseAddress!).map { String(cString: $0) } ?? parent
    }
    isKept = false
  }

  deinit { if !isKept { removeTree(path) } }

  func bytes(of name: String) -> [UInt8]? { readWhole("\(path)/\(name)") }

  func names() -> Set<String> { Set(listFolder(path)) }

  /// Where the only resume record in it is; nil when there is none.
  var recordPath: String? { TemporaryFolder.recordPath(in: path) }

  static func recordPath(in folder: String) -> String? {
    listFolder(folder).first { $0.hasSuffix(".resume") }.map { "\(folder)/\($0)" }
  }
}

func listFolder(_ path: String) -> [String] {
  guard let folder = opendir(path) else { return [] }
  defer { closedir(folder) }
  var names: [String] = []
  while let entry = readdir(folder) {
    let name = withUnsafePointer(to: &entry.pointee.d_name) {
      $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
    }
    if name != ".", name != ".." { names.append(name) }
  }
  return names
}

func removeTree(_ path: String) {
  var status = stat()
  guard lstat(path, &status) == 0 else { return }
  if status.st_mode & S_IFMT == S_IFDIR {
    for name in listFolder(path) { removeTree("\(path)/\(name)") }
    rmdir(path)
  } else {
    unlink(path)
  }
}

func readWhole(_ path: String) -> [UInt8]? {
  let file = open(path, O_RDONLY)
  guard file >= 0 else { return nil }
  defer { close(file) }
  var status = stat()
  fstat(file, &status)
  var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
  guard pread(file, &bytes, bytes.count, 0) == bytes.count else { return nil }
  return bytes
}

func writeWhole(_ bytes: [UInt8], to path: String) {
  let file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
  precondition(file >= 0 && pwrite(file, bytes, bytes.count, 0) == bytes.count)
  close(file)
}

/// Changes one byte of a file in place.
func flipByte(at offset: Int, of path: String) {
  let file = open(path, O_RDWR)
  precondition(file >= 0)
  defer { close(file) }
  var byte: UInt8 = 0
  precondition(pread(file, &byte, 1, off_t(offset)) == 1)
  byte ^= 0xff
  precondition(pwrite(file, &byte, 1, off_t(offset)) == 1)
}

func exists(_ path: String) -> Bool {
  var status = stat()
  return lstat(path, &status) == 0
}

/// Bytes that a test can make again from the seed.
func drawnBytes(_ count: Int, seed: UInt64) -> [UInt8] {
  var random = SeededRandom(seed: seed)
  let words = (0..<(count + 7) / 8).map { _ in random.next() }
  return words.withUnsafeBytes { Array($0.prefix(count)) }
}

/// Where a test hears of completions.
final class TestPort: Sendable {
  private final class Ear: Sendable { let heard = Lock<[DiskCompletion.Event]>([]) }

  private let ear: Ear
  let port: CompletionPort

  init() {
    let ear = Ear()
    self.ear = ear
    port = CompletionPort { completions in
      let batch = completions.map(\.event)
      completions.removeAll(keepingCapacity: true)
      ear.heard.withLock { $0 += batch }
    }
  }

  var all: [DiskCompletion.Event] { ear.heard.withLock { $0 } }

  /// Waits until `pick` finds what it looks for in what was heard, and takes it out. Fails after a minute.
  func wait<T>(
    _ what: String = "a completion", location: SourceLocation = #_sourceLocation,
    _ pick: (DiskCompletion.Event) -> T?
  ) throws -> T {
    for _ in 0..<60_000 {
      let found = ear.heard.withLock { list -> T? in
        for i in list.indices {
          if let value = pick(list[i]) {
            list.remove(at: i)
            return value
          }
        }
        return nil
      }
      if let found { return found }
      usleep(1000)
    }
    Issue.record("waited in vain for \(what); heard \(all.prefix(20))", sourceLocation: location)
    throw TimedOut()
  }

  struct TimedOut: Error {}
}

/// A torrent of drawn bytes.
struct Sample {
  var infoHash: InfoHash
  var files: [StorageFile]
  var layout: FileLayout
  var geometry: PieceGeometry
  var contents: [UInt8]
  var hashes: [UInt8]

  init(_ files: [(String, Int, StorageFile.Kind)], pieceLength: Int, seed: UInt64 = 1) {
    self.files = files.map { StorageFile(path: $0.0, kind: $0.2) }
    layout = FileLayout(lengths: files.map { Int64($0.1) })!
    let geometry = PieceGeometry(totalLength: layout.totalLength, pieceLength: pieceLength)
    self.geometry = geometry
    var contents: [UInt8] = []
    for (number, file) in files.enumerated() {
      contents +=
        file.2 == .padding
        ? [UInt8](repeating: 0, count: file.1) : drawnBytes(file.1, seed: seed &* 1000 &+ UInt64(number))
    }
    self.contents = contents
    var hashes: [UInt8] = []
    for piece in 0..<geometry.pieceCount {
      let start = piece * pieceLength
      let bytes = Array(contents[start..<start + geometry.length(of: PieceIndex(piece))])
      SHA1.digest(of: bytes.span).append(to: &hashes)
    }
    self.hashes = hashes
    infoHash = InfoHash(Bytes20(SHA1.digest(of: hashes.span).bytes)!)
  }

  init(single length: Int, pieceLength: Int, seed: UInt64 = 1) {
    self.init([("file.bin", length, .regular)], pieceLength: pieceLength, seed: seed)
  }

  /// One piece of `length` bytes that need no memory: a block over and over.
  init(repeating length: Int) {
    files = [StorageFile(path: "file.bin")]
    layout = FileLayout(lengths: [Int64(length)])!
    geometry = PieceGeometry(totalLength: Int64(length), pieceLength: length)
    let contents = drawnBytes(blockLength, seed: 3)
    self.contents = contents
    var hasher = SHA1Hasher()
    for _ in 0..<length / blockLength { hasher.update(contents.span) }
    let hashes = hasher.digest().bytes
    self.hashes = hashes
    infoHash = InfoHash(Bytes20(hashes)!)
  }

  func contents(ofFile number: Int) -> [UInt8] {
    let start = Int(layout.start(of: number))
    return Array(contents[start..<start + Int(layout.length(of: number))])
  }

  func bytes(ofBlock block: Int, in piece: PieceIndex) -> ArraySlice<UInt8> {
    if contents.count < geometry.totalLength { return contents[...] }
    let start = Int(geometry.start(of: piece)) + block * blockLength
    return contents[start..<start + geometry.length(ofBlock: block, in: piece)]
  }

  /// Every block of every piece.
  var blocks: [(piece: PieceIndex, block: Int)] {
    (0..<geometry.pieceCount).flatMap { piece in
      (0..<geometry.blockCount(of: PieceIndex(piece))).map { (PieceIndex(piece), $0) }
    }
  }

  /// Puts the files on the disk as a finished download leaves them.
  func writeFiles(below root: String) {
    for (number, file) in files.enumerated() where file.kind == .regular || file.kind == .executable {
      var folder = root
      for part in file.path.split(separator: "/").dropLast() {
        folder += "/" + part
        mkdir(folder, 0o755)
      }
      writeWhole(contents(ofFile: number), to: "\(root)/\(file.path)")
    }
  }
}

/// A disk with one torrent on it, in a folder of its own.
final class Bench {
  let folder: TemporaryFolder
  let pool: BlockPool
  let disk: DiskService
  let port = TestPort()
  let sample: Sample
  let storage: TorrentStorage
  var recordPath: String { storage.recordPath ?? "" }
  var root: String { "\(folder.path)/data" }

  init(
    _ sample: Sample, pool capacity: Int = 1024, workers: Int = 1,
    folder: TemporaryFolder = TemporaryFolder(),
    fileSystem: any FileSystem = RealFileSystem(), allocation: FileAllocation = .ahead, wanted: [Bool]? = nil,
    fileLimit: Int? = nil, tune: (inout DiskTuning) -> Void = { _ in }
  ) throws {
    self.folder = folder
    self.sample = sample
    pool = try BlockPool(capacity: capacity)
    var tuning = DiskTuning(capacity: capacity, workers: workers, checkers: 2)
    tune(&tuning)
    disk = DiskService(
      pool: pool, workers: workers, checkers: 2, fileSystem: fileSystem, fileLimit: fileLimit, tuning: tuning)
    storage = TorrentStorage(
      infoHash: sample.infoHash, root: folder.path + "/data", files: sample.files, layout: sample.layout,
      geometry: sample.geometry, pieceHashes: sample.hashes[...], allocation: allocation, wanted: wanted,
      recordFolder: folder.path, port: port.port)
  }

  /// Ends the disk; every block must be back.
  func finish(location: SourceLocation = #_sourceLocation) {
    disk.shutdown()
    #expect(pool.inUse == 0, "blocks were lost", sourceLocation: location)
  }

  @discardableResult
  func open(_ options: OpenOptions = OpenOptions()) throws -> OpenResult {
    disk.submit(storage, .open(options))
    return try port.wait("opened") { if case .opened(let result) = $0 { result } else { nil } }
  }

  /// A block of the pool, waiting for one if need be.
  func takeBlock() throws -> BlockID {
    for attempt in 0..<60_000 {
      if let id = pool.take() { return id }
      if attempt == 5 { disk.relievePool() }
      usleep(500)
    }
    Issue.record("the pool stayed empty")
    throw TestPort.TimedOut()
  }

  func job(_ piece: PieceIndex, _ block: Int, corrupt: Bool = false) throws -> DiskJob {
    let id = try takeBlock()
    fill(id, sample.bytes(ofBlock: block, in: piece))
    if corrupt { pool.withMutableBytes(of: id) { $0.storeBytes(of: 0x5a, as: UInt8.self) } }
    return DiskJob(storage, .blocks(piece, BlockRun(block, id)))
  }

  /// `count` right blocks of a piece in one job.
  func job(_ piece: PieceIndex, _ first: Int, count: Int) throws -> DiskJob {
    var run: BlockRun?
    for block in first..<first + count {
      let id = try takeBlock()
      fill(id, sample.bytes(ofBlock: block, in: piece))
      if run?.append(block, id) != true { run = BlockRun(block, id) }
    }
    return DiskJob(storage, .blocks(piece, try #require(run)))
  }

  func fill(_ id: BlockID, _ bytes: ArraySlice<UInt8>) {
    pool.withMutableBytes(of: id) { target in
      bytes.withUnsafeBytes { source in
        target.withUnsafeMutableBytes { $0.copyMemory(from: source) }
      }
    }
  }

  /// Posts blocks in the order given, in batches.
  func post(_ blocks: [(piece: PieceIndex, block: Int)], batch: Int = 16) throws {
    var jobs: [DiskJob] = []
    for (piece, block) in blocks {
      // A batch that waits for blocks must not hold some itself.
      if pool.available == 0 { disk.submit(&jobs) }
      jobs.append(try job(piece, block))
      if jobs.count == batch { disk.submit(&jobs) }
    }
    disk.submit(&jobs)
  }

  /// Waits until so many pieces were verified. No piece may fail meanwhile.
  func waitVerified(_ count: Int, location: SourceLocation = #_sourceLocation) throws {
    for _ in 0..<count {
      try port.wait("pieceVerified", location: location) { if case .pieceVerified = $0 { () } else { nil } }
    }
  }

  func save(_ verified: Bitfield, userData: [UInt8] = []) throws {
    disk.submit(storage, .save(verified: verified, userData: userData))
    try port.wait("saved") { if case .saved = $0 { () } else { nil } }
  }

  func check(_ pieces: Bitfield? = nil) throws -> CheckResult {
    disk.submit(storage, .check(pieces))
    return try port.wait("checked") { if case .checked(let result) = $0 { result } else { nil } }
  }

  func close() throws {
    disk.submit(storage, .close)
    try port.wait("closed") { if case .closed = $0 { () } else { nil } }
  }

  var full: Bitfield { Bitfield(fullCapacity: sample.geometry.pieceCount) }

  /// Compares the files on the disk with the sample's.
  func expectFiles(location: SourceLocation = #_sourceLocation) {
    for (number, file) in sample.files.enumerated() where file.kind == .regular || file.kind == .executable {
      let same = readWhole("\(storage.root)/\(file.path)") == sample.contents(ofFile: number)
      #expect(same, "\(file.path) differs", sourceLocation: location)
    }
  }
}

func mkdirIfNeeded(_ path: String) { mkdir(path, 0o755) }

extension TestPort {
  /// A verified piece that was heard of already; throws when there is none.
  func takeVerified() throws -> PieceIndex {
    let found = all.lazy.compactMap { event -> PieceIndex? in
      if case .pieceVerified(let piece, _) = event { piece } else { nil }
    }.first
    guard let found else { throw TimedOut() }
    return try wait { if case .pieceVerified(found, _) = $0 { found } else { nil } }
  }
}
