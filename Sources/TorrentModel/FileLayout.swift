/// A run of bytes inside one file of a torrent.
@frozen
public struct FileSpan: Hashable, Sendable {
  /// Number of the file in the torrent's own order, padding files counted.
  public var file: Int
  /// Bytes from the start of the file.
  public var offset: Int64
  /// Bytes, never zero.
  public var length: Int64

  @inlinable public init(file: Int, offset: Int64, length: Int64) {
    self.file = file
    self.offset = offset
    self.length = length
  }
}

/// How a torrent's contents, one long run of bytes, divide into files (BEP 3). Lengths and offsets are in bytes.
public struct FileLayout: Hashable, Sendable {
  /// Where each file starts in the contents, and behind the last one where the contents end.
  @usableFromInline let bounds: [Int64]

  /// The files in order. Returns nil if a length is negative or their sum does not fit 63 bits.
  public init?(lengths: some Sequence<Int64>) {
    var bounds: [Int64] = [0]
    var end: Int64 = 0
    for length in lengths {
      let (sum, overflow) = end.addingReportingOverflow(length)
      guard length >= 0, !overflow else { return nil }
      end = sum
      bounds.append(end)
    }
    self.bounds = bounds
  }

  @inlinable public var fileCount: Int { bounds.count - 1 }
  @inlinable public var totalLength: Int64 { bounds[bounds.count - 1] }

  /// Offset of the first byte of `file` in the contents.
  @inlinable public func start(of file: Int) -> Int64 { bounds[file] }
  /// Bytes in `file`.
  @inlinable public func length(of file: Int) -> Int64 { bounds[file + 1] - bounds[file] }

  /// The number of the file that holds the byte at `offset`; `fileCount` for an offset at or behind the end.
  /// Files of no length hold no byte.
  public func file(at offset: Int64) -> Int {
    // The first bound above `offset` ends the file that holds it.
    var low = 0
    var high = bounds.count
    while low < high {
      let middle = (low + high) / 2
      if bounds[middle] <= offset { low = middle + 1 } else { high = middle }
    }
    return max(0, min(low - 1, fileCount))
  }

  /// The spans that `length` bytes from `offset` of the contents fall into, in order, cut at the end of the contents.
  @inlinable public func spans(from offset: Int64, length: Int64) -> Spans {
    Spans(layout: self, offset: max(0, offset), end: min(totalLength, offset + max(0, length)))
  }

  /// The spans of one piece.
  @inlinable public func spans(of piece: PieceIndex, in geometry: PieceGeometry) -> Spans {
    spans(from: geometry.start(of: piece), length: Int64(geometry.length(of: piece)))
  }

  /// The pieces that hold any byte of `file`.
  public func pieces(of file: Int, in geometry: PieceGeometry) -> Range<Int> {
    geometry.pieces(from: start(of: file), length: length(of: file))
  }

  /// Spans in the order of the contents. Iterating allocates nothing.
  public struct Spans: Sequence, IteratorProtocol, Sendable {
    @usableFromInline let layout: FileLayout
    @usableFromInline var offset: Int64
    @usableFromInline let end: Int64
    @usableFromInline var file: Int

    @inlinable init(layout: FileLayout, offset: Int64, end: Int64) {
      self.layout = layout
      self.offset = offset
      self.end = end
      self.file = layout.file(at: offset)
    }

    @inlinable public mutating func next() -> FileSpan? {
      guard offset < end else { return nil }
      while layout.bounds[file + 1] <= offset { file += 1 }
      let stop = Swift.min(end, layout.bounds[file + 1])
      defer { offset = stop }
      return FileSpan(file: file, offset: offset - layout.bounds[file], length: stop - offset)
    }
  }
}
