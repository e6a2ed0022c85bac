import BlockPool
import Hashing
import Synchronization
import TorrentModel

/// One torrent as Storage sees it: where its files are, how they divide into pieces, what the pieces hash to, and where
/// its completions go.
///
/// The facts are immutable. What changes is small and guarded: where files are placed changes only in jobs that run alone.
public final class TorrentStorage: Sendable {
  public let infoHash: InfoHash
  public let layout: FileLayout
  public let geometry: PieceGeometry
  public let files: [StorageFile]
  public let allocation: FileAllocation
  /// Whatever the owner wants to find its torrent by when a completion arrives.
  public let tag: UInt64
  /// The folder of resume records; nil keeps none.
  private let recordFolder: String?
  /// Stands for the folder that the torrent was added with.
  private let rootKey: UInt64
  let port: CompletionPort
  let pieceHashes: ArraySlice<UInt8>
  /// Tells torrents apart within the process, one info-hash in two sessions included.
  let id: UInt32

  private static let lastID = Atomic<UInt32>(0)

  private let currentMap: Lock<FileMap>
  private let books: Lock<Books>
  let gate: Lock<Gate>
  /// Blocks are not taken: not opened yet, closed, or failed.
  let isStopped = Atomic<Bool>(true)
  /// What decides which way its writes go.
  let writing = WriteGauge()
  /// How many `check` and `hash` jobs were posted and were started, and up to which of them all are cancelled.
  let longJobs = Atomic<Int>(0)
  let startedLongJobs = Atomic<Int>(0)
  let cancelledLongJobs = Atomic<Int>(0)

  private struct Books {
    /// Bytes that each file must have by now, the part file last; -1 for a file that is not there.
    var sizes: [Int64]
    /// What each file looked like when its contents were last known, the part file last. For a file in `dirty` the time
    /// is that of our last write to it.
    var stamps: [FileStamp]
    /// Files written to since the last sync.
    var dirty: FileSet
    /// Files not written to, but with contents that nobody may have synced: an earlier process left them.
    var unsynced: FileSet
  }

  /// - Parameters:
  ///   - root: the folder that file paths are below. It may be, or lie behind, a symbolic link.
  ///   - files: as many as `layout` has.
  ///   - pieceHashes: twenty bytes of SHA-1 for each piece; empty for a torrent in the making (``DiskJob/Work/hash``).
  ///   - wanted: which files to have, by number; nil for all.
  public init(
    infoHash: InfoHash, root: String, files: [StorageFile], layout: FileLayout, geometry: PieceGeometry,
    pieceHashes: ArraySlice<UInt8>, allocation: FileAllocation = .ahead, wanted: [Bool]? = nil,
    recordFolder: String? = nil, tag: UInt64 = 0, port: CompletionPort
  ) {
    precondition(files.count == layout.fileCount && layout.totalLength == geometry.totalLength)
    precondition(wanted.map { $0.count == files.count } ?? true)
    precondition(pieceHashes.isEmpty || pieceHashes.count == geometry.pieceCount * 20)
    self.infoHash = infoHash
    self.layout = layout
    self.geometry = geometry
    self.files = files
    self.allocation = allocation
    self.tag = tag
    self.recordFolder = recordFolder
    // FNV-1a: a name, not a secret; the record itself says what it belongs to.
    self.rootKey = root.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    self.port = port
    self.pieceHashes = pieceHashes
    self.id = TorrentStorage.lastID.add(1, ordering: .relaxed).newValue
    let wanted = wanted ?? [Bool](repeating: true, count: files.count)
    self.currentMap = Lock(FileMap(root: root, wanted: wanted, files: files))
    self.books = Lock(
      Books(
        sizes: [Int64](repeating: -1, count: files.count + 1),
        stamps: [FileStamp](repeating: .missing, count: files.count + 1),
        dirty: FileSet(capacity: files.count + 1), unsynced: FileSet(capacity: files.count + 1)))
    self.gate = Lock(Gate())
  }

  /// Where the resume record lives; nil keeps none. One for each torrent in each folder: the same torrent may be in two.
  /// Put together when it is needed, which is rare: thousands of idle torrents would each keep a long string.
  public var recordPath: String? {
    recordFolder.map { "\($0)/\(infoHash.hex)-\(String(rootKey, radix: 16)).resume" }
  }

  /// Whether there is a record to keep.
  public var keepsRecord: Bool { recordFolder != nil }

  /// The folder that the files are below at the moment.
  public var root: String { map.root }

  /// Stops a running or waiting `check` or `hash` soon. Any thread may call it.
  public func cancelLongJob() {
    cancelledLongJobs.max(longJobs.load(ordering: .relaxed), ordering: .relaxed)
  }

  func isCancelled(longJob number: Int) -> Bool { cancelledLongJobs.load(ordering: .relaxed) >= number }
}

extension TorrentStorage {
  var map: FileMap { currentMap.withLock { $0 } }

  /// Only in a job that runs alone.
  func setMap(_ map: FileMap) { currentMap.withLock { $0 = map } }

  /// Below the root. The part file has the number behind the last file.
  func path(ofFile number: Int) -> String {
    number < files.count ? files[number].path : PartFile.name(of: infoHash)
  }

  /// Bytes that the file must have by now; -1 when it is not there.
  func knownSize(ofFile number: Int) -> Int64 { books.withLock { $0.sizes[number] } }

  func setKnownSize(_ size: Int64, ofFile number: Int) {
    books.withLock { $0.sizes[number] = max($0.sizes[number], size) }
  }

  /// A write to a file succeeded, up to `end`.
  func noteWrite(toFile number: Int, end: Int64) {
    let now = realTimeNow()
    books.withLock { books in
      books.sizes[number] = max(books.sizes[number], end)
      books.dirty[number] = true
      books.stamps[number].modified = now
    }
  }

  /// The file is written anew from its start: how long it was says nothing.
  func noteRestart(ofFile number: Int) { books.withLock { $0.sizes[number] = 0 } }

  /// The file's contents are in doubt: nothing is trusted of it when the torrent is opened again.
  func distrust(file number: Int) {
    books.withLock { books in
      books.dirty[number] = true
      books.stamps[number].modified = .min
    }
  }

  /// A look at all files: `stamps` is what they are like now. Files we wrote to since the last sync stay marked.
  func noteSurvey(_ stamps: [FileStamp], forgettingWrites: Bool) {
    books.withLock { books in
      for number in stamps.indices {
        let stamp = stamps[number]
        let length = number < files.count ? layout.length(of: number) : .max
        books.sizes[number] = min(stamp.size, length)
        if stamp.isMissing {
          books.dirty[number] = false
          books.unsynced[number] = false
        }
        if forgettingWrites, books.dirty[number] {
          books.dirty[number] = false
          books.unsynced[number] = true
        }
        if !books.dirty[number] { books.stamps[number] = stamp }
      }
    }
  }

  /// A file was made, moved or removed in a job that runs alone. It is to be synced if it is there.
  func noteChange(ofFile number: Int, size: Int64) {
    let now = size < 0 ? 0 : realTimeNow()
    books.withLock { books in
      books.sizes[number] = size
      books.dirty[number] = size >= 0
      books.unsynced[number] = false
      books.stamps[number] = FileStamp(size: size, modified: now)
    }
  }

  /// Pieces of these files were found to be right by reading them.
  func noteRead(_ files: FileSet) { books.withLock { $0.unsynced.formUnion(files) } }

  /// Whether a file is what this process left: nothing but our own writes changed it since its contents were known.
  func isAsLeft(file number: Int, _ now: FileStamp) -> Bool {
    books.withLock { books in
      let then = books.stamps[number]
      if books.dirty[number] { return now.size >= books.sizes[number] && now.modified <= then.modified }
      return now == then
    }
  }

  /// Files that a sync has to cover.
  struct Unsynced {
    /// Written to: they look different since.
    var written: FileSet
    var others: FileSet
  }

  /// Takes the list of files that a sync has to cover.
  func takeUnsynced() -> Unsynced {
    books.withLock { books in
      let taken = Unsynced(written: books.dirty, others: books.unsynced)
      books.dirty.removeAll()
      books.unsynced.removeAll()
      return taken
    }
  }

  /// A sync failed: its files are to be synced still.
  func putBack(_ unsynced: Unsynced) {
    books.withLock { books in
      books.dirty.formUnion(unsynced.written)
      books.unsynced.formUnion(unsynced.others)
    }
  }

  /// After a sync: what the files look like that were written to. Returns what all files looked like when their contents
  /// were last known.
  func noteSync(_ written: [(file: Int, stamp: FileStamp)]) -> [FileStamp] {
    books.withLock { books in
      var stamps = books.stamps
      for (file, stamp) in written {
        stamps[file] = stamp
        if !books.dirty[file] { books.stamps[file] = stamp }
      }
      return stamps
    }
  }

  /// Whether `digest` is the SHA-1 that a piece must have.
  func isRight(_ digest: SHA1Digest, for piece: PieceIndex) -> Bool {
    let start = pieceHashes.startIndex + piece.offset * SHA1Digest.byteCount
    let expected = pieceHashes[start..<start + SHA1Digest.byteCount]
    return digest == SHA1Digest(expected.span)
  }

  /// The piece that holds a byte of the contents.
  func piece(at offset: Int64) -> PieceIndex { PieceIndex(Int(offset / Int64(geometry.pieceLength))) }

  /// Cuts a run inside one file at the bounds of pieces: for each the bytes from the piece's start, and the length.
  func piecewise(_ span: FileSpan) -> [(piece: PieceIndex, begin: Int64, length: Int64)] {
    let start = layout.start(of: span.file) + span.offset
    let end = start + span.length
    return geometry.pieces(from: start, length: span.length).map { index in
      let piece = PieceIndex(index)
      let pieceStart = geometry.start(of: piece)
      let from = max(start, pieceStart)
      let to = min(end, pieceStart + Int64(geometry.length(of: piece)))
      return (piece, from - pieceStart, to - from)
    }
  }
}
