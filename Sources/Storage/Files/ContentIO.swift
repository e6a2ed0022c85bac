import BlockPool
import TorrentModel

/// Reads and writes runs of a torrent's contents, wherever files divide them. One for each thread: it keeps its scratch
/// arrays.
struct ContentIO: ~Copyable {
  let pool: BlockPool
  let cache: FileCache
  private var part: [BlockSegment] = []
  /// Bytes of a file that are worth a direct write.
  private let leastDirect: Int64
  /// Vectored calls made.
  private(set) var calls = 0
  /// Bytes written past the page cache.
  private(set) var directBytes: Int64 = 0

  init(pool: BlockPool, cache: FileCache, leastDirect: Int64 = WriteRoute().leastLength) {
    self.leastDirect = leastDirect
    self.pool = pool
    self.cache = cache
  }

  private var fileSystem: any FileSystem { cache.fileSystem }

  /// Walks over segments by counts of bytes.
  private struct Cursor {
    var segment = 0
    /// Bytes of `segments[segment]` already passed.
    var offset: UInt32 = 0

    /// Appends the next `count` bytes to `output`, or passes over them.
    mutating func advance(_ count: Int64, of segments: [BlockSegment], into output: inout [BlockSegment]) {
      var rest = count
      while rest > 0, segment < segments.count {
        let whole = segments[segment]
        let taken = min(Int64(whole.count - offset), rest)
        output.append(
          BlockSegment(block: whole.block, offset: Int(whole.offset + offset), count: Int(taken)))
        rest -= taken
        offset += UInt32(taken)
        if offset == whole.count {
          segment += 1
          offset = 0
        }
      }
    }
  }

  /// Writes the segments, `length` bytes together, at `offset` of the contents. Padding goes nowhere.
  /// - Parameter isDirect: past the page cache, as far as files and segments lend themselves to it.
  mutating func write(
    _ segments: [BlockSegment], length: Int64, to storage: TorrentStorage, at offset: Int64,
    isDirect: Bool = false
  ) throws(StorageFailure) {
    let map = storage.map
    var cursor = Cursor()
    for span in storage.layout.spans(from: offset, length: length) {
      let isWhole = span.length == length
      if !isWhole {
        part.removeAll(keepingCapacity: true)
        cursor.advance(span.length, of: segments, into: &part)
      }
      switch map.placements[span.file] {
      case .none: break
      case .own:
        let file = try cache.file(span.file, of: storage, map: map, writing: true)
        try cache.look(at: file, number: span.file, of: storage, map: map, operation: .write)
        file.reserve(offset: span.offset, length: span.length, of: storage.layout.length(of: span.file))
        let whole = isWhole ? segments : part
        let key = FileCache.Key(torrent: storage.id, file: Int32(truncatingIfNeeded: span.file))
        var done = 0
        if isDirect, cache.lanes.beginDirect(key) {
          done = writeDirect(whole, to: file, span, of: storage, map: map)
          cache.lanes.endDirect(key)
        }
        guard done < whole.count else { continue }
        cache.lanes.beginCached(key)
        defer { cache.lanes.endCached(key) }
        let written = whole[..<done].reduce(0) { $0 + Int64($1.count) }
        try write(
          done == 0 ? whole : Array(whole[done...]), to: file, span.file, of: storage, map: map,
          at: span.offset + written)
      case .part:
        let whole = isWhole ? segments : part
        try writeToPartFile(whole, span: span, of: storage, map: map)
      }
    }
  }

  /// Writes the segments up to the first that is no whole number of pages. Returns how many it wrote: none where that cannot
  /// be done or fails, and then the page cache has to take them, or to say what is wrong.
  private mutating func writeDirect(
    _ segments: [BlockSegment], to file: OpenFile, _ span: FileSpan, of storage: TorrentStorage, map: FileMap
  ) -> Int {
    guard span.offset.isMultiple(of: ContentIO.directAlignment) else { return 0 }
    let count =
      segments.firstIndex {
        !Int64($0.offset).isMultiple(of: ContentIO.directAlignment)
          || !Int64($0.count).isMultiple(of: ContentIO.directAlignment)
      } ?? segments.count
    let length = segments[..<count].reduce(0) { $0 + Int64($1.count) }
    guard length >= leastDirect,
      let direct = cache.direct(span.file, beside: file, of: storage, map: map)
    else { return 0 }
    do throws(StorageFailure) {
      try cache.expectUncut(file, number: span.file, of: storage, map: map, before: span.offset + length)
    } catch {
      return 0
    }
    calls += 1
    do throws(SystemError) {
      try fileSystem.write(
        segments.span.extracting(first: count), of: pool, to: direct.descriptor, at: span.offset)
    } catch {
      file.canWriteDirect.store(false, ordering: .relaxed)
      storage.noteWrite(toFile: span.file, end: 0)
      return 0
    }
    storage.noteWrite(toFile: span.file, end: span.offset + length)
    directBytes += length
    return count
  }

  /// A page: what is smaller would share one with bytes that go through the page cache.
  private static let directAlignment: Int64 = 4096

  private mutating func write(
    _ segments: [BlockSegment], to file: OpenFile, _ number: Int, of storage: TorrentStorage, map: FileMap,
    at offset: Int64
  ) throws(StorageFailure) {
    let length = segments.reduce(0) { $0 + Int64($1.count) }
    try cache.expectUncut(file, number: number, of: storage, map: map, before: offset + length)
    calls += 1
    do throws(SystemError) {
      try fileSystem.write(segments.span, of: pool, to: file.descriptor, at: offset)
    } catch {
      // A part may have been written: the file looks different, and that was still us.
      storage.noteWrite(toFile: number, end: 0)
      throw StorageFailure(
        .write, errno: error.code, path: "\(map.root)/\(storage.path(ofFile: number))", file: number)
    }
    // After the write: were it before, a sync in between would take the mark away and miss the bytes.
    storage.noteWrite(toFile: number, end: offset + length)
  }

  /// Every piece has a place of its own there.
  private mutating func writeToPartFile(
    _ segments: [BlockSegment], span: FileSpan, of storage: TorrentStorage, map: FileMap
  ) throws(StorageFailure) {
    guard let partFile = map.partFile else { preconditionFailure("a file is placed in no part file") }
    let number = storage.files.count
    let file = try cache.file(number, of: storage, map: map, writing: true)
    try cache.look(at: file, number: number, of: storage, map: map, operation: .write)
    var cursor = Cursor()
    var piecePart: [BlockSegment] = []
    for (piece, begin, length) in storage.piecewise(span) {
      piecePart.removeAll(keepingCapacity: true)
      cursor.advance(length, of: segments, into: &piecePart)
      let start: Int64
      do throws(SystemError) {
        start = try partFile.makeRoom(for: piece, file: file.descriptor, fileSystem: fileSystem) {
          storage.noteRestart(ofFile: number)
        }
      } catch {
        throw StorageFailure(.write, errno: error.code, path: "\(map.root)/\(partFile.name)", file: number)
      }
      try write(piecePart, to: file, number, of: storage, map: map, at: start + begin)
    }
  }

  /// Fills the segments, `length` bytes together, from `offset` of the contents. Padding reads as zeros.
  mutating func read(
    _ segments: [BlockSegment], length: Int64, from storage: TorrentStorage, at offset: Int64
  ) throws(StorageFailure) {
    let map = storage.map
    var cursor = Cursor()
    for span in storage.layout.spans(from: offset, length: length) {
      let isWhole = span.length == length
      if !isWhole {
        part.removeAll(keepingCapacity: true)
        cursor.advance(span.length, of: segments, into: &part)
      }
      switch map.placements[span.file] {
      case .none: zero(isWhole ? segments : part)
      case .own:
        let file = try cache.file(span.file, of: storage, map: map, writing: false)
        try cache.look(at: file, number: span.file, of: storage, map: map, operation: .read)
        try read(
          isWhole ? segments : part, span.length, file, span.file, of: storage, map: map, at: span.offset)
      case .part:
        let whole = isWhole ? segments : part
        try readFromPartFile(whole, span: span, of: storage, map: map)
      }
    }
  }

  private mutating func read(
    _ segments: [BlockSegment], _ length: Int64, _ file: OpenFile, _ number: Int, of storage: TorrentStorage,
    map: FileMap, at offset: Int64
  ) throws(StorageFailure) {
    calls += 1
    let count: Int
    do throws(SystemError) {
      count = try fileSystem.read(into: segments.span, of: pool, from: file.descriptor, at: offset)
    } catch {
      throw StorageFailure(
        .read, errno: error.code, path: "\(map.root)/\(storage.path(ofFile: number))", file: number)
    }
    if Int64(count) < length {
      throw StorageFailure(
        .read, .fileTruncated, path: "\(map.root)/\(storage.path(ofFile: number))", file: number)
    }
  }

  private mutating func readFromPartFile(
    _ segments: [BlockSegment], span: FileSpan, of storage: TorrentStorage, map: FileMap
  ) throws(StorageFailure) {
    guard let partFile = map.partFile else { preconditionFailure("a file is placed in no part file") }
    let number = storage.files.count
    let file = try cache.file(number, of: storage, map: map, writing: false)
    var cursor = Cursor()
    var piecePart: [BlockSegment] = []
    for (piece, begin, length) in storage.piecewise(span) {
      piecePart.removeAll(keepingCapacity: true)
      cursor.advance(length, of: segments, into: &piecePart)
      guard let start = partFile.offset(of: piece) else {
        throw StorageFailure(.read, .fileMissing, path: "\(map.root)/\(partFile.name)", file: number)
      }
      try read(piecePart, length, file, number, of: storage, map: map, at: start + begin)
    }
  }

  private func zero(_ segments: [BlockSegment]) {
    for segment in segments {
      pool.withMutableBytes(of: segment.block) { bytes in
        for i in Int(segment.offset)..<Int(segment.offset + segment.count) {
          bytes.storeBytes(of: 0, toByteOffset: i, as: UInt8.self)
        }
      }
    }
  }
}
