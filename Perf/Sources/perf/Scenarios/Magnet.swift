import Foundation

/// From a magnet link to the first piece, where nothing but the DHT knows who has it: nodes of a network on loopback, each
/// a process and an address of its own, one seeder that is announced there, and a client that starts with an empty
/// state folder and the address of one node.
struct Magnet: Scenario {
  let name = "magnet"
  let summary = "magnet link to first verified piece, by a DHT of 50 nodes alone"
  let action: Job.Action? = .magnet
  /// What is asked for, in seconds.
  private static let mostSeconds = 1.0
  private static let downloads = (full: 11, quick: 3)

  /// The torrent is one piece, so that its completion is the first piece's verification.
  func points(_ options: Options) -> [Point] {
    let piece = options.pieces?.first ?? 256 << 10
    return [Point(size: piece, piece: piece, connections: options.connections?.first ?? 50)]
  }

  func run(_ point: Point, _ client: any Client, _ bench: Bench, _ instrument: Instrument) throws(Failure)
    -> Run
  {
    let torrent = try bench.torrent(Shape(point))
    let data = try bench.data(of: torrent)
    let network = try Network(point.connections, bench)
    defer { network.clear() }
    let announced = try network.seed(torrent, data)
    let count = bench.options.quick ? Self.downloads.quick : Self.downloads.full
    var times: [Double] = []
    var usage = Usage()
    var peak = 0
    for number in 0..<count {
      let stage = try bench.stage(client)
      defer { stage.clear() }
      var job = Job(action: .magnet, torrents: [network.link], folder: stage.data, work: stage.work)
      job.node = network.node(number * 7 % point.connections)
      job.address = Network.address(3, number)
      let began = bench.now
      let running = try bench.start(client, job, instrument)
      times.append(try running.complete(seconds: 60) - began)
      let used = try running.end()
      if bench.options.verify { try bench.verify(torrent, in: stage.data) }
      usage.user += used.user
      usage.system += used.system
      peak = max(peak, running.peakResident)
    }
    times.sort()
    let median = perf.median(times)
    if bench.options.holdsTimes, median >= Self.mostSeconds {
      throw Failure("it took \(Table.figure(median)) s")
    }
    func figure(_ name: String, _ seconds: Double) -> Figure {
      Figure(name: name, value: seconds * 1000, unit: "ms", kind: .time)
    }
    return Run(
      bytes: 0, wall: median, usage: usage, peakResident: peak,
      figures: [
        figure("to the first piece, median", median), figure("p90", times[(times.count * 9 - 1) / 10]),
        figure("max", times[times.count - 1]), figure("until a seeder is found", announced),
      ])
  }

  /// The nodes and the seeder: always Spate's own, whoever is measured.
  private final class Network {
    /// What a person is given: nothing but the info-hash.
    private(set) var link = ""
    private let bench: Bench
    private let client = Spate()
    private var stages: [Stage] = []
    private var running: [Running] = []
    private let count: Int

    /// Nodes, seeders and clients are in subnets of their own.
    static func address(_ subnet: Int, _ index: Int) -> String {
      "10.77.\(200 + subnet).\(1 + index % 250)"
    }

    func node(_ index: Int) -> String { "\(Self.address(1, index)):\(Place.nodePort)" }

    /// Starts nodes that know the first one, and no other.
    init(_ count: Int, _ bench: Bench) throws(Failure) {
      guard (2...250).contains(count) else { throw Failure("a network has 2 to 250 nodes") }
      self.bench = bench
      self.count = count
      for index in 0..<count {
        try start(.node, Self.address(1, index), node: index == 0 ? "" : node(0))
        try running[index].child.wait(seconds: 20, for: "its address") { $0.text.contains(":") }
      }
      // Tables fill from the nodes' own searches.
      running[0].idle(seconds: 3)
    }

    private func start(
      _ action: Job.Action, _ address: String, node: String, torrents: [String] = [], data: String? = nil
    ) throws(Failure) {
      let stage = try bench.stage(client)
      stages.append(stage)
      var job = Job(
        action: action, torrents: torrents, folder: data ?? stage.data, work: stage.work)
      job.address = address
      job.node = node
      running.append(try bench.start(client, job, .none))
    }

    /// Starts the seeder, and waits until somebody who asks the DHT finds it. Returns how long that took, in seconds.
    func seed(_ torrent: String, _ data: String) throws(Failure) -> Double {
      let lines = try Child.run([bench.home.spate, "magnet", torrent], name: "spate magnet", seconds: 20)
      link = lines.first.map { String($0.text.prefix { $0 != "&" }) } ?? ""
      guard let hash = link.split(separator: ":").last else { throw Failure("no link") }
      let began = bench.now
      try start(.announced, Self.address(2, 0), node: node(1), torrents: [torrent], data: data)
      while bench.now - began < 60 {
        let lines = try? Child.run(
          [
            bench.home.spate, "dht", "peers", String(hash), "--bind", Self.address(2, 1), "--dht-port", "0",
            "--no-public-nodes", "--dht-node", node(count - 1), "--timeout", "5s",
          ], name: "spate dht peers", seconds: 20)
        if lines?.contains(where: { $0.text.contains(Self.address(2, 0)) }) == true {
          return bench.now - began
        }
      }
      throw Failure("nobody found the seeder in the DHT")
    }

    func clear() {
      for each in running { each.child.signal(SIGTERM) }
      for each in running { _ = try? each.end() }
      for stage in stages { stage.clear() }
    }
  }
}
