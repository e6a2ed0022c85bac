import TorrentModel

/// Rate limits that contain each other: all torrents, one torrent, one class of peers. Bytes are granted only if every
/// limit up to the root has them. Confined to one loop; one tree for each direction.
public struct RateLimitTree {
  /// A limit in the tree.
  @frozen
  public struct Node: Hashable, Sendable {
    let index: Int32
  }

  private struct Entry {
    var bucket: TokenBucket
    /// -1 for the root, -2 for an entry that is free.
    var parent: Int32
    var children: Int32 = 0
  }

  private var entries: [Entry]
  private var free: [Int32] = []

  /// The limit that contains all others.
  public var root: Node { Node(index: 0) }

  /// - Parameter rate: bytes a second of the root; `nil` is unlimited.
  public init(rate: Int?, now: Moment) {
    entries = [Entry(bucket: TokenBucket(rate: rate, now: now), parent: -1)]
  }

  /// A new limit inside `parent`. `rate` in bytes a second; `nil` is unlimited.
  public mutating func addNode(inside parent: Node, rate: Int?, now: Moment) -> Node {
    checkNode(parent)
    let entry = Entry(bucket: TokenBucket(rate: rate, now: now), parent: parent.index)
    entries[Int(parent.index)].children += 1
    if let index = free.popLast() {
      entries[Int(index)] = entry
      return Node(index: index)
    }
    entries.append(entry)
    return Node(index: Int32(entries.count - 1))
  }

  /// - Precondition: `node` contains no other limit and is not the root.
  public mutating func removeNode(_ node: Node) {
    checkNode(node)
    let index = Int(node.index)
    precondition(index > 0 && entries[index].children == 0, "a limit in use is removed")
    entries[Int(entries[index].parent)].children -= 1
    entries[index].parent = -2
    free.append(node.index)
  }

  public func rate(of node: Node) -> Int? { entries[Int(node.index)].bucket.rate }

  public mutating func setRate(_ rate: Int?, of node: Node, now: Moment) {
    checkNode(node)
    entries[Int(node.index)].bucket.setRate(rate, now: now)
  }

  /// Takes up to `wanted` bytes from `node` and all that contain it; returns how many.
  public mutating func grant(_ wanted: Int, from node: Node, now: Moment) -> Int {
    checkNode(node)
    var granted = max(0, wanted)
    var index = node.index
    while index >= 0, granted > 0 {
      granted = min(granted, entries[Int(index)].bucket.available(now: now))
      index = entries[Int(index)].parent
    }
    if granted > 0 { charge(granted, to: node, now: now) }
    return granted
  }

  /// Takes `bytes` even if the buckets go below zero: for what was already on its way.
  public mutating func charge(_ bytes: Int, to node: Node, now: Moment) {
    checkNode(node)
    var index = node.index
    while index >= 0 {
      entries[Int(index)].bucket.charge(bytes, now: now)
      index = entries[Int(index)].parent
    }
  }

  /// When ``grant(_:from:now:)`` could give `bytes`, or a full bucket where that is less. Others may be quicker: ask again then.
  public func nextAvailable(_ bytes: Int, from node: Node, now: Moment) -> Moment {
    checkNode(node)
    var moment = now
    var index = node.index
    while index >= 0 {
      moment = max(moment, entries[Int(index)].bucket.nextAvailable(bytes, now: now))
      index = entries[Int(index)].parent
    }
    return moment
  }

  private func checkNode(_ node: Node) {
    precondition(entries[Int(node.index)].parent != -2, "a removed limit is used")
  }
}
