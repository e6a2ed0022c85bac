/// Finds out where symbolic links lead in the end (BEP 47).
///
/// Targets are paths from the torrent's folder. Torrents of older programs hold some that are meant from the link's own
/// folder: those are tried second. A path may lead through other links, as in the frameworks of macOS. What comes out
/// is always a file or folder of the torrent that is no link itself, so that nothing on disk ever leads outside; a link
/// to nothing, or in a circle, has no target.
struct LinkResolver {
  /// A link with the safe names of its target, outermost first.
  struct Link {
    var file: UInt32
    /// The folder it is in.
    var folder: UInt32
    var components: [[UInt8]]
  }

  private enum State {
    case inProgress
    case done(FileTableStorage.Node?)
  }

  private let taken: TakenNames
  private let links: [UInt32: Link]
  private var states: [UInt32: State] = [:]

  /// How many links may follow each other; Linux gives up after as many.
  private static let depthLimit = 40

  init(_ links: [Link], _ taken: TakenNames) {
    self.taken = taken
    self.links = Dictionary(links.map { ($0.file, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// Where the link that is file number `file` leads.
  mutating func target(ofLink file: UInt32) -> FileTableStorage.Node? { resolve(file, depth: 0) }

  /// Every link is resolved once; the depth bounds the recursion.
  private mutating func resolve(_ file: UInt32, depth: Int) -> FileTableStorage.Node? {
    switch states[file] {
    case .done(let node)?: return node
    case .inProgress?: return nil
    case nil: break
    }
    guard depth < Self.depthLimit, let link = links[file] else { return nil }
    states[file] = .inProgress
    var node = walk(link.components, from: 0, depth: depth)
    if node == nil && link.folder != 0 { node = walk(link.components, from: link.folder, depth: depth) }
    states[file] = .done(node)
    return node
  }

  private mutating func walk(_ components: [[UInt8]], from start: UInt32, depth: Int) -> FileTableStorage
    .Node?
  {
    var folder = start
    for (place, name) in components.enumerated() {
      guard var node = taken.node(named: name, in: folder) else { return nil }
      if case .file(let file) = node, links[file] != nil {
        guard let target = resolve(file, depth: depth + 1) else { return nil }
        node = target
      }
      if place == components.count - 1 { return node }
      guard case .folder(let next) = node else { return nil }
      folder = next
    }
    return nil
  }
}
