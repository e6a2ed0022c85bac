/// Every parameter that can be set in the configuration file and in the environment as well as by an option: its option's
/// long name.
enum SettingName: String, CaseIterable, Sendable {
  // Where things go and what is wanted of them.
  case dir
  case selectFile = "select-file"
  case include
  case exclude
  case sequential
  case allocation
  case diskWrites = "disk-writes"
  case check
  // The network.
  case peer
  case tracker
  case noTracker = "no-tracker"
  case listenPort = "listen-port"
  case bind
  case maxPeers = "max-peers"
  case downloadLimit = "download-limit"
  case uploadLimit = "upload-limit"
  case uploadSlots = "upload-slots"
  case caCertificate = "ca-certificate"
  case dht
  case dhtPort = "dht-port"
  case dhtNode = "dht-node"
  case publicNodes = "public-nodes"
  case maxQueries = "max-queries"
  case pex
  case lsd
  // The machine.
  case memory
  case threads
  case loops
  case jobs
  case resumeDir = "resume-dir"
  // When to end.
  case seedRatio = "seed-ratio"
  case seedTime = "seed-time"
  case timeout
  // What is printed.
  case progress
  case json
  case quiet
  case verbose
  // `spate create`.
  case announce
  case webSeed = "web-seed"
  case comment
  case `private`
  case source
  case pieceLength = "piece-length"
  case noDate = "no-date"
  // `spate tracker`.
  case port
  case interval
  case allow

  /// `SPATE_` and the name in capitals.
  var environmentName: String {
    "SPATE_" + rawValue.uppercased().replacing("-", with: "_")
  }

  /// By the option's name, with `-` or `_`.
  init?(key: String) {
    self.init(rawValue: key.replacing("_", with: "-"))
  }
}
