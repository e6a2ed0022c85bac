// swift-tools-version: 6.2
import PackageDescription

/// `SPATE_STRICT=1` (set by `make lint`, `make test` and CI) turns every warning of our own code into an error.
let strict = Context.environment["SPATE_STRICT"] != nil

let testSettings: [SwiftSetting] =
  [
    .enableExperimentalFeature("Lifetimes"),
    .enableUpcomingFeature("ExistentialAny"),
  ] + (strict ? [.treatAllWarnings(as: .error)] : [])

let swiftSettings: [SwiftSetting] = [.strictMemorySafety()] + testSettings

let cSettings: [CSetting] =
  [.define("_GNU_SOURCE")] + (strict ? [.treatAllWarnings(as: .error)] : [])

func room(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: swiftSettings)
}

func shim(_ name: String, _ libraries: [Target.Dependency]) -> Target {
  .target(name: name, dependencies: libraries, path: "CShims/\(name)", cSettings: cSettings)
}

func tests(
  _ name: String, _ dependencies: [Target.Dependency], path: String? = nil, exclude: [String] = []
) -> Target {
  .testTarget(
    name: name, dependencies: dependencies, path: path ?? "Tests/\(name)", exclude: exclude,
    swiftSettings: testSettings)
}

let collections: [Target.Dependency] = [
  .product(name: "DequeModule", package: "swift-collections"),
  .product(name: "HeapModule", package: "swift-collections"),
  .product(name: "OrderedCollections", package: "swift-collections"),
]
let system: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

let pureRooms: [Target.Dependency] = [
  "TorrentModel", "Bencode", "Metainfo", "PeerWire", "TrackerProtocol", "DHT", "Swarm",
]
let groundRooms: [Target.Dependency] = ["BlockPool", "Hashing", "Storage", "Reactor"]

let package = Package(
  name: "spate",
  products: [
    .library(name: "Engine", targets: ["Engine"]),
    .executable(name: "spate", targets: ["spate"]),
    // For `Perf/` and `Tests/Fuzz/`, which reach into single rooms. No stability is promised.
    .library(
      name: "_SpateRooms",
      targets: [
        "TorrentModel", "Bencode", "Metainfo", "PeerWire", "TrackerProtocol",
        "DHT", "BlockPool", "Swarm", "Hashing", "Storage", "Reactor", "TrackerServer",
      ]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
  ],
  targets: [
    // Ground: C shims over the two system packages.
    .systemLibrary(
      name: "CLibevent", path: "CShims/CLibevent", pkgConfig: "libevent_openssl",
      providers: [.apt(["libevent-dev"])]),
    .systemLibrary(
      name: "COpenSSL", path: "CShims/COpenSSL", pkgConfig: "openssl",
      providers: [.apt(["libssl-dev"])]),
    shim("CEvent", ["CLibevent", "COpenSSL"]),
    shim("CHash", ["COpenSSL"]),
    shim("CCrypto", ["COpenSSL"]),
    shim("CDisk", []),

    // Pure rooms: no clock, no random source, no input or output.
    room("TorrentModel"),
    room("Bencode"),
    room("Metainfo", ["TorrentModel", "Bencode", "Hashing"]),
    room("PeerWire", ["TorrentModel", "Bencode"]),
    room("TrackerProtocol", ["TorrentModel", "Bencode"]),
    room("DHT", ["TorrentModel", "Bencode"] + collections),
    room("Swarm", ["TorrentModel", "PeerWire"] + collections),

    // Rooms that touch the machine.
    room("BlockPool"),
    room("Hashing", ["CHash", "BlockPool"]),
    room("Storage", ["TorrentModel", "BlockPool", "Hashing", "CDisk", system]),
    room("Reactor", ["CEvent", "BlockPool"] + collections),

    // Composition.
    room("Engine", pureRooms + groundRooms + collections + ["CCrypto", logging]),
    room("TrackerServer", ["TrackerProtocol", "Reactor", "TorrentModel", "Bencode"] + collections),
    room("SpateCommand", ["Engine", "TrackerServer", logging, system, arguments]),
    .executableTarget(name: "spate", dependencies: ["SpateCommand"], swiftSettings: swiftSettings),

    // Tests mirror the rooms.
    tests("TorrentModelTests", ["TorrentModel"]),
    tests("BencodeTests", ["Bencode", "TorrentModel"]),
    tests("MetainfoTests", ["Metainfo", "Bencode", "TorrentModel", "Hashing"], exclude: ["Fixtures"]),
    tests("PeerWireTests", ["PeerWire"]),
    tests("TrackerProtocolTests", ["TrackerProtocol"]),
    tests("DHTTests", ["DHT", "Hashing", "CCrypto"]),
    tests("SwarmTests", ["Swarm"]),
    tests("BlockPoolTests", ["BlockPool", "TorrentModel"]),
    tests("HashingTests", ["Hashing", "CHash", "BlockPool"]),
    tests("StorageTests", ["Storage", "Hashing", "BlockPool", "TorrentModel"]),
    tests("ReactorTests", ["Reactor", "BlockPool", "TorrentModel"]),
    tests("EngineTests", ["Engine", "TrackerServer"] + pureRooms + groundRooms),
    tests("TrackerServerTests", ["TrackerServer", "TrackerProtocol", "Reactor"]),
    tests("HouseRulesTests", []),
    tests("CommandTests", ["SpateCommand", "Engine", system]),
    tests(
      "Simulation", ["Swarm", "DHT", "TorrentModel", "PeerWire", "TrackerProtocol", "Hashing"] + collections,
      path: "Tests/Simulation"),
    tests(
      "Interop", ["spate"],
      exclude: [
        "install.sh", "Harness/namespace.sh", "Drivers/scripted_peer.py", "Drivers/metadata_peer.py",
        "Drivers/certificates.sh", "Drivers/lt_client.py", "Drivers/scrape.py", "Drivers/tls_front.py",
      ]),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .gnu11
)
