import TorrentModel

/// Rate limits that contain each other: all torrents, one torrent, one class of peers. Bytes are granted only if every
/// limit up to the root has them. Confined to one loop.
public struct RateLimitTree {
  /// A limit in the tree.
  @frozen
  public struct Node: Hashable, Sendable {
    let index: Int32
  }

  public init(rate: Int?, now: Moment) {
    root = Node(index: 0)
  }

  /// The limit that contains all others.
  public let root: Node

  /// A new limit inside `parent`. `rate` in bytes a second; `nil` is unlimited.
  public mutating func addNode(inside parent: Node, rate: Int?, now: Moment) -> Node { root }
  /// - Precondition: `node` contains no other limit and is not the root.
  public mutating func removeNode(_ node: Node) {}
  public mutating func setRate(_ rate: Int?, of node: Node, now: Moment) {}
  /// Takes up to `wanted` bytes from `node` and all that contain it; returns how many.
  public mutating func grant(_ wanted: Int, from node: Node, now: Moment) -> Int { wanted }
  /// Takes `bytes` even if the buckets go below zero: for what was already on its way.
  public mutating func charge(_ bytes: Int, to node: Node, now: Moment) {}
  /// When ``grant(_:from:now:)`` could give `bytes` again.
  public func nextAvailable(_ bytes: Int, from node: Node, now: Moment) -> Moment { now }
}
