import Foundation

/// transmission-daemon with a settings folder of its own, driven by transmission-remote.
///
/// Version 3.00 has some ways of its own: a seed unchokes newcomers only at its ten-second round, empty files are not
/// created, and 127.0.0.0/8 and ::1 are refused as peers.
struct Transmission: Client {
  var authority: URL?
  /// Whether it tells peers of each other.
  var exchangesPeers = false
  /// KiB a second.
  var downloadLimit: Int?

  private func start(_ name: String, _ folder: URL, _ address: Address, _ sandbox: Sandbox) async throws
    -> (child: Child, remote: [String])
  {
    let home = try sandbox.directory("\(name)-home")
    // Both families are always bound; the other one gets an address where nobody looks. Announces leave from the IPv4
    // address, if one is named, whatever the tracker's family is.
    let elsewhere = address.family == .v4 ? Address(.v6, 6).host : "0.0.0.0"
    let settings: [String: Any] = [
      "bind-address-ipv4": address.family == .v4 ? address.host : elsewhere,
      "bind-address-ipv6": address.family == .v6 ? address.host : elsewhere,
      "peer-port": address.port, "peer-port-random-on-start": false, "rpc-bind-address": "127.0.0.1",
      "rpc-port": 9000 + address.number, "rpc-whitelist-enabled": false, "rpc-host-whitelist-enabled": false,
      "dht-enabled": false, "lpd-enabled": false, "pex-enabled": exchangesPeers, "utp-enabled": false,
      "port-forwarding-enabled": false, "blocklist-enabled": false, "encryption": 0, "preallocation": 0,
      "rename-partial-files": false, "download-dir": folder.path, "ratio-limit-enabled": false,
      "download-queue-enabled": false, "seed-queue-enabled": false, "message-level": 2,
      "speed-limit-down-enabled": downloadLimit != nil, "speed-limit-down": downloadLimit ?? 0,
    ]
    let data = try JSONSerialization.data(withJSONObject: settings)
    try data.write(to: home.appending(path: "settings.json"))
    var environment = ["TRANSMISSION_HOME": home.path]
    if let authority {
      environment["CURL_CA_BUNDLE"] = authority.path
      environment["TR_CURL_SSL_VERIFY"] = "1"
    }
    let child = try sandbox.start(
      name, ["/usr/bin/transmission-daemon", "-f", "-g", home.path], environment: environment)
    let remote = ["/usr/bin/transmission-remote", "127.0.0.1:\(9000 + address.number)"]
    try await eventually("\(name) answers") {
      if let status = child.status {
        throw Sandbox.CommandFailed(command: child.command, status: status, errors: child.errors)
      }
      return try await sandbox.succeeds("\(name)-remote", remote + ["-si"])
    }
    return (child, remote)
  }

  private func wait(
    _ name: String, _ remote: [String], _ pattern: [String], within limit: Duration, _ what: String,
    _ sandbox: Sandbox
  ) async throws {
    try await eventually(within: limit, every: .milliseconds(100), what) {
      let info = try await sandbox.run("\(name)-remote", remote + ["-t", "1", "-i"])
      return pattern.contains { info.contains($0) }
    }
  }

  func seed(_ torrent: URL, from folder: URL, at address: Address, in sandbox: Sandbox) async throws -> Child
  {
    let name = "transmission-seed"
    let (child, remote) = try await start(name, folder, address, sandbox)
    try await sandbox.run("\(name)-remote", remote + ["-a", torrent.path])
    try await wait(
      name, remote, ["State: Seeding", "State: Idle\n  Location: \(folder.path)\n  Percent Done: 100%"],
      within: .seconds(30), "transmission seeds", sandbox)
    return child
  }

  /// Starts it with nothing, to download into `folder` until it is stopped.
  func leech(_ torrent: URL, into folder: URL, at address: Address, in sandbox: Sandbox) async throws -> Child
  {
    let name = "transmission-leech"
    let (child, remote) = try await start(name, folder, address, sandbox)
    try await sandbox.run("\(name)-remote", remote + ["-a", torrent.path])
    return child
  }

  func download(_ torrent: URL, into folder: URL, at address: Address, peers: [Address], in sandbox: Sandbox)
    async throws
  {
    let name = "transmission-get"
    let (child, remote) = try await start(name, folder, address, sandbox)
    try await sandbox.run("\(name)-remote", remote + ["-a", torrent.path])
    try await wait(
      name, remote, ["Percent Done: 100%"], within: .seconds(90), "transmission is complete", sandbox)
    // It writes through a cache: the bytes are in the files for sure once it has left.
    await child.stop(within: .seconds(20))
  }
}
