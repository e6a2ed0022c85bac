import Foundation
import Synchronization
import Testing

/// What a test needs from the machine. Where it is missing the test is skipped, and the run says so.
enum Requirement: String, CaseIterable, Sendable {
  case namespaces, aria2, transmission, libtorrent, opentracker, mktorrent, openssl, spate

  /// Why it cannot be had, or nil where it is there. Looked up once a run.
  var missing: String? { Self.found[self] ?? nil }

  private static let found: [Requirement: String?] = Dictionary(
    uniqueKeysWithValues: allCases.map { one in
      let reason = one.lookUp()
      if let reason { print("Interop: skipping what needs \(one.rawValue): \(reason)") }
      return (one, reason)
    })

  private func lookUp() -> String? {
    switch self {
    case .namespaces: Self.namespacesReason()
    case .aria2: Self.absent(["/usr/bin/aria2c"])
    case .transmission:
      Self.absent([
        "/usr/bin/transmission-daemon", "/usr/bin/transmission-remote", "/usr/bin/transmission-create",
      ])
    case .libtorrent: Self.libtorrentReason()
    case .opentracker: Self.absent(["/usr/bin/opentracker", "/usr/bin/python3"])
    case .mktorrent: Self.absent(["/usr/bin/mktorrent"])
    case .openssl: Self.absent(["/usr/bin/openssl", "/usr/bin/python3"])
    case .spate: Self.spateReason()
    }
  }

  private static func absent(_ paths: [String]) -> String? {
    let gone = paths.filter { !FileManager.default.isExecutableFile(atPath: $0) }
    return gone.isEmpty
      ? nil : "\(gone.joined(separator: ", ")) not found; Tests/Interop/install.sh installs it"
  }

  private static func namespacesReason() -> String? {
    if let tools = absent(["/usr/bin/unshare", "/usr/bin/nsenter", "/usr/bin/python3"]) { return tools }
    let asUser = getuid() == 0 ? "" : "--user --map-root-user "
    let script =
      "unshare \(asUser)--net --mount --pid --fork sh -c 'ip link set lo up && mount --bind /etc/hosts /etc/hosts'"
    return failure(of: script).map { "neither root nor user namespaces, or no `ip`: \($0)" }
  }

  private static func spateReason() -> String? {
    guard let path = SpateBinary.path else { return "no built `spate` beside the tests; set SPATE_BINARY" }
    return failure(of: "'\(path)' --help | grep -q download").map { "\(path) is not the command line: \($0)" }
  }

  private static func libtorrentReason() -> String? {
    absent(["/usr/bin/python3"])
      ?? failure(of: "/usr/bin/python3 -c 'import libtorrent'").map {
        "python3-libtorrent does not load: \($0)"
      }
  }

  /// The complaint of a short shell command, or nil when it succeeds.
  private static func failure(of script: String) -> String? {
    let process = Process()
    process.executableURL = URL(filePath: "/bin/sh")
    process.arguments = ["-c", script]
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    let errors = Pipe()
    process.standardError = errors
    do { try process.run() } catch { return "\(error)" }
    let text = (try? errors.fileHandleForReading.readToEnd()) ?? nil
    process.waitUntilExit()
    if process.terminationStatus == 0 { return nil }
    let last = String(decoding: text ?? Data(), as: UTF8.self).split(separator: "\n").last
    return last.map(String.init) ?? "status \(process.terminationStatus)"
  }
}

/// Whether all of these are there.
func available(_ requirements: [Requirement]) -> Bool {
  requirements.allSatisfy { $0.missing == nil }
}

extension Trait where Self == ConditionTrait {
  /// Runs the test only where all of this is there; the reason is printed once for each that is not.
  static func needs(_ requirements: Requirement...) -> Self {
    let all = [.namespaces] + requirements
    return .enabled(
      if: available(all),
      "needs \(all.filter { $0.missing != nil }.map(\.rawValue).joined(separator: ", "))")
  }
}

/// The program under test.
enum SpateBinary {
  /// `SPATE_BINARY`, or the one built together with these tests.
  static let path: String? = {
    if let named = ProcessInfo.processInfo.environment["SPATE_BINARY"] { return named }
    let beside = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
    let build = Files.package.appending(path: ".build")
    return [
      beside.appending(path: "spate"), build.appending(path: "debug/spate"),
      build.appending(path: "release/spate"),
    ]
    .map(\.path).first { FileManager.default.isExecutableFile(atPath: $0) }
  }()
}
