import Engine
import Foundation

/// Where a torrent comes from.
enum TorrentSource: Hashable, Sendable, CustomStringConvertible {
  case standardInput
  case url(String)
  case file(String)
  /// Its metadata comes from peers.
  indirect case magnet(MagnetLink)

  /// - Throws: for what is no such place.
  init(argument: String) throws(CommandFailure) {
    let lower = argument.prefix(8).lowercased()
    if argument == "-" {
      self = .standardInput
    } else if lower.hasPrefix("http://") || lower.hasPrefix("https://") {
      self = .url(argument)
    } else if lower.hasPrefix("magnet:") {
      do { self = .magnet(try MagnetLink(parsing: argument)) } catch { throw CommandFailure(error) }
    } else if lower.hasPrefix("file://"), let url = URL(string: argument), !url.path.isEmpty {
      self = .file(url.path)
    } else if argument.isEmpty {
      throw CommandFailure(
        .usage, "an empty name is no torrent; give a file, an http(s) URL, or - for standard input")
    } else {
      self = .file(argument)
    }
  }

  var description: String {
    switch self {
    case .standardInput: "standard input"
    case .url(let url): Printable.text(url)
    case .file(let path): "'\(Printable.text(path))'"
    case .magnet(let link): Printable.text(link.name ?? link.infoHashes.first?.hex ?? "a magnet link")
    }
  }

  /// The files that a magnet link selects (BEP 53), by number from 0; nil for all.
  func selection(in info: TorrentInfo) -> Set<Int>? {
    guard case .magnet(let link) = self, let ranges = link.selection else { return nil }
    return Set(ranges.flatMap { Array($0.clamped(to: 0...max(0, info.files.count - 1))) })
  }

  /// Reads and parses the torrent. Blocks for files.
  func load(certificateFile: String?) async throws(CommandFailure) -> TorrentMetainfo {
    let bytes = try await read(certificateFile: certificateFile)
    do { return try TorrentMetainfo.parse(bytes) } catch {
      throw CommandFailure(error, in: description)
    }
  }

  func read(certificateFile: String?) async throws(CommandFailure) -> [UInt8] {
    switch self {
    case .standardInput:
      return try FileReading.readStandardInput(limit: TorrentLimits.metainfoLength, what: "torrent")
    case .file(let path):
      return try FileReading.read(path, limit: TorrentLimits.metainfoLength, what: "torrent")
    case .magnet:
      throw CommandFailure(
        .usage,
        "a magnet link does not say what is in the torrent; 'spate download --metadata-only LINK' fetches that"
      )
    case .url(let url):
      do { return try await Session.fetch(url: url, certificateFile: certificateFile) } catch {
        throw CommandFailure(.network, "cannot fetch the torrent: \(Printable.text(error.description))")
      }
    }
  }

  /// The sources of a list: one a line, `#` begins a comment line.
  static func list(_ bytes: [UInt8]) throws(CommandFailure) -> [TorrentSource] {
    var sources: [TorrentSource] = []
    for line in String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline) {
      let text = line.trimmingCharacters(in: .whitespaces)
      if text.isEmpty || text.hasPrefix("#") { continue }
      sources.append(try TorrentSource(argument: text))
    }
    return sources
  }

  static let listSizeLimit = 64 << 20

  /// All sources of a command, those of the list behind those named.
  static func all(_ arguments: [String], list: String?) throws(CommandFailure) -> [TorrentSource] {
    var sources: [TorrentSource] = []
    for argument in arguments { sources.append(try TorrentSource(argument: argument)) }
    if let list {
      guard list != "-" || !sources.contains(.standardInput) else {
        throw CommandFailure(
          .usage, "standard input cannot be both a torrent (-) and the list of torrents (-i -)")
      }
      sources += try Self.list(
        list == "-"
          ? FileReading.readStandardInput(limit: listSizeLimit, what: "list of torrents")
          : FileReading.read(list, limit: listSizeLimit, what: "list of torrents"))
    }
    guard sources.count(where: { $0 == .standardInput }) < 2 else {
      throw CommandFailure(.usage, "standard input (-) can be only one torrent")
    }
    guard !sources.isEmpty else {
      throw CommandFailure(
        .usage, "there is no torrent to work on; give a file, an http(s) URL, - or -i LIST")
    }
    return sources
  }
}
