import Glibc

/// The bytes of a file at addresses that are for the kernel alone: a system call copies from the page cache to a socket,
/// with no memory of ours in between.
///
/// The process never touches these bytes, so a file that somebody cuts short raises no SIGBUS: the system call fails instead. A
/// call whose bytes are not in memory would wait for the device; ``isResident(_:_:)`` tells before. Pages stay with the
/// process, and count as its memory, until ``release(_:_:)``; the tables that find them stay as long as the mapping does.
@safe
public final class FileMapping: @unchecked Sendable {
  // Neither ever changes, and what is there belongs to the kernel.
  private let start: UnsafeMutableRawPointer
  private let mappedLength: Int
  /// Bytes, as given.
  public let length: Int64

  /// Maps the first `length` bytes of a file that is open for reading. nil where the system refuses to, or does not tell
  /// this process what is in memory (of others' files it says that all of it is).
  public init?(of descriptor: CInt, length: Int64) {
    let page = Int64(FileMapping.pageLength)
    guard length > 0, length <= Int64.max - 2 * page else { return nil }
    let end = (length + page - 1) / page * page
    // And a page behind the end of the file, which cannot be in memory.
    mappedLength = Int(end + page)
    self.length = length
    let mapped = unsafe mmap(nil, mappedLength, PROT_READ, MAP_SHARED, descriptor, 0)
    guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else { return nil }
    unsafe start = unsafe mapped
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0, Int64(status.st_size) <= end, !isResident(end, 1) else {
      return nil
    }
  }

  deinit { unsafe munmap(start, mappedLength) }

  /// Whether all of `count` bytes from `offset` on are in memory at this moment.
  public func isResident(_ offset: Int64, _ count: Int) -> Bool {
    let pages = range(offset, count, alignment: FileMapping.pageLength)
    let pageCount = pages.count / FileMapping.pageLength
    return unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: pageCount) { flags in
      guard unsafe mincore(start + pages.lowerBound, pages.count, flags.baseAddress!) == 0 else {
        return false
      }
      for i in 0..<pageCount where unsafe flags[i] & 1 == 0 { return false }
      return true
    }
  }

  /// Where the byte at `offset` is, for a system call that reads `count` bytes.
  @unsafe
  public func address(of offset: Int64, _ count: Int) -> UnsafeMutableRawPointer {
    precondition(offset >= 0 && count >= 0 && offset <= length && count <= length - offset)
    return unsafe start + Int(offset)
  }

  /// Takes the pages of `count` bytes from `offset` on out of the process; they stay in the page cache.
  public func release(_ offset: Int64, _ count: Int) {
    let pages = range(offset, count, alignment: FileMapping.faultLength)
    unsafe madvise(start + pages.lowerBound, pages.count, MADV_DONTNEED)
  }

  private func range(_ offset: Int64, _ count: Int, alignment: Int) -> Range<Int> {
    precondition(
      offset >= 0 && count > 0 && offset <= Int64(mappedLength) && count <= mappedLength - Int(offset))
    let end = (Int(offset) + count + alignment - 1) / alignment * alignment
    return Int(offset) / alignment * alignment..<min(end, mappedLength)
  }

  static let pageLength = max(4096, Int(sysconf(CInt(_SC_PAGESIZE))))
  /// A fault brings in the neighbours of a page as well: 64 KiB in all, unless somebody changed that.
  private static let faultLength = max(65536, pageLength)
}
