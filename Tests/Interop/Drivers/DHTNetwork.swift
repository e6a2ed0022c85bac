import Foundation

/// Clients that find each other in a DHT of their own, and in no other way.
struct DHTNetwork: Sendable {
  let sandbox: Sandbox

  /// A node of ours that runs until the end, as the first of the network or led in by others.
  func serve(at address: Address, nodes: [Address] = []) async throws -> Child {
    let child = try sandbox.start(
      "spate-dht-serve",
      Spate.command + ["dht", "serve", "--bind", address.host, "--dht-port", String(address.port), "-v"]
        + Self.entry(nodes), environment: try state("serve-\(address.number)-\(address.port)"))
    try await eventually("spate dht serve listens") {
      if let status = child.status {
        throw Sandbox.CommandFailed(command: child.command, status: status, errors: child.errors)
      }
      return child.output.contains(address.description)
    }
    return child
  }

  /// Nodes beside the one that leads in: transmission takes a network of eight for a broken one.
  func serveMore(for kind: ClientKind, behind node: Address) async throws {
    for number in 0..<(kind == .transmission ? 11 : 2) {
      _ = try await serve(at: Address(.v4, 6, port: 7001 + number), nodes: [node])
    }
  }

  /// One `spate dht` command that begins with this node alone.
  func ask(_ arguments: [String], from seat: Address, through node: Address) async throws -> Spate.Finished {
    try await Spate.run(
      ["dht"] + arguments + ["--bind", seat.host] + Self.entry([node]),
      environment: try state("ask-\(UUID().uuidString)"), in: sandbox)
  }

  static func entry(_ nodes: [Address]) -> [String] {
    ["--no-public-nodes"] + nodes.flatMap { ["--dht-node", $0.description] }
  }

  /// Nodes remember each other only where a test wants it.
  private func state(_ name: String) throws -> [String: String] {
    ["XDG_STATE_HOME": try sandbox.directory("state-\(name)").path]
  }

  /// A node of libtorrent that does things again and again; see `lt_client.py`.
  func libtorrent(at address: Address, nodes: [Address], _ actions: [String]) throws -> Child {
    try sandbox.start(
      "libtorrent-dht",
      ["/usr/bin/python3", Files.drivers.appending(path: "lt_client.py").path, "dht"]
        + ["--listen", address.description] + nodes.flatMap { ["--node", $0.description] } + actions)
  }

  /// Spate with the DHT and nothing else.
  func spate(at address: Address, node: Address) -> Spate {
    Spate(options: Self.entry([node]) + ["--dht", "--no-pex", "--no-lsd"])
  }

  // MARK: Other clients with a torrent

  /// A client that seeds `torrent`, or downloads it, with the DHT as its only way to peers.
  func start(
    _ kind: ClientKind, _ torrent: Prepared, in folder: URL, seeding: Bool, at address: Address, node: Address
  ) async throws -> Child {
    switch kind {
    case .libtorrent:
      return try sandbox.start(
        "libtorrent",
        [
          "/usr/bin/python3", Files.drivers.appending(path: "lt_client.py").path, "run", "--torrent",
          torrent.torrent.path, "--save", folder.path, "--listen", address.description, "--mode",
          seeding ? "seed" : "download", "--stay", "--node", node.description,
        ])
    case .aria2:
      return try sandbox.start(
        "aria2",
        [
          "/usr/bin/aria2c", "--no-conf=true", "--enable-dht=true", "--enable-dht6=false",
          "--dht-entry-point=\(node.description)", "--dht-listen-port=\(address.port)",
          "--dht-file-path=\(folder.path)/../aria2-\(address.number).dht", "--bt-enable-lpd=false",
          "--enable-peer-exchange=false", "--async-dns=false", "--file-allocation=none",
          "--interface=\(address.host)", "--listen-port=\(address.port)", "--disable-ipv6=true",
          "--dir=\(folder.path)", "--seed-ratio=0", "--check-integrity=\(seeding)", "--allow-overwrite=true",
          "--summary-interval=1", "--enable-color=false", torrent.torrent.path,
        ])
    case .transmission: return try await transmission(torrent, folder, address, node)
    }
  }

  private func transmission(
    _ torrent: Prepared, _ folder: URL, _ address: Address, _ node: Address
  ) async throws -> Child {
    let home = try sandbox.directory("transmission-\(address.number)")
    let settings: [String: Any] = [
      "bind-address-ipv4": address.host, "bind-address-ipv6": Address(.v6, 6).host, "peer-port": address.port,
      "peer-port-random-on-start": false, "rpc-bind-address": "127.0.0.1", "rpc-port": 9000 + address.number,
      "rpc-whitelist-enabled": false, "rpc-host-whitelist-enabled": false, "dht-enabled": true,
      "lpd-enabled": false, "pex-enabled": false, "utp-enabled": false, "port-forwarding-enabled": false,
      "blocklist-enabled": false, "encryption": 0, "preallocation": 0, "rename-partial-files": false,
      "download-dir": folder.path, "ratio-limit-enabled": false, "download-queue-enabled": false,
      "seed-queue-enabled": false, "message-level": 3,
    ]
    try JSONSerialization.data(withJSONObject: settings).write(to: home.appending(path: "settings.json"))
    try Data("\(node.host) \(node.port)\n".utf8).write(to: home.appending(path: "dht.bootstrap"))
    let child = try sandbox.start(
      "transmission", ["/usr/bin/transmission-daemon", "-f", "-g", home.path],
      environment: ["TRANSMISSION_HOME": home.path])
    let remote = ["/usr/bin/transmission-remote", "127.0.0.1:\(9000 + address.number)"]
    try await eventually("transmission answers") {
      try await sandbox.succeeds("transmission-remote", remote + ["-si"])
    }
    try await sandbox.run("transmission-add", remote + ["-a", torrent.torrent.path])
    return child
  }
}
