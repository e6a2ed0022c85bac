import Foundation
import Testing

/// Two hosts joined by a cable, and nothing that tells them of each other but multicast (BEP 14).
@Suite(.showingLogs)
struct LocalDiscoveryTests {
  /// The other host: a network namespace inside the sandbox's, with an address of its own.
  struct OtherHost {
    /// Put before a command, runs it there.
    let enter: [String]

    static let here = ["10.88.0.1", "fd88::1"]
    static let there = ["10.88.0.2", "fd88::2"]

    /// - Parameter isLinkLocal: both hosts have link-local IPv6 addresses on the cable, and no others.
    init(in sandbox: Sandbox, isLinkLocal: Bool = false) async throws {
      let holder = try sandbox.start(
        "other-host", ["/bin/sh", "-c", "echo $$; exec unshare --net sleep 600"])
      let process = try await first("the other host is there") {
        holder.output.hasSuffix("\n") ? holder.output.trimmingCharacters(in: .newlines) : nil
      }
      let global = """
        ip addr add \(Self.here[0])/24 dev here; ip -6 addr add \(Self.here[1])/64 dev here nodad
        $there ip addr add \(Self.there[0])/24 dev there; $there ip -6 addr add \(Self.there[1])/64 dev there nodad
        """
      let linkLocal = """
        ip link set here addrgenmode none; $there ip link set there addrgenmode none
        ip -6 addr add fe80::1/64 dev here nodad; $there ip -6 addr add fe80::2/64 dev there nodad
        """
      let script = """
        # Until it is in its namespace, its namespace is ours.
        while [ "$(readlink /proc/\(process)/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
        there="nsenter --net=/proc/\(process)/ns/net --"
        ip link add here type veth peer name there
        ip link set there netns \(process)
        $there ip link set lo up
        \(isLinkLocal ? linkLocal : global)
        ip link set here up
        $there ip link set there up
        """
      try await sandbox.run("veth", ["/bin/sh", "-ec", script])
      enter = ["/usr/bin/nsenter", "--net=/proc/\(process)/ns/net", "--"]
    }
  }

  private static func spate(_ command: [String], _ host: String) throws -> [String] {
    try Spate.command + command + [
      "--bind", host, "--listen-port", "6881", "--lsd", "--no-dht", "--no-pex", "--progress", "json",
    ]
  }

  @Test(
    "two of us find each other", .needs(.spate, .libtorrent, .mktorrent),
    arguments: [0, 1])
  func ours(_ family: Int) async throws {
    try await withSandbox { sandbox in
      let other = try await OtherHost(in: sandbox)
      let torrent = try await Prepared.make(.oneFile, pieceLength: 32_768, in: sandbox)
      let seeder = try sandbox.start(
        "spate-seed",
        other.enter
          + Self.spate(
            ["seed", torrent.torrent.path, "-d", torrent.source.path], OtherHost.there[family]))
      try await eventually("spate seeds") { seeder.errors.contains("seeding") }
      let target = try sandbox.directory("target")
      let child = try sandbox.start(
        "spate-get",
        Self.spate(
          ["download", "magnet:?xt=urn:btih:\(torrent.info.infohash)", "-d", target.path],
          OtherHost.here[family]))
      #expect(try await child.exit(within: .seconds(60)) == .code(0), "\(child.errors.suffix(500))")
      try await expectSame(.oneFile, in: target, as: torrent.source, in: sandbox)
    }
  }

  /// By the name of the interface, or by nothing at all: then the loopback device is there, too.
  @Test(
    "two of us find each other with link-local addresses alone", .needs(.spate, .mktorrent),
    arguments: [true, false])
  func linkLocal(_ isBound: Bool) async throws {
    try await withSandbox { sandbox in
      let other = try await OtherHost(in: sandbox, isLinkLocal: true)
      let torrent = try await Prepared.make(.oneFile, pieceLength: 32_768, in: sandbox)
      func spate(_ command: [String], _ device: String) throws -> [String] {
        try Spate.command + command + (isBound ? ["--bind", device] : []) + [
          "--listen-port", "6881", "--lsd", "--no-dht", "--no-pex", "--progress", "json",
        ]
      }
      let seeder = try sandbox.start(
        "spate-seed",
        other.enter + spate(["seed", torrent.torrent.path, "-d", torrent.source.path], "there"))
      try await eventually("spate seeds") { seeder.errors.contains("seeding") }
      let target = try sandbox.directory("target")
      let child = try sandbox.start(
        "spate-get",
        spate(["download", "magnet:?xt=urn:btih:\(torrent.info.infohash)", "-d", target.path], "here"))
      #expect(try await child.exit(within: .seconds(60)) == .code(0), "\(child.errors.suffix(500))")
      try await expectSame(.oneFile, in: target, as: torrent.source, in: sandbox)
    }
  }

  @Test(
    "libtorrent and we find each other", .needs(.spate, .libtorrent, .mktorrent), arguments: [true, false])
  func libtorrent(_ weSeed: Bool) async throws {
    try await withSandbox { sandbox in
      let other = try await OtherHost(in: sandbox)
      let torrent = try await Prepared.make(.oneFile, pieceLength: 32_768, in: sandbox)
      let target = try sandbox.directory("target")
      let theirs = try sandbox.start(
        "libtorrent",
        other.enter + [
          "/usr/bin/python3", Files.drivers.appending(path: "lt_client.py").path, "run", "--torrent",
          torrent.torrent.path, "--save", weSeed ? target.path : torrent.source.path, "--listen",
          "\(OtherHost.there[0]):6881", "--mode", weSeed ? "download" : "seed", "--stay", "--lsd",
        ])
      let ours = try sandbox.start(
        "spate",
        Self.spate(
          [
            weSeed ? "seed" : "download", torrent.torrent.path, "-d",
            weSeed ? torrent.source.path : target.path,
          ], OtherHost.here[0]))
      if weSeed {
        try await eventually(within: .seconds(60), "libtorrent has it all") {
          theirs.output.contains(#"{"event": "complete""#)
        }
      } else {
        #expect(try await ours.exit(within: .seconds(60)) == .code(0), "\(ours.errors.suffix(500))")
      }
      try await expectSame(.oneFile, in: target, as: torrent.source, in: sandbox)
    }
  }
}
