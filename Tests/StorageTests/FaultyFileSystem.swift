import BlockPool
import Glibc
import Storage
import Synchronization

/// The real file system, with faults put in front of it.
final class FaultyFileSystem: FileSystem {
  enum Call: Hashable, Sendable {
    case write, directWrite, openDirect, read, readAtHand, map, sync, syncAll, reserve, setSize, open, rename,
      copy, remove, writeBytes
  }

  /// Asked before each call of a kind: an `errno` value, or zero to let it through. May sleep.
  private let rules = Lock<[Call: @Sendable (String) -> CInt]>([:])
  private let shortReads = Atomic<Bool>(false)
  private let counts = Lock<[Call: Int]>([:])
  /// Descriptors that were opened for writes past the page cache.
  private let direct = Lock<Set<CInt>>([])
  private let pretendedlyClosed = Lock<[CInt]?>(nil)
  private let real = RealFileSystem()

  /// From now on descriptors are not closed but listed.
  func pretendToClose() { pretendedlyClosed.withLock { $0 = [] } }
  var closed: [CInt] { pretendedlyClosed.withLock { $0 ?? [] } }

  func set(_ call: Call, _ rule: (@Sendable (String) -> CInt)?) { rules.withLock { $0[call] = rule } }
  /// Reads end half way, as at the end of a file.
  func setShortReads(_ isOn: Bool) { shortReads.store(isOn, ordering: .relaxed) }
  func count(of call: Call) -> Int { counts.withLock { $0[call] ?? 0 } }

  private func meet(_ call: Call, _ what: String = "") throws(SystemError) {
    counts.withLock { $0[call, default: 0] += 1 }
    let rule = rules.withLock { $0[call] }
    let code = rule?(what) ?? 0
    if code != 0 { throw SystemError(code: code) }
  }

  func write(_ segments: Span<BlockSegment>, of pool: BlockPool, to file: CInt, at offset: Int64)
    throws(SystemError)
  {
    try meet(direct.withLock { $0.contains(file) } ? .directWrite : .write)
    try real.write(segments, of: pool, to: file, at: offset)
  }
  func read(
    into segments: Span<BlockSegment>, of pool: BlockPool, from file: CInt, at offset: Int64
  ) throws(SystemError) -> Int {
    try meet(.read)
    let count = try real.read(into: segments, of: pool, from: file, at: offset)
    return shortReads.load(ordering: .relaxed) ? count / 2 : count
  }
  func readAtHand(
    into segments: Span<BlockSegment>, of pool: BlockPool, from file: CInt, at offset: Int64
  ) throws(SystemError) -> Int {
    try meet(.readAtHand)
    return try real.readAtHand(into: segments, of: pool, from: file, at: offset)
  }
  func map(_ file: CInt, length: Int64) -> FileMapping? {
    do { try meet(.map) } catch { return nil }
    return real.map(file, length: length)
  }
  func write(_ bytes: [UInt8], to file: CInt, at offset: Int64) throws(SystemError) {
    try meet(.writeBytes)
    try real.write(bytes, to: file, at: offset)
  }
  func read(_ count: Int, from file: CInt, at offset: Int64) throws(SystemError) -> [UInt8] {
    try real.read(count, from: file, at: offset)
  }
  func copy(
    from source: CInt, at sourceOffset: Int64, to target: CInt, at targetOffset: Int64, length: Int64
  ) throws(SystemError) -> Int64 {
    try meet(.copy)
    return try real.copy(from: source, at: sourceOffset, to: target, at: targetOffset, length: length)
  }
  func willRead(_ file: CInt, offset: Int64, length: Int64) {
    real.willRead(file, offset: offset, length: length)
  }
  func close(_ file: CInt) {
    direct.withLock { _ = $0.remove(file) }
    let isNoted = pretendedlyClosed.withLock { list in
      list?.append(file)
      return list != nil
    }
    if !isNoted { real.close(file) }
  }
  func status(of file: CInt) throws(SystemError) -> FileStatus { try real.status(of: file) }
  func sync(_ file: CInt) throws(SystemError) {
    try meet(.sync)
    try real.sync(file)
  }
  func syncFileSystem(of file: CInt) throws(SystemError) {
    try meet(.syncAll)
    try real.syncFileSystem(of: file)
  }
  func setSize(_ file: CInt, to size: Int64) throws(SystemError) {
    try meet(.setSize)
    try real.setSize(file, to: size)
  }
  func setModified(_ file: CInt, to nanoseconds: Int64) throws(SystemError) {
    try real.setModified(file, to: nanoseconds)
  }
  func setExecutable(_ file: CInt) throws(SystemError) { try real.setExecutable(file) }
  func reserve(_ file: CInt, offset: Int64, length: Int64, growing: Bool) throws(SystemError) {
    try meet(.reserve)
    try real.reserve(file, offset: offset, length: length, growing: growing)
  }
  func prefersReserved(_ file: CInt) -> Bool { real.prefersReserved(file) }
  func openFolder(_ path: String, creating: Bool) throws(SystemError) -> CInt {
    try real.openFolder(path, creating: creating)
  }
  func open(_ path: String, below folder: CInt, for access: FileAccess) throws(SystemError) -> CInt {
    try meet(.open, path)
    return try real.open(path, below: folder, for: access)
  }
  func openDirect(_ path: String, below folder: CInt) throws(SystemError) -> CInt {
    try meet(.openDirect, path)
    let file = try real.openDirect(path, below: folder)
    direct.withLock { _ = $0.insert(file) }
    return file
  }
  func status(of path: String, below folder: CInt, followingLink: Bool) throws(SystemError) -> FileStatus? {
    try real.status(of: path, below: folder, followingLink: followingLink)
  }
  func makeFolder(_ path: String, below folder: CInt) throws(SystemError) {
    try real.makeFolder(path, below: folder)
  }
  func makeLink(_ text: String, at path: String, below folder: CInt) throws(SystemError) {
    try real.makeLink(text, at: path, below: folder)
  }
  func readLink(_ path: String, below folder: CInt) throws(SystemError) -> String {
    try real.readLink(path, below: folder)
  }
  func rename(_ path: String, below folder: CInt, to newPath: String, below newFolder: CInt)
    throws(SystemError)
  {
    try meet(.rename, newPath)
    try real.rename(path, below: folder, to: newPath, below: newFolder)
  }
  func remove(_ path: String, below folder: CInt) throws(SystemError) {
    try meet(.remove, path)
    try real.remove(path, below: folder)
  }
  func removeEmptyFolder(_ path: String, below folder: CInt) throws(SystemError) {
    try real.removeEmptyFolder(path, below: folder)
  }
}
