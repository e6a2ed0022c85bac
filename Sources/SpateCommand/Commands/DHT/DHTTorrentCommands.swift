import ArgumentParser
import Engine

struct DHTPeers: SpateSubcommand {
  static let configuration = CommandConfiguration(
    commandName: "peers", abstract: "Find a torrent's peers in the DHT.",
    discussion: "Peers are printed as they are found. Ends with 6 if there is none.")

  @Argument(
    help: "The torrent: its info-hash, magnet link or .torrent file.",
    completion: .file(extensions: ["torrent"]))
  var infohash: String

  @Flag(help: "Tell about how many there are, too (BEP 33).") var count = false
  @OptionGroup var question: DHTQuestionOptions

  struct Document: Encodable {
    let infohash: String
    let peers: [String]
    let seeds: OrNull<Int>
    let leechers: OrNull<Int>
    /// Nodes that answered.
    let nodes: Int
  }

  func execute(_ interrupts: Interrupts) async throws(CommandFailure) -> CommandStatus {
    try await DHTVisit.run(question) { visit throws(CommandFailure) in
      let infoHash = try await DHTTorrent.infoHash(
        infohash, certificateFile: try visit.context.layers.value(nil as String?, .caCertificate))
      let list = PeerList()
      let (console, isJSON) = (visit.context.console, visit.isJSON)
      let result = try await visit.ask { client throws(DHTFailure) in
        try await client.findPeers(of: infoHash, isCounting: count, within: visit.seconds) { peers in
          list.append(peers)
          // A reader that went away is told of at the end.
          if !isJSON { try? console.result(peers.map(\.description).joined(separator: "\n")) }
        }
      }
      let peers = list.peers
      try visit.show(
        Document(
          infohash: infoHash.hex, peers: peers.map(\.description), seeds: OrNull(result.scrape?.seeds),
          leechers: OrNull(result.scrape?.peers), nodes: result.replies),
        [])
      if let scrape = result.scrape {
        visit.context.logger.notice("seeds: about \(scrape.seeds); other peers: about \(scrape.peers)")
      }
      visit.context.logger.info(
        "\(peers.count) peers, by \(result.replies) nodes of \(result.queries) asked, over \(result.hops) steps"
      )
      if peers.isEmpty { throw CommandFailure(.network, "nobody in the DHT knows a peer of \(infoHash)") }
      return .success
    }
  }
}

struct DHTAnnounce: SpateSubcommand {
  static let configuration = CommandConfiguration(
    commandName: "announce", abstract: "Tell the DHT that this machine has a torrent.",
    discussion: """
      The nodes around the torrent's info-hash remember it for about half an hour. 'spate download' and 'spate seed' do \
      this by themselves.
      """)

  @Argument(
    help: "The torrent: its info-hash, magnet link or .torrent file.",
    completion: .file(extensions: ["torrent"]))
  var infohash: String

  @Option(
    help: ArgumentHelp("The TCP port on which peers are taken.", valueName: "port"),
    transform: PortNumber.from)
  var port: PortNumber

  @Flag(help: "The torrent is complete here (BEP 33).") var seed = false
  @OptionGroup var question: DHTQuestionOptions

  struct Document: Encodable {
    let infohash: String
    let port: UInt16
    /// Nodes that remember it.
    let nodes: Int
  }

  func execute(_ interrupts: Interrupts) async throws(CommandFailure) -> CommandStatus {
    guard port.port != 0 else { throw CommandFailure(.usage, "--port: peers cannot connect to port 0") }
    return try await DHTVisit.run(question) { visit throws(CommandFailure) in
      let infoHash = try await DHTTorrent.infoHash(
        infohash, isAnnounced: true,
        certificateFile: try visit.context.layers.value(nil as String?, .caCertificate))
      let result = try await visit.ask { client throws(DHTFailure) in
        try await client.announce(infoHash, port: port.port, isSeed: seed, within: visit.seconds)
      }
      try visit.show(
        Document(infohash: infoHash.hex, port: port.port, nodes: result.storedCount),
        ["\(infoHash)  \(result.storedCount) nodes"])
      return .success
    }
  }
}
