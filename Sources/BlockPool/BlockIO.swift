import Glibc

/// Part of a block: what one entry of a vectored read or write covers.
@frozen
public struct BlockSegment: Hashable, Sendable {
  public var block: BlockID
  /// Bytes from the start of the block.
  public var offset: UInt32
  /// Bytes. `offset + count` is at most 16 KiB.
  public var count: UInt32

  @inlinable
  public init(block: BlockID, offset: Int = 0, count: Int) {
    precondition(offset >= 0 && count >= 0 && offset + count <= BlockPool.blockLength)
    self.block = block
    self.offset = UInt32(offset)
    self.count = UInt32(count)
  }
}

/// A system call failed.
@frozen
public struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The `errno` value.
  public var code: CInt
  @inlinable public init(code: CInt) { self.code = code }
  public var description: String { unsafe String(cString: strerror(code)) }
}

extension BlockPool {
  /// Entries of one system call: Linux takes 1024 (`IOV_MAX`).
  static let vectorLimit = 1024

  /// Writes the segments end to end at `offset` of a file, in as few calls as the system allows (a call per 1024 segments).
  /// Returns the number of system calls.
  /// - Throws: the error of `pwritev`; what was written before it stays written.
  @discardableResult
  public func write(_ segments: Span<BlockSegment>, to descriptor: CInt, at offset: Int64) throws(SystemError)
    -> Int
  {
    let result = unsafe transfer(segments, at: offset) { vector, count, position in
      unsafe pwritev(descriptor, vector, count, position)
    }
    // A write of zero bytes cannot make progress; the system gives it for nothing we ask, but it must not spin.
    if result.code != 0 { throw SystemError(code: result.code) }
    if result.isShort { throw SystemError(code: EIO) }
    return result.calls
  }

  /// Reads into the segments, end to end, from `offset` of a file. Returns the bytes read, fewer than asked for at the
  /// end of the file.
  public func read(into segments: Span<BlockSegment>, from descriptor: CInt, at offset: Int64)
    throws(SystemError) -> Int
  {
    let result = unsafe transfer(segments, at: offset) { vector, count, position in
      unsafe preadv(descriptor, vector, count, position)
    }
    if result.code != 0 { throw SystemError(code: result.code) }
    return result.bytes
  }

  /// Reads into the segments, end to end, with one call: `call` is `preadv` or something like it.
  /// - Returns: what `call` returned; of a failure `errno` says more.
  /// - Precondition: there are 1 to 1024 segments.
  @unsafe
  public func readOnce(
    into segments: Span<BlockSegment>, _ call: (_ vectors: UnsafePointer<iovec>, _ count: CInt) -> Int
  ) -> Int {
    precondition(segments.count > 0 && segments.count <= BlockPool.vectorLimit)
    return unsafe withUnsafeTemporaryAllocation(of: iovec.self, capacity: segments.count) { vectors in
      for i in segments.indices {
        let segment = segments[i]
        unsafe vectors.initializeElement(
          at: i,
          to: iovec(iov_base: address(of: segment.block) + Int(segment.offset), iov_len: Int(segment.count)))
      }
      return unsafe call(vectors.baseAddress!, CInt(segments.count))
    }
  }

  private struct Transfer {
    var bytes = 0
    var calls = 0
    var code: CInt = 0
    var isShort = false
  }

  private func transfer(
    _ segments: Span<BlockSegment>, at offset: Int64,
    _ call: (UnsafePointer<iovec>, CInt, off_t) -> Int
  ) -> Transfer {
    var result = Transfer()
    var next = 0
    var skip = 0  // bytes of `segments[next]` already moved
    unsafe withUnsafeTemporaryAllocation(
      of: iovec.self, capacity: max(1, min(segments.count, BlockPool.vectorLimit))
    ) { vector in
      while next < segments.count {
        var taken = 0
        var entries = 0
        var wanted = 0
        while next + taken < segments.count {
          let segment = segments[next + taken]
          let done = taken == 0 ? skip : 0
          let start = unsafe address(of: segment.block) + Int(segment.offset) + done
          let count = Int(segment.count) - done
          // Neighbours in the slab are one stretch to the system.
          if entries > 0, unsafe vector[entries - 1].iov_base + vector[entries - 1].iov_len == start {
            unsafe vector[entries - 1].iov_len += count
          } else {
            guard entries < vector.count else { break }
            unsafe vector.initializeElement(at: entries, to: iovec(iov_base: start, iov_len: count))
            entries += 1
          }
          wanted += count
          taken += 1
        }
        if wanted == 0 {
          next += taken
          skip = 0
          continue
        }
        let moved = unsafe call(vector.baseAddress!, CInt(entries), off_t(offset) + result.bytes)
        result.calls += 1
        if moved < 0 {
          if errno == EINTR { continue }
          result.code = errno
          return
        }
        if moved == 0 {
          result.isShort = true
          return
        }
        result.bytes += moved
        var rest = moved + skip
        skip = 0
        while rest > 0 {
          let count = Int(segments[next].count)
          if rest < count {
            skip = rest
            break
          }
          rest -= count
          next += 1
        }
      }
    }
    return result
  }
}
