import ArgumentParser
import Engine

struct DHTPing: SpateSubcommand {
  static let configuration = CommandConfiguration(
    commandName: "ping", abstract: "Ask a node of the DHT whether it is there.",
    discussion: "Ends with 2 when it does not answer in time.")

  @Argument(help: "The node, as HOST:PORT.", transform: PeerAddress.from) var node: PeerAddress
  @OptionGroup var question: DHTQuestionOptions

  struct Document: Encodable {
    let address: String
    let id: String
    let milliseconds: Double
  }

  func execute(_ interrupts: Interrupts) async throws(CommandFailure) -> CommandStatus {
    try await DHTVisit.run(question, asking: node) { visit throws(CommandFailure) in
      let endpoint = try await visit.resolve(node)
      let answer = try await visit.ask { client throws(DHTFailure) in
        try await client.ping(endpoint, within: min(visit.seconds, 10))
      }
      let milliseconds = (answer.roundTrip * 10_000).rounded() / 10
      try visit.show(
        Document(address: "\(endpoint)", id: answer.contact.id.hex, milliseconds: milliseconds),
        ["\(answer.contact.id)  \(endpoint)  \(milliseconds) ms"])
      return .success
    }
  }
}

struct DHTNodes: SpateSubcommand {
  static let configuration = CommandConfiguration(
    commandName: "nodes", abstract: "List nodes of the DHT.",
    discussion:
      "Those closest to a point, the closest first; without one, those that our own node got to know.")

  @Argument(help: ArgumentHelp("40 hexadecimal digits.", valueName: "point"), transform: DHTPoint.from)
  var target: DHTPoint?
  @OptionGroup var question: DHTQuestionOptions

  struct Node: Encodable {
    let id: String
    let address: String

    init(_ contact: DHTContact) {
      id = contact.id.hex
      address = "\(contact.endpoint)"
    }
  }

  struct Document: Encodable {
    let target: OrNull<String>
    let nodes: [Node]
  }

  func execute(_ interrupts: Interrupts) async throws(CommandFailure) -> CommandStatus {
    try await DHTVisit.run(question) { visit throws(CommandFailure) in
      let contacts = try await visit.ask { client throws(DHTFailure) in
        if let target {
          return try await client.nodes(closestTo: target.id, within: visit.seconds).closest
        }
        _ = try await client.settled(within: visit.seconds)
        let table = try await client.table()
        guard !table.isEmpty else { throw .noNodes }
        return table
      }
      try visit.show(
        Document(target: OrNull(target?.id.hex), nodes: contacts.map(Node.init)),
        contacts.map { "\($0.id)  \($0.endpoint)" })
      return .success
    }
  }
}

struct DHTSample: SpateSubcommand {
  static let configuration = CommandConfiguration(
    commandName: "sample", abstract: "List torrents that nodes of the DHT know of.",
    discussion: """
      Asks one node for a sample of its info-hashes (BEP 51), or, without one, the nodes on the way to a point. Nodes that \
      do not know the question are passed over.
      """)

  @Argument(
    help: ArgumentHelp("Ask this node only.", valueName: "host:port"), transform: PeerAddress.from)
  var node: PeerAddress?

  @Option(
    help: ArgumentHelp("Ask around this point. (default: one at random)", valueName: "point"),
    transform: DHTPoint.from)
  var toward: DHTPoint?

  @OptionGroup var question: DHTQuestionOptions

  struct Source: Encodable {
    let address: String
    let id: String
    /// How many it has in all.
    let count: Int
    let infohashes: [String]

    init(_ samples: InfoHashSamples) {
      address = "\(samples.contact.endpoint)"
      id = samples.contact.id.hex
      count = samples.count
      infohashes = samples.samples.map(\.hex)
    }
  }

  struct Document: Encodable {
    let nodes: [Source]
  }

  func execute(_ interrupts: Interrupts) async throws(CommandFailure) -> CommandStatus {
    try await DHTVisit.run(question, asking: node) { visit throws(CommandFailure) in
      var random = SystemRandomNumberGenerator()
      let target = toward?.id ?? NodeID(using: &random)
      var samples: [InfoHashSamples] = []
      if let node {
        let endpoint = try await visit.resolve(node)
        samples = [
          try await visit.ask { client throws(DHTFailure) in
            try await client.sample(endpoint, toward: target, within: min(visit.seconds, 10))
          }
        ]
      } else {
        samples = try await visit.ask { client throws(DHTFailure) in
          try await client.samples(toward: target, within: visit.seconds)
        }
      }
      let sources = samples.map(Source.init)
      var seen: Set<String> = []
      try visit.show(
        Document(nodes: sources), sources.flatMap(\.infohashes).filter { seen.insert($0).inserted })
      visit.context.logger.info(
        "\(sources.count) nodes, which have \(sources.reduce(0) { $0 + $1.count }) torrents in all")
      return .success
    }
  }
}
