/// One thing that is measured. A scenario knows how to make a single run; turns, medians, counting and printing are the
/// bench's.
protocol Scenario: Sendable {
  var name: String { get }
  var summary: String { get }
  /// What a client must be able to do; nil: no client takes part, Spate's own rooms are measured in a process of theirs.
  var action: Job.Action? { get }
  func points(_ options: Options) -> [Point]
  /// A smaller and a larger point whose difference shows the counts per block; nil: nothing to count.
  func countingPoints(_ point: Point) -> (Point, Point)?
  func run(_ point: Point, _ client: any Client, _ bench: Bench, _ instrument: Instrument) throws(Failure)
    -> Run
}

extension Scenario {
  func countingPoints(_ point: Point) -> (Point, Point)? { nil }

  func deadline(_ point: Point) -> Double { 90 + Double(point.bytes) / (20 * mib) }
}

/// What the command line asks for.
struct Options {
  var clients: [any Client] = []
  var connections: [Int]?
  var pieces: [Int]?
  var size: Int?
  var items: Int?
  var runs = 5
  var quick = false
  var counts = true
  var verify = true
  /// Whether a scenario that has limits of time fails above them.
  var holdsTimes = true
  /// MiB to warm before a run; nil: what a run may take.
  var warmMiB: Int?

  /// The usual plane: every number of connections at the usual piece length, every piece length at the usual number.
  func plane(size full: Int, quick small: Int) -> [Point] {
    let size = self.size ?? (quick ? small : full)
    let connections = self.connections ?? (quick ? [20] : [20, 1, 200])
    let pieces = self.pieces ?? (quick ? [1 << 20] : [1 << 20, 16 << 10, 16 << 20])
    let usualConnections = connections.contains(20) ? 20 : connections[0]
    let usualPiece = pieces.contains(1 << 20) ? 1 << 20 : pieces[0]
    return connections.map { Point(size: size, piece: usualPiece, connections: $0) }
      + pieces.filter { $0 != usualPiece }.map { Point(size: size, piece: $0, connections: usualConnections) }
  }
}

enum Scenarios {
  static let all: [any Scenario] = [
    Download(), SeedScenario(), BothWays(), Check(), Create(), Connections(), Torrents(), SmallFiles(),
    Stall(), Magnet(), DHTAnswers(),
    RoomScenario(name: "hash", summary: "every hash kernel and the lanes over them", benchmarks: ["hash."]),
    RoomScenario(
      name: "pick", summary: "choosing and book-keeping per block, by pieces and peers", benchmarks: ["pick."]
    ),
    RoomScenario(
      name: "micro", summary: "bencode, message decoding, bitfields, the block pool",
      benchmarks: ["bencode.", "messages.", "bitfield.", "pool."]),
  ]

  static func named(_ names: [String]) throws(Failure) -> [any Scenario] {
    if names.contains("all") { return all }
    var found: [any Scenario] = []
    for name in names {
      guard let scenario = all.first(where: { $0.name == name }) else {
        throw Failure("no scenario \"\(name)\"; known are all, \(all.map(\.name).joined(separator: ", "))")
      }
      found.append(scenario)
    }
    return found
  }
}
