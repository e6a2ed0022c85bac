/// Has a node of the DHT answer as fast as it can: queries come over sockets from a thousand nodes, each with an address of
/// its own, that answer too, so that the table is full of them.
///
/// Limits are off as far as the clients let them: in both, those per address and in all (a thousand addresses ask
/// hundreds of times a second each), and libtorrent's limit of what it sends.
struct DHTAnswers: Scenario {
  let name = "dht"
  let summary = "ping, find_node and get_peers answered a second and core, over UDP"
  let action: Job.Action? = .answering
  private static let methods = ["ping", "find_node", "get_peers"]

  func points(_ options: Options) -> [Point] {
    [Point(size: 0, piece: 0, connections: options.connections?.first ?? 1000)]
  }

  func run(_ point: Point, _ client: any Client, _ bench: Bench, _ instrument: Instrument) throws(Failure)
    -> Run
  {
    let stage = try bench.stage(client)
    defer { stage.clear() }
    let generator = try Child(
      Command(
        arguments: [
          bench.home.load, "dht", "--peers", "\(point.connections)", "--listen", "\(Place.peerPort)",
          "--connect",
          "\(Place.client):\(Place.nodePort)", "--limit", "120",
        ], log: bench.log("generator")), name: "the load generator")
    try generator.waitForEvent("started", seconds: 20)
    var job = Job(action: .answering, folder: stage.data, work: stage.work)
    job.address = Place.client
    job.node = "\(Place.peer(0)):\(Place.peerPort)"
    let running = try bench.start(client, job, instrument)
    // It finds its way in, and then neighbours, one search after the other.
    running.idle(seconds: bench.options.quick ? 3 : 10)
    let seconds = bench.options.quick ? 1.0 : 4.0
    var figures: [Figure] = []
    var total = Usage()
    var answered = 0.0
    for method in Self.methods {
      // What is met for the first time is asked to prove itself; nobody counts that.
      _ = try ask(generator, method, 0.5)
      let before = running.status.usage ?? Usage()
      let counts = try ask(generator, method, seconds)
      let used = (running.status.usage ?? Usage()) - before
      total.user += used.user
      total.system += used.system
      answered += counts.answered
      let processor = used.user + used.system
      figures += [
        Figure(name: method, value: counts.answered / counts.seconds, unit: "/s", kind: .time),
        Figure(name: method, value: processor / counts.answered * 1e6, unit: "CPU µs", kind: .time),
        Figure(name: method, value: counts.answered / processor, unit: "/s a core", kind: .time),
      ]
    }
    figures.append(
      Figure(name: "in all", value: answered / (total.user + total.system), unit: "/s a core", kind: .time))
    running.sample()
    generator.closeInput()
    let load = try generator.report()
    _ = try running.end()
    return Run(
      bytes: 0, wall: seconds * Double(Self.methods.count), usage: total, peakResident: running.peakResident,
      generator: nil,
      figures: figures + [
        Figure(name: "generator", value: load.usage.user + load.usage.system, unit: "CPU s", kind: .time)
      ])
  }

  private func ask(
    _ generator: Child, _ method: String, _ seconds: Double
  ) throws(Failure) -> (answered: Double, seconds: Double) {
    generator.say("\(method) \(seconds)")
    let counts = try generator.waitForEvent("asked", seconds: seconds + 20)
    guard let sent = counts.number("sent"), let answered = counts.number("answered"),
      let took = counts.number("seconds"), let wrong = counts.number("wrong"),
      let errors = counts.number("errors"),
      sent > 0
    else { throw Failure("the load generator did not report") }
    guard wrong == 0, errors == 0 else {
      throw Failure("\(Int(wrong)) answers to \(method) were wrong, \(Int(errors)) were errors")
    }
    guard answered >= 0.95 * sent else {
      throw Failure("only \(Int(answered)) of \(Int(sent)) \(method) were answered")
    }
    return (answered, took)
  }
}
