import BlockPool

/// The files that are mapped, so that what mappings take is bounded: a page of the system's tables for each 2 MiB that
/// something was sent of.
final class MappedFiles {
  private struct Entry {
    weak var file: OpenFile?
  }

  private static let limit = 32
  /// Each use fills at most two pages of tables, and leaves behind what the system mapped around it.
  private static let useLimit = 64
  private var entries: [Entry] = []
  private var uses = 0

  deinit {
    for entry in entries { entry.file?.unmap() }
  }

  func mapping(of file: OpenFile, length: Int64) -> FileMapping? {
    if uses == MappedFiles.useLimit { unmapAll() }
    guard let found = file.map(length: length) else { return nil }
    uses += 1
    if found.isNew {
      if entries.count == MappedFiles.limit { unmapAll() }
      entries.append(Entry(file: file))
    }
    return found.mapping
  }

  private func unmapAll() {
    for entry in entries { entry.file?.unmap() }
    entries.removeAll(keepingCapacity: true)
    uses = 0
  }
}
