import Foundation

/// Where the harness finds its parts and leaves its things.
struct Home {
  /// The `Perf` folder.
  let package: String
  /// Where this executable was built; its helpers are beside it.
  let built: String

  init() throws(Failure) {
    guard let executable = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") else {
      throw Failure("/proc is not mounted")
    }
    built = (executable as NSString).deletingLastPathComponent
    var folder = built
    while folder != "/" && !FileManager.default.fileExists(atPath: folder + "/install.sh") {
      folder = (folder as NSString).deletingLastPathComponent
    }
    if folder == "/" { folder = FileManager.default.currentDirectoryPath + "/Perf" }
    guard FileManager.default.fileExists(atPath: folder + "/Package.swift") else {
      throw Failure("the Perf folder was not found above \(built); run from the folder that holds it")
    }
    package = folder
    for path in [out, cache] {
      try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
  }

  /// Profiles and flame graphs.
  var out: String { package + "/out" }
  /// Torrents made before, by their parameters.
  var cache: String { package + "/.build-cache" }
  /// Python environment with the libtorrent of PyPI.
  var python: String { package + "/.build-clients/bin/python" }
  var libtorrentScript: String { package + "/Clients/libtorrent_client.py" }

  var load: String { built + "/perf-load" }
  var warm: String { built + "/perf-warm" }
  var rooms: String { built + "/perf-rooms" }
  var mallocs: String { built + "/libPerfMallocs.so" }
  var stall: String { built + "/libPerfStall.so" }

  /// Spate's own executable: `SPATE` in the environment, or the release build of the package above.
  var spate: String {
    ProcessInfo.processInfo.environment["SPATE"]
      ?? (package as NSString).deletingLastPathComponent + "/.build/release/spate"
  }

  /// Builds the helpers that `swift run perf` does not build along.
  func buildHelpers() throws(Failure) {
    let helpers = [
      ("perf-load", load), ("perf-warm", warm), ("perf-rooms", rooms), ("PerfMallocs", mallocs),
      ("PerfStall", stall),
    ]
    let missing = helpers.filter {
      !FileManager.default.isExecutableFile(atPath: $0.1)
    }
    for (product, _) in missing {
      note("building \(product)")
      let configuration = built.hasSuffix("debug") ? "debug" : "release"
      try Child.run(
        ["swift", "build", "-c", configuration, "--package-path", package, "--product", product],
        name: "swift build", seconds: 900)
    }
  }

  static func find(_ program: String) -> String? {
    let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
    return path.split(separator: ":").map { "\($0)/\(program)" }
      .first { FileManager.default.isExecutableFile(atPath: $0) }
  }
}

/// A remark to the person at the terminal; results alone go to standard output.
func note(_ text: String) {
  FileHandle.standardError.write(Data((text + "\n").utf8))
}
