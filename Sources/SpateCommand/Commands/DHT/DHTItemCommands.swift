import ArgumentParser
import Engine

/// The salt of mutable items (BEP 44).
struct DHTSalt: SettingValue, Hashable {
  let bytes: [UInt8]

  init?(argument: String) {
    bytes = Array(argument.utf8)
    guard bytes.count <= DHTItem.saltLimit else { return nil }
  }

  static var form: String { "a text of at most \(DHTItem.saltLimit) bytes" }
}

/// A public key: 64 hexadecimal digits.
struct DHTPublicKey: SettingValue, Hashable {
  let bytes: [UInt8]

  init?(argument: String) {
    guard let bytes = HexText.bytes(argument), bytes.count == DHTItem.publicKeyLength else { return nil }
    self.bytes = bytes
  }

  static var form: String { "64 hexadecimal digits" }
}

/// 0 to 2^63 - 1.
struct DHTSequence: SettingValue, Hashable {
  let value: Int64

  init?(argument: String) {
    guard let value = Int64(argument), value >= 0, argument.first != "+" else { return nil }
    self.value = value
  }

  static var form: String { "a whole number from 0 on" }
}

/// An item for programs.
struct DHTItemDocument: Encodable {
  let target: String
  /// The value if it is a text.
  let text: OrNull<String>
  /// The value, bencoded, in hexadecimal digits.
  let value: String
  let publicKey: OrNull<String>
  let salt: OrNull<String>
  let sequence: OrNull<Int64>
  let signature: OrNull<String>
  /// The torrent it names (BEP 46).
  let torrent: OrNull<String>
  /// Nodes that stored it.
  let nodes: OrNull<Int>

  init(_ item: DHTItem, nodes: Int? = nil) {
    target = DHTClient.target(of: item).hex
    text = OrNull(item.string.flatMap { String(validating: $0, as: UTF8.self) })
    value = HexText.of(item.value)
    publicKey = OrNull(item.mutable.map { HexText.of($0.publicKey) })
    salt = OrNull(item.mutable.flatMap { $0.salt.isEmpty ? nil : HexText.of($0.salt) })
    sequence = OrNull(item.mutable?.sequence)
    signature = OrNull(item.mutable.map { HexText.of($0.signature) })
    torrent = OrNull(item.pointedTorrent?.hex)
    self.nodes = OrNull(nodes)
  }

  /// The value as a person reads it: a text as it is, all else in the manner of JSON.
  static func line(_ item: DHTItem) -> String {
    if let text = item.string.flatMap({ String(validating: $0, as: UTF8.self) }) {
      return text.split(separator: "\n", omittingEmptySubsequences: false).map { Printable.text(String($0)) }
        .joined(separator: "\n")
    }
    return Printable.text(item.valueText)
  }
}

struct DHTGet: SpateSubcommand {
  static let configuration = CommandConfiguration(
    commandName: "get", abstract: "Get something that was stored in the DHT.",
    discussion: """
      An immutable item by the point where it lies, or the newest one of a public key (BEP 44). Ends with 1 if nobody has \
      it.

        spate dht get e5f96f6f38320f0f33959cb4d3d656452117aadb
        spate dht get --key 77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548
      """)

  @Argument(
    help: ArgumentHelp("Where it lies: 40 hexadecimal digits.", valueName: "point"), transform: DHTPoint.from)
  var target: DHTPoint?

  @Option(
    help: ArgumentHelp("The public key it belongs to: 64 hexadecimal digits.", valueName: "key"),
    transform: DHTPublicKey.from)
  var key: DHTPublicKey?

  @Option(
    help: ArgumentHelp("Which of the key's items.", valueName: "text"), transform: DHTSalt.from)
  var salt: DHTSalt?

  @Flag(help: "Print the bytes as they are: of a string its contents, of anything else its bencode.")
  var raw = false

  @OptionGroup var question: DHTQuestionOptions

  func validate() throws {
    guard (target == nil) != (key == nil) else { throw ValidationError("Give a point, or --key.") }
    guard salt == nil || key != nil else { throw ValidationError("--salt goes with --key.") }
  }

  func execute(_ interrupts: Interrupts) async throws(CommandFailure) -> CommandStatus {
    try await DHTVisit.run(question) { visit throws(CommandFailure) in
      let item = try await visit.ask { client throws(DHTFailure) in
        if let key {
          return try await client.item(
            ofPublicKey: key.bytes, salt: salt?.bytes ?? [], within: visit.seconds)
        }
        guard let target else { throw .notFound }
        return try await client.item(at: target.id, within: visit.seconds)
      }
      if raw && !visit.isJSON {
        try visit.context.console.result(item.string ?? item.value)
      } else {
        try visit.show(DHTItemDocument(item), [DHTItemDocument.line(item)])
      }
      if let sequence = item.mutable?.sequence { visit.context.logger.info("sequence number \(sequence)") }
      return .success
    }
  }
}

struct DHTPut: SpateSubcommand {
  static let configuration = CommandConfiguration(
    commandName: "put", abstract: "Store something in the DHT.",
    discussion: """
      Without a key the item can never be changed, and the point where it lies is printed. With a key file it replaces what \
      was there before, and the public key is printed, by which anybody gets it. Nodes forget items after about two hours.

        spate dht put "a text of at most 1000 bytes"
        spate dht put --key-file me.key --torrent c12fe1c06bba254a9dc9f519b335aa7c1367a88a
      """)

  @Argument(help: "The text to be stored, or - for standard input.") var value: String?

  @Option(
    help: ArgumentHelp(
      "Sign with the key in this file, which is made if it is missing.", valueName: "file"),
    completion: .file())
  var keyFile: String?

  @Option(
    help: ArgumentHelp("Which of the key's items. (default: the one without a name)", valueName: "text"),
    transform: DHTSalt.from)
  var salt: DHTSalt?

  @Option(
    help: ArgumentHelp(
      "Its sequence number. (default: the next after what is there)", valueName: "n"),
    transform: DHTSequence.from)
  var seq: DHTSequence?

  @Option(
    help: ArgumentHelp("Replace only the item with this sequence number.", valueName: "n"),
    transform: DHTSequence.from)
  var cas: DHTSequence?

  @Flag(help: "The value is bencode, and stored as it is.") var bencode = false

  @Option(
    help: ArgumentHelp(
      "Store which torrent is current (BEP 46), and print the magnet link that leads there.",
      valueName: "infohash"))
  var torrent: String?

  @OptionGroup var question: DHTQuestionOptions

  func validate() throws {
    guard (value == nil) != (torrent == nil) else {
      throw ValidationError("Give a value (- for standard input), or --torrent.")
    }
    guard !bencode || value != nil else { throw ValidationError("--bencode goes with a value.") }
    guard keyFile != nil || (salt == nil && seq == nil && cas == nil && torrent == nil) else {
      throw ValidationError("--salt, --seq, --cas and --torrent go with --key-file.")
    }
  }

  private func bytes(_ layers: SettingsLayers) async throws(CommandFailure) -> [UInt8] {
    if let torrent {
      return DHTItem.torrentPointer(
        to: try await DHTTorrent.infoHash(
          torrent, isAnnounced: true, certificateFile: try layers.value(nil as String?, .caCertificate)))
    }
    var bytes = Array((value ?? "").utf8)
    if value == "-" {
      bytes = try FileReading.readStandardInput(limit: DHTItem.valueLimit, what: "value")
    }
    return bencode ? bytes : DHTItem.encoded(string: bytes)
  }

  func execute(_ interrupts: Interrupts) async throws(CommandFailure) -> CommandStatus {
    try await DHTVisit.run(question) { visit throws(CommandFailure) in
      let bytes = try await bytes(visit.context.layers)
      let keys = try keyFile.map { (path) throws(CommandFailure) in
        try DHTKeyFile.load(path, visit.context.logger)
      }
      let stored = try await visit.ask { client throws(DHTFailure) in
        guard let keys else { return try await client.put(bytes, within: visit.seconds) }
        return try await client.put(
          bytes, as: keys, salt: salt?.bytes ?? [], sequence: seq?.value, replacing: cas?.value,
          within: visit.seconds)
      }
      try visit.show(DHTItemDocument(stored.item, nodes: stored.count), [line(stored)])
      let number = stored.item.mutable.map { ", sequence number \($0.sequence)" } ?? ""
      visit.context.logger.info("stored by \(stored.count) nodes\(number)")
      if let refusal = stored.refusal { visit.context.logger.info("others refused: \(refusal)") }
      return .success
    }
  }

  /// What leads to the item.
  private func line(_ stored: DHTClient.Stored) -> String {
    guard let mutable = stored.item.mutable else { return stored.target.hex }
    let key = HexText.of(mutable.publicKey)
    guard torrent != nil else { return key }
    return "magnet:?xs=urn:btpk:\(key)" + (mutable.salt.isEmpty ? "" : "&s=\(HexText.of(mutable.salt))")
  }
}
