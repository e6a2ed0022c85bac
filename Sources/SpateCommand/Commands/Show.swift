import ArgumentParser
import Engine
import Foundation

struct Show: SpateSubcommand {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Show what is in a torrent.",
    discussion: "Files are listed with the numbers that --select-file takes.")

  @Argument(
    help: "A .torrent file, its http(s) URL, a magnet link, or - for standard input.",
    completion: .file(extensions: ["torrent"]))
  var torrent: String

  @OptionGroup var json: JSONOption
  @OptionGroup var output: OutputOptions

  func execute(_ interrupts: Interrupts) async throws(CommandFailure) -> CommandStatus {
    let context = try CommandContext("show", output)
    let source = try TorrentSource(argument: torrent)
    if case .magnet(let link) = source {
      try context.console.result(
        try context.layers.flag(json.json, .json)
          ? JSONText.document(MagnetDocument(link)) : MagnetText.lines(link).joined(separator: "\n"))
      for warning in link.warnings { context.logger.warning("\(warning)") }
      return .success
    }
    let metainfo =
      try await source
      .load(certificateFile: try context.layers.value(nil as String?, .caCertificate))
    if try context.layers.flag(json.json, .json) {
      try context.console.result(JSONText.document(TorrentDocument(metainfo)))
    } else {
      try context.console.result(TorrentText.lines(metainfo).joined(separator: "\n"))
      for warning in metainfo.warnings { context.logger.warning("\(warning)") }
    }
    return .success
  }
}

/// The document of `spate show --json`.
struct TorrentDocument: Encodable {
  struct File: Encodable {
    let path: String
    let length: Int64
    let padding: Bool
  }
  /// 1, or "hybrid".
  enum Generation: Encodable {
    case one
    case hybrid

    func encode(to encoder: any Encoder) throws {
      var container = encoder.singleValueContainer()
      switch self {
      case .one: try container.encode(1)
      case .hybrid: try container.encode("hybrid")
      }
    }
  }
  let name: String
  let infohash: String
  let pieceLength: Int
  let pieces: Int
  let total: Int64
  let files: [File]
  let trackers: [[String]]
  let webseeds: [String]
  let `private`: Bool
  let source: OrNull<String>
  let comment: OrNull<String>
  let createdBy: OrNull<String>
  let creationDate: OrNull<Int64>
  let version: Generation
  let warnings: [String]

  /// - Note: `total` is what the files hold, padding left out.
  init(_ metainfo: TorrentMetainfo) {
    let info = metainfo.info
    name = info.name
    infohash = info.infoHash.hex
    pieceLength = info.geometry.pieceLength
    pieces = info.geometry.pieceCount
    total = TorrentText.total(info)
    files = info.files.map {
      File(path: info.downloadPath(ofFile: $0.index), length: $0.length, padding: $0.isPadding)
    }
    trackers = metainfo.trackers
    webseeds = metainfo.webSeeds
    self.private = info.isPrivate
    source = OrNull(info.source)
    comment = OrNull(metainfo.comment)
    createdBy = OrNull(metainfo.createdBy)
    creationDate = OrNull(metainfo.creationDate)
    version = info.version == .hybrid ? .hybrid : .one
    warnings = metainfo.warnings.map(\.description)
  }
}

/// The same for a person.
enum TorrentText {
  static func total(_ info: TorrentInfo) -> Int64 {
    info.files.reduce(0) { $0 + ($1.isPadding ? 0 : $1.length) }
  }

  static func lines(_ metainfo: TorrentMetainfo) -> [String] {
    let info = metainfo.info
    var lines: [String] = []
    func add(_ label: String, _ text: String?) {
      guard let text else { return }
      lines.append(TextWidth.fitted(label, to: 12) + Printable.text(text))
    }
    let files = info.files.count { !$0.isPadding }
    let total = total(info)
    add("Name", info.name)
    add("Info-hash", info.infoHash.hex)
    add("Size", "\(Units.size(total)) (\(total) bytes) in \(files) file\(files == 1 ? "" : "s")")
    add("Pieces", "\(info.geometry.pieceCount) of \(Units.size(Int64(info.geometry.pieceLength)))")
    add("Version", info.version.description)
    add("Private", info.isPrivate ? "yes" : nil)
    add("Source", info.source)
    add("Created", metainfo.creationDate.map(date))
    add("Created by", metainfo.createdBy)
    add("Comment", metainfo.comment)
    for (number, tier) in metainfo.trackers.enumerated() {
      for url in tier { add(number == 0 ? "Trackers" : "", "\(number + 1)  \(url)") }
    }
    for (number, url) in (metainfo.webSeeds + metainfo.httpSeeds).enumerated() {
      add(number == 0 ? "Web seeds" : "", url)
    }
    lines.append("Files")
    let width = String(files).count
    var number = 0
    for file in info.files where !file.isPadding {
      number += 1
      let link = file.symlinkText.map { " -> " + $0 } ?? ""
      lines.append(
        "  " + TextWidth.rightAligned(String(number), to: width) + "  "
          + TextWidth.rightAligned(Units.size(file.length), to: 8) + "  "
          + Printable.text(info.downloadPath(ofFile: file.index) + link))
    }
    return lines
  }

  /// A torrent may claim any second there is; those a calendar has no name for stay numbers.
  static func date(_ seconds: Int64) -> String {
    guard (0...253_402_300_799).contains(seconds) else { return "\(seconds) seconds after 1970" }
    return Date(timeIntervalSince1970: Double(seconds)).formatted(.iso8601)
  }
}
