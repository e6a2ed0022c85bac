import Foundation

/// aria2, one process a torrent, watched through what it prints once a second.
///
/// Version 1.36 speaks to UDP trackers only with its DHT switched on (and then not for private torrents), and only over
/// IPv4. The DHT knows no node here and finds none.
struct Aria2: Client {
  /// For an HTTPS tracker: the authority to trust. aria2 does not read `SSL_CERT_FILE`.
  var authority: URL?

  private func command(_ torrent: URL, _ folder: URL, _ address: Address) -> [String] {
    [
      "/usr/bin/aria2c", "--no-conf=true", "--enable-dht=\(address.family == .v4)", "--enable-dht6=false",
      "--bt-enable-lpd=false",
      "--enable-peer-exchange=false", "--async-dns=false", "--file-allocation=none", "--summary-interval=1",
      "--allow-overwrite=true", "--enable-color=false", "--console-log-level=notice",
      "--interface=\(address.host)", "--listen-port=\(address.port)",
      "--dht-listen-port=\(address.port)", "--dht-file-path=\(folder.path)/../aria2-\(address.number).dht",
      "--dir=\(folder.path)",
      "--disable-ipv6=\(address.family == .v4)",
    ] + (authority.map { ["--ca-certificate=\($0.path)"] } ?? []) + [torrent.path]
  }

  func seed(_ torrent: URL, from folder: URL, at address: Address, in sandbox: Sandbox) async throws -> Child
  {
    let options = ["--seed-ratio=0", "--check-integrity=true"]
    let command = command(torrent, folder, address)
    let child = try sandbox.start("aria2-seed", [command[0]] + options + command.dropFirst())
    try await eventually("aria2 seeds") {
      if let status = child.status {
        throw Sandbox.CommandFailed(command: child.command, status: status, errors: child.output)
      }
      return child.output.contains("SEED(")
    }
    return child
  }

  func download(_ torrent: URL, into folder: URL, at address: Address, peers: [Address], in sandbox: Sandbox)
    async throws
  {
    let command = command(torrent, folder, address)
    try await sandbox.run(
      "aria2-get", [command[0], "--seed-time=0"] + command.dropFirst(), within: .seconds(90))
  }
}
