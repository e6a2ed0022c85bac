import ArgumentParser
import Engine

/// Our node's place in its networks.
struct DHTStatusDocument: Encodable {
  struct Network: Encodable {
    let family: String
    let id: String
    let externalAddress: OrNull<String>
    let nodes: Int
    let goodNodes: Int
    let buckets: Int
    /// About how many nodes there are in all.
    let size: OrNull<Int>
  }

  let addresses: [String]
  let networks: [Network]
  let roundTripMilliseconds: OrNull<Double>
  let queriesSent: Int
  let repliesReceived: Int
  let queriesReceived: Int
  let repliesSent: Int
  let torrents: Int
  let peers: Int
  let items: Int

  init(_ status: DHTStatus, addresses: [Endpoint], sizes: [DHTFamily: Int] = [:]) {
    self.addresses = addresses.map(\.description)
    networks = status.networks.map { network in
      Network(
        family: network.family == .v4 ? "IPv4" : "IPv6", id: network.id.hex,
        externalAddress: OrNull(network.externalAddress?.description), nodes: network.nodes,
        goodNodes: network.goodNodes, buckets: network.buckets, size: OrNull(sizes[network.family]))
    }
    roundTripMilliseconds = OrNull(status.roundTrip.map { ($0.seconds * 10_000).rounded() / 10 })
    queriesSent = status.statistics.queriesSent
    repliesReceived = status.statistics.repliesReceived
    queriesReceived = status.statistics.queriesReceived
    repliesSent = status.statistics.repliesSent
    torrents = status.storedTorrents
    peers = status.storedPeers
    items = status.storedItems
  }

  var lines: [String] {
    var lines: [String] = []
    func add(_ label: String, _ text: String?) {
      if let text { lines.append(TextWidth.fitted(label, to: 12) + text) }
    }
    for address in addresses { add(lines.isEmpty ? "Bound to" : "", address) }
    for network in networks {
      add(network.family, "id \(network.id)")
      add("", network.externalAddress.value.map { "seen by others at \($0)" })
      add("", "\(network.nodes) nodes, \(network.goodNodes) of them good, in \(network.buckets) buckets")
      add("", network.size.value.map { "about \($0) nodes in all" })
    }
    add("Round trip", roundTripMilliseconds.value.map { "\($0) ms" })
    add("Asked", "\(queriesSent) queries, \(repliesReceived) answers")
    add("Answered", "\(queriesReceived) queries, \(repliesSent) answers")
    add("Stored", "\(peers) peers of \(torrents) torrents, \(items) items")
    return lines
  }
}

struct DHTStats: SpateSubcommand {
  static let configuration = CommandConfiguration(
    commandName: "stats", abstract: "Tell how this machine stands in the DHT.",
    discussion: "Starts a node, waits until its table is filled, and tells what it found.")

  @OptionGroup var question: DHTQuestionOptions

  func execute(_ interrupts: Interrupts) async throws(CommandFailure) -> CommandStatus {
    try await DHTVisit.run(question) { visit throws(CommandFailure) in
      let (status, sizes) = try await visit.ask { client throws(DHTFailure) in
        guard let status = try await client.settled(within: visit.seconds),
          status.networks.contains(where: { $0.nodes > 0 })
        else { throw .noNodes }
        var sizes: [DHTFamily: Int] = [:]
        for network in status.networks where network.nodes > 0 {
          sizes[network.family] = try await client.estimatedSize(of: network.family, within: visit.seconds)
        }
        return (try await client.status() ?? status, sizes)
      }
      let document = DHTStatusDocument(status, addresses: visit.client.localAddresses, sizes: sizes)
      try visit.show(document, document.lines)
      return .success
    }
  }
}

struct DHTServe: SpateSubcommand {
  static let configuration = CommandConfiguration(
    commandName: "serve", abstract: "Run a node of the DHT.",
    discussion: """
      Answers others until Ctrl-C: names nodes, remembers peers and items. Where it listens is printed on standard output. \
      Its id and its table are kept for the next run.

        spate dht serve --dht-port 6881
      """)

  @OptionGroup var network: DHTNetworkOptions

  @Option(
    help: ArgumentHelp("Answer at most so many queries a second. (default: 20000)", valueName: "n"),
    transform: Count<Positive>.from)
  var maxQueries: Count<Positive>?

  static let defaultPort: UInt16 = 6881

  private struct Document: Encodable {
    struct Network: Encodable {
      let family: String
      let id: String
    }
    let addresses: [String]
    let networks: [Network]
    let port: UInt16
  }

  func execute(_ interrupts: Interrupts) async throws(CommandFailure) -> CommandStatus {
    let context = try CommandContext("dht", network.output)
    var options = try network.options(context.layers)
    options.port = options.port ?? Self.defaultPort
    options.answersPerSecond = try context.layers.value(maxQueries, .maxQueries)?.value ?? 20_000
    options.maximumStoredPeers = 1_000_000
    options.maximumStoredTorrents = 100_000
    options.maximumStoredItems = 20_000
    let interrupted = AsyncStream<Void>.makeStream()
    interrupts.handle(endingWith: .success) { interrupted.continuation.finish() }
    let client = try await DHTVisit.start(
      options, bind: context.layers.value(network.bind, .bind), context)
    let status = await status(client)
    let addresses = client.localAddresses.map(\.description)
    let document = Document(
      addresses: addresses,
      networks: status?.networks.map {
        Document.Network(family: $0.family == .v4 ? "IPv4" : "IPv6", id: $0.id.hex)
      } ?? [],
      port: client.port)
    let isJSON = try context.layers.flag(network.json.json, .json)
    try context.console.result(isJSON ? JSONText.document(document) : addresses.joined(separator: "\n"))
    for await _ in interrupted.stream {}
    if let status = try? await client.status() {
      for line in DHTStatusDocument(status, addresses: client.localAddresses).lines {
        context.logger.info("\(line)")
      }
    }
    await client.shutdown()
    return .success
  }

  /// The node, as soon as there is one: names have to be found first.
  private func status(_ client: DHTClient) async -> DHTStatus? {
    for _ in 0..<100 {
      if let status = try? await client.status() { return status }
      try? await Task.sleep(for: .milliseconds(20))
    }
    return nil
  }
}
