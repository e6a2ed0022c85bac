import ArgumentParser
import Engine

struct Magnet: SpateSubcommand {
  static let configuration = CommandConfiguration(
    commandName: "magnet", abstract: "Print the magnet link of a torrent.",
    discussion: """
      The link names the torrent, its trackers and its web seeds; whoever has it fetches the rest from peers.

        spate magnet album.torrent
      """)

  @Argument(
    help: "A .torrent file, its http(s) URL, or - for standard input.",
    completion: .file(extensions: ["torrent"]))
  var torrent: String

  @OptionGroup var json: JSONOption
  @OptionGroup var output: OutputOptions

  func execute(_ interrupts: Interrupts) async throws(CommandFailure) -> CommandStatus {
    let context = try CommandContext("magnet", output)
    let metainfo = try await TorrentSource(argument: torrent)
      .load(certificateFile: try context.layers.value(nil as String?, .caCertificate))
    let link = MagnetLink(metainfo)
    if try context.layers.flag(json.json, .json) {
      try context.console.result(JSONText.document(MagnetDocument(link)))
    } else {
      try context.console.result(link.description)
    }
    return .success
  }
}

/// What is in a magnet link, for programs.
struct MagnetDocument: Encodable {
  let magnet: String
  let infohash: OrNull<String>
  let infohashes: [String]
  let publicKey: OrNull<String>
  let salt: OrNull<String>
  let name: OrNull<String>
  let total: OrNull<Int64>
  let trackers: [[String]]
  let webseeds: [String]
  let peers: [String]
  /// Numbers of files from 0, in ranges (BEP 53); null for all.
  let selection: OrNull<[[Int]]>
  let warnings: [String]

  init(_ link: MagnetLink) {
    magnet = link.description
    infohash = OrNull(link.infoHashes.first?.hex)
    infohashes = link.infoHashes.map(\.hex)
    publicKey = OrNull(link.mutableTorrent.map { HexText.of($0.publicKey) })
    salt = OrNull(link.mutableTorrent.flatMap { $0.salt.isEmpty ? nil : HexText.of($0.salt) })
    name = OrNull(link.name)
    total = OrNull(link.length)
    trackers = link.trackers
    webseeds = link.webSeeds
    peers = link.peers.map { $0.host.contains(":") ? "[\($0.host)]:\($0.port)" : "\($0.host):\($0.port)" }
    selection = OrNull(link.selection.map { $0.map { [$0.lowerBound, $0.upperBound] } })
    warnings = link.warnings.map { "\($0)" }
  }
}

/// The same for a person.
enum MagnetText {
  static func lines(_ link: MagnetLink) -> [String] {
    let document = MagnetDocument(link)
    var lines: [String] = []
    func add(_ label: String, _ text: String?) {
      guard let text else { return }
      lines.append(TextWidth.fitted(label, to: 12) + Printable.text(text))
    }
    add("Name", link.name)
    for (number, hash) in document.infohashes.enumerated() { add(number == 0 ? "Info-hash" : "", hash) }
    add("Public key", document.publicKey.value)
    add("Salt", document.salt.value)
    add("Size", link.length.map { "\(Units.size($0)) (\($0) bytes)" })
    for (number, tier) in link.trackers.enumerated() {
      for url in tier { add(number == 0 ? "Trackers" : "", "\(number + 1)  \(url)") }
    }
    for (number, url) in link.webSeeds.enumerated() { add(number == 0 ? "Web seeds" : "", url) }
    for (number, peer) in document.peers.enumerated() { add(number == 0 ? "Peers" : "", peer) }
    if let selection = link.selection {
      add(
        "Files",
        selection.map { $0.count == 1 ? "\($0.lowerBound + 1)" : "\($0.lowerBound + 1)-\($0.upperBound + 1)" }
          .joined(separator: ","))
    }
    return lines
  }
}

enum HexText {
  static func of(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  /// nil for what is no even number of digits.
  static func bytes(_ text: String) -> [UInt8]? {
    let digits = text.utf8.compactMap { byte -> UInt8? in
      switch byte {
      case 0x30...0x39: byte - 0x30
      case 0x41...0x46: byte - 0x37
      case 0x61...0x66: byte - 0x57
      default: nil
      }
    }
    guard digits.count == text.utf8.count, digits.count % 2 == 0 else { return nil }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
  }
}
