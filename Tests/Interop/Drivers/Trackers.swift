import Foundation

/// A running tracker and how peers reach it.
struct RunningTracker: Sendable {
  /// What goes into torrents.
  let announce: String
  /// Where its counts can be asked for over HTTP.
  let scrape: String
  let child: Child
  /// The certificate authority to trust, for HTTPS.
  var authority: URL?

  /// Waits until it knows that many seeds, and that many peers with them.
  func wait(_ infoHash: String, seeds: Int = 0, peers: Int = 0, in sandbox: Sandbox) async throws {
    try await sandbox.run(
      "scrape",
      [
        "/usr/bin/python3", Files.drivers.appending(path: "scrape.py").path, scrape, infoHash,
        "--wait-complete",
        String(seeds), "--wait-peers", String(peers), "--within", String(30 * patience),
      ])
  }
}

/// The trackers of the tests. Which URL a torrent names is known before the tracker runs.
enum TrackerKind: String, CaseIterable, Sendable {
  case opentrackerHTTP, opentrackerUDP, opentrackerHTTPS, spateHTTP, spateUDP, spateHTTP6, spateUDP6

  var requirements: [Requirement] {
    switch self {
    case .opentrackerHTTP, .opentrackerUDP: [.opentracker]
    case .opentrackerHTTPS: [.opentracker, .openssl]
    case .spateHTTP, .spateUDP, .spateHTTP6, .spateUDP6: [.spate]
    }
  }

  /// Debian's opentracker speaks IPv4 only.
  var family: Address.Family { self == .spateHTTP6 || self == .spateUDP6 ? .v6 : .v4 }

  var announce: String {
    let address = Address(family, Role.tracker, port: 6969)
    switch self {
    case .opentrackerHTTP, .spateHTTP, .spateHTTP6: return "http://\(address)/announce"
    case .opentrackerUDP, .spateUDP, .spateUDP6: return "udp://\(address)/announce"
    case .opentrackerHTTPS: return "https://tracker.test:6443/announce"
    }
  }

  func start(allowing infoHashes: [String], in sandbox: Sandbox) async throws -> RunningTracker {
    let address = Address(family, Role.tracker, port: 6969)
    let scrape = "http://\(address)/scrape"
    switch self {
    case .opentrackerHTTP, .opentrackerUDP, .opentrackerHTTPS:
      let child = try Opentracker.start(at: address, allowing: infoHashes, in: sandbox)
      guard self == .opentrackerHTTPS else {
        return RunningTracker(announce: announce, scrape: scrape, child: child)
      }
      try await TLSFront.start(before: address, in: sandbox)
      return RunningTracker(
        announce: announce, scrape: scrape, child: child, authority: TLSFront.authority(in: sandbox))
    case .spateHTTP, .spateUDP, .spateHTTP6, .spateUDP6:
      let child = try Spate.startTracker(port: 6969, in: sandbox)
      return RunningTracker(announce: announce, scrape: scrape, child: child)
    }
  }
}

/// opentracker. Debian builds it with a list of allowed torrents: what is not on it is refused.
enum Opentracker {
  static func start(at address: Address, allowing infoHashes: [String], in sandbox: Sandbox) throws -> Child {
    let home = try sandbox.directory("opentracker")
    // It changes root into its folder and becomes `nobody`: names are relative, the list readable by all.
    let list = home.appending(path: "allowed.txt")
    try Data(infoHashes.map { $0 + "\n" }.joined().utf8).write(to: list)
    // It refuses to stay root, and as root of a user namespace cannot become `nobody`: start as `nobody`.
    let asNobody = ["/usr/bin/unshare", "--user", "--map-user=65534", "--map-group=65534", "--"]
    let port = String(address.port)
    return try sandbox.start(
      "opentracker",
      (getuid() == 0 ? [] : asNobody) + [
        "/usr/bin/opentracker", "-i", address.host, "-p", port, "-P", port, "-d", home.path, "-w",
        list.lastPathComponent,
      ])
  }
}

/// HTTPS before an HTTP tracker, with a certificate from an authority made for the test.
enum TLSFront {
  static func authority(in sandbox: Sandbox) -> URL { sandbox.scratch.appending(path: "tls/ca.pem") }

  /// Listens as `tracker.test:6443` and on `tracker`'s own address.
  @discardableResult
  static func start(before tracker: Address, in sandbox: Sandbox) async throws -> Child {
    let folder = try sandbox.directory("tls")
    try await sandbox.run(
      "make-certificates", ["/bin/sh", Files.drivers.appending(path: "certificates.sh").path, tracker.host],
      directory: folder)
    let child = try sandbox.start(
      "tls-front",
      [
        "/usr/bin/python3", Files.drivers.appending(path: "tls_front.py").path,
        "--listen", Address(tracker.family, tracker.number, port: 6443).description,
        "--certificate", folder.appending(path: "server.pem").path, "--key",
        folder.appending(path: "server.key").path, "--to", tracker.description,
      ])
    try await eventually("the HTTPS front listens") { child.output.contains("listening") }
    return child
  }
}
