// swift-tools-version: 6.2
import PackageDescription

/// The benchmark harness. A package of its own, so that neither its tools nor its dependencies weigh on a build of
/// Spate; it reaches into Spate by path.

let strict = Context.environment["SPATE_STRICT"] != nil

let swiftSettings: [SwiftSetting] =
  [
    .strictMemorySafety(),
    .enableExperimentalFeature("Lifetimes"),
    .enableUpcomingFeature("ExistentialAny"),
  ] + (strict ? [.treatAllWarnings(as: .error)] : [])

let cSettings: [CSetting] =
  [.define("_GNU_SOURCE")] + (strict ? [.treatAllWarnings(as: .error)] : [])

let package = Package(
  name: "SpatePerf",
  products: [
    .executable(name: "perf", targets: ["perf"]),
    .executable(name: "perf-load", targets: ["perf-load"]),
    .executable(name: "perf-warm", targets: ["perf-warm"]),
    .executable(name: "perf-rooms", targets: ["perf-rooms"]),
    .library(name: "PerfMallocs", type: .dynamic, targets: ["PerfMallocs"]),
    .library(name: "PerfStall", type: .dynamic, targets: ["PerfStall"]),
  ],
  dependencies: [
    .package(name: "spate", path: ".."),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
  ],
  targets: [
    // The load generator, and the tool that gives every run the same warm free memory. No Swift, no Spate.
    .executableTarget(
      name: "perf-load", cSettings: cSettings,
      linkerSettings: [.linkedLibrary("crypto"), .linkedLibrary("pthread")]),
    .executableTarget(name: "perf-warm", cSettings: cSettings),

    // Preloaded into a client under test: counts its allocations and copies.
    .target(name: "PerfMallocs", cSettings: cSettings, linkerSettings: [.linkedLibrary("dl")]),

    // Preloaded into a client under test: its disk stands still for a while.
    .target(name: "PerfStall", cSettings: cSettings),

    // Measures single rooms of Spate in a process of its own, so that the runner builds without them.
    .executableTarget(
      name: "perf-rooms",
      dependencies: [.product(name: "_SpateRooms", package: "spate")], swiftSettings: swiftSettings),

    // The runner.
    .target(name: "CPerf", cSettings: cSettings),
    .executableTarget(
      name: "perf",
      dependencies: [
        "CPerf",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: swiftSettings),
    .testTarget(name: "perfTests", dependencies: ["perf"], swiftSettings: swiftSettings),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .gnu11
)
