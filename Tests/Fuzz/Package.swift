// swift-tools-version: 6.2
import PackageDescription

/// The fuzz targets. One more is a name here and a file `Sources/Fuzz<Name>/main.swift`; its corpus, a handful of small
/// files, goes to `Corpus/<Name>`. `run.sh` builds and runs them: by itself SwiftPM links no fuzzer.
let targets = [
  "Bencode", "DHT", "Extensions", "HTTPTracker", "Magnet", "Metainfo", "PeerWire", "UDPTracker",
]

let settings: [SwiftSetting] = [
  .enableExperimentalFeature("Lifetimes"), .enableUpcomingFeature("ExistentialAny"),
]

let package = Package(
  name: "spate-fuzz",
  dependencies: [.package(name: "spate", path: "../..")],
  targets: [.target(name: "FuzzDriver", swiftSettings: settings)]
    + targets.map { name in
      .executableTarget(
        name: "Fuzz\(name)",
        dependencies: ["FuzzDriver", .product(name: "_SpateRooms", package: "spate")],
        swiftSettings: settings,
        // The system's gold stumbles over the sanitizers' debug information.
        linkerSettings: [.unsafeFlags(["-use-ld=lld"])])
    },
  swiftLanguageModes: [.v6]
)
