import ArgumentParser
import Engine
import Foundation
import Synchronization

/// `spate dht`: the DHT by itself.
struct DHTCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dht", abstract: "Ask the DHT, store things there, or run a node.",
    discussion: """
      The DHT (distributed hash table) knows who has which torrent without any tracker. Each command starts a node for a \
      moment, enters by the nodes of the last run, those of --dht-node or well-known public ones, and ends with 6 when \
      nobody answers.

        spate dht peers c12fe1c06bba254a9dc9f519b335aa7c1367a88a
        spate dht put --key-file me.key "what I want to say"
        spate dht serve --dht-port 6881
      """,
    subcommands: [
      DHTPing.self, DHTNodes.self, DHTPeers.self, DHTAnnounce.self, DHTGet.self, DHTPut.self, DHTSample.self,
      DHTStats.self, DHTServe.self,
    ])

  func run() throws { throw ValidationError("Missing a command, such as 'spate dht peers'.") }
}

/// How every `spate dht` command takes part.
struct DHTNetworkOptions: ParsableArguments {
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("Enter the DHT by this node. May be repeated.", valueName: "host:port"),
    transform: PeerAddress.from)
  var dhtNode: [PeerAddress] = []

  @Flag(
    inversion: .prefixedNo,
    help: "Enter by well-known public nodes while no other is known. (default: --public-nodes)")
  var publicNodes: Bool?

  @Option(
    help: ArgumentHelp("UDP port of our node; 0 lets the system choose.", valueName: "port"),
    transform: PortNumber.from)
  var dhtPort: PortNumber?

  @Option(
    help: ArgumentHelp("Use only this local address or network interface.", valueName: "address|interface"))
  var bind: String?

  @OptionGroup var json: JSONOption
  @OptionGroup var output: OutputOptions

  func options(_ layers: SettingsLayers) throws(CommandFailure) -> DHTOptions {
    var options = DHTOptions()
    options.nodes = try layers.values(dhtNode, .dhtNode).map(\.description)
    options.usesPublicNodes = try layers.flag(publicNodes, .publicNodes, default: true)
    options.port = try layers.value(dhtPort, .dhtPort)?.port
    options.stateFile = Folders.state(layers.environment).map { $0 + "/spate/dht.state" }
    return options
  }
}

/// What commands that end by themselves have in common.
struct DHTQuestionOptions: ParsableArguments {
  @OptionGroup var network: DHTNetworkOptions

  @Option(
    help: ArgumentHelp("Wait for answers at most so long. (default: 30s)", valueName: "time"),
    transform: TimeSpan.from)
  var timeout: TimeSpan?
}

/// A question under way: a node for a moment.
struct DHTVisit: Sendable {
  let context: CommandContext
  let client: DHTClient
  /// What is left of the time that the user gave.
  let seconds: Double
  let isJSON: Bool

  /// Starts a node, asks, and ends it whatever comes of it.
  ///
  /// - Parameter node: a node that is to be asked: with one in this network, the network is a closed one.
  static func run(
    _ question: DHTQuestionOptions, asking node: PeerAddress? = nil,
    _ body: (DHTVisit) async throws(CommandFailure) -> CommandStatus
  ) async throws(CommandFailure) -> CommandStatus {
    let context = try CommandContext("dht", question.network.output)
    let layers = context.layers
    var options = try question.network.options(layers)
    // Others would keep a node in their tables that is gone in a moment (BEP 43).
    options.isReadOnly = true
    options.isVisit = true
    if let node { options.nodes.append(node.description) }
    let client = try await start(options, bind: layers.value(question.network.bind, .bind), context)
    let visit = DHTVisit(
      context: context, client: client, seconds: try layers.value(question.timeout, .timeout)?.seconds ?? 30,
      isJSON: try layers.flag(question.network.json.json, .json))
    let result: Result<CommandStatus, CommandFailure>
    do throws(CommandFailure) { result = .success(try await body(visit)) } catch { result = .failure(error) }
    await client.shutdown()
    return try result.get()
  }

  static func start(
    _ options: DHTOptions, bind: String?, _ context: CommandContext
  ) async throws(CommandFailure) -> DHTClient {
    let logger = context.logger
    do {
      return try await DHTClient.start(options, bind: bind) { event in
        switch event {
        case .warning(let text): logger.warning("\(text)")
        case .externalAddress(let address): logger.info("others see this node at \(address)")
        }
      }
    } catch {
      throw CommandFailure(error)
    }
  }

  /// Asks, with the command line's words for what may go wrong.
  func ask<Value>(
    _ body: (DHTClient) async throws(DHTFailure) -> Value
  ) async throws(CommandFailure) -> Value {
    do throws(DHTFailure) { return try await body(client) } catch { throw CommandFailure(error) }
  }

  /// The result: a document for programs, or lines for a person.
  func show(_ document: some Encodable, _ lines: @autoclosure () -> [String]) throws(CommandFailure) {
    if isJSON { return try context.console.result(JSONText.document(document)) }
    let lines = lines()
    if !lines.isEmpty { try context.console.result(lines.joined(separator: "\n")) }
  }

  /// The address of a node that the user named.
  func resolve(_ node: PeerAddress) async throws(CommandFailure) -> Endpoint {
    if let endpoint = node.endpoint { return endpoint }
    do {
      if let first = try await Session.resolve(host: node.host, port: node.port).first { return first }
    } catch {
      throw CommandFailure(.network, error.description)
    }
    throw CommandFailure(.network, "\(node.host) has no address")
  }
}

extension CommandFailure {
  init(_ failure: DHTFailure) {
    let (status, advice): (CommandStatus, String) =
      switch failure {
      case .notANode, .notAnItem: (.usage, "")
      case .cannotBind: (.other, "; --bind takes an address of this machine, --dht-port a free port")
      case .outOfResources, .cannotSign, .shutDown, .refused, .notFound, .notATorrent, .notStored:
        (.other, "")
      case .noNodes: (.network, "; name a node with --dht-node, or give it more time with --timeout")
      case .cannotResolve: (.network, "")
      case .timedOut: (.timedOut, "")
      }
    self.init(status, failure.description + advice)
  }
}

/// Forty hexadecimal digits: a point in the DHT.
struct DHTPoint: SettingValue, Hashable {
  let id: NodeID

  init?(argument: String) {
    guard let id = NodeID(hex: argument) else { return nil }
    self.id = id
  }

  static var form: String { "40 hexadecimal digits" }
}

/// What is wanted of a torrent that is named by its info-hash, a link or a file.
enum DHTTorrent {
  static func infoHash(
    _ argument: String, isAnnounced: Bool = false, certificateFile: String?
  ) async throws(CommandFailure) -> InfoHash {
    if let infoHash = InfoHash(hex: argument) { return infoHash }
    let source = try TorrentSource(argument: argument)
    if case .magnet(let link) = source {
      guard let infoHash = link.infoHashes.first else {
        throw CommandFailure(.usage, "the link has no info-hash; ask for its key with 'spate dht get --key'")
      }
      return infoHash
    }
    let info = try await source.load(certificateFile: certificateFile).info
    guard !isAnnounced || !info.isPrivate else {
      throw CommandFailure(
        .usage, "'\(Printable.text(info.name))' is private: its peers come from its trackers only (BEP 27)")
    }
    return info.infoHash
  }
}

/// Peers that were found so far.
final class PeerList: Sendable {
  private let list = Mutex<[Endpoint]>([])

  func append(_ peers: [Endpoint]) { list.withLock { $0 += peers } }
  var peers: [Endpoint] { list.withLock { $0 } }
}
