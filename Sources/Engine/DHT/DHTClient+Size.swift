import DHT
import TorrentModel

/// How a node stands in its network.
extension DHTClient {
  /// Waits until the table has stopped growing for two seconds, or the time is over.
  public func settled(within seconds: Double = defaultTime) async throws(DHTFailure) -> DHTStatus? {
    let start = ContinuousClock.now
    var changed = start
    var count = 0
    while true {
      let status = try await status()
      let now = ContinuousClock.now
      let nodes = status?.networks.reduce(0) { $0 + $1.nodes } ?? 0
      if nodes != count { (count, changed) = (nodes, now) }
      let isQuiet = count > 0 && now - changed >= .seconds(2)
      if isQuiet || now - start >= .seconds(seconds) || Task.isCancelled { return status }
      try? await Task.sleep(for: .milliseconds(100))
    }
  }

  /// About how many nodes a network has, by how near the nearest ones are to points at random.
  public func estimatedSize(
    of family: DHTFamily, within seconds: Double = defaultTime
  ) async throws(DHTFailure) -> Int? {
    var random = SystemRandomNumberGenerator()
    var rates: [Double] = []
    for _ in 0..<4 {
      let target = NodeID(using: &random)
      let result = try await look(.nodes(target), within: seconds)
      if let rate = Self.density(of: result.closest, around: target, family) { rates.append(rate) }
    }
    guard !rates.isEmpty else { return nil }
    return Int(rates.reduce(0, +) / Double(rates.count))
  }

  /// Nodes in the whole space, if it is everywhere as it is around the target. Of k nodes that lie within a distance d,
  /// (k − 1)/d is the estimate without bias.
  static func density(of closest: [DHTContact], around target: NodeID, _ family: DHTFamily) -> Double? {
    let distances =
      closest.filter { $0.endpoint.address.isV4 == (family == .v4) }
      .map { fraction($0.id, target) }.sorted().prefix(8)
    guard let last = distances.last, last > 0 else { return nil }
    // A network of a handful is counted.
    return distances.count < 8 ? Double(distances.count) : 7 / last
  }

  /// The distance of two points as a part of the largest.
  private static func fraction(_ a: NodeID, _ b: NodeID) -> Double {
    let (a, b) = (a.bytes, b.bytes)
    return (0..<7).reduce(0) { $0 + Double(a[$1] ^ b[$1]) / Double(UInt64(1) << UInt64(8 * ($1 + 1))) }
  }
}
