import ArgumentParser
import Engine
import Foundation

/// Whether the torrent's own trackers are asked.
enum TrackerUse: EnumerableFlag, Sendable {
  case noTracker
  case useTrackers

  static func help(for value: TrackerUse) -> ArgumentHelp? {
    switch value {
    case .noTracker: "Do not announce to the torrent's own trackers."
    // Only of use where the configuration says otherwise.
    case .useTrackers: .hidden
    }
  }
}

/// The network as `download` and `seed` use it.
struct NetworkOptions: ParsableArguments {
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("Connect to this peer. May be repeated.", valueName: "host:port"),
    transform: PeerAddress.from)
  var peer: [PeerAddress] = []

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "Announce to this tracker, before the torrent's own. May be repeated.", valueName: "url"))
  var tracker: [String] = []

  @Flag(exclusivity: .chooseLast)
  var trackerUse: TrackerUse?

  @Option(
    help: ArgumentHelp(
      "Accept peers on this TCP port; 0 lets the system choose. (default: 0)", valueName: "port"),
    transform: PortNumber.from)
  var listenPort: PortNumber?

  @Option(
    help: ArgumentHelp("Use only this local address or network interface.", valueName: "address|interface"))
  var bind: String?

  @Option(
    help: ArgumentHelp("Peers of one torrent. (default: 200)", valueName: "n"),
    transform: Count<PeerRange>.from)
  var maxPeers: Count<PeerRange>?

  @Option(
    help: ArgumentHelp("Receive at most so many bytes a second, such as 500K or 2M.", valueName: "rate"),
    transform: ByteRate.from)
  var downloadLimit: ByteRate?

  @Option(
    help: ArgumentHelp("Send at most so many bytes a second.", valueName: "rate"), transform: ByteRate.from)
  var uploadLimit: ByteRate?

  @Option(
    help: ArgumentHelp(
      "Peers of a torrent that are sent to at once. (default: as many as is good)", valueName: "n"),
    transform: Count<PeerRange>.from)
  var uploadSlots: Count<PeerRange>?

  @Option(
    help: ArgumentHelp("Trust the certificate authorities in this PEM file, too.", valueName: "file"),
    completion: .file())
  var caCertificate: String?
}

/// How peers are found, beside trackers.
struct DiscoveryOptions: ParsableArguments {
  @Flag(inversion: .prefixedNo, help: "Find peers in the DHT, and be found there. (default: --dht)")
  var dht: Bool?

  @Flag(inversion: .prefixedNo, help: "Tell peers of each other, and be told. (default: --pex)")
  var pex: Bool?

  @Flag(inversion: .prefixedNo, help: "Find peers in the local network by multicast. (default: --lsd)")
  var lsd: Bool?

  @Option(
    help: ArgumentHelp("UDP port of the DHT node. (default: that of --listen-port)", valueName: "port"),
    transform: PortNumber.from)
  var dhtPort: PortNumber?

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "Enter the DHT by this node. May be repeated. (default: those of the last run)",
      valueName: "host:port"), transform: PeerAddress.from)
  var dhtNode: [PeerAddress] = []

  @Flag(
    inversion: .prefixedNo,
    help: "Enter the DHT by well-known public nodes while no other is known. (default: --public-nodes)")
  var publicNodes: Bool?

  /// Sets up what finds peers.
  func apply(_ layers: SettingsLayers, to session: inout SessionConfiguration) throws(CommandFailure) {
    session.usesPeerExchange = try layers.flag(pex, .pex, default: true)
    session.usesLocalDiscovery = try layers.flag(lsd, .lsd, default: true)
    guard try layers.flag(dht, .dht, default: true) else { return }
    var options = DHTOptions()
    options.port = try layers.value(dhtPort, .dhtPort)?.port
    options.nodes = try layers.values(dhtNode, .dhtNode).map(\.description)
    options.usesPublicNodes = try layers.flag(publicNodes, .publicNodes, default: true)
    options.stateFile = Folders.state(layers.environment).map { $0 + "/spate/dht.state" }
    session.dht = options
  }
}

/// The machine as `download` and `seed` use it.
struct MachineOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("Memory for data between network and disk. (default: 64M)", valueName: "size"),
    transform: ByteCount.from)
  var memory: ByteCount?

  @Option(
    help: ArgumentHelp("Threads for hashing and disk. (default: cores - 1)", valueName: "n"),
    transform: Count<ThreadRange>.from)
  var threads: Count<ThreadRange>?

  @Option(
    help: ArgumentHelp("Threads for the network. (default: one per two cores)", valueName: "n"),
    transform: Count<ThreadRange>.from)
  var loops: Count<ThreadRange>?

  @Option(
    help: ArgumentHelp(
      "Keep records of unfinished downloads here. (default: spate/resume in $XDG_STATE_HOME or ~/.local/state)",
      valueName: "dir"),
    completion: .directory)
  var resumeDir: String?
}

/// Which files, for `download` and `seed`.
struct SelectionOptions: ParsableArguments {
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "Only these files, by the numbers of 'spate show': 1-5,8. May be repeated.", valueName: "numbers"),
    transform: FileNumbers.from)
  var selectFile: [FileNumbers] = []

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "Only files whose path matches, such as '*.mkv' or 'docs/**'. May be repeated.", valueName: "glob"),
    transform: GlobPattern.from)
  var include: [GlobPattern] = []

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("No files whose path matches. May be repeated.", valueName: "glob"),
    transform: GlobPattern.from)
  var exclude: [GlobPattern] = []

  func rules(_ layers: SettingsLayers) throws(CommandFailure) -> SelectionRules {
    SelectionRules(
      numbers: try layers.values(selectFile, .selectFile), include: try layers.values(include, .include),
      exclude: try layers.values(exclude, .exclude))
  }
}

/// When to end, and how to tell of it, for `download` and `seed`.
struct GoalOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Seed until so many times the size was uploaded. With --seed-time, whichever comes first.",
      valueName: "ratio"), transform: Ratio.from)
  var seedRatio: Ratio?

  @Option(
    help: ArgumentHelp("Seed for so long, such as 30m or 2h.", valueName: "time"), transform: TimeSpan.from)
  var seedTime: TimeSpan?

  @Option(
    help: ArgumentHelp(
      "How to show progress: auto, bar, plain, json or none. (default: auto)", valueName: "how"))
  var progress: ProgressMode?
}

/// Where the contents are, for `download` and `seed`.
struct PlaceOptions: ParsableArguments {
  @Option(
    name: [.customShort("i"), .long],
    help: ArgumentHelp("Torrents from this file, one a line; - for standard input.", valueName: "list"),
    completion: .file())
  var inputFile: String?

  @Option(
    name: [.customShort("d"), .long],
    help: ArgumentHelp("The folder of the contents. (default: the present one)"), completion: .directory)
  var dir: String?

  @Flag(inversion: .prefixedNo, help: "Hash what is on the disk first, whatever the records say.")
  var check: Bool?
}

/// What `download` and `seed` share.
struct TransferOptions: ParsableArguments {
  @OptionGroup(title: "Files") var place: PlaceOptions
  @OptionGroup(title: "Files") var selection: SelectionOptions
  @OptionGroup(title: "Network") var network: NetworkOptions
  @OptionGroup(title: "Finding peers") var discovery: DiscoveryOptions
  @OptionGroup(title: "Goal and progress") var goal: GoalOptions
  @OptionGroup(title: "Machine") var machine: MachineOptions
  @OptionGroup var json: JSONOption
  @OptionGroup var output: OutputOptions
}

extension TransferOptions {
  func sessionConfiguration(_ layers: SettingsLayers) throws(CommandFailure) -> SessionConfiguration {
    var session = SessionConfiguration()
    if let memory = try layers.value(machine.memory, .memory) { session.memory = memory.bytes }
    if let port = try layers.value(network.listenPort, .listenPort) { session.listenPort = port.port }
    session.bind = try layers.value(network.bind, .bind)
    session.loops = try layers.value(machine.loops, .loops)?.value
    session.workers = try layers.value(machine.threads, .threads)?.value
    if let peers = try layers.value(network.maxPeers, .maxPeers)?.value {
      session.maxPeersPerTorrent = peers
      session.maxPeers = max(session.maxPeers, peers)
    }
    session.downloadLimit = try layers.value(network.downloadLimit, .downloadLimit)?.limit
    session.uploadLimit = try layers.value(network.uploadLimit, .uploadLimit)?.limit
    session.uploadSlots = try layers.value(network.uploadSlots, .uploadSlots)?.value
    session.certificateFile = try layers.value(network.caCertificate, .caCertificate)
    session.resumeFolder =
      try layers.value(machine.resumeDir, .resumeDir).map(Self.absolute)
      ?? Folders.state(layers.environment).map { $0 + "/spate/resume" }
    session.userAgent = Version.userAgent
    try discovery.apply(layers, to: &session)
    return session
  }

  /// What both kinds of transfer want of a torrent.
  func torrentOptions(_ layers: SettingsLayers) throws(CommandFailure) -> TorrentOptions {
    let folder = try layers.value(place.dir, .dir) ?? "."
    guard !folder.isEmpty else { throw CommandFailure(.usage, "-d: the name of the folder is empty") }
    var torrent = TorrentOptions(folder: Self.absolute(folder))
    torrent.extraTrackers = try layers.values(network.tracker, .tracker)
    torrent.usesTrackers = try !layers.flag(network.trackerUse.map { $0 == .noTracker }, .noTracker)
    torrent.forceCheck = try layers.flag(place.check, .check)
    return torrent
  }

  /// Records name the folder, so the same folder must always have the same name.
  static func absolute(_ path: String) -> String {
    URL(fileURLWithPath: path).standardizedFileURL.path
  }

  func progressMode(_ layers: SettingsLayers) throws(CommandFailure) -> ProgressMode {
    if try layers.flag(output.quiet, .quiet) { return .none }
    return try layers.value(goal.progress, .progress) ?? .auto
  }

  /// Runs `download` or `seed` to its end.
  func run(
    _ command: String, _ complete: (SettingsLayers, inout TransferPlan) throws(CommandFailure) -> Void,
    interrupts: Interrupts
  ) async throws(CommandFailure) -> CommandStatus {
    let context = try CommandContext(command, output) { layers throws(CommandFailure) in
      try progressMode(layers) == .json
    }
    let layers = context.layers
    var plan = TransferPlan(
      goal: TransferGoal(
        kind: .download, seedRatio: try layers.value(goal.seedRatio, .seedRatio)?.value,
        seedTime: try layers.value(goal.seedTime, .seedTime)?.seconds),
      sources: [], session: try sessionConfiguration(layers), torrent: try torrentOptions(layers),
      selection: try selection.rules(layers), peers: try layers.values(network.peer, .peer), concurrent: .max,
      countersFile: layers.environment["SPATE_COUNTERS"].flatMap { $0.isEmpty ? nil : $0 })
    try complete(layers, &plan)
    plan.torrent.seedsWhenComplete = plan.goal.seeds
    let isJSON = try layers.flag(json.json, .json)
    let runner = TransferRunner(
      plan, console: context.console,
      view: Self.view(try progressMode(layers), console: context.console, isQuiet: context.isQuiet),
      logger: context.logger, printsResults: !isJSON && !context.isQuiet)
    interrupts.handle(endingWith: plan.goal.kind == .seed ? .success : .interrupted) { runner.interrupt() }
    let results = try await runner.run()
    if isJSON { try context.console.result(JSONText.document(TransferDocument(results))) }
    return CommandStatus.worst(of: results.map(\.exit))
  }

  private static func view(_ mode: ProgressMode, console: Console, isQuiet: Bool) -> sending any ProgressView
  {
    switch mode {
    case .auto where console.style.moves: BarProgress(console: console)
    case .auto, .plain: PlainProgress(console: console)
    case .bar: BarProgress(console: console)
    case .json: JSONProgress(console: console)
    case .none: SilentProgress(console: console, isQuiet: isQuiet)
    }
  }
}
